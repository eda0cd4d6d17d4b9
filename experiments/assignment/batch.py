"""The same answers for audiences of millions: columns of bytes instead of one unit at a time.

Equal to `bucket` and `assign` on every id. Work goes in chunks, so beside the answer itself the
memory in use does not grow with the audience. NumPy is imported on use: the hot path needs none.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from experiments.assignment.hashes import (
    FNV_PRIME,
    HashVersion,
    bucket,
    fnv1a32,
    s256_prefix,
    seed_state,
    size_of,
    states_of_heads,
)
from experiments.assignment.ranges import outcome_table, slice_of_buckets
from experiments.errors import AssignmentError

if TYPE_CHECKING:
    import numpy as np

    Integers = np.ndarray[tuple[int], np.dtype[np.integer[Any]]]
    Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]
    Units = Sequence[str] | np.ndarray[Any, Any]

CHUNK_UNITS = 1 << 16
"""Units in work at a time: a few columns of 64 k numbers stay inside the processor's cache."""


class BatchAssignment(NamedTuple):
    """What many units were given; position for position as they were handed in.

    Attributes:
        variants: The variants' names.
        indices: For each unit the position of its variant in `variants`; -1 outside the coverage.
        probabilities: Exact chance of each variant, and last of being outside, so that
            `probabilities[indices]` is each unit's own.
        buckets: What each unit hashed to.
    """

    variants: tuple[str, ...]
    indices: "Integers"
    probabilities: tuple[float, ...]
    buckets: "Integers"


def assign_batch(
    units: "Units",
    *,
    seed: str,
    variants: Sequence[str],
    weights: Sequence[int],
    coverage: float = 1.0,
    version: HashVersion = 2,
    imported: bool = False,
) -> BatchAssignment:
    """The variants of many units; arguments and refusals as for `assign`.

    Args:
        units: Texts, or a NumPy array of texts (`U`) or of UTF-8 bytes (`S`).
    Raises:
        AssignmentError: As `assign`, or if the units are not texts.
    """
    import numpy as np

    names = tuple(variants)
    starts, outcomes, chances = outcome_table(names, tuple(weights), coverage, version)
    buckets = bucket_batch(seed, units, version=version, imported=imported)
    positions = {name: index for index, name in enumerate(names)}
    by_slot = np.array(
        [-1 if each is None else positions[each] for each in outcomes], dtype=np.int32
    )
    slots = np.searchsorted(np.array(starts, dtype=np.int64), buckets, side="right") - 1
    told = dict(zip(outcomes, chances, strict=True))
    probabilities = tuple(told.get(name, 0.0) for name in (*names, None))
    return BatchAssignment(names, by_slot[slots], probabilities, buckets)


def in_layer_batch(
    units: "Units", *, layer_seed: str, start: float, end: float, version: HashVersion = 2
) -> "Mask":
    """For each unit whether it belongs to the slice [start, end) of a layer."""
    first, last = slice_of_buckets(start, end, version)
    buckets = bucket_batch(layer_seed, units, version=version)
    return cast("Mask", (first <= buckets) & (buckets < last))


def is_held_out_batch(
    units: "Units", *, seed: str, share: float, version: HashVersion = "s256"
) -> "Mask":
    """For each unit whether it belongs to a holdout of `share` of all units."""
    _, last = slice_of_buckets(0.0, share, version)
    return cast("Mask", bucket_batch(seed, units, version=version) < last)


def bucket_batch(
    seed: str, units: "Units", *, version: HashVersion = 2, imported: bool = False
) -> "Integers":
    """What each unit hashes to: `bucket`, for many; 64-bit integers.

    Raises:
        AssignmentError: If the units are neither texts nor bytes, or the hash is refused.
    """
    import numpy as np

    size_of(version)
    if version == 1:
        bucket(seed, "", version=1, imported=imported)  # Refuses, unless imported.
    found = np.empty(len(units), dtype=np.int64)
    for start in range(0, len(units), CHUNK_UNITS):
        chunk = units[start : start + CHUNK_UNITS]
        part = found[start : start + len(chunk)]
        if version == "s256":
            part[:] = _s256_of(seed, _texts(chunk))
        elif version == 1:
            part[:] = [fnv1a32(unit + seed) % 1_000 for unit in _texts(chunk)]
        else:
            part[:] = _fnv1a32_of_decimals(_fnv1a32_columns(seed_state(seed), chunk)) % 10_000
    return cast("Integers", found)


