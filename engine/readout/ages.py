"""A study's outcome by time since exposure, for `experiments.programme.novelty`.

A fixed cohort: units whose whole horizon has passed. Each age is counted apart, so that the ages of
one unit are columns of one row, and their covariances come with the sums.
"""

from collections.abc import Sequence

from campaigns.metrics import MetricDefinition
from engine.core.model.instants import DAY, Instant
from engine.readout.assigned import check_adds_up
from engine.readout.metric_sums import Unit
from engine.readout.span_sums import age_columns
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
    for number in range(ages):
        begin, end = number * length / DAY, (number + 1) * length / DAY
        days[f"days {begin:g} to {end:g}"] = (begin + end) / 2
    sums = age_columns(
        connection, old, definition, tuple(study.weights), names=list(days), length=length,
        addresses=study.addresses, as_of=as_of,
    )  # fmt: skip
    return sums, days
