"""How good groups are: silhouettes of several groupings at once, and how far groupings agree."""

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Places = NDArray[np.int64]

ROWS: Final = 512
"""Points whose distances to all others are held at a time."""


def silhouettes(points: "Floats", groupings: "Sequence[Places]") -> list[float]:
    """The mean silhouette of each grouping of the same points; NaN with fewer than two groups.

    One pass over the distances serves them all, and no square of them is ever held. Points outside
    of all groups (negative) neither count nor are looked at; one alone in its group counts 0.

    Source: Rousseeuw (1987).
    """
    import numpy as np
    from scipy.spatial.distance import cdist

    dense = [_dense(places) for places in groupings]
    members = [_members(places) for places in dense]
    sizes = [member.sum(axis=0) for member in members]
    starts = np.cumsum([0, *(member.shape[1] for member in members)])
    beside = np.hstack(members) if members else np.zeros((len(points), 0))
    totals = [0.0] * len(groupings)
    for start in range(0, len(points), ROWS):
        some = slice(start, start + ROWS)
        sums = cdist(points[some], points) @ beside
        for i, places in enumerate(dense):
            if len(sizes[i]) > 1:
                own = sums[:, starts[i] : starts[i + 1]]
                totals[i] += _silhouette_sum(own, places[some], sizes[i])
    return [
        total / int((places >= 0).sum()) if len(size) > 1 else float("nan")
        for total, places, size in zip(totals, dense, sizes, strict=True)
    ]


def _dense(places: "Places") -> "Places":
    """The same groups numbered without gaps."""
    import numpy as np

    dense = np.full(len(places), -1, dtype=np.int64)
    inside = places >= 0
    dense[inside] = np.unique(places[inside], return_inverse=True)[1]
    return dense


def _members(dense: "Places") -> "Floats":
    """One column a group, 1 where a point is in it."""
    import numpy as np

    n_groups = int(dense.max(initial=-1)) + 1
    return np.asarray(dense[:, None] == np.arange(n_groups)[None, :], dtype=np.float64)


def _silhouette_sum(sums: "Floats", dense: "Places", sizes: "Floats") -> float:
    import numpy as np

    inside = dense >= 0
    sums, own = sums[inside], dense[inside]
    rows = np.arange(len(own))
    with np.errstate(divide="ignore", invalid="ignore"):
        near = sums[rows, own] / (sizes[own] - 1)
        means = sums / sizes
        means[rows, own] = np.inf
        far = means.min(axis=1)
        value = (far - near) / np.maximum(near, far)
    return float(np.where(sizes[own] > 1, np.nan_to_num(value), 0.0).sum())


def agreement(groupings: "Sequence[Places]") -> float:
    """The mean adjusted Rand index over all pairs of groupings; 1.0 with fewer than two."""
    pairs = list(combinations(groupings, 2))
    if not pairs:
        return 1.0
    return sum(adjusted_rand(one, other) for one, other in pairs) / len(pairs)


def adjusted_rand(one: "Places", other: "Places") -> float:
    """How far two groupings agree beyond chance: 1 the same, 0 as by chance, negative below.

    Source: Hubert and Arabie (1985).
    """
    import numpy as np

    rows, columns = np.unique(one, return_inverse=True)[1], np.unique(other, return_inverse=True)[1]
    n_columns = int(columns.max(initial=-1)) + 1
    cells = np.bincount(rows * n_columns + columns)
    both = _pairs(cells)
    of_one, of_other = _pairs(np.bincount(rows)), _pairs(np.bincount(columns))
    every = len(one) * (len(one) - 1) / 2
    if every == 0:
        return 1.0
    expected = of_one * of_other / every
    most = (of_one + of_other) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


def _pairs(counts: "Places") -> float:
    return float((counts.astype(float) * (counts - 1) / 2).sum())
