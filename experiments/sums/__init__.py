"""Units into sums: centred moments per variant, mergeable. Begin with `aggregates`."""
