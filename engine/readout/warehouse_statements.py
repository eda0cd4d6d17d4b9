"""A metric of a warehouse -> the SQL around its query: who, which rows, and in which window.

Rows of the user's query become rows of (place of the unit, value, at), in numbers alone; windows,
caps and sums are `experiments.sums.statement`'s. Read next: `warehouse_metrics`, which asks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from campaigns.metrics import WarehouseMetric
from engine.core.errors import UsageError
from engine.core.model.instants import Instant
from engine.readout.warehouse_units import EXPOSED
from engine.store.elsewhere_kinds import Elsewhere, Kind
from experiments.sums.statement import Assignment, How, Query, clean

_HOW: Final[Mapping[str, How]] = {"happened": "happened", "count": "sum", "sum": "sum"}
"""Counted rows are 1 each, and added up."""
EVENTS: Final = "other"
"""The second value of a row: the denominator of a ratio, or 1 for each value of a mean."""


@dataclass(frozen=True)
class Rows:
    """The rows of one query, as SQL.

    Attributes:
        sql: Yields unit (its place), value (NULL where it is no number) and at, if `has_at`.
        metric: The metric whose query it is.
    """

    sql: str
    metric: WarehouseMetric
    has_at: bool


def rows_of(there: Elsewhere, metric: WarehouseMetric, ids: str) -> Rows:
    """The rows that are about anybody exposed.

    Args:
        ids: The table that `warehouse_units.keep_ids` made of the query's kind of unit.
    Raises:
        UsageError: If the query lacks a column, or one holds what it cannot.
    """
    source = metric.source
    text = clean(source.sql)
    kinds = there.kinds(text)
    for column in ("unit", "value"):
        if column not in kinds:
            found = ", ".join(kinds)
            raise UsageError(
                f'{source.query}: the query yields no column "{column}"; it yields {found}'
            )
    value = _value(there, metric, kinds["value"])
    at = there.instant("q.at", kinds["at"]) if "at" in kinds else None
    if "at" in kinds and at is None:
        raise UsageError(
            f"{source.query}: the column at is no instant but {_said(kinds['at'])}. Let it be a"
            " timestamp, a date, or a number of seconds, milliseconds or microseconds since 1970"
        )
    if at is None and metric.within is not None:
        raise UsageError(
            f"{source.query}: the query yields no column at, so that the window (within) cannot be"
            " kept. Let it yield the instant of each row, or write over: period"
        )
    if at is None and metric.covariate is not None:
        raise UsageError(
            f"{source.query}: a covariate is what was before the exposure, and the query yields no"
            " column at. Let it yield the instant of each row, or delete covariate"
        )
    instant = "" if at is None else f", {at} AS at"
    sql = (
        f"SELECT i.place AS unit, {value} AS value{instant} FROM ({text}) q"
        f" JOIN {ids} i ON i.unit = CAST(q.unit AS TEXT)"
    )
    return Rows(sql, metric, at is not None)


def _value(there: Elsewhere, metric: WarehouseMetric, kind: Kind) -> str:
    if metric.measure == "count":
        return "CASE WHEN q.value IS NOT NULL THEN 1.0E0 END"
    number = there.number("q.value", kind)
    if number is None:
        raise UsageError(
            f"{metric.source.query}: the column value holds no number but {_said(kind)}. CAST it"
        )
    return number


def _said(kind: Kind) -> str:
    return {
        "text": "text", "boolean": "true and false", "instant": "instants", "local": "instants",
        "date": "dates", "number": "numbers", "any": "values", "other": "a type that is not known",
    }[kind]  # fmt: skip


def oddities_statement(rows: Rows) -> str:
    """How many rows there are, and of them: without value, without instant, below 0."""
    no_at = "CASE WHEN r.at IS NULL THEN 1 ELSE 0 END" if rows.has_at else "0"
    return (
        "SELECT COUNT(*), SUM(CASE WHEN value IS NULL THEN 1 ELSE 0 END),"
        f" SUM({no_at}), SUM(CASE WHEN value < 0 THEN 1 ELSE 0 END) FROM ({rows.sql}) r"
    )


def query_of(metric: WarehouseMetric, parts: tuple[Rows, ...]) -> Query:
    """What is asked of a metric, given the rows of its query or, of a ratio, of its two.

    Raises:
        UsageError: If one side of a ratio has instants and the other has none.
    """
    has_at = parts[0].has_at
    if any(part.has_at != has_at for part in parts):
        without = next(part for part in parts if not part.has_at).metric.source.query
        raise UsageError(
            f"{without}: the query yields no column at, and the other side of the ratio does. Let"
            " both yield the instant of each row"
        )
    values: tuple[str, ...] = ("value",)
    hows: tuple[How, ...]
    if metric.measure == "ratio":
        values = ("value", EVENTS)
        sides = zip(parts, (("value", "0.0E0"), ("0.0E0", "value")), strict=True)
        sql = "\nUNION ALL ".join(
            _in_time(part, f"{first} AS value, {second} AS {EVENTS}", metric.within)
            for part, (first, second) in sides
        )
        hows = tuple(_HOW[part.metric.measure] for part in parts)
    elif metric.measure == "mean_per_event":
        values = ("value", EVENTS)
        counted = f"value, CASE WHEN value IS NOT NULL THEN 1.0E0 END AS {EVENTS}"
        sql, hows = _in_time(parts[0], counted, metric.within), ("sum", "sum")
    else:
        sql, hows = _in_time(parts[0], "value", metric.within), (_HOW[metric.measure],)
    return Query(
        name=metric.name,
        sql=sql,
        values=values,
        how=hows,
        has_times=has_at,
        covariate=metric.covariate is not None,
        cap_share=metric.winsorize,
    )


def _in_time(rows: Rows, chosen: str, within: int | None) -> str:
    """The rows with these columns; of a ratio's side that closes earlier, only until it does."""
    # DuckDB takes a bare `at` for a word of its own.
    at = ", r.at" if rows.has_at else ""
    own = rows.metric.within
    if own is None or own == within:
        # A row without its instant has no value, either: it is in no window.
        return f"SELECT unit, {chosen}{at} FROM ({rows.sql}) r" + (
            " WHERE r.at IS NOT NULL" if rows.has_at else ""
        )
    return (
        f"SELECT r.unit, {chosen}{at} FROM ({rows.sql}) r JOIN {EXPOSED} e ON e.place = r.unit"
        f" WHERE r.at <= e.exposed + {own}"
    )


def assignment_of(metric: WarehouseMetric, *, by: str | None, as_of: Instant) -> Assignment:
    """Everyone exposed, with the metric's window.

    Args:
        by: A column of the table of units, to group by.
    """
    until = str(as_of)
    if metric.within is not None:
        end = f"exposed + {metric.within}"
        until = f"CASE WHEN {end} < {as_of} THEN {end} ELSE {as_of} END"
    since = f", exposed - {metric.covariate} AS since_at" if metric.covariate is not None else ""
    level = f", {by}" if by else ""
    return Assignment(
        sql=(
            f"SELECT place AS unit, variant, exposed AS exposed_at, {until} AS until_at"
            f"{since}{level} FROM {EXPOSED}"
        ),
        has_times=True,
        has_since=metric.covariate is not None,
        by=by,
    )
