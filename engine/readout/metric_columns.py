"""What each measure comes to for one unit: columns of the table `units`, as SQL over `moments`.

`moments` holds the events that count: unit, source (which of a metric's event lists), moment, seq
(the order of the log), amount (NULL where the value is no number), word (for `distinct`). A unit
without any such event has 0 in every column: everyone exposed counts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import duckdb

from campaigns.metrics import MetricDefinition
from engine.core.model.conditions import EventMatch
from engine.core.model.instants import DAY, Instant


@dataclass(frozen=True)
class Source:
    """Events that a column reads.

    Attributes:
        value: The path whose number is added; None counts 1 an event.
        sign: -1 for what is taken off.
        is_word: Whether the value is told apart rather than added.
    """

    match: EventMatch
    value: tuple[str, ...] | None
    sign: float = 1.0
    is_word: bool = False


@dataclass(frozen=True)
class Column:
    """One number per unit.

    Attributes:
        sources: Lists of events; a funnel has one a step, everything else one.
        how: Which aggregate of them: a key of `_AGGREGATES`, or `funnel`. `recency` alone may be
            NULL: the days since the last event, of those who have one.
        since, until: Microseconds around the exposure, (since, until]; None: up to the report.
    """

    name: str
    metric: str
    sources: tuple[tuple[Source, ...], ...]
    how: str
    since: int
    until: int | None
    is_covariate: bool = False

    @property
    def earliest(self) -> int:
        """How far before the exposure it looks, in microseconds."""
        return max(-self.since, 0)


def columns_of(definitions: Sequence[MetricDefinition]) -> list[Column]:
    """The columns of all metrics, each metric's outcomes before its covariates."""
    return [column for it in definitions for column in _columns(it)]


def covariate_names(it: MetricDefinition) -> tuple[str, ...]:
    """What a metric's covariates are called; one for each of its outcome's columns."""
    assert it.covariate is not None
    before = f"in the {it.covariate / DAY:g} days before"
    return tuple(f"{name} {before}" for name, _, _ in _outcomes(it))


def _columns(it: MetricDefinition) -> Iterable[Column]:
    outcomes = list(_outcomes(it))
    for name, part, how in outcomes:
        yield Column(name, it.name, _sources(part), how, part.after, part.within)
    if it.covariate is not None:
        for (_, part, how), name in zip(outcomes, covariate_names(it), strict=True):
            yield Column(name, it.name, _sources(part), how, -it.covariate, 0, is_covariate=True)


def _outcomes(it: MetricDefinition) -> list[tuple[str, MetricDefinition, str]]:
    """Name, definition and aggregate of each column that the outcome is made of."""
    if it.parts is not None:
        return [(f"{it.name}: {part.name}", part, _HOW[part.measure]) for part in it.parts]
    if it.measure == "mean_per_event":
        return [(f"{it.name}: total", it, "sum"), (f"{it.name}: events", it, "number")]
    return [(it.name, it, _HOW[it.measure])]


_HOW = {
    "happened": "happened",
    "retained": "happened",
    "funnel": "funnel",
    "count": "sum",
    "sum": "sum",
    "quantile": "sum",
    "last": "last",
    "distinct": "distinct",
}


def _sources(it: MetricDefinition) -> tuple[tuple[Source, ...], ...]:
    if it.measure == "funnel":
        return tuple((Source(step, None),) for step in it.steps)
    found = [Source(it.match, it.value, is_word=it.measure == "distinct")]
    if it.minus is not None:
        match, value = it.minus
        found.append(Source(match, value, sign=-1.0))
    return (tuple(found),)


# --- measured -----------------------------------------------------------------------------------

_AGGREGATES = {
    "happened": "CAST(coalesce(fsum(amount) FILTER (WHERE {which}), 0.0) > 0 AS DOUBLE)",
    "sum": "coalesce(fsum(amount) FILTER (WHERE {which}), 0.0)",
    "number": "CAST(count(amount) FILTER (WHERE {which}) AS DOUBLE)",
    "last": "coalesce(arg_max(amount, (moment, seq)) FILTER (WHERE {which}"
    " AND amount IS NOT NULL), 0.0)",
    "recency": "(any_value(exposed) - max(moment) FILTER (WHERE {which})) / 86400e6",
    "distinct": "CAST(count(DISTINCT word) FILTER (WHERE {which}) AS DOUBLE)",
}


def measure(lake: duckdb.DuckDBPyConnection, columns: Sequence[Column], *, as_of: Instant) -> None:
    """Make the table `units`, a row per unit: its place, and v0, v1, … as the columns say."""
    number = source_numbers(columns)
    terms, joins = [], ""
    for i, column in enumerate(columns):
        if column.how == "funnel":
            steps = [number[i, step] for step in range(len(column.sources))]
            _walk(lake, f"funnel{i}", steps, _window(column, as_of))
            terms.append(f"any_value(CAST(funnel{i}.place IS NOT NULL AS DOUBLE)) AS v{i}")
            joins += f" LEFT JOIN funnel{i} USING (place)"
            continue
        which = f"source = {number[i, 0]} AND {_window(column, as_of)}"
        terms.append(f"{_AGGREGATES[column.how].format(which=which)} AS v{i}")
    lake.execute(
        f"CREATE TABLE units AS SELECT {', '.join(['place', *terms])} FROM exposed"
        f"{joins} LEFT JOIN moments USING (unit) GROUP BY place, exposed"
    )


def source_numbers(columns: Sequence[Column]) -> dict[tuple[int, int], int]:
    """(column, list of events) -> its number in `moments`; the same list has one number."""
    numbers: dict[tuple[Source, ...], int] = {}
    return {
        (i, step): numbers.setdefault(sources, len(numbers))
        for i, column in enumerate(columns)
        for step, sources in enumerate(column.sources)
    }


def _window(column: Column, as_of: Instant) -> str:
    until = f"exposed + {column.until}" if column.until is not None else str(as_of)
    return f"moment > exposed + {column.since} AND moment <= least({until}, {as_of})"


def _walk(lake: duckdb.DuckDBPyConnection, name: str, steps: Sequence[int], window: str) -> None:
    """Places of the units that went through all steps: each time the earliest next one.

    Taking the earliest never misses a passage: whatever a later one allows, it allows too. Within
    one instant the order is that of the log.
    """
    lake.execute(
        f"CREATE TABLE {name} AS SELECT place, min((moment, seq)) AS reached FROM exposed"
        f" JOIN moments USING (unit) WHERE source = {steps[0]} AND {window} GROUP BY place"
    )
    for step in steps[1:]:
        lake.execute(
            f"CREATE OR REPLACE TABLE {name} AS SELECT place, min((moment, seq)) AS reached"
            f" FROM {name} JOIN exposed USING (place) JOIN moments USING (unit)"
            f" WHERE source = {step} AND {window} AND (moment, seq) > reached GROUP BY place"
        )
