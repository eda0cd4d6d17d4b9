"""The conditions of segments set-based: compiled to DuckDB over columns streamed from the store."""
