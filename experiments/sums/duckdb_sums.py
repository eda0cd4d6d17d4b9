"""A table of units in DuckDB -> `UnitSums`: one statement over the rows for all metrics.

Adding a metric adds sums to that statement and never another scan. What must be known before is
read cheaply: the shifts from the first rows, which covariates have gaps (a Parquet file's own
statistics, or a count), and caps, which cost one scan of the capped columns for all of them
together. Quantiles are read by a statement of their own, over columns that no sum reads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from experiments.errors import DataError
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates
from experiments.sums.duckdb_beforehand import counted_gaps, limits_of, shifts_of
from experiments.sums.duckdb_quantiles import quantiles_of
from experiments.sums.duckdb_statement import (
    Shifts,
    Table,
    clusters_statement,
    sums_statement,
)
from experiments.sums.few_clusters import rows_of_few
from experiments.sums.gaps import moved, pooled_mean
from experiments.sums.needs import Needs, needs_of
from experiments.sums.quantiles import CLUSTER_UNITS
from experiments.sums.unit_sums import NO_LEVEL, Cap, UnitSums

if TYPE_CHECKING:
    import duckdb

DIGITS_LOST_MAX: Final = 1e-5
"""A variance below this part of the mean square around the shift is summed again, by Welford."""
EXACT_MAX: Final = 2.0**53
"""Whole numbers up to here are summed without any rounding."""


class BrokenRows(DataError):
    """Some rows break a check, or hold no finite number; whoever knows the source says which."""

    def __init__(self, broken: Mapping[str, int], not_finite: Sequence[str]) -> None:
        self.broken, self.not_finite = dict(broken), tuple(not_finite)
        said = [f"{n:,} rows break {name!r}" for name, n in self.broken.items()]
        said += [f"column {name!r} holds values that are not finite" for name in self.not_finite]
        super().__init__("; ".join(said))


@dataclass(frozen=True)
class _Group:
    """A row of the answer: some units of one variant; `key` is its name as the table has it."""

    which: int
    key: str
    variant: str
    level: str
    aggregates: Aggregates
    n_above: tuple[int, ...]


def sum_units(
    connection: "duckdb.DuckDBPyConnection",
    table: Table,
    metrics: Sequence[Metric],
    *,
    gaps: Mapping[str, int] | None = None,
) -> UnitSums:
    """All sums of a table of units.

    Args:
        gaps: Covariates that are empty for some units, with how many; None to have them counted.
    Raises:
        BrokenRows: If a check does not hold or a value is not finite.
        DataError: If an outcome is empty for some unit.
    """
    covariates = dict.fromkeys(name for metric in metrics for name in metric.covariates)
    if gaps is None:
        gaps = counted_gaps(connection, table, covariates)
    present = {name: gaps[name] for name in covariates if gaps.get(name)}
    needs = needs_of(metrics, gaps=present)
    limits = limits_of(connection, table, needs)
    groups, stand_ins = _groups(connection, table, needs, limits)
    aggregates, strata, dimensions = _arranged(table, groups)
    caps = tuple(
        Cap(
            metric=cap.metric,
            source=cap.source,
            column=cap.column,
            limit=limits[cap.column],
            share=cap.share,
            n_above=_above(groups, place),
        )
        for place, cap in enumerate(needs.caps)
        if cap.column in limits
    )
    clusters = _clusters(connection, table, needs, limits, stand_ins) if table.cluster else {}
    return UnitSums(
        aggregates=aggregates,
        covariates_with_gaps=needs.gaps,
        notes=(*map(_cap_note, caps), *(_gap_note(name, n) for name, n in present.items())),
        strata=strata,
        dimensions=dimensions,
        clusters=clusters,
        few_clusters=rows_of_few(
            connection, table, needs, limits=limits, means=stand_ins, clusters=clusters
        ),
        quantiles=quantiles_of(connection, table, metrics),
        caps=caps,
    )


# --- the sums -----------------------------------------------------------------------------------


def _groups(
    connection: "duckdb.DuckDBPyConnection", table: Table, needs: Needs, limits: Mapping[str, float]
) -> tuple[list[_Group], dict[str, float]]:
    """Every row of the answer, and what stands in for each covariate with gaps.

    Raises:
        DataError: If there is no unit at all.
    """
    shifts = shifts_of(connection, table, needs)
    sql = sums_statement(table, needs, shifts=shifts, limits=limits)
    rows = connection.execute(sql).fetchall()
    if not rows:
        raise DataError("there is no unit to sum")
    _refuse_broken(table, needs, rows)
    stable = any(_lost_digits(table, needs, row) for row in rows)
    if stable:
        groups = [_group(table, needs, shifts, row) for row in rows]
        shifts = _shifts_by_variant(needs, groups, shifts)
        sql = sums_statement(table, needs, shifts=shifts, limits=limits, stable=True)
        rows = connection.execute(sql).fetchall()
    groups = [_group(table, needs, shifts, row, stable=stable) for row in rows]
    stand_ins: dict[str, float] = {}
    for covariate in needs.gaps:
        place = list(needs.columns).index(covariate)
        mean = pooled_mean(
            [(it.aggregates, shifts.of(it.key)[place]) for it in _one_set(groups)], covariate
        )
        stand_ins[covariate] = mean
        groups = [
            replace(
                it,
                aggregates=moved(it.aggregates, covariate, by=mean - shifts.of(it.key)[place]),
            )
            for it in groups
        ]
    return groups, stand_ins


def _shifts_by_variant(needs: Needs, groups: Sequence[_Group], first: Shifts) -> Shifts:
    """Each variant's own means; an indicator of gaps is never shifted."""
    parts: dict[str, Aggregates] = {}
    for it in _one_set(groups):
        parts[it.key] = parts[it.key].merge(it.aggregates) if it.key in parts else it.aggregates
    plain = [column not in needs.indicators for column in needs.columns]
    return Shifts(
        first.common,
        {
            key: tuple(
                mean if is_shifted else 0.0
                for mean, is_shifted in zip(part.means, plain, strict=True)
            )
            for key, part in parts.items()
        },
    )


