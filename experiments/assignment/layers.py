"""Levels above the experiment: slices of a layer, holdouts, GrowthBook's old namespaces."""

from experiments.assignment.hashes import N_BUCKETS, HashVersion, bucket
from experiments.assignment.ranges import slice_of_buckets


def in_layer(
    unit: str, *, layer_seed: str, start: float, end: float, version: HashVersion = 2
) -> bool:
    """Whether a unit belongs to the slice [start, end) of a layer.

    Experiments on disjoint slices of one layer never share a unit. Shares lie in [0, 1].
    """
    first, last = slice_of_buckets(start, end, version)
    return first <= bucket(layer_seed, unit, version=version) < last


def is_held_out(unit: str, *, seed: str, share: float, version: HashVersion = "s256") -> bool:
    """Whether a unit belongs to a holdout of `share` (in [0, 1]) of all units.

    Raising the share keeps everyone who was already held out.
    """
    _, last = slice_of_buckets(0.0, share, version)
    return bucket(seed, unit, version=version) < last


def in_growthbook_namespace(unit: str, *, namespace: str, start: float, end: float) -> bool:
    """Membership in a namespace of an experiment imported from GrowthBook (hash version 1)."""
    share = bucket("__" + namespace, unit, version=1, imported=True) / N_BUCKETS[1]
    return start <= share < end
