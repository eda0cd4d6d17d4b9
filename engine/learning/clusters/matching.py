"""The same group found again keeps its number: new centres are matched to the old ones.

Refits number groups as they please. Hungarian matching on centres in the old model's scale gives
each group of today at most one of yesterday, and the whole the least moves. A match counts only if
the group is nearer to where it was than half-way to what was its nearest neighbour: farther off it
is another group.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def matched(before: "Floats", now: "Floats", ids: Sequence[int]) -> list[int | None]:
    """For each centre of now the id it had; None for a new group.

    Args:
        before, now: Centres on the same scale, shapes (k, d) and (m, d).
        ids: Of the centres before.
    """
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    apart = np.linalg.norm(before[:, None, :] - now[None, :, :], axis=2)
    rows, columns = linear_sum_assignment(apart)
    limits = _half_ways(before)
    found: list[int | None] = [None] * len(now)
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if apart[row, column] <= limits[row]:
            found[column] = ids[row]
    return found


def _half_ways(centres: "Floats") -> "Floats":
    """From each centre half the way to its nearest neighbour; endless for one alone."""
    import numpy as np

    apart = np.linalg.norm(centres[:, None, :] - centres[None, :, :], axis=2)
    np.fill_diagonal(apart, np.inf)
    half: Floats = apart.min(axis=1) / 2
    return half