def _one_set(groups: Sequence[_Group]) -> list[_Group]:
    """The groups by one key; each key's groups hold every unit once."""
    return [it for it in groups if it.which == groups[0].which]


def _refuse_broken(table: Table, needs: Needs, rows: Sequence[tuple[Any, ...]]) -> None:
    one_set = [row for row in rows if row[0] == rows[0][0]]
    broken = {
        name: n for i, name in enumerate(table.checks) if (n := sum(row[4 + i] for row in one_set))
    }
    at = 4 + len(table.checks) + len(needs.caps)
    sums = [row[at:] for row in one_set]
    not_finite = [
        source
        for i, source in enumerate(needs.columns.values())
        if not all(values[i] is None or isfinite(values[i]) for values in sums)
    ]
    not_finite += [
        list(needs.columns.values())[i]
        for place, (i, j) in enumerate(needs.pairs, start=len(needs.columns))
        if i == j and not all(v[place] is None or isfinite(v[place]) for v in sums)
    ]
    if broken or not_finite:
        raise BrokenRows(broken, tuple(dict.fromkeys(not_finite)))
    for i, source in enumerate(needs.columns.values()):
        if any(values[i] is None for values in sums):
            raise DataError(f"column {source!r} is empty for every unit of a variant")


def _lost_digits(table: Table, needs: Needs, row: tuple[Any, ...]) -> bool:
    """Whether some variance is a small difference of large sums."""
    n = row[3]
    at = 4 + len(table.checks) + len(needs.caps)
    sums, products = row[at : at + len(needs.columns)], row[at + len(needs.columns) :]
    for (i, j), product in zip(needs.pairs, products, strict=True):
        if i != j or n < 2 or product == 0:
            continue
        total = float(sums[i])
        if product < EXACT_MAX and float(product).is_integer() and total.is_integer():
            continue
        if product - total * total / n < DIGITS_LOST_MAX * product:
            return True
    return False


