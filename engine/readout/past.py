"""What the shop's past says of a metric: its mean and spread, what a covariate explains, who came.

Units are people at their first time in a segment or a campaign; what they did is measured from then
on by the code that reads experiments. Read next: `sizing`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from campaigns.metrics import MetricDefinition
from engine.core.errors import UsageError
from engine.core.model.instants import DAY, Instant
from engine.readout.metric_sums import Unit, outcomes, sum_metrics
from engine.store.connection import Connection
from experiments.errors import DataError
from experiments.estimation.ratio import moments
from experiments.sizing.arrivals import Arrivals, arrivals_from
from experiments.sizing.power import Outcome
from experiments.sums.aggregates import Aggregates

UNITS_MIN: Final = 30
"""Fewer say too little about a spread."""
RATIOS: Final = ("ratio", "mean_per_event")


@dataclass(frozen=True)
class Past:
    """What the past says of one metric.

    Attributes:
        mean, variance: Per unit, untreated; of a ratio, the ratio and its linearized variance.
        explained_share: Of the variance, by the covariate; 0 without one.
        units_per_day: New units that reach the moment, on average.
        values: (outcome, covariate) of each unit; none for a ratio, of which a unit has no number.
        daily: New units on each day, oldest first.
    """

    n: int
    mean: float
    variance: float
    explained_share: float
    units_per_day: float
    is_proportion: bool
    values: tuple[tuple[float, float], ...] = ()
    daily: tuple[int, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """For `experiments.sizing.power`."""
        if self.is_proportion:
            return Outcome.proportion(self.mean)
        return Outcome(mean=self.mean, variance=self.variance)

    @property
    def arrivals(self) -> Arrivals:
        """By the past's last whole weeks, or, in a past of less than one, its average day."""
        try:
            return arrivals_from(self.daily)
        except DataError:
            return Arrivals.steady(self.units_per_day)


def past_of(
    values: Sequence[tuple[float, float]],
    *,
    is_proportion: bool,
    days: float,
    daily: Sequence[int] = (),
) -> Past:
    """What (outcome, covariate) pairs of past units say.

    Raises:
        UsageError: If there are too few to say anything, or they are all alike.
    """
    _require_enough(len(values))
    sums = Aggregates.from_rows(("outcome", "covariate"), values)
    mean, variance = sums.mean("outcome"), sums.variance("outcome")
    _require_spread(mean, variance)
    spread = sums.variance("covariate")
    explained = sums.covariance("outcome", "covariate") ** 2 / (spread * variance) if spread else 0
    return Past(
        len(values), mean, variance, explained, len(values) / days, is_proportion,
        tuple(values), tuple(daily),
    )  # fmt: skip


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
    """What mature past units did. `units` may hold some whose window is still open.

    Raises:
        UsageError: If there are too few, they are all alike, or the metric is a quantile.
    """
    if definition.measure == "quantile":
        raise UsageError(
            f'the metric "{definition.name}" is a quantile, which has no sample size formula; plan '
            "by a mean or a share of the same events"
        )
    mature = [unit for unit in units if unit.at + (definition.within or 0) <= as_of]
    _require_enough(len(mature))
    instants = [unit.at for unit in mature]
    first = min(instants)
    days = max(1, ceil((max(instants) - first) / DAY))
    # Everybody's first time counts for the arrivals, mature or not; the last day is not over.
    daily = [0] * max(0, (as_of - first) // DAY)
    for unit in units:
        place = (unit.at - first) // DAY
        if 0 <= place < len(daily):
            daily[place] += 1
    if definition.measure in RATIOS:
        return _past_of_ratio(connection, definition, mature, days, daily, as_of=as_of)
    values = outcomes(connection, mature, definition, as_of=as_of)
    return past_of(values, is_proportion=definition.is_yes_or_no, days=days, daily=daily)


def _past_of_ratio(
    connection: Connection,
    definition: MetricDefinition,
    units: Sequence[Unit],
    days: float,
    daily: Sequence[int],
    *,
    as_of: Instant,
) -> Past:
    """A ratio by the delta method: its variance is per unit of randomization."""
    measured = sum_metrics(connection, units, [(definition, "primary")], as_of=as_of)
    (metric,), (sums,) = measured.metrics, measured.sums.aggregates.values()
    found = moments(sums, metric, covariates=metric.covariates)
    _require_spread(found.mean, found.variance)
    explained = 0.0
    if found.covariate_covariances and found.covariate_covariances[0][0] > 0:
        explained = found.outcome_covariances[0] ** 2 / (
            found.covariate_covariances[0][0] * found.variance
        )
    return Past(
        len(units), found.mean, found.variance, explained, len(units) / days, False,
        (), tuple(daily),
    )  # fmt: skip


def _require_enough(n: int) -> None:
    if n < UNITS_MIN:
        raise UsageError(
            f"the past holds {n} such units; at least {UNITS_MIN} are needed to plan by"
        )


def _require_spread(mean: float, variance: float) -> None:
    if mean == 0 or variance == 0:
        raise UsageError(f"the metric is {mean:g} for every past unit; there is nothing to plan by")
