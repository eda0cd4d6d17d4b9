"""Bandits in the running engine: what was learnt is kept as versions, and learnt anew in time."""
