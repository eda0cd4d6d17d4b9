"""Two experiments on the same people: does one change what the other does?

For each pair two questions. *Independence*: do the arms of one fill the arms of the other in the
same proportions (chi-square)? If not, one experiment decides who is seen by the other, or the
assignment is broken, and neither effect means what it says. *Interaction*: is the effect of one
the same in every arm of the other? For two arms each, z = (D_t|A - D_t|B) / its standard error; for
more arms the same contrasts together, by Wald's chi-square. All pairs are corrected together
(Benjamini-Hochberg): thirty experiments make 435 pairs.

Source: Kohavi, Tang, Xu (2020), chapter 4; Gupta et al. (SIGKDD Explorations 21, 2019).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

from experiments.distributions import chi_square_tail, normal_quantile
from experiments.errors import DataError
from experiments.estimation.ratio import moments
from experiments.evidence.compare import Interval
from experiments.evidence.multiplicity import adjusted_pvalues
from experiments.evidence.srm import ALARM_BELOW
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates

UNITS_MIN: Final = 10
"""Fewer in a cell make its variance a guess, and the normal approximation a hope."""

Cells = Mapping[tuple[str, str], Aggregates]
"""(arm of the first, arm of the second) -> sums of the units that are in both arms."""


@dataclass(frozen=True)
class Pair:
    """Two experiments whose units overlap, and what was measured on those units.

    Attributes:
        controls: The control arm of each.
        cells: Over all units that are in both; an arm combination may be missing (no unit).
        why_not: Why nothing could be measured on them, where it could not.
    """

    first: str
    second: str
    controls: tuple[str, str]
    metric: Metric
    cells: Cells
    why_not: str = ""


@dataclass(frozen=True)
class Contrast:
    """How much the effect of one arm changes between two arms of the other experiment."""

    first_arm: str
    second_arm: str
    difference: Interval
    std_error: float


@dataclass(frozen=True)
class Interaction:
    """One pair, read.

    Attributes:
        n: Units in both experiments.
        independence_pvalue: Of the arms being assigned independently; None with one arm filled.
        is_independent: Whether it is at least the alarm level of a sample ratio mismatch.
        contrasts: One per treatment of each, against both controls.
        pvalue: Of no interaction at all; None where `why_not` says why.
        pvalue_adjusted: Corrected over all pairs.
        interacts: Whether the corrected one is at most alpha.
    """

    first: str
    second: str
    metric: str
    n: int
    independence_pvalue: float | None
    is_independent: bool
    contrasts: tuple[Contrast, ...]
    pvalue: float | None
    pvalue_adjusted: float | None
    interacts: bool
    why_not: str = ""


def interactions(pairs: Sequence[Pair], *, alpha: float = 0.05) -> tuple[Interaction, ...]:
    """Read every pair and correct over all of them, in the order given."""
    drafts = [_read(pair, alpha) for pair in pairs]
    corrected = adjusted_pvalues([it.pvalue for it in drafts], correction="bh")
    return tuple(
        Interaction(
            pair.first,
            pair.second,
            pair.metric.name,
            draft.n,
            draft.independence_pvalue,
            draft.independence_pvalue is None or draft.independence_pvalue >= ALARM_BELOW,
            draft.contrasts,
            draft.pvalue,
            adjusted,
            adjusted is not None and adjusted <= alpha,
            draft.why_not,
        )
        for pair, draft, adjusted in zip(pairs, drafts, corrected, strict=True)
    )


def independence_pvalue(counts: Mapping[tuple[str, str], int]) -> float | None:
    """Pearson's chi-square of a table of counts; None if a side has fewer than two filled arms."""
    rows: dict[str, int] = {}
    columns: dict[str, int] = {}
    for (row, column), n in counts.items():
        if n < 0:
            raise DataError(f"a count of {n} units in {row} x {column} is impossible")
        rows[row] = rows.get(row, 0) + n
        columns[column] = columns.get(column, 0) + n
    rows = {name: n for name, n in rows.items() if n}
    columns = {name: n for name, n in columns.items() if n}
    if len(rows) < 2 or len(columns) < 2:
        return None
    total = sum(rows.values())
    statistic = 0.0
    for row, n_row in rows.items():
        for column, n_column in columns.items():
            expected = n_row * n_column / total
            statistic += (counts.get((row, column), 0) - expected) ** 2 / expected
    freedom = (len(rows) - 1) * (len(columns) - 1)
    return chi_square_tail(statistic, degrees_of_freedom=freedom)


