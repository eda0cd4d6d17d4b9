"""Estimates into intervals, p-values and verdicts that hold. Begin with `compare`."""
