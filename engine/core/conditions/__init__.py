"""Conditions compiled: who is in, and until when that is certain. Begin with `compiler`."""
