"""A plan and its sums into a readout: comparisons, words, and what to do. Begin with `analyze`."""
