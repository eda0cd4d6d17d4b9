"""From weights and coverage to ranges of buckets, and from a bucket to a variant.

A variant's range begins where it would at full coverage, so that raising the coverage only adds
units at the end of every range: nobody moves. Weights are whole numbers and shares are read through
their decimal text, so 0.1 means one tenth and not the double nearest to it.
"""

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from math import ceil
from typing import NamedTuple

from experiments.assignment.hashes import HashVersion, bucket, size_of
from experiments.errors import AssignmentError


class Assignment(NamedTuple):
    """What a unit was given, and how likely that was.

    Attributes:
        variant: The variant's name; None outside the coverage.
        probability: Exact chance, over units, of this outcome (of None: of being outside). Buckets
            are finite, so one of three equal variants has 0.3334 or 0.3333, not 1/3.
        bucket: The integer the unit hashed to, in [0, N_BUCKETS[version]).
    """

    variant: str | None
    probability: float
    bucket: int


def assign(
    unit: str,
    *,
    seed: str,
    variants: Sequence[str],
    weights: Sequence[int],
    coverage: float = 1.0,
    version: HashVersion = 2,
    imported: bool = False,
) -> Assignment:
    """The variant of one unit.

    Args:
        unit: Id of the unit of randomization, used as text.
        seed: Of this experiment's phase; never shared with another level of decision.
        variants: Names, in the order of `weights`.
        weights: Non-negative integers, at least one positive; only their ratios matter.
        coverage: Share of all units that take part. It may grow during an experiment without
            moving anyone; weights may not change.
        version: Which hash.
        imported: Allows hash version 1, for experiments that began elsewhere.
    Raises:
        AssignmentError: If names and weights do not fit, or a variant is too small for the hash.

    >>> assign("u1", seed="cart-nudge-1", variants=("control", "reminder"), weights=(1, 1))
    Assignment(variant='reminder', probability=0.5, bucket=8981)
    """
    starts, outcomes, probabilities = outcome_table(
        tuple(variants), tuple(weights), coverage, version
    )
    at = bucket(seed, unit, version=version, imported=imported)
    slot = bisect_right(starts, at) - 1
    return Assignment(outcomes[slot], probabilities[slot], at)


def bucket_ranges(
    weights: Sequence[int], *, coverage: float = 1.0
) -> tuple[tuple[float, float], ...]:
    """Where each variant's units lie on [0, 1): one (start, end) each, end excluded.

    >>> bucket_ranges((2, 3, 5), coverage=0.2)
    ((0.0, 0.04), (0.2, 0.26), (0.5, 0.6))
    """
    return tuple((float(start), float(end)) for start, end in _exact_ranges(weights, coverage))


def whole_buckets(
    weights: Sequence[int], *, coverage: float, version: HashVersion = 2
) -> tuple[tuple[int, int], ...]:
    """The same ranges as buckets: one (first, one past the last) each.

    >>> whole_buckets((1, 1, 1), coverage=1.0)
    ((0, 3334), (3334, 6667), (6667, 10000))
    """
    size = size_of(version)
    return tuple(
        (ceil(start * size), ceil(end * size)) for start, end in _exact_ranges(weights, coverage)
    )


@lru_cache(maxsize=4_096)
def slice_of_buckets(start: float, end: float, version: HashVersion) -> tuple[int, int]:
    """The buckets of the slice [start, end): the first, and one past the last.

    Raises:
        AssignmentError: If these are no shares, or the slice ends before it starts.
    """
    first, last = share(start, "start"), share(end, "end")
    if first > last:
        raise AssignmentError(f"a slice from {start} to {end} ends before it starts")
    size = size_of(version)
    return ceil(first * size), ceil(last * size)


def _exact_ranges(weights: Sequence[int], coverage: float) -> tuple[tuple[Fraction, Fraction], ...]:
    if not weights:
        raise AssignmentError("there is no variant; give at least one weight")
    for weight in weights:
        if isinstance(weight, bool) or not isinstance(weight, int) or weight < 0:
            raise AssignmentError(f"weight {weight!r} is not a whole number of at least 0")
    total = sum(weights)
    if total == 0:
        raise AssignmentError("every weight is 0; at least one must be positive")
    covered = share(coverage, "coverage")
    ranges, passed = [], 0
    for weight in weights:
        start = Fraction(passed, total)
        ranges.append((start, start + covered * Fraction(weight, total)))
        passed += weight
    return tuple(ranges)


@lru_cache(maxsize=4_096)
def outcome_table(
    variants: tuple[str, ...],
    weights: tuple[int, ...],
    coverage: float,
    version: HashVersion,
) -> tuple[list[int], list[str | None], list[float]]:
    """Ascending first buckets; the variant from each one on to the next; that variant's chance.

    Raises:
        AssignmentError: If names and weights do not fit, or a variant is too small for the hash.
    """
    if len(variants) != len(weights):
        raise AssignmentError(f"{len(variants)} variants but {len(weights)} weights")
    if len(set(variants)) != len(variants):
        raise AssignmentError(f"variants {', '.join(variants)} are not distinct")
    size = size_of(version)
    starts: list[int] = []
    outcomes: list[str | None] = []
    widths: dict[str | None, int] = {None: size}
    for name, weight, (first, last) in zip(
        variants, weights, whole_buckets(weights, coverage=coverage, version=version), strict=True
    ):
        if weight and coverage and first == last:
            raise AssignmentError(
                f"variant {name!r} holds less than one of {size:,} buckets and would stay empty;"
                ' use hash version "s256" or a larger weight'
            )
        widths[name] = last - first
        widths[None] -= last - first
        if first < last:
            starts += [first, last]
            outcomes += [name, None]
    if not starts or starts[0] > 0:
        starts.insert(0, 0)
        outcomes.insert(0, None)
    # Where one range ends as the next begins, bisect_right passes over the empty gap between.
    return starts, outcomes, [widths[outcome] / size for outcome in outcomes]


def share(value: float, name: str) -> Fraction:
    """A share in [0, 1], exactly as written in decimal.

    Raises:
        AssignmentError: If it is none; `name` says which.
    """
    # Through text, so that 0.1 means one tenth and not the double nearest to it.
    if not 0 <= value <= 1:
        raise AssignmentError(f"{name} {value!r} is not a share between 0 and 1")
    return Fraction(str(value))
