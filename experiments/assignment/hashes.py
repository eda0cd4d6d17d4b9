"""From a seed and a unit to an integer bucket. See `experiments.assignment` for which hash is when.

Integers throughout: a unit on a boundary cannot fall to two sides on two machines.
Source: https://docs.growthbook.io/lib/build-your-own (versions 1 and 2).
"""

from functools import lru_cache
from hashlib import sha256
from typing import Literal

from experiments.errors import AssignmentError

HashVersion = Literal[1, 2, "s256"]

N_BUCKETS: dict[HashVersion, int] = {1: 1_000, 2: 10_000, "s256": 1 << 53}

FNV_OFFSET = 0x811C9DC5
FNV_PRIME = 0x01000193
_MASK_32 = 0xFFFFFFFF


def bucket(seed: str, unit: str, *, version: HashVersion = 2, imported: bool = False) -> int:
    """The integer in [0, N_BUCKETS[version]) that a unit hashes to under a seed."""
    if version == 2:
        # The hash of a hash: the first one runs over seed then unit, so the seed's part is kept.
        first = _fnv1a32_from(seed_state(seed), unit)
        return _fnv1a32_of_decimal(first) % 10_000
    if version == "s256":
        digest = sha256(s256_prefix(seed) + unit.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") >> 11
    if version == 1:
        if not imported:
            raise AssignmentError(
                "hash version 1 is not independent between experiments and is refused for new ones;"
                " use version 2, or pass imported=True for an experiment that began on it"
            )
        return fnv1a32(unit + seed) % 1_000
    raise _unknown(version)


def size_of(version: HashVersion) -> int:
    """How many buckets a hash has.

    Raises:
        AssignmentError: If there is no such hash.
    """
    if version not in N_BUCKETS:
        raise _unknown(version)
    return N_BUCKETS[version]


def _unknown(version: object) -> AssignmentError:
    return AssignmentError(f'hash version {version!r} is unknown; allowed are 2, "s256" and 1')


def fnv1a32(text: str) -> int:
    """FNV-1a, 32 bits, over UTF-16 code units as every GrowthBook SDK does.

    >>> fnv1a32("a")
    3826002220
    """
    return _fnv1a32_from(FNV_OFFSET, text)


def _fnv1a32_from(state: int, text: str) -> int:
    if text.isascii():
        for byte in text.encode():
            state = (state ^ byte) * FNV_PRIME & _MASK_32
        return state
    data = text.encode("utf-16-le", "surrogatepass")
    for low, high in zip(data[::2], data[1::2], strict=True):
        state = (state ^ (low | high << 8)) * FNV_PRIME & _MASK_32
    return state


def _fnv1a32_of_decimal(number: int) -> int:
    """FNV-1a of a number written in decimal; all but six digits come from a table of states."""
    if number < 1_000_000:  # Six digits or fewer, one hash in 4,000: nothing for the table.
        return _fnv1a32_from(FNV_OFFSET, str(number))
    head, tail = divmod(number, 1_000_000)
    state = states_of_heads()[head]
    for byte in b"%06d" % tail:
        state = (state ^ byte) * FNV_PRIME & _MASK_32
    return state


@lru_cache(maxsize=1)
def states_of_heads() -> tuple[int, ...]:
    """FNV-1a of "0" to "4294": what a 32-bit number in decimal begins with before its last six."""
    # 2**32 begins with 4294, so no other head occurs. Filled on first use (about 3 ms).
    return tuple(fnv1a32(str(head)) for head in range(4_295))


@lru_cache(maxsize=4_096)
def seed_state(seed: str) -> int:
    """Where version 2's first hash stands once it has read the seed."""
    return fnv1a32(seed)


@lru_cache(maxsize=4_096)
def s256_prefix(seed: str) -> bytes:
    """What SHA-256 reads before the unit.

    Raises:
        AssignmentError: If the seed holds the separator.
    """
    if "|" in seed:
        raise AssignmentError(f'seed {seed!r} holds "|", which separates seed and unit in "s256"')
    return f"antiphon-1|{seed}|".encode("utf-8", "surrogatepass")
