"""Which variant a unit gets: a pure function of a seed and the unit's id.

Nothing is stored and nothing is random here: the same seed and unit give the same answer on every
machine, in every process and under every PYTHONHASHSEED. Buckets are integers and so are all
comparisons, so a unit on a boundary cannot fall to two sides on two machines.

Three hashes stand behind one interface:

- ``2`` (default): GrowthBook's hash version 2, 10,000 buckets, so that GrowthBook's SDKs agree.
- ``"s256"``: SHA-256, 2**53 buckets, for variants below 0.1 % and for long-lived holdouts.
- ``1``: GrowthBook's first hash, 1,000 buckets. Neighbouring seeds are *not* independent under it,
  so it only serves experiments imported from there (`imported=True`).

Each level of a decision (holdout, layer, experiment) must have its own seed.
Sources: https://docs.growthbook.io/lib/build-your-own (hash, ranges, namespaces); Kohavi, Tang, Xu
(2020) ch. 4; Tang et al. (KDD 2010) for layers.
"""

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from hashlib import sha256
from math import ceil
from typing import Literal, NamedTuple

from experiments.errors import AssignmentError

HashVersion = Literal[1, 2, "s256"]

N_BUCKETS: dict[HashVersion, int] = {1: 1_000, 2: 10_000, "s256": 1 << 53}

_FNV_OFFSET = 0x811C9DC5
_FNV_PRIME = 0x01000193
_MASK_32 = 0xFFFFFFFF


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
    starts, outcomes, probabilities = _table(
        tuple(variants), tuple(weights), coverage, version, imported
    )
    at = bucket(seed, unit, version=version, imported=imported)
    slot = bisect_right(starts, at) - 1
    return Assignment(outcomes[slot], probabilities[slot], at)


