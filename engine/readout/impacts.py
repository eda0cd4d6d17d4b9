"""What a comparison was worth over the whole time, by calendar period and by tenure.

A unit's clock starts at its first exposure. Nothing has a window: a programme goes on. Read next:
`programme`.
"""

from collections import Counter
from collections.abc import Sequence
from math import ceil
from typing import Final

from campaigns.metrics import MetricDefinition
from engine.core.clocktime import iso
from engine.core.model.instants import DAY, Instant
from engine.readout.assigned import as_metric, exposed_units, span
from engine.readout.metric_sums import Unit
from engine.readout.span_sums import span_sums
from engine.readout.studies import Study
from engine.store.connection import Connection
from experiments.programme.holdout import (
    Impact,
    Slice,
    holdout_estimates,
    impact_by,
    total_impact,
)

PERIOD: Final = 28 * DAY
"""Four weeks: every weekday as often, in each."""
SLICES_MAX: Final = 26
"""Two years of periods; older ones are only in the total."""
UNITS_MIN: Final = 2


def impact(
    connection: Connection,
    study: Study,
    definition: MetricDefinition,
    *,
    as_of: Instant,
    alpha: float,
    treatment: str | None = None,
) -> Impact | None:
    """The impact of a study on everyone exposed to it; None with too few units."""
    units = exposed_units(connection, study, as_of=as_of)
    return impact_of(
        connection, study, units, definition, as_of=as_of, treatment=treatment, alpha=alpha
    )


def impact_of(
    connection: Connection,
    study: Study,
    units: Sequence[Unit],
    definition: MetricDefinition,
    *,
    as_of: Instant,
    treatment: str | None = None,
    alpha: float = 0.05,
) -> Impact | None:
    """The impact of one treatment (the only one, if not named); None with too few units."""
    treatment = study.treatments[0] if treatment is None else treatment
    pair = (study.control, treatment)
    chosen = [unit for unit in units if unit.variant in pair]
    n = Counter(unit.variant for unit in chosen)
    if min(n[name] for name in pair) < UNITS_MIN:
        return None
    sums = span_sums(
        connection, chosen, definition, pair, addresses=study.addresses, as_of=as_of, is_whole=True
    )
    metric = as_metric(definition, has_past=definition.covariate is not None)
    estimates = holdout_estimates(sums[study.control], sums[treatment], metric)
    return total_impact(estimates, alpha=alpha)


def by_period(
    connection: Connection,
    study: Study,
    units: Sequence[Unit],
    definition: MetricDefinition,
    *,
    as_of: Instant,
    alpha: float = 0.05,
) -> tuple[Slice, ...]:
    """The impact of each calendar period on whoever was exposed by its end.

    Periods of a sum or count add up to the whole.
    """
    treatment = study.treatments[0]
    begin = min(unit.at for unit in units)
    n_periods = min(ceil((as_of - begin) / PERIOD), SLICES_MAX)
    slices = []
    for number in range(n_periods):
        start = begin + number * PERIOD
        end = min(start + PERIOD, as_of)
        there = [
            Unit(unit.profile_id, unit.variant, max(unit.at, start))
            for unit in units
            if unit.at < end
        ]
        sums = span_sums(
            connection, there, span(definition, None), (study.control, treatment),
            addresses=study.addresses, as_of=end,
        )  # fmt: skip
        slices.append(
            (f"{iso(start)[:10]} to {iso(end)[:10]}", sums[study.control], sums[treatment])
        )
    return impact_by(slices, as_metric(definition, has_past=False), alpha=alpha)


def by_tenure(
    connection: Connection,
    study: Study,
    units: Sequence[Unit],
    definition: MetricDefinition,
    *,
    as_of: Instant,
    alpha: float = 0.05,
) -> tuple[Slice, ...]:
    """The impact in each four weeks since a unit's first exposure, of those who lived them."""
    treatment = study.treatments[0]
    slices = []
    longest = as_of - min(unit.at for unit in units)
    for number in range(min(longest // PERIOD, SLICES_MAX)):
        lived = [
            Unit(unit.profile_id, unit.variant, unit.at + number * PERIOD)
            for unit in units
            if unit.at + (number + 1) * PERIOD <= as_of
        ]
        sums = span_sums(
            connection, lived, span(definition, PERIOD), (study.control, treatment),
            addresses=study.addresses, as_of=as_of,
        )  # fmt: skip
        first = number * PERIOD // DAY
        label = f"days {first + 1} to {first + PERIOD // DAY}"
        slices.append((label, sums[study.control], sums[treatment]))
    return impact_by(slices, as_metric(definition, has_past=False), alpha=alpha)
