"""Sums into estimates: two means, how they vary, and together. Begin with `cuped`."""
