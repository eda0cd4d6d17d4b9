"""Exposures and events -> one row per unit and metric -> Aggregates per variant, in DuckDB.

A unit's clock starts at its first exposure: an outcome counts events in (exposure, exposure +
within], the covariate those in (exposure - covariate, exposure]. The event that caused an exposure
is therefore never an outcome. Filters are the core's own, so that a metric and a segment can never
disagree about which events they mean; windows, caps and sums are SQL. Read next: `readout`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import msgspec
import numpy as np

from campaigns.metrics import MetricDefinition
from engine.core.conditions.filters import compile_where
from engine.core.model import DAY, Event, EventMatch, Instant
from engine.core.paths import follow
from engine.readout.datafile_sums import FileSums, sum_units
from engine.store.connection import Connection, Row
from experiments.metrics import Metric, Role

UNITS_PER_READ: Final = 5_000

_object: Final = msgspec.json.Decoder()


@dataclass(frozen=True)
class Unit:
    """One unit that was exposed: who, to what, when."""

    profile_id: int
    variant: str
    at: Instant


@dataclass(frozen=True)
class MetricSums:
    """What the units did.

    Attributes:
        metrics: The metrics as the analysis takes them, in the order given.
        sums: Aggregates per variant, over all their columns.
        n_unreadable: Events whose value is missing or no number; they add nothing.
    """

    metrics: tuple[Metric, ...]
    sums: FileSums
    n_unreadable: int


def sum_metrics(
    connection: Connection,
    units: Sequence[Unit],
    metrics: Sequence[tuple[MetricDefinition, Role]],
    *,
    as_of: Instant,
) -> MetricSums:
    """Measure every unit on every metric.

    Args:
        as_of: Nothing after it is seen; metrics without a window count until then.
    """
    definitions = [definition for definition, _ in metrics]
    with duckdb.connect() as lake:
        _create(lake, units)
        n_unreadable = _pour(connection, lake, units, definitions, as_of)
        columns = _measure(lake, definitions, as_of)
        translated = tuple(_metric(definition, role) for definition, role in metrics)
        return MetricSums(translated, sum_units(lake, translated, columns), n_unreadable)


def outcomes(
    connection: Connection,
    units: Sequence[Unit],
    definition: MetricDefinition,
    *,
    as_of: Instant,
) -> list[tuple[float, float]]:
    """(outcome, covariate) of each unit in the order given; the covariate 0 where there is none."""
    with duckdb.connect() as lake:
        _create(lake, units)
        _pour(connection, lake, units, [definition], as_of)
        columns = _measure(lake, [definition], as_of)
        chosen = "v0, v1" if len(columns) > 1 else "v0, 0.0"
        return lake.execute(f"SELECT {chosen} FROM units ORDER BY place").fetchall()


def covariate_name(definition: MetricDefinition) -> str:
    """What the covariate of a metric is called in a readout."""
    assert definition.covariate is not None
    return f"{definition.name} in the {definition.covariate / DAY:g} days before"


# --- exposures and events in --------------------------------------------------------------------


def _create(lake: duckdb.DuckDBPyConnection, units: Sequence[Unit]) -> None:
    lake.execute("SET threads = 2")
    lake.execute("CREATE TABLE moments (unit BIGINT, metric INTEGER, moment BIGINT, amount DOUBLE)")
    names = sorted({unit.variant for unit in units})
    number = {name: i for i, name in enumerate(names)}
    lake.execute("CREATE TABLE names (number INTEGER, variant VARCHAR)")
    for name, i in number.items():
        lake.execute("INSERT INTO names VALUES (?, ?)", [i, name])
    given = {
        "place": np.arange(len(units), dtype=np.int64),
        "unit": np.array([unit.profile_id for unit in units], dtype=np.int64),
        "number": np.array([number[unit.variant] for unit in units], dtype=np.int32),
        "exposed": np.array([unit.at for unit in units], dtype=np.int64),
    }
    lake.register("given", given)
    lake.execute(
        "CREATE TABLE exposed AS SELECT place, unit, variant, exposed FROM given JOIN names "
        "USING (number)"
    )
    lake.unregister("given")


def _pour(
    connection: Connection,
    lake: duckdb.DuckDBPyConnection,
    units: Sequence[Unit],
    definitions: Sequence[MetricDefinition],
    as_of: Instant,
) -> int:
    """Stream the events that any metric may count; give how many had no readable value."""
    readers = [reader for i, it in enumerate(definitions) for reader in _readers(i, it)]
    before = max([it.covariate or 0 for it in definitions], default=0)
    n_unreadable = 0
    for start in range(0, len(units), UNITS_PER_READ):
        piece = units[start : start + UNITS_PER_READ]
        oldest = min(unit.at for unit in piece) - before
        ids = [unit.profile_id for unit in piece]
        for event in sorted({reader.match.event for reader in readers}):
            rows = connection.select_in(
                "SELECT profile_id, at, name, properties, context FROM event "
                "WHERE profile_id IN (?) AND name = ? AND at > ? AND at <= ?",
                ids,
                (event, oldest, as_of),
            )
            for reader in readers:
                if reader.match.event == event:
                    n_unreadable += _insert(lake, reader, rows)
    return n_unreadable


@dataclass(frozen=True)
class _Reader:
    """Which events add what to which metric."""

    metric: int
    match: EventMatch
    value: tuple[str, ...] | None
    sign: float


def _readers(number: int, it: MetricDefinition) -> Iterable[_Reader]:
    yield _Reader(number, it.match, it.value, 1.0)
    if it.minus is not None:
        match, value = it.minus
        yield _Reader(number, match, value, -1.0)


def _insert(lake: duckdb.DuckDBPyConnection, reader: _Reader, rows: Sequence[Row]) -> int:
    test = compile_where(reader.match.where)
    if test is not None:
        rows = [row for row in rows if test(_event(row))]
    n_unreadable = 0
    amounts: list[float] = []
    for row in rows:
        amount = 1.0 if reader.value is None else _number(row, reader.value)
        n_unreadable += amount is None
        amounts.append(0.0 if amount is None else reader.sign * amount)
    if rows:
        poured = {
            "unit": np.array([row[0] for row in rows], dtype=np.int64),
            "moment": np.array([row[1] for row in rows], dtype=np.int64),
            "amount": np.array(amounts, dtype=np.float64),
        }
        lake.register("poured", poured)
        lake.execute(
            "INSERT INTO moments SELECT unit, ?::INTEGER, moment, amount FROM poured",
            [reader.metric],
        )
        lake.unregister("poured")
    return n_unreadable


def _event(row: Row) -> Event:
    _, at, name, properties, context = row
    return Event(0, name, at, at, _object.decode(properties), _object.decode(context))


def _number(row: Row, path: tuple[str, ...]) -> float | None:
    text = row[3] if path[0] == "properties" else row[4]
    found: Any = follow(_object.decode(text), path[1:])
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found)


# --- units out ----------------------------------------------------------------------------------


def _measure(
    lake: duckdb.DuckDBPyConnection, definitions: Sequence[MetricDefinition], as_of: Instant
) -> list[str]:
    """Make the table `units`, a row per unit; give what its columns v0, v1, … hold."""
    columns: list[str] = []
    terms: list[str] = []
    for i, it in enumerate(definitions):
        until = f"exposed + {it.within}" if it.within is not None else str(as_of)
        after = f"metric = {i} AND moment > exposed AND moment <= least({until}, {as_of})"
        terms.append(_term(it, after))
        columns.append(it.name)
        if it.covariate is not None:
            before = f"metric = {i} AND moment > exposed - {it.covariate} AND moment <= exposed"
            terms.append(_term(it, before))
            columns.append(covariate_name(it))
    chosen = ", ".join(f"{term} AS v{i}" for i, term in enumerate(terms))
    lake.execute(
        f"CREATE TABLE units AS SELECT place, variant, {chosen} FROM exposed LEFT JOIN moments "
        "USING (unit) GROUP BY place, variant, exposed"
    )
    return columns


def _term(it: MetricDefinition, which: str) -> str:
    total = f"coalesce(fsum(amount) FILTER (WHERE {which}), 0.0)"
    return f"CAST({total} > 0 AS DOUBLE)" if it.measure == "happened" else total


def _metric(it: MetricDefinition, role: Role) -> Metric:
    return Metric(
        name=it.name,
        kind="proportion" if it.measure == "happened" else "mean",
        covariates=(covariate_name(it),) if it.covariate is not None else (),
        cap_share=it.winsorize,
        better=it.better,
        role=role,
        title=it.title,
        unit=it.currency if it.measure == "sum" else None,
    )
