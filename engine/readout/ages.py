"""A study's outcome by time since exposure, for `experiments.programme.novelty`.

A fixed cohort: units whose whole horizon has passed. Each age is counted apart, so that the ages of
one unit are columns of one row, and their covariances come with the sums.
"""

from collections.abc import Sequence
from dataclasses import replace

from campaigns.metrics import MetricDefinition
from engine.core.model.instants import DAY, Instant
from engine.readout.assigned import check_adds_up, span, sums_by_variant
from engine.readout.metric_sums import Unit, outcomes_side_by_side
from engine.readout.studies import Study
from engine.store.connection import Connection
from experiments.sums.aggregates import Aggregates


def age_sums(
    connection: Connection,
    study: Study,
    units: Sequence[Unit],
    definition: MetricDefinition,
    *,
    as_of: Instant,
    ages: int,
    length: int,
) -> tuple[dict[str, Aggregates], dict[str, float]]:
    """Aggregates per variant with one column an age, and each column's middle in days."""
    check_adds_up(definition)
    old = [unit for unit in units if unit.at + ages * length <= as_of]
    days: dict[str, float] = {}
    spans = []
    for number in range(ages):
        begin, end = number * length / DAY, (number + 1) * length / DAY
        days[f"days {begin:g} to {end:g}"] = (begin + end) / 2
        spans.append(
            replace(
                span(definition, (number + 1) * length), name=f"{number}", after=number * length
            )
        )
    values = outcomes_side_by_side(connection, old, spans, as_of=as_of) if old else [[]] * ages
    return sums_by_variant(old, dict(zip(days, values, strict=True)), tuple(study.weights)), days