def bucket(seed: str, unit: str, *, version: HashVersion = 2, imported: bool = False) -> int:
    """The integer in [0, N_BUCKETS[version]) that a unit hashes to under a seed."""
    if version == 2:
        # The hash of a hash: the first one runs over seed then unit, so the seed's part is kept.
        first = _fnv1a32_from(_seed_state(seed), unit)
        return _fnv1a32_of_decimal(first) % 10_000
    if version == "s256":
        digest = sha256(_s256_prefix(seed) + unit.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") >> 11
    if version == 1:
        if not imported:
            raise AssignmentError(
                "hash version 1 is not independent between experiments and is refused for new ones;"
                " use version 2, or pass imported=True for an experiment that began on it"
            )
        return fnv1a32(unit + seed) % 1_000
    raise AssignmentError(f'hash version {version!r} is unknown; allowed are 2, "s256" and 1')


def bucket_ranges(
    weights: Sequence[int], *, coverage: float = 1.0
) -> tuple[tuple[float, float], ...]:
    """Where each variant's units lie on [0, 1): one (start, end) each, end excluded.

    A variant's range begins where it would at full coverage, so that raising `coverage` only adds
    units at the end of every range (nobody moves).

    >>> bucket_ranges((2, 3, 5), coverage=0.2)
    ((0.0, 0.04), (0.2, 0.26), (0.5, 0.6))
    """
    return tuple((float(start), float(end)) for start, end in _exact_ranges(weights, coverage))


def in_layer(
    unit: str, *, layer_seed: str, start: float, end: float, version: HashVersion = 2
) -> bool:
    """Whether a unit belongs to the slice [start, end) of a layer.

    Experiments on disjoint slices of one layer never share a unit. Shares lie in [0, 1].
    """
    first, last = _slice(start, end, version)
    return first <= bucket(layer_seed, unit, version=version) < last


def is_held_out(unit: str, *, seed: str, share: float, version: HashVersion = "s256") -> bool:
    """Whether a unit belongs to a holdout of `share` (in [0, 1]) of all units.

    Raising the share keeps everyone who was already held out.
    """
    _, last = _slice(0.0, share, version)
    return bucket(seed, unit, version=version) < last


def in_growthbook_namespace(unit: str, *, namespace: str, start: float, end: float) -> bool:
    """Membership in a namespace of an experiment imported from GrowthBook (hash version 1)."""
    share = bucket("__" + namespace, unit, version=1, imported=True) / N_BUCKETS[1]
    return start <= share < end


def fnv1a32(text: str) -> int:
    """FNV-1a, 32 bits, over UTF-16 code units as every GrowthBook SDK does.

    >>> fnv1a32("a")
    3826002220
    """
    return _fnv1a32_from(_FNV_OFFSET, text)


def _fnv1a32_from(state: int, text: str) -> int:
    if text.isascii():
        for byte in text.encode():
            state = (state ^ byte) * _FNV_PRIME & _MASK_32
        return state
    data = text.encode("utf-16-le", "surrogatepass")
    for low, high in zip(data[::2], data[1::2], strict=True):
        state = (state ^ (low | high << 8)) * _FNV_PRIME & _MASK_32
    return state


def _fnv1a32_of_decimal(number: int) -> int:
    """FNV-1a of a number written in decimal; the first digits come from a table of states."""
    if number < 1_000_000_000:  # Nine digits or fewer: 23 % of hashes, and the table needs ten.
        return _fnv1a32_from(_FNV_OFFSET, str(number))
    head, tail = divmod(number, 1_000_000)
    state = _states_of_four_digits()[head]
    for byte in b"%06d" % tail:
        state = (state ^ byte) * _FNV_PRIME & _MASK_32
    return state


@lru_cache(maxsize=1)
def _states_of_four_digits() -> tuple[int, ...]:
    # 2**32 begins with 4294, so no other head occurs. Filled on first use (about 3 ms).
    return tuple(fnv1a32(str(head)) for head in range(4_295))


@lru_cache(maxsize=4_096)
def _seed_state(seed: str) -> int:
    return fnv1a32(seed)


@lru_cache(maxsize=4_096)
def _s256_prefix(seed: str) -> bytes:
    if "|" in seed:
        raise AssignmentError(f'seed {seed!r} holds "|", which separates seed and unit in "s256"')
    return f"antiphon-1|{seed}|".encode("utf-8", "surrogatepass")


def _exact_ranges(weights: Sequence[int], coverage: float) -> tuple[tuple[Fraction, Fraction], ...]:
    if not weights:
        raise AssignmentError("there is no variant; give at least one weight")
    for weight in weights:
        if isinstance(weight, bool) or not isinstance(weight, int) or weight < 0:
            raise AssignmentError(f"weight {weight!r} is not a whole number of at least 0")
    total = sum(weights)
    if total == 0:
        raise AssignmentError("every weight is 0; at least one must be positive")
    covered = _share(coverage, "coverage")
    ranges, passed = [], 0
    for weight in weights:
        start = Fraction(passed, total)
        ranges.append((start, start + covered * Fraction(weight, total)))
        passed += weight
    return tuple(ranges)


@lru_cache(maxsize=4_096)
def _table(
    variants: tuple[str, ...],
    weights: tuple[int, ...],
    coverage: float,
    version: HashVersion,
    imported: bool,
) -> tuple[list[int], list[str | None], list[float]]:
    """Ascending first buckets, and what holds from each one on to the next."""
    if len(variants) != len(weights):
        raise AssignmentError(f"{len(variants)} variants but {len(weights)} weights")
    if len(set(variants)) != len(variants):
        raise AssignmentError(f"variants {', '.join(variants)} are not distinct")
    size = _size(version)
    starts: list[int] = []
    outcomes: list[str | None] = []
    widths: dict[str | None, int] = {None: size}
    for name, weight, (start, end) in zip(
        variants, weights, _exact_ranges(weights, coverage), strict=True
    ):
        first, last = ceil(start * size), ceil(end * size)
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


@lru_cache(maxsize=4_096)
def _slice(start: float, end: float, version: HashVersion) -> tuple[int, int]:
    first, last = _share(start, "start"), _share(end, "end")
    if first > last:
        raise AssignmentError(f"a slice from {start} to {end} ends before it starts")
    size = _size(version)
    return ceil(first * size), ceil(last * size)


def _size(version: HashVersion) -> int:
    if version not in N_BUCKETS:
        raise AssignmentError(f'hash version {version!r} is unknown; allowed are 2, "s256" and 1')
    return N_BUCKETS[version]


def _share(value: float, name: str) -> Fraction:
    # Through text, so that 0.1 means one tenth and not the double nearest to it.
    if not 0 <= value <= 1:
        raise AssignmentError(f"{name} {value!r} is not a share between 0 and 1")
    return Fraction(str(value))
