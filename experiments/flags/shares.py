"""Shares of the hash as the specification writes them: in floating point, repaired where wrong.

`experiments.assignment` decides in whole numbers and refuses what does not add up. A payload may
come from elsewhere, so here weights that do not add up become equal ones, as every SDK does it.
Ranges are turned into buckets once, by the very comparison that an SDK would make of each unit.
"""

import math
from collections.abc import Sequence
from typing import Any

from experiments.assignment import N_BUCKETS, HashVersion, bucket

Range = tuple[float, float]
Buckets = tuple[int, int]
"""The first bucket of a range, and one past its last."""

SUM_OF_WEIGHTS = (0.99, 1.01)


def hash_share(seed: str, unit: str, version: Any) -> float | None:
    """A unit's hash in [0, 1); None if there is no such version."""
    known = known_version(version)
    if known is None:
        return None
    return bucket(seed, unit, version=known, imported=True) / N_BUCKETS[known]


def known_version(version: Any) -> HashVersion | None:
    """The hash a payload names: 1, 2 or, ours alone, "s256"; None for any other."""
    if version == 2:
        return 2
    if version == 1:
        return 1
    return "s256" if version == "s256" else None


def equal_weights(n: int) -> list[float]:
    """n equal shares; none for n below one."""
    return [1 / n] * n if n > 0 else []


def are_weights(weights: Any, n: int) -> bool:
    """Whether these are n finite shares of at least 0 that add up to about 1."""
    if not isinstance(weights, (list, tuple)) or len(weights) != n:
        return False
    if not all(is_number(weight) and weight >= 0 for weight in weights):
        return False
    low, high = SUM_OF_WEIGHTS
    return low <= sum(weights) <= high


def is_number(value: Any) -> bool:
    """A finite number, and no boolean."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def ranges_of(n: int, coverage: float = 1.0, weights: Any = None) -> list[Range]:
    """Where each of n variations lies on [0, 1), with weights repaired and coverage clamped.

    >>> ranges_of(2, 0.5, [0.4, 0.6])
    [(0, 0.2), (0.4, 0.7)]
    """
    covered = min(max(coverage, 0), 1)
    used = weights if are_weights(weights, n) else equal_weights(n)
    ranges, passed = [], 0.0
    for weight in used:
        ranges.append((passed or 0, passed + covered * weight))
        passed += weight
    return ranges


def choose(share: float, ranges: Sequence[Sequence[float]]) -> int:
    """The first range that holds a share; -1 if none does."""
    for index, (start, end) in enumerate(ranges):
        if start <= share < end:
            return index
    return -1


def in_namespace(unit: str, namespace: Sequence[Any]) -> bool:
    """Whether a unit lies in a namespace (name, start, end), under hash version 1."""
    name, start, end = namespace
    return bool(start <= bucket(f"__{name}", unit, version=1, imported=True) / N_BUCKETS[1] < end)


def buckets_of(ranges: Sequence[Sequence[float]], version: HashVersion) -> tuple[Buckets, ...]:
    """The buckets whose share lies in each range."""
    size = N_BUCKETS[version]
    return tuple((_first_from(start, size), _first_from(end, size)) for start, end in ranges)


def _first_from(bound: float, size: int) -> int:
    """The first bucket whose share, as a double, is at least a bound; `size` if none is."""
    if bound <= 0:
        return 0
    if bound > (size - 1) / size:
        return size
    at = math.ceil(bound * size)
    while at > 0 and (at - 1) / size >= bound:
        at -= 1
    while at / size < bound:
        at += 1
    return at


def chances_of(buckets: Sequence[Buckets], size: int) -> tuple[float, ...]:
    """The exact chance of each range, and last of none; where ranges overlap the first wins."""
    free, chances = [(0, size)], []
    for first, last in buckets:
        taken, left = 0, []
        for start, end in free:
            low, high = max(start, first), min(end, last)
            if low >= high:
                left.append((start, end))
                continue
            taken += high - low
            left += [piece for piece in ((start, low), (high, end)) if piece[0] < piece[1]]
        free = left
        chances.append(taken / size)
    return (*chances, sum(end - start for start, end in free) / size)
