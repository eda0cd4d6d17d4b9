"""Events in: read, checked, deduplicated, committed, acknowledged. Begin with `prepare`."""