@dataclass(frozen=True)
class _Draft:
    n: int
    independence_pvalue: float | None
    contrasts: tuple[Contrast, ...] = ()
    pvalue: float | None = None
    why_not: str = ""


def _read(pair: Pair, alpha: float) -> _Draft:
    if pair.why_not:
        return _Draft(0, None, why_not=pair.why_not)
    counts = {cell: sums.n for cell, sums in pair.cells.items()}
    n, independence = sum(counts.values()), independence_pvalue(counts)
    arms_of = [sorted({cell[side] for cell, units in counts.items() if units}) for side in (0, 1)]
    for name, control, arms in zip((pair.first, pair.second), pair.controls, arms_of, strict=True):
        if control not in arms or len(arms) < 2:
            return _Draft(n, independence, why_not=f"{name} has units in {len(arms)} arm only")
    cells = [(one, other) for one in arms_of[0] for other in arms_of[1]]
    thin = [cell for cell in cells if counts.get(cell, 0) < UNITS_MIN]
    if thin:
        one, other = thin[0]
        found = counts.get(thin[0], 0)
        why = f"{found} units in {one} x {other}; at least {UNITS_MIN} are needed"
        return _Draft(n, independence, why_not=why)
    measured = {cell: moments(pair.cells[cell], pair.metric, covariates=()) for cell in cells}
    means = [measured[cell].mean for cell in cells]
    variances = [measured[cell].variance / measured[cell].n for cell in cells]
    return _tested(pair, n, independence, cells, means, variances, alpha)


def _tested(
    pair: Pair,
    n: int,
    independence: float | None,
    cells: list[tuple[str, str]],
    means: list[float],
    variances: list[float],
    alpha: float,
) -> _Draft:
    """All interaction contrasts, each alone and all together."""
    import numpy as np

    place = {cell: i for i, cell in enumerate(cells)}
    treated = [
        (one, other)
        for one, other in cells
        if one != pair.controls[0] and other != pair.controls[1]
    ]
    rows = np.zeros((len(treated), len(cells)))
    for i, (one, other) in enumerate(treated):
        # (t, u) - (c, u) - (t, c) + (c, c): the effect of t under u, less that under u's control.
        for cell, sign in (
            ((one, other), 1),
            ((pair.controls[0], other), -1),
            ((one, pair.controls[1]), -1),
            (pair.controls, 1),
        ):
            rows[i, place[cell]] += sign
    values = rows @ np.array(means)
    covariance = (rows * np.array(variances)) @ rows.T
    z = normal_quantile(1 - alpha / 2)
    contrasts = []
    for (one, other), value, variance in zip(
        treated, values.tolist(), covariance.diagonal().tolist(), strict=True
    ):
        error = sqrt(variance)
        bounds = (value - z * error, value + z * error) if error else (None, None)
        contrasts.append(Contrast(one, other, Interval(value, *bounds), error))
    if np.linalg.matrix_rank(covariance) < len(treated):
        return _Draft(n, independence, tuple(contrasts), why_not="the metric does not vary")
    statistic = float(values @ np.linalg.solve(covariance, values))
    pvalue = chi_square_tail(statistic, degrees_of_freedom=len(treated))
    return _Draft(n, independence, tuple(contrasts), pvalue)
