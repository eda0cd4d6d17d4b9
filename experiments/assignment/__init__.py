"""Which variant a unit gets: a pure function of a seed and the unit's id.

Nothing is stored and nothing is random here: the same seed and unit give the same answer on every
machine, in every process and under every PYTHONHASHSEED. Buckets are integers and so are all
comparisons, so a unit on a boundary cannot fall to two sides on two machines.

Three hashes stand behind one interface:

- ``2`` (default): GrowthBook's hash version 2, 10,000 buckets, so that GrowthBook's SDKs agree.
- ``"s256"``: SHA-256, 2**53 buckets, for variants below 0.1 % and for long-lived holdouts.
- ``1``: GrowthBook's first hash, 1,000 buckets. Neighbouring seeds are *not* independent under it,
  so it only serves experiments imported from there (`imported=True`).

Each level of a decision (holdout, layer, experiment) must have its own seed. For audiences of
millions, `experiments.assignment.batch` gives the same answers column by column.
Sources: https://docs.growthbook.io/lib/build-your-own (hash, ranges, namespaces); Kohavi, Tang, Xu
(2020) ch. 4; Tang et al. (KDD 2010) for layers.
"""

from experiments.assignment.hashes import N_BUCKETS, HashVersion, bucket, fnv1a32
from experiments.assignment.layers import in_growthbook_namespace, in_layer, is_held_out
from experiments.assignment.ranges import (
    Assignment,
    assign,
    bucket_ranges,
    slice_of_buckets,
    whole_buckets,
)

__all__ = [
    "N_BUCKETS",
    "Assignment",
    "HashVersion",
    "assign",
    "bucket",
    "bucket_ranges",
    "fnv1a32",
    "in_growthbook_namespace",
    "in_layer",
    "is_held_out",
    "slice_of_buckets",
    "whole_buckets",
]
