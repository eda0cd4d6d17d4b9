"""Sums over a table of units in DuckDB: caps, covariate gaps, and Aggregates per variant.

The table is called `units`, one row each: its `variant`, and columns v0, v1, … in a given order.
Sums are taken around the pooled mean and with Kahan's correction, so that offsets (milliseconds
since 1970) and the order of rows cost no digits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates


@dataclass(frozen=True)
class FileSums:
    """What a file says.

    Attributes:
        aggregates: Per variant, over every column the metrics name; a covariate with gaps has a
            second column, named by `missing_column`.
        covariates_with_gaps: Covariates empty for some units; the pooled mean stands in for them.
        notes: What was left out or assumed, in words, with counts.
    """

    aggregates: dict[str, Aggregates]
    covariates_with_gaps: tuple[str, ...]
    notes: tuple[str, ...]


def missing_column(covariate: str) -> str:
    """The column that says, by 0 or 1, where a covariate was missing."""
    return f"{covariate} missing"


def sum_units(
    connection: duckdb.DuckDBPyConnection, metrics: Sequence[Metric], columns: Sequence[str]
) -> FileSums:
    """Aggregates of the table `units`, whose column v<i> holds `columns[i]`."""
    place = {column: f"v{i}" for i, column in enumerate(columns)}
    notes: list[str] = []
    expressions = _capped(connection, metrics, place, notes)
    gaps = _covariate_gaps(connection, metrics, place, notes)
    shifts = _pooled_means(connection, list(expressions.values()))
    # Where a covariate is missing its distance from the pooled mean is 0: the mean stands in.
    terms = [
        f"coalesce({expression} - {shift!r}::DOUBLE, 0)"
        for expression, shift in zip(expressions.values(), shifts, strict=True)
    ]
    terms += [f"CAST({place[covariate]} IS NULL AS DOUBLE)" for covariate in gaps]
    names = [*expressions, *map(missing_column, gaps)]
    shifts += [0.0] * len(gaps)
    return FileSums(_aggregates(connection, names, terms, shifts), tuple(gaps), tuple(notes))


def _capped(
    connection: duckdb.DuckDBPyConnection,
    metrics: Sequence[Metric],
    place: dict[str, str],
    notes: list[str],
) -> dict[str, str]:
    """SQL for every column of the aggregates, capped ones with their cap."""
    expressions: dict[str, str] = {}
    for metric in metrics:
        for covariate in metric.covariates:
            expressions[covariate] = place[covariate]
        for source, name in zip(metric.sources, metric.value_columns, strict=True):
            column = expressions[name] = place[source]
            if metric.cap_share is None:
                continue
            share = f"{metric.cap_share!r}::DOUBLE"
            cap = _value(
                connection,
                f"SELECT quantile_cont({column}, {share}) FROM units WHERE {column} <> 0",
            )
            if cap is None:
                continue  # Every value is 0; there is nothing to cap.
            limit = f"{cap!r}::DOUBLE"
            expressions[name] = f"least({column}, {limit})"
            n = _value(connection, f"SELECT count(*) FROM units WHERE {column} > {limit}")
            notes.append(
                f'"{source}" is capped at {cap:g}, the {metric.cap_share:.4g} quantile of its'
                f" non-zero values in all variants; {n:,} units were above"
            )
    return expressions


def _covariate_gaps(
    connection: duckdb.DuckDBPyConnection,
    metrics: Sequence[Metric],
    place: dict[str, str],
    notes: list[str],
) -> list[str]:
    named = (covariate for metric in metrics for covariate in metric.covariates)
    gaps = []
    for covariate in dict.fromkeys(named):
        where = f"{place[covariate]} IS NULL"
        if n := _value(connection, f"SELECT count(*) FROM units WHERE {where}"):
            gaps.append(covariate)
            notes.append(
                f'covariate "{covariate}" is empty for {n:,} units: the mean of the others stands'
                " in, and being empty is a covariate of its own"
            )
    return gaps


def _pooled_means(connection: duckdb.DuckDBPyConnection, expressions: list[str]) -> list[float]:
    chosen = ", ".join(f"favg({expression})" for expression in expressions)
    (row,) = connection.execute(f"SELECT {chosen} FROM units").fetchall()
    return [0.0 if mean is None else float(mean) for mean in row]


def _aggregates(
    connection: duckdb.DuckDBPyConnection, names: list[str], terms: list[str], shifts: list[float]
) -> dict[str, Aggregates]:
    size = len(names)
    pairs = [(i, j) for i in range(size) for j in range(i, size)]
    inner = ", ".join(f"{term} AS x{i}" for i, term in enumerate(terms))
    sums = ", ".join(
        [f"fsum(x{i})" for i in range(size)] + [f"fsum(x{i} * x{j})" for i, j in pairs]
    )
    rows = connection.execute(
        f"SELECT variant, count(*), {sums} FROM (SELECT variant, {inner} FROM units)"
        " GROUP BY variant ORDER BY variant"
    ).fetchall()
    result = {}
    for variant, n, *values in rows:
        products = [[0.0] * size for _ in range(size)]
        for (i, j), value in zip(pairs, values[size:], strict=True):
            products[i][j] = value
        result[variant] = Aggregates.from_shifted_sums(
            names, n=n, shifts=shifts, sums=values[:size], products=products
        )
    return result


def _value(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    return connection.execute(sql).fetchall()[0][0]
