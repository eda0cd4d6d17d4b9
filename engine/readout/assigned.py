"""Who was exposed to a study, and what they did over any span of time: the readers of `programme`.

A unit's outcome is counted from an instant of the caller's choosing, by the same code that reads an
experiment (`metric_sums.outcomes`), so a total over a year, a calendar period and a day of tenure
are all the same sum over other spans.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from campaigns.metrics import MetricDefinition
from engine.core.errors import UsageError
from engine.core.merge import ASSIGNMENT_CONFLICT
from engine.core.model.instants import Instant
from engine.readout.metric_sums import Unit, outcomes
from engine.readout.studies import Study
from engine.store.connection import Connection
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates

ADDS_UP: Final = ("happened", "count", "sum")
"""Measures of one event kind whose sum over units means something."""
OUTCOME: Final = "outcome"
BEFORE: Final = "before"
"""Columns of the sums made here."""


def exposed_units(connection: Connection, study: Study, *, as_of: Instant) -> list[Unit]:
    """Every profile exposed to a study, once, at its first exposure.

    Left out: who was given a variant by hand or saw another one than assigned, and profiles that a
    merge found under two variants.
    """
    rows = connection.execute(
        "SELECT profile_id, variant, at FROM exposure WHERE experiment = ? AND phase = ? "
        "AND at <= ? AND flag = '' AND unit = '' ORDER BY profile_id",
        (study.name, study.phase, as_of),
    )
    torn = _torn(connection, study.name)
    return [
        Unit(profile_id, variant, at)
        for profile_id, variant, at in rows
        if variant in study.weights and profile_id not in torn
    ]


def check_adds_up(definition: MetricDefinition) -> None:
    """Refuse a metric whose sum over people means nothing.

    Raises:
        UsageError: If it is no count, no sum and no share of people.
    """
    if definition.measure not in ADDS_UP:
        raise UsageError(
            f'the metric "{definition.name}" is measured as {definition.measure}, which does not '
            f"add up over people; use one that is {', '.join(ADDS_UP)}"
        )


def over_time(definition: MetricDefinition) -> MetricDefinition:
    """The metric without its window and its cap: what a programme brought over the whole time.

    A cap makes a mean steadier, but a total with its largest orders cut is not what was earned.
    """
    return replace(definition, within=None, winsorize=None)


def span(definition: MetricDefinition, length: int | None) -> MetricDefinition:
    """The metric within so many microseconds of an instant, and nothing of the time before."""
    return replace(definition, within=length, winsorize=None, covariate=None)


def measured(
    connection: Connection,
    units: Sequence[Unit],
    definition: MetricDefinition,
    *,
    as_of: Instant,
) -> list[float]:
    """The outcome of each unit from its instant on, in the order given."""
    pairs = outcomes(connection, units, replace(definition, covariate=None), as_of=as_of)
    return [pair[0] for pair in pairs]


def measured_with_past(
    connection: Connection,
    units: Sequence[Unit],
    definition: MetricDefinition,
    *,
    as_of: Instant,
) -> tuple[list[float], list[float] | None]:
    """The same, and what each unit did before its instant, None where the metric asks for none."""
    pairs = outcomes(connection, units, definition, as_of=as_of)
    found = [pair[0] for pair in pairs]
    return found, None if definition.covariate is None else [pair[1] for pair in pairs]


def as_metric(definition: MetricDefinition, *, has_past: bool) -> Metric:
    """The columns made here, as the analysis takes them."""
    return Metric(
        name=OUTCOME,
        covariates=(BEFORE,) if has_past else (),
        better=definition.better,
        title=definition.title,
    )


def sums_by_variant(
    units: Sequence[Unit], columns: Mapping[str, Sequence[float]], variants: Sequence[str]
) -> dict[str, Aggregates]:
    """Aggregates per variant of values that stand in the units' order."""
    found = {}
    for variant in variants:
        places = [i for i, unit in enumerate(units) if unit.variant == variant]
        found[variant] = Aggregates.from_columns(
            {name: [values[i] for i in places] for name, values in columns.items()}
        )
    return found


def _torn(connection: Connection, name: str) -> set[int]:
    rows = connection.execute(
        "SELECT profile_id, properties FROM event WHERE name = ?", (ASSIGNMENT_CONFLICT,)
    )
    return {row[0] for row in rows if msgspec.json.decode(row[1]).get("experiment") == name}
