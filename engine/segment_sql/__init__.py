"""The conditions of segments set-based: compiled to DuckDB over columns streamed from the store.

`statement` makes the two questions (who is inside, how many are, at any instants), `conditions`
lists every kind, `plan` says how a statement is put together, `lake` what it reads, `stream` how
that gets there. Equal to `engine.core.segments` by proof (tests/proof); docs/segments/sql.md.
"""
