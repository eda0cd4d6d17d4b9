"""A study's outcome by time since exposure, for `experiments.programme.novelty`.

A fixed cohort: units whose whole horizon has passed. Each age is counted apart, so that the ages of
one unit are columns of one row, and their covariances come with the sums.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from campaigns.metrics import MetricDefinition
from engine.core.model import DAY, Instant
from engine.readout.assigned import check_adds_up, span, sums_by_variant
from engine.readout.metric_sums import Unit, outcomes_side_by_side
from engine.readout.studies import Study
from engine.store.connection import Connection
from experiments.programme.novelty import CohortNovelty, Novelty, novelty, novelty_by_cohort
from experiments.sums.aggregates import Aggregates

WEEK = 7 * DAY


def novelty_of(
    connection: Connection,
    study: Study,
    units: Sequence[Unit],
    definition: MetricDefinition,
    *,
    treatment: str,
    as_of: Instant,
    ages: int = 4,
    length: int = WEEK,
    alpha: float = 0.05,
) -> Novelty:
    """Read one treatment's effect by age, of the units that are as old as the oldest age.

    Args:
        ages: How many, of `length` microseconds each.
    Raises:
        UsageError: If the metric does not add up.
        DataError: If too few units are old enough, or nothing varies.
    """
    sums, days = age_sums(
        connection, study, units, definition, as_of=as_of, ages=ages, length=length
    )
    return novelty(sums[study.control], sums[treatment], ages=days, alpha=alpha)


def novelty_of_cohorts(
    connection: Connection,
    study: Study,
    units: Sequence[Unit],
    definition: MetricDefinition,
    *,
    treatment: str,
    as_of: Instant,
    ages: int = 4,
    length: int = WEEK,
    alpha: float = 0.05,
) -> CohortNovelty:
    """The same for each cohort that was exposed within one `length`, over the ages it has lived.

    Raises:
        DataError: If no cohort can be read.
    """
    begin = min((unit.at for unit in units), default=as_of)
    members: dict[int, list[Unit]] = {}
    for unit in units:
        members.setdefault((unit.at - begin) // length, []).append(unit)
    cohorts: dict[str, tuple[Aggregates, Aggregates]] = {}
    days: Mapping[str, float] = {}
    for number, chosen in sorted(members.items()):
        youngest = max(unit.at for unit in chosen)
        lived = min(ages, (as_of - youngest) // length)
        if lived < 2:
            continue
        sums, ours = age_sums(
            connection, study, chosen, definition, as_of=as_of, ages=lived, length=length
        )
        cohorts[f"cohort {number + 1}"] = (sums[study.control], sums[treatment])
        days = ours if len(ours) > len(days) else days
    return novelty_by_cohort(cohorts, ages=days, alpha=alpha)


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
