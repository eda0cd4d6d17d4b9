"""What must be known before the one statement: shifts, gaps and caps, each read cheaply."""

from collections.abc import Iterable
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from experiments.sums.duckdb_statement import Shifts, Table, number
from experiments.sums.needs import Needs

if TYPE_CHECKING:
    import duckdb

SAMPLE_ROWS: Final = 4_096
"""Rows that give the shifts; the first ones, which cost nothing to find."""
FAR: Final = 30.0
"""A mean within so many deviations of 0 needs no shift: the squares then cost 3 of 16 digits."""


def counted_gaps(
    connection: "duckdb.DuckDBPyConnection", table: Table, covariates: Iterable[str]
) -> dict[str, int]:
    """How many units lack each covariate."""
    names = list(covariates)
    if not names:
        return {}
    counts = ", ".join(f"count(*) - count({table.columns[name]})" for name in names)
    (row,) = connection.execute(f"SELECT {counts} FROM {table.sql}").fetchall()
    return dict(zip(names, row, strict=True))


def limits_of(
    connection: "duckdb.DuckDBPyConnection", table: Table, needs: Needs
) -> dict[str, float]:
    """Each cap's limit, in one scan for all; none where every value is 0."""
    if not needs.caps:
        return {}
    chosen = ", ".join(
        f"quantile_cont({column}, {number(cap.share)})"
        f" FILTER (WHERE {column} <> 0 AND isfinite({column}))"
        for cap in needs.caps
        for column in [table.columns[cap.source]]
    )
    (row,) = connection.execute(f"SELECT {chosen} FROM {table.sql}").fetchall()
    return {
        cap.column: float(limit)
        for cap, limit in zip(needs.caps, row, strict=True)
        if limit is not None
    }


def shifts_of(connection: "duckdb.DuckDBPyConnection", table: Table, needs: Needs) -> Shifts:
    """What to subtract from each column: a sample's mean, or 0 if it lies within the spread."""
    if not needs.columns:
        return Shifts(())
    sources = list(dict.fromkeys(needs.columns.values()))
    inner = ", ".join(f"{table.columns[name]} AS x{i}" for i, name in enumerate(sources))
    outer = ", ".join(
        f"avg(x{i}) FILTER (WHERE isfinite(x{i})),"
        f" avg(x{i} * x{i}) FILTER (WHERE isfinite(x{i})),"
        f" min(x{i}), max(x{i})"
        for i in range(len(sources))
    )
    (row,) = connection.execute(
        f"SELECT {outer} FROM (SELECT {inner} FROM {table.sql} LIMIT {SAMPLE_ROWS})"
    ).fetchall()
    by_source = {name: _shift(*row[4 * i : 4 * i + 4]) for i, name in enumerate(sources)}
    indicators = needs.indicators
    return Shifts(
        tuple(
            0.0 if column in indicators else by_source[source]
            for column, source in needs.columns.items()
        )
    )


def _shift(mean: Any, square: Any, least: Any, most: Any) -> float:
    if mean is None or not isfinite(square):
        return 0.0
    if least == most:
        return float(least)  # Exactly, so that a constant column has no variance at all.
    spread = max(square - mean * mean, 0.0)
    return 0.0 if mean * mean <= FAR * FAR * spread else float(mean)
