"""The same engine on a virtual clock. Begin with `replay`."""
