"""How many units, how small an effect, how many days: from this shop's own past.

The past gives the metric's mean and spread, what the covariate explains of it, and how many new
units a day bring. `experiments.sizing.power` does the rest. Nothing is random here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from campaigns.metrics import MetricDefinition
from engine.core.errors import UsageError
from engine.core.model import DAY, Instant
from engine.readout.metric_sums import Unit, outcomes
from engine.store.connection import Connection
from experiments.sizing.power import (
    Design,
    Outcome,
    SampleSize,
    achieved_power,
    days_needed,
    minimum_detectable_lift,
    sample_size,
)
from experiments.sums.aggregates import Aggregates

UNITS_MIN = 30
"""Fewer say too little about a spread."""


@dataclass(frozen=True)
class Past:
    """What the past says of one metric.

    Attributes:
        mean, variance: Per unit, untreated.
        explained_share: Of the variance, by the covariate; 0 without one.
        units_per_day: New units that reach the moment.
    """

    n: int
    mean: float
    variance: float
    explained_share: float
    units_per_day: float
    is_proportion: bool

    @property
    def outcome(self) -> Outcome:
        """For `experiments.sizing.power`."""
        if self.is_proportion:
            return Outcome.proportion(self.mean)
        return Outcome(mean=self.mean, variance=self.variance)


@dataclass(frozen=True)
class Sizing:
    """The answer: what a sample finds, and what a wished lift needs.

    Attributes:
        units: In the two compared variants together, as asked or as the past brought.
        smallest_lift: The relative lift that `units` find with the design's power (MDE).
        needed, days: For the wished lift, where one was given.
    """

    past: Past
    units: int
    smallest_lift: float
    needed: SampleSize | None
    days: int | None
    power_at_lift: float | None


def past_of(values: Sequence[tuple[float, float]], *, is_proportion: bool, days: float) -> Past:
    """What (outcome, covariate) pairs of past units say.

    Raises:
        UsageError: If there are too few to say anything, or they are all alike.
    """
    if len(values) < UNITS_MIN:
        raise UsageError(
            f"the past holds {len(values)} such units; at least {UNITS_MIN} are needed to plan by"
        )
    sums = Aggregates.from_rows(("outcome", "covariate"), values)
    mean, variance = sums.mean("outcome"), sums.variance("outcome")
    if mean == 0 or variance == 0:
        raise UsageError(f"the metric is {mean:g} for every past unit; there is nothing to plan by")
    spread = sums.variance("covariate")
    explained = sums.covariance("outcome", "covariate") ** 2 / (spread * variance) if spread else 0
    return Past(len(values), mean, variance, explained, len(values) / days, is_proportion)


def size(past: Past, *, design: Design, units: int | None, lift: float | None) -> Sizing:
    """Answer for a design; `units` None means as many as the past brought."""
    n = past.n if units is None else units
    needed = None if lift is None else sample_size(past.outcome, lift=lift, design=design)
    return Sizing(
        past,
        n,
        minimum_detectable_lift(past.outcome, n=n, design=design),
        needed,
        None if needed is None else days_needed(needed.total, units_per_day=past.units_per_day),
        None if lift is None else achieved_power(past.outcome, lift=lift, n=n, design=design),
    )


def past_units(
    connection: Connection, *, segment: str | None, campaign: str | None, before: Instant
) -> list[Unit]:
    """Who reached the moment in the past, at their first time: entered a segment or a campaign."""
    if segment is not None:
        entries = _entries(connection, segment, before=before)
        return [Unit(profile_id, "past", at) for profile_id, at in entries]
    rows = connection.execute(
        "SELECT profile_id, min(entered_at) FROM enrollment "
        "WHERE campaign = ? AND entered_at <= ? GROUP BY profile_id",
        (campaign, before),
    )
    return [Unit(row[0], "past", row[1]) for row in rows]


def _entries(connection: Connection, segment: str, *, before: Instant) -> list[tuple[int, Instant]]:
    """When each profile first entered a segment and stayed.

    History that is loaded at once is played event by event at one instant: who comes and goes
    within it was never seen inside.
    """
    moves = connection.execute(
        "SELECT profile_id, at, sum(CASE name WHEN 'Segment Entered' THEN 1 ELSE -1 END) "
        "FROM event WHERE name IN ('Segment Entered', 'Segment Exited') "
        "AND properties LIKE ? AND at <= ? GROUP BY profile_id, at",
        (f'%"segment":"{segment}"%', before),
    )
    first: dict[int, Instant] = {}
    for profile_id, at, n_left in sorted(moves, key=lambda move: move[1]):
        if n_left > 0:
            first.setdefault(profile_id, at)
    return list(first.items())


def past_from(
    connection: Connection, definition: MetricDefinition, units: Sequence[Unit], *, as_of: Instant
) -> Past:
    """What mature past units did. `units` may hold some whose window is still open."""
    mature = [unit for unit in units if unit.at + (definition.within or 0) <= as_of]
    values = outcomes(connection, mature, definition, as_of=as_of)
    instants = [unit.at for unit in mature]
    days = max(1, ceil((max(instants) - min(instants)) / DAY)) if instants else 1
    return past_of(values, is_proportion=definition.measure == "happened", days=days)
