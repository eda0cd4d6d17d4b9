"""Templates read, checked and rendered. Begin with `templates`."""
