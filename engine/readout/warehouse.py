"""Metrics that lie in a warehouse: a connection, the user's SQL files, and nothing but sums back.

`antiphon analyze assigned.sql --connection URL --metric name=revenue,sql=revenue.sql` reads who is
in which variant by one query, and each metric by another. Read next: `experiments.sums.statement`,
which writes what is asked. Connections are opened read-only where the database knows that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from engine.core.errors import UsageError
from engine.store.elsewhere import Cursor, Warehouse, opened
from experiments.metrics import Metric
from experiments.sums.statement import BEFORE, Assignment, How, Query, clean
from experiments.sums.unit_sums import UnitSums
from experiments.sums.warehouse import sum_in_warehouse

_HOW: Final[Mapping[str, How]] = {"proportion": "happened"}


@dataclass(frozen=True)
class Asked:
    """A metric and the file of its query."""

    metric: Metric
    sql: Path


def sum_warehouse(
    url: str, *, assignment: Path, unit: str, variant: str, stratum: str | None,
    asked: Sequence[Asked],
) -> tuple[UnitSums, tuple[Metric, ...]]:  # fmt: skip
    """Sums of every metric per variant, and the metrics with the columns they have there.

    Args:
        url: As `engine.store.elsewhere.opened` takes it.
        assignment: SQL file whose query yields a row per unit: `unit`, `variant`, `stratum` under
            the names given, and perhaps `exposed_at`, `until_at`, `since_at`.
    Raises:
        UsageError: If a file, a column or the warehouse itself is not as asked.
    """
    with opened(url) as warehouse:
        text = _read(assignment)
        there = _columns(warehouse, text, assignment)
        for column in (unit, variant, *([stratum] if stratum else [])):
            _must_have(column, there, assignment)
        clocks = [name for name in ("exposed_at", "until_at", "since_at") if name in there]
        chosen = ", ".join([f"{unit} AS unit", f"{variant} AS variant", *clocks])
        chosen += f", {stratum} AS stratum" if stratum else ""
        whole = Assignment(
            sql=f"SELECT {chosen} FROM ({clean(text)}) antiphon_a",
            has_times={"exposed_at", "until_at"} <= set(clocks),
            has_since="since_at" in clocks,
            by="stratum" if stratum else None,
        )
        queries = [_query(warehouse, it, whole) for it in asked]
        if whole.has_times:
            _refuse_reversed(warehouse, whole, assignment)

        def run(sql: str) -> Sequence[Sequence[Any]]:
            return _asked(warehouse, sql, assignment).fetchall()

        sums = sum_in_warehouse(run, whole, queries)
    metrics = (_named(it.metric, query) for it, query in zip(asked, queries, strict=True))
    return sums, tuple(metrics)


def _refuse_reversed(warehouse: Warehouse, whole: Assignment, path: Path) -> None:
    """A window that ends before it begins counts nothing, and its unit would pass for idle.

    Raises:
        UsageError: With the number of such units.
    """
    reversed_ = "a.until_at < a.exposed_at"
    if whole.has_since:
        reversed_ += " OR a.since_at > a.exposed_at"
    ((n, of),) = _asked(
        warehouse,
        f"SELECT SUM(CASE WHEN {reversed_} THEN 1 ELSE 0 END), COUNT(*) FROM ({whole.sql}) a",
        path,
    ).fetchall()
    if n:
        also = ", or since_at after it" if whole.has_since else ""
        raise UsageError(
            f"{path}: {int(n):,} of {int(of):,} rows have until_at before exposed_at{also}, so that"
            " nothing of theirs would count. Are the dates reversed?"
        )


def _query(warehouse: Warehouse, asked: Asked, assignment: Assignment) -> Query:
    metric, text = asked.metric, _read(asked.sql)
    if metric.kind == "quantile":
        raise UsageError(f"{asked.sql}: quantiles are read from files, not from a warehouse")
    values = metric.sources if metric.kind == "ratio" else (metric.column or "value",)
    there = _columns(warehouse, text, asked.sql)
    for column in ("unit", *values):
        _must_have(column, there, asked.sql)
    if metric.covariates not in ((), (BEFORE,)):
        raise UsageError(
            f"{asked.sql}: a metric of a warehouse has one covariate, the same value before"
            f" exposure: covariate={BEFORE}"
        )
    has_times = assignment.has_times and "at" in there
    if metric.covariates and not (has_times and assignment.has_since):
        raise UsageError(
            f"{asked.sql}: covariate={BEFORE} needs the column at, and exposed_at, until_at and"
            " since_at from the assignment"
        )
    return Query(
        name=metric.name,
        sql=text,
        values=values,
        how=_HOW.get(metric.kind, "sum"),
        has_times=has_times,
        covariate=bool(metric.covariates),
        cap_share=metric.cap_share,
    )


def _named(metric: Metric, query: Query) -> Metric:
    """The metric, by the columns of the sums."""
    plain = query.columns[: len(query.values)]
    covariates = query.columns[len(query.values) :]
    if metric.kind == "ratio":
        return replace(metric, numerator=plain[0], denominator=plain[1], covariates=covariates)
    return replace(metric, column=plain[0], covariates=covariates)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text ({error.reason})") from error


def _columns(warehouse: Warehouse, text: str, path: Path) -> list[str]:
    """What a query yields, without reading a row."""
    cursor = _asked(warehouse, f"SELECT * FROM ({clean(text)}) antiphon_q WHERE 1 = 0", path)
    found = [str(column[0]) for column in cursor.description]
    cursor.fetchall()
    return found


def _must_have(column: str, there: Sequence[str], path: Path) -> None:
    if column not in there:
        raise UsageError(
            f'{path}: the query yields no column "{column}"; it yields {", ".join(there)}'
        )


def _asked(warehouse: Warehouse, sql: str, path: Path) -> Cursor:
    try:
        return warehouse.execute(sql)
    except Exception as error:  # Three drivers, three trees of errors; all of them say what it was.
        raise UsageError(
            f"{path}: the warehouse refused: {' '.join(str(error).split())}"
        ) from error
