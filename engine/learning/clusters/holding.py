"""A person's published group, which changes only when several runs in a row say so.

People near a border fall now here, now there; a journey that starts on `segment changed` would
start with every refit. What each person stands in, and what is being waited for, is kept as arrays.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

NOTHING: Final = -1
"""No change is waited for."""


@dataclass(frozen=True, eq=False)
class Standing:
    """Where people stand; one entry a profile, ids ascending, all int64.

    Attributes:
        ids: Profiles.
        published: The group's number that segments read; 0 outlier.
        pending: The number that recent runs say instead; NOTHING if they agree.
        count: How many runs in a row have said so.
    """

    ids: "Ints"
    published: "Ints"
    pending: "Ints"
    count: "Ints"

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """What is kept, by names that an artifact's own arrays do not have."""
        return {f"standing.{name}": getattr(self, name) for name in _FIELDS}

    @classmethod
    def of(cls, arrays: "Mapping[str, NDArray[Any]]") -> "Standing":
        """What `arrays` kept."""
        return cls(*(arrays[f"standing.{name}"] for name in _FIELDS))


_FIELDS: Final = ("ids", "published", "pending", "count")


def hold(
    before: Standing | None, ids: "Ints", groups: "Ints", *, runs: int, living: Collection[int]
) -> Standing:
    """Where people stand after another run.

    Whoever is new, or stood in a group that is no more, moves at once. Who is not in this run is
    forgotten.

    Args:
        before: After the run before.
        ids: The people of this run, each once.
        groups: What it says of them, by the groups' stable numbers.
        runs: How many runs in a row must say the same other group; 1: no waiting.
        living: Numbers of the groups that exist now.
    """
    import numpy as np

    order = np.argsort(ids, kind="stable")
    ids, groups = ids[order], groups[order].astype(np.int64)
    published = groups.copy()
    pending = np.full(len(ids), NOTHING, dtype=np.int64)
    count = np.zeros(len(ids), dtype=np.int64)
    if before is None or len(before.ids) == 0:
        return Standing(ids, published, pending, count)
    at = np.minimum(np.searchsorted(before.ids, ids), len(before.ids) - 1)
    stood = before.published[at]
    is_held = (before.ids[at] == ids) & (groups != stood)
    is_held &= np.isin(stood, np.array(sorted({0, *living}), dtype=np.int64))
    said = np.where(before.pending[at] == groups, before.count[at], 0) + 1
    is_held &= said < runs
    return Standing(
        ids,
        np.where(is_held, stood, groups),
        np.where(is_held, groups, NOTHING),
        np.where(is_held, said, 0),
    )


def transitions(before: Standing, now: Standing) -> dict[tuple[int, int], int]:
    """How many people moved from which published group to which, by their numbers.

    People in both runs only; staying counts as from a group to itself. Ascending.
    """
    import numpy as np

    shared, one, other = np.intersect1d(
        before.ids, now.ids, assume_unique=True, return_indices=True
    )
    if len(shared) == 0:
        return {}
    moves, counts = np.unique(
        np.stack([before.published[one], now.published[other]], axis=1), axis=0, return_counts=True
    )
    return {
        (int(start), int(end)): int(n)
        for (start, end), n in zip(moves.tolist(), counts.tolist(), strict=True)
    }
