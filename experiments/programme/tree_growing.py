"""Growing a small tree of effects on one half of the units; `honest_tree` judges it on the other.

A split is worth its gain in squared effects less what the extra leaf will cost in noise when it is
estimated anew on units that did not choose it. Because the best of hundreds of splits gains by
chance, its two sides must also differ by more than chance allows among so many.
Source: Athey, Imbens (PNAS 113, 2016), the honest causal tree's criterion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from experiments.distributions import normal_quantile
from experiments.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

CUTS_MAX: Final = 15
"""Thresholds tried per number, at its quantiles."""
LEVELS_MAX: Final = 20
"""Levels tried per text, the most common ones."""
CHANCE: Final = 0.2
"""Of any split at all where all effects are alike; the other half judges what is split."""


@dataclass(frozen=True, eq=False)
class Column:
    """Something known of each unit before the start.

    Attributes:
        values: Numbers with NaN, or texts with "", for what is unknown.
    """

    name: str
    values: Any


@dataclass(frozen=True)
class Condition:
    """One turn of the tree; whose value is unknown turns the other way.

    Attributes:
        limit: A number that values are at most, or a text that they are.
        holds: Whether this side is where it is so.
        is_exact: Of a number: values are it, as where a column has two of them.
    """

    column: str
    limit: float | str
    holds: bool
    is_exact: bool = False

    @property
    def words(self) -> str:
        """For people."""
        if isinstance(self.limit, str):
            return f"{self.column} {'is' if self.holds else 'is not'} {self.limit}"
        if self.is_exact:
            return f"{self.column} {'is' if self.holds else 'is not'} {self.limit:.6g}"
        return f"{self.column} {'at most' if self.holds else 'above'} {self.limit:.6g}"

    def at(self, column: Column) -> Mask:
        """Which units are on this side."""
        import numpy as np

        values = np.asarray(column.values)
        if isinstance(self.limit, str):
            is_so = values.astype(str) == self.limit
        else:
            numbers = values.astype(float)
            is_so = numbers == self.limit if self.is_exact else numbers <= self.limit
        return np.asarray(is_so if self.holds else ~is_so, dtype=bool)


Path = tuple[Condition, ...]
"""From the root to a leaf."""


def grown(
    columns: Sequence[Column],
    treated: Mask,
    outcome: Array,
    *,
    depth: int,
    arm_min: int,
    n_other: int,
) -> tuple[Path, ...]:
    """The leaves of a tree, each by its path; one empty path where nothing is worth a split.

    Args:
        arm_min: Fewest units of each arm in a leaf.
        n_other: Units of the half that will judge it.
    """
    import numpy as np

    conditions, sides = _candidates(columns)
    if not conditions:
        return ((),)
    centred = outcome - outcome.mean()
    w, c = treated.astype(float), (~treated).astype(float)
    sums = np.column_stack([w, w * centred, w * centred**2, c, c * centred, c * centred**2])
    # Two-sided, over all splits that could be tried at one node.
    z_min = normal_quantile(1 - CHANCE / (2 * len(conditions)))
    noise = 1 + len(outcome) / n_other
    share = float(w.mean())

    def leaves(rows: Mask, path: Path) -> tuple[Path, ...]:
        if len(path) == depth:
            return (path,)
        best = _best(sums[rows], sides[rows], arm_min, noise=noise, share=share, z_min=z_min)
        if best is None:
            return (path,)
        split = conditions[best]
        other = replace(split, holds=False)
        inside = sides[:, best]
        return (
            *leaves(rows & inside, (*path, split)),
            *leaves(rows & ~inside, (*path, other)),
        )

    return leaves(np.ones(len(outcome), dtype=bool), ())


def _candidates(columns: Sequence[Column]) -> tuple[list[Condition], Any]:
    """Every split that may be tried, and each unit's side of it: shape (n, splits)."""
    import numpy as np

    conditions: list[Condition] = []
    sides: list[Any] = []
    for column in columns:
        values = np.asarray(column.values)
        limits: list[float] | list[str]
        is_pair = False
        if values.dtype.kind in "biuf":
            numbers = values.astype(float)
            if np.isinf(numbers).any():
                raise DataError(f'column "{column.name}" has infinite values')
            known = numbers[~np.isnan(numbers)]
            quantiles = np.arange(1, CUTS_MAX + 1) / (CUTS_MAX + 1)
            limits = []
            if len(known):
                limits = np.unique(np.quantile(known, quantiles, method="lower")).tolist()
                # Of yes and no, "is 1" reads better than "above 0", and the unknown are neither.
                is_pair = len(np.unique(known)) == 2
                limits = [float(known.max())] if is_pair else limits
        else:
            levels, counts = np.unique(values.astype(str), return_counts=True)
            common = np.argsort(-counts, kind="stable")[:LEVELS_MAX]
            limits = [str(levels[it]) for it in common if levels[it]]
        for limit in limits:
            condition = Condition(column.name, limit, holds=True, is_exact=is_pair)
            side = condition.at(column)
            if 0 < side.sum() < len(side):
                conditions.append(condition)
                sides.append(side)
    return conditions, np.array(sides).T if sides else np.zeros((0, 0), dtype=bool)


def _best(
    sums: Array, sides: Any, arm_min: int, *, noise: float, share: float, z_min: float
) -> int | None:
    """The split of a node that gains most; None if none is worth it."""
    import numpy as np

    whole = sums.sum(axis=0)
    inside = sides.T.astype(float) @ sums
    outside = whole - inside
    enough = (np.minimum(inside[:, (0, 3)], outside[:, (0, 3)]) >= max(arm_min, 2)).all(axis=1)
    if not enough.any() or min(whole[0], whole[3]) < 2:
        return None
    worth, _, _ = _leaf(whole[None], noise=noise, share=share)
    one, other = (
        _leaf(np.where(enough[:, None], it, 4.0), noise=noise, share=share)
        for it in (inside, outside)
    )
    gain = np.where(enough, one[0] + other[0] - worth[0], -np.inf)
    doubt = one[2] + other[2]
    z = np.where(doubt > 0, np.abs(one[1] - other[1]) / np.sqrt(np.where(doubt > 0, doubt, 1)), 0)
    gain = np.where(z >= z_min, gain, -np.inf)
    best = int(gain.argmax())
    return best if gain[best] > 0 else None


def _leaf(sums: Array, *, noise: float, share: float) -> tuple[Array, Array, Array]:
    """Of each row of sums: the criterion's part, the effect, and the effect's variance."""
    n_t, n_c = sums[:, 0], sums[:, 3]
    mean_t, mean_c = sums[:, 1] / n_t, sums[:, 4] / n_c
    var_t = (sums[:, 2] - n_t * mean_t**2).clip(0) / (n_t - 1)
    var_c = (sums[:, 5] - n_c * mean_c**2).clip(0) / (n_c - 1)
    effect = mean_t - mean_c
    worth = (n_t + n_c) * effect**2 - noise * (var_t / share + var_c / (1 - share))
    return worth, effect, var_t / n_t + var_c / n_c
