"""Experiments as flags: what is served, to whom, and what each of them gets.

One decision (`engine.core.assigning`) answers every protocol, with the person behind an id where
one is known. Read `catalog` (what a release serves), `published` (what clients can compute alone),
`visitors` (who asks), `answering` (one answer), `batch` (audiences of millions). The protocols
themselves are in `engine.web.flags_*`; for people: docs/flags.md.
"""