def _s256_of(seed: str, units: Sequence[str]) -> "Integers":
    import numpy as np

    prefix = s256_prefix(seed)
    digests = b"".join(
        sha256(prefix + unit.encode("utf-8", "surrogatepass")).digest() for unit in units
    )
    first_of_four = np.frombuffer(digests, dtype=">u8")[::4]
    return cast("Integers", (first_of_four >> np.uint64(11)).astype(np.int64))


def _fnv1a32_columns(state: int, units: "Units") -> "Integers":
    """FNV-1a of every unit from a common state: one step per column, over all units at once."""
    import numpy as np

    code_units, lengths = _code_units(units)
    offsets = np.cumsum(lengths) - lengths
    # Longest first, so that the units that still have a character are always the first ones.
    order = np.argsort(-lengths, kind="stable")
    at = offsets[order]
    n_longer = np.searchsorted(-lengths[order], -np.arange(lengths.max(initial=0)), side="left")
    states = np.full(len(lengths), state, dtype=np.uint32)
    prime = np.uint32(FNV_PRIME)
    for n_units in n_longer.tolist():
        head = states[:n_units]
        head ^= code_units[at[:n_units]]
        head *= prime
        at[:n_units] += 1
    found = np.empty_like(states)
    found[order] = states
    return cast("Integers", found)


def _fnv1a32_of_decimals(numbers: "Integers") -> "Integers":
    """FNV-1a of each number written in decimal, as `bucket` does it for one."""
    import numpy as np

    heads, tails = np.divmod(numbers, np.uint32(1_000_000))
    states = np.array(states_of_heads(), dtype=np.uint32)[heads]
    prime, zero = np.uint32(FNV_PRIME), np.uint32(ord("0"))
    for power in (100_000, 10_000, 1_000, 100, 10, 1):
        digits, tails = np.divmod(tails, np.uint32(power))
        digits += zero
        states ^= digits
        states *= prime
    for index in np.flatnonzero(heads == 0).tolist():  # Fewer than seven digits: one in 4,000.
        states[index] = fnv1a32(str(numbers[index]))
    return cast("Integers", states)


def _code_units(units: "Units") -> tuple["Integers", "Integers"]:
    """All UTF-16 code units one after another, and how many each unit has."""
    import numpy as np

    texts = _texts(units)
    joined = "".join(texts)
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    if joined.isascii():
        return cast("Integers", np.frombuffer(joined.encode(), dtype=np.uint8)), lengths
    data = joined.encode("utf-16-le", "surrogatepass")
    if len(data) > 2 * len(joined):  # Characters beyond U+FFFF are two code units each.
        lengths += np.fromiter(map(_n_pairs, texts), dtype=np.int64, count=len(texts))
    return cast("Integers", np.frombuffer(data, dtype="<u2")), lengths


def _n_pairs(text: str) -> int:
    return 0 if text.isascii() else sum(character > "\uffff" for character in text)


def _texts(units: "Units") -> Sequence[str]:
    if isinstance(units, (list, tuple)):
        texts: Sequence[Any] = units
    elif isinstance(units, Sequence):
        texts = list(units)
    else:
        texts = units.tolist()
    kinds = set(map(type, texts))
    if kinds == {bytes}:
        return [each.decode("utf-8", "surrogatepass") for each in texts]
    if kinds - {str}:
        stray = next(each for each in texts if not isinstance(each, str))
        raise AssignmentError(
            f"unit {stray!r} is not text; numbers become text as `flags.unit_text` writes them"
        )
    return texts


def in_chunks(units: "Units", n_units: int = CHUNK_UNITS) -> Iterator["Units"]:
    """Slices of an audience, for answers that should not be held in memory at once either."""
    for start in range(0, len(units), n_units):
        yield units[start : start + n_units]
