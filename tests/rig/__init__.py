"""The simulation rig: seeded crashes, retries and races over a real database file.

`world` is one process of the engine and everybody outside it, driven step by step by one seeded
generator. `invariants` says, once everything is drained, what must be true; `planted` holds bugs
that must be found, or the zeros mean nothing. Read next: `world`.
"""
