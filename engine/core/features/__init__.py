"""What is remembered of a profile's events, one kind a module. Begin with `kinds`."""