def _group(
    table: Table, needs: Needs, shifts: Shifts, row: tuple[Any, ...], *, stable: bool = False
) -> _Group:
    which, variant, level, n = row[:4]
    key = str(variant)
    at = 4 + len(table.checks)
    n_above, at = row[at : at + len(needs.caps)], at + len(needs.caps)
    sums, values = row[at : at + len(needs.columns)], row[at + len(needs.columns) :]
    names = tuple(needs.columns)
    products = square(len(names), needs.pairs, values)
    if stable:
        means = tuple(shift + total / n for shift, total in zip(shifts.of(key), sums, strict=True))
        aggregates = Aggregates(n, names, means, products)
    else:
        aggregates = Aggregates.from_shifted_sums(
            names, n=n, shifts=shifts.of(key), sums=sums, products=products
        )
    return _Group(which, key, key.strip(), level or NO_LEVEL, aggregates, n_above)


def square(
    size: int, pairs: Sequence[tuple[int, int]], values: Sequence[float]
) -> tuple[tuple[float | None, ...], ...]:
    """A symmetric matrix from some of its entries; None elsewhere."""
    rows: list[list[float | None]] = [[None] * size for _ in range(size)]
    for (i, j), value in zip(pairs, values, strict=True):
        rows[i][j] = rows[j][i] = float(value)
    return tuple(map(tuple, rows))


# --- arranged -----------------------------------------------------------------------------------

_ByVariant = dict[str, Aggregates]


def _arranged(
    table: Table, groups: Sequence[_Group]
) -> tuple[_ByVariant, dict[str, _ByVariant], dict[str, dict[str, _ByVariant]]]:
    """Per variant; variant -> stratum; dimension -> level -> variant."""
    names = ([None] if table.stratum else []) + list(table.dimensions)
    strata: dict[str, _ByVariant] = {}
    dimensions: dict[str, dict[str, _ByVariant]] = {name: {} for name in table.dimensions}
    for it in sorted(groups, key=lambda group: (group.which, group.variant, group.level)):
        name = names[it.which - 1] if it.which else None
        if name is not None:
            _add(dimensions[name].setdefault(it.level, {}), it.variant, it.aggregates)
        if it.which and name is None:
            _add(strata.setdefault(it.variant, {}), it.level, it.aggregates)
    total: _ByVariant = {}
    for it in sorted(_one_set(groups), key=lambda group: (group.variant, group.level)):
        _add(total, it.variant, it.aggregates)
    return total, strata, dimensions


def _add(into: _ByVariant, name: str, part: Aggregates) -> None:
    # Names that differ in outer spaces only are one.
    into[name] = into[name].merge(part) if name in into else part


def _above(groups: Sequence[_Group], place: int) -> dict[str, int]:
    n_above: dict[str, int] = {}
    for it in _one_set(groups):
        n_above[it.variant] = n_above.get(it.variant, 0) + it.n_above[place]
    return n_above


def _clusters(
    connection: "duckdb.DuckDBPyConnection",
    table: Table,
    needs: Needs,
    limits: Mapping[str, float],
    stand_ins: Mapping[str, float],
) -> _ByVariant:
    sql = clusters_statement(table, needs, limits=limits, means=stand_ins)
    names = (*needs.columns, CLUSTER_UNITS)
    size = len(names)
    last = size - 1
    pairs = [*needs.pairs, *((i, last) for i in range(last)), (last, last)]
    found: _ByVariant = {}
    for variant, n, *values in connection.execute(sql).fetchall():
        means, moments = tuple(values[:size]), square(size, pairs, values[size:])
        found[str(variant).strip()] = Aggregates(n, names, means, moments)
    return found


def _cap_note(cap: Cap) -> str:
    n = sum(cap.n_above.values())
    return (
        f'"{cap.source}" is capped at {cap.limit:g}, the {cap.share:.4g} quantile of its non-zero'
        f" values in all variants; {n:,} units were above"
    )


def _gap_note(covariate: str, n: int) -> str:
    return (
        f'covariate "{covariate}" is empty for {n:,} units: the mean of the others stands in, and'
        " being empty is a covariate of its own"
    )
