"""For whom does it work, when nobody said where to look: a small tree that may not flatter itself.

One half of the units chooses the splits, the other half, which chose nothing, estimates each leaf
and tests whether the leaves differ at all. So the intervals hold although the tree was searched
for, and where all effects are alike a difference is found with chance alpha at most. It stays
exploratory: a reason for the next experiment, with the leaf declared as a dimension, not a result
of this one.
Sources: Athey, Imbens (PNAS 113, 2016); Sidak (JASA 62, 1967) for leaves, which share no unit.
Read next: `tree_growing`, `heterogeneity`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from experiments.errors import DataError
from experiments.estimation.cuped import unadjusted
from experiments.estimation.estimates import Estimates
from experiments.estimation.ratio import Moments
from experiments.programme.heterogeneity import Dimension, heterogeneity
from experiments.programme.tree_growing import Column, Path, grown

if TYPE_CHECKING:
    import numpy as np

DEPTH: Final = 3
ARM_MIN: Final = 50
"""Units of each arm in a leaf, in each half: fewer have no mean worth acting on."""
GROWN_MAX: Final = 50_000
"""Units a tree is grown on; all the others estimate it."""
NAME: Final = "leaf of a tree"
"""Of the dimension that the leaves make."""


@dataclass(frozen=True)
class HonestTree:
    """What a search for differing effects found.

    Attributes:
        paths: The leaves, in the order of the tree.
        leaves: Of the judging half, by the leaf's words.
        dimension: The leaves as a dimension of a readout: undeclared, so never a finding. Its
            levels' intervals hold all together at 1 - alpha; its p-value is of one effect for all.
            None where `why_not` says why.
        n_grown, n_judged: Units of the halves.
    """

    paths: tuple[Path, ...]
    leaves: dict[str, Estimates]
    dimension: Dimension | None
    n_grown: int
    n_judged: int
    why_not: str = ""


def honest_tree(
    columns: Sequence[Column],
    treated: Any,
    outcome: Any,
    *,
    rng: np.random.Generator,
    depth: int = DEPTH,
    arm_min: int = ARM_MIN,
    alpha: float = 0.05,
    name: str = NAME,
) -> HonestTree:
    """Search one half for units with differing effects, and judge what was found by the other.

    Args:
        columns: Known before the start; anything later makes the leaves a result of the treatment.
        treated: One bool a unit, drawn by the same chance for all.
        rng: Draws the halves; the same one gives the same tree.
        depth: At most this many turns to a leaf; 1 to 3.
    Raises:
        DataError: If lengths differ, an outcome is not finite, names repeat, or there are too few
            units to divide at all.
    """
    import numpy as np

    w, y = np.asarray(treated).astype(bool), np.asarray(outcome, dtype=float)
    _require(columns, w, y, depth=depth, arm_min=arm_min)
    places = rng.permutation(len(y))
    n_grown = min(len(y) // 2, GROWN_MAX)
    first, second = places[:n_grown], places[n_grown:]
    paths = grown(
        [_of(it, first) for it in columns], w[first], y[first],
        depth=depth, arm_min=arm_min, n_other=len(second),
    )  # fmt: skip
    by_name = {it.name: _of(it, second) for it in columns}
    leaves: dict[str, Estimates] = {}
    for path in paths:
        inside = np.ones(len(second), dtype=bool)
        for condition in path:
            inside &= condition.at(by_name[condition.column])
        leaves[_words(path)] = _effect(y[second][inside], w[second][inside])
    dimension, why_not = None, ""
    if len(paths) == 1:
        why_not = "no split of the units was worth making: no sign that the effect differs"
    else:
        # Leaves share no unit, so this much in each is alpha in all of them together.
        each = 1 - (1 - alpha) ** (1 / len(paths))
        try:
            (dimension,) = heterogeneity({name: leaves}, declared=(), alpha=each)
        except DataError as error:
            why_not = f"the leaves cannot be compared: {error}"
    return HonestTree(paths, leaves, dimension, n_grown, len(second), why_not)


def _require(
    columns: Sequence[Column], treated: Any, outcome: Any, *, depth: int, arm_min: int
) -> None:
    import numpy as np

    if not 1 <= depth <= DEPTH:
        raise DataError(f"a depth of {depth}; allowed is 1 to {DEPTH}: deeper leaves are tales")
    names = [it.name for it in columns]
    if not names or len(set(names)) != len(names):
        raise DataError(f"columns must be given and distinct, found {names}")
    lengths = {len(treated), len(outcome), *(len(it.values) for it in columns)}
    if len(lengths) != 1 or outcome.ndim != 1:
        raise DataError(
            f"columns, arms and outcomes have {sorted(lengths)} entries; one a unit each"
        )
    if not np.isfinite(outcome).all():
        raise DataError("an outcome is not finite; leave out units whose window is open")
    few = min(int(treated.sum()), int((~treated).sum()))
    if few < 4 * arm_min:
        raise DataError(
            f"an arm has {few} units; two leaves of {arm_min} in each half need {4 * arm_min}"
        )


def _of(column: Column, places: Any) -> Column:
    import numpy as np

    return Column(column.name, np.asarray(column.values)[places])


def _words(path: Path) -> str:
    return " and ".join(it.words for it in path) or "everyone"


def _effect(outcome: Any, treated: Any) -> Estimates:
    def moments(values: Any) -> Moments:
        n = len(values)
        mean = float(values.mean()) if n else 0.0
        return Moments(n, mean, float(values.var(ddof=1)) if n > 1 else 0.0)

    return unadjusted(moments(outcome[~treated]), moments(outcome[treated]))
