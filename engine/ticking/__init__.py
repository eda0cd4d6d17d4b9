"""The loop over events and timers, and who owns whom. Begin with `tick`."""
