"""What people say of being written to: no, yes, and yes once more. Begin with `standing`."""
