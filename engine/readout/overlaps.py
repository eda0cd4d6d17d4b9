"""Every pair of experiments that ran on the same people: does one change the other's effect?

A unit counts for a pair if it was exposed to both. Its clock starts at the later exposure, so that
both had begun to matter, and it counts once the metric's window has closed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations

from campaigns.metrics import MetricDefinition, WarehouseMetric
from engine.core.errors import UsageError
from engine.core.model.instants import Instant
from engine.readout.assigned import ADDS_UP, OUTCOME, exposed_units
from engine.readout.metric_sums import Unit
from engine.readout.span_sums import span_sums
from engine.readout.studies import Study
from engine.store.connection import Connection
from experiments.errors import DataError
from experiments.metrics import Metric
from experiments.programme.interactions import Interaction, Pair, interactions
from experiments.sums.aggregates import Aggregates

UNITS_MIN = 40
"""Shared units from which a pair is looked at; fewer cannot fill four cells."""


def interaction_findings(
    connection: Connection,
    studies: Sequence[Study],
    *,
    as_of: Instant,
    definition: MetricDefinition | None = None,
    alpha: float = 0.05,
) -> tuple[Interaction, ...]:
    """Scan all concurrent pairs of experiments and campaign holdouts.

    Bandits are left out: their arms' shares follow the outcomes, so plain means of crossed cells
    mean nothing.

    Args:
        definition: One metric for every pair; None for the primary metrics of both.
    """
    looked = [
        it
        for it in studies
        if it.kind in ("A/B test", "cap", "campaign holdout") and it.bandit is None
    ]
    units = {
        it.name: {unit.profile_id: unit for unit in exposed_units(connection, it, as_of=as_of)}
        for it in looked
    }
    pairs = []
    for first, second in combinations(looked, 2):
        if _is_nested(first, second):
            continue
        both = units[first.name].keys() & units[second.name].keys()
        if len(both) < UNITS_MIN:
            continue
        shared = [
            (units[first.name][profile], units[second.name][profile]) for profile in sorted(both)
        ]
        metrics = [definition] if definition is not None else _primaries(first, second)
        pairs += [
            _pair(connection, first, second, shared, metric, as_of=as_of) for metric in metrics
        ]
    return interactions(pairs, alpha=alpha)


def _is_nested(first: Study, second: Study) -> bool:
    """Whether one is the holdout of the campaign whose step the other is: its held-out never get
    there, so there is nothing to cross."""
    return first.campaign == second.campaign and "campaign holdout" in (first.kind, second.kind)


def _primaries(first: Study, second: Study) -> list[MetricDefinition]:
    """The primary metrics of both; of warehouses those that add up, as only sums come."""
    found: dict[str, MetricDefinition] = {}
    for study in (first, second):
        for definition, role in study.metrics:
            is_summed = not isinstance(definition, WarehouseMetric) or definition.measure in ADDS_UP
            if role == "primary" and is_summed:
                found.setdefault(definition.name, definition)
    return list(found.values())


def _pair(
    connection: Connection,
    first: Study,
    second: Study,
    shared: Iterable[tuple[Unit, Unit]],
    definition: MetricDefinition,
    *,
    as_of: Instant,
) -> Pair:
    window = definition.within or 0
    cells: dict[tuple[str, str], str] = {}
    units: list[Unit] = []
    for one, other in shared:
        begin = max(one.at, other.at)
        if begin + window <= as_of:
            cell = cells.setdefault((one.variant, other.variant), str(len(cells)))
            units.append(Unit(one.profile_id, cell, begin))
    read = replace(definition, covariate=None)
    sums: dict[str, Aggregates] = {}
    why_not = ""
    try:
        sums = span_sums(
            connection, units, read, tuple(cells.values()), addresses=first.addresses, as_of=as_of,
            is_whole=True,
        )  # fmt: skip
    except (UsageError, DataError) as error:
        if not isinstance(definition, WarehouseMetric):
            raise
        why_not = str(error)  # One warehouse that is down does not hide the other pairs.
    return Pair(
        first=first.name,
        second=second.name,
        controls=(first.control, second.control),
        metric=Metric(name=definition.name, column=OUTCOME, better=definition.better),
        cells={} if why_not else {cell: sums[name] for cell, name in cells.items()},
        why_not=why_not,
    )
