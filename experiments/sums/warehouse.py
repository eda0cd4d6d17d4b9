"""Asks a warehouse for the sums of several metrics, each by one statement, and puts them together.

How a statement is run is the caller's: `run` takes SQL and gives rows. Nothing but counts, sums and
two order statistics per cap comes back.
"""

from collections.abc import Callable, Sequence
from math import floor
from typing import Any, Final

from experiments.errors import DataError
from experiments.sums.aggregates import Aggregates, merged
from experiments.sums.quantiles import CLUSTER_UNITS
from experiments.sums.statement import (
    Assignment,
    Query,
    cap_statement,
    mixed_statement,
    sums_statement,
    variants_statement,
)
from experiments.sums.unit_sums import NO_LEVEL, Cap, Excluded, UnitSums

Run = Callable[[str], Sequence[Sequence[Any]]]

VARIANTS_MAX: Final = 50
"""More are refused before anything heavy: the variant's column is an id or a number."""


def sum_in_warehouse(run: Run, assignment: Assignment, queries: Sequence[Query]) -> UnitSums:
    """Sums of all metrics per variant, and per level of `assignment.by` as strata.

    Raises:
        DataError: If there are too many variants, or a sum is not finite.
    """
    ((n_variants,),) = run(variants_statement(assignment))
    if n_variants > VARIANTS_MAX:
        raise DataError(
            f"the assignment has {n_variants:,} variants; at most {VARIANTS_MAX} can be compared."
            " Is it the variant's column?"
        )
    notes, excluded = _mixed(run, assignment)
    found: list[dict[tuple[str, str], Aggregates]] = []
    caps: list[Cap] = []
    for query in queries:
        limits = _limits(run, assignment, query)
        rows = run(sums_statement(assignment, query, limits=limits))
        found.append({(str(row[0]), _level(row[1])): _aggregates(query, row) for row in rows})
        caps += _caps(query, limits)
        if n_empty := sum(int(row[-1]) for row in rows):
            notes.append(f'{n_empty:,} rows of "{query.name}" have no value and add nothing')
    cells = {key: _side_by_side([part[key] for part in found]) for key in found[0]}
    strata: dict[str, dict[str, Aggregates]] = {}
    for (variant, level), part in cells.items():
        strata.setdefault(variant, {})[level] = part
    return UnitSums(
        aggregates={variant: merged(levels.values()) for variant, levels in strata.items()},
        notes=(*notes, *(f'"{it.source}" is capped at {it.limit:g}' for it in caps)),
        strata=strata if assignment.by else {},
        caps=tuple(caps),
        excluded=excluded,
    )


def clusters_in_warehouse(run: Run, assignment: Assignment, query: Query) -> dict[str, Aggregates]:
    """Sums of one metric per variant over the clusters that `assignment.by` names.

    Columns are the metric's, then `CLUSTER_UNITS`. Caps are per unit, as everywhere.
    """
    limits = _limits(run, assignment, query)
    rows = run(sums_statement(assignment, query, limits=limits, clustered=True))
    return {str(row[0]): _aggregates(query, row, CLUSTER_UNITS) for row in rows}


def capped_name(column: str, share: float) -> str:
    """As `Metric.value_columns` names it."""
    return f"{column} capped at p{share * 100:g}"


def _mixed(run: Run, assignment: Assignment) -> tuple[list[str], tuple[Excluded, ...]]:
    rows = run(mixed_statement(assignment))
    by_variant = {str(row[0]): int(row[2]) for row in rows if row[2]}
    if not by_variant:
        return [], ()
    n = round(sum(float(row[3]) for row in rows))
    of = sum(int(row[1]) - int(row[2]) for row in rows) + n
    shares = ", ".join(f"{variant} {count:,}" for variant, count in by_variant.items())
    why = "appear in more than one variant"
    note = (
        f"{n:,} of {of:,} units {why} and were left out; find out why before trusting the result"
        f" (seen in {shares}; if the variants are of unequal size, leaving out biases them)"
    )
    return [note], (Excluded(why, "units", n, of, by_variant),)


def _limits(run: Run, assignment: Assignment, query: Query) -> tuple[float | None, ...]:
    if query.cap_share is None:
        return ()
    limits: list[float | None] = []
    for value in range(len(query.values)):
        rows = run(cap_statement(assignment, query, value))
        limits.append(_between(rows, query.cap_share) if rows else None)
    return tuple(limits)


def _between(rows: Sequence[Sequence[Any]], share: float) -> float:
    """The quantile between order statistics (type 7), from the one or two that enclose it."""
    n = int(rows[0][1])
    position = share * (n - 1) + 1
    values = {int(place): float(value) for place, _, value in rows}
    below = min(floor(position), n)
    above = min(below + 1, n)
    return values[below] + (values.get(above, values[below]) - values[below]) * (position - below)


def _level(level: Any) -> str:
    return NO_LEVEL if level is None else str(level)


def _caps(query: Query, limits: Sequence[float | None]) -> list[Cap]:
    assert query.cap_share is not None or not limits
    return [
        Cap(
            query.name, column, capped_name(column, query.cap_share or 0), limit,
            query.cap_share or 0, {},
        )
        for column, limit in zip(query.columns, limits, strict=False)
        if limit is not None
    ]  # fmt: skip


def _aggregates(query: Query, row: Sequence[Any], *also: str) -> Aggregates:
    size = len(query.columns) + len(also)
    numbers = [float(value) for value in row[3:-1]]
    means, sums, values = numbers[:size], numbers[size : 2 * size], iter(numbers[2 * size :])
    products = [[0.0] * i + [next(values) for _ in range(i, size)] for i in range(size)]
    names = [
        capped_name(column, query.cap_share)
        if query.cap_share is not None and i < len(query.values)
        else column
        for i, column in enumerate(query.columns)
    ]
    return Aggregates.from_shifted_sums(
        [*names, *also], n=int(row[2]), shifts=means, sums=sums, products=products
    )


def _side_by_side(parts: Sequence[Aggregates]) -> Aggregates:
    """The columns of several metrics of the same units; their products were not summed."""
    if len({part.n for part in parts}) > 1:
        raise DataError(
            "the metrics saw different numbers of units; the assignment changed between their"
            " statements. Take a copy of it first"
        )
    columns = tuple(column for part in parts for column in part.columns)
    means = tuple(mean for part in parts for mean in part.means)
    rows: list[tuple[float | None, ...]] = []
    start = 0
    for part in parts:
        after = len(columns) - start - len(part.columns)
        rows += [(None,) * start + row + (None,) * after for row in part.moments]
        start += len(part.columns)
    return Aggregates(parts[0].n, columns, means, tuple(rows))
