"""A bandit's exposures and events -> cohorts -> effects without the bias of moving weights.

A cohort is the units drawn by one version of the weights (in one context, where there are any) in
one span of `every`; it is read once every unit's window has closed. Whose logged probability is
not that of the version it names is set aside and counted: without the chances of a decision nothing
can be read from it. Everybody reads from here, the policy too, which leaves out the slice that is
explored for ever.
Read next: `experiments.bandits`, whose functions do the reading; `engine.bandits.updating`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from campaigns.metric_forms import NOT_OF_ONE_UNIT
from campaigns.metrics import MetricDefinition, WarehouseMetric
from engine.bandits.weights import versions
from engine.core.assigning import is_explored
from engine.core.errors import UsageError
from engine.core.model.campaigns import Allocation, Experiment
from engine.core.model.instants import Instant
from engine.readout.metric_sums import Unit, outcomes
from engine.readout.torn import torn_people
from engine.store.connection import Connection
from experiments.bandits.batched import batched_estimates, compare_batches
from experiments.bandits.cells import Cell, always, contrast
from experiments.bandits.columns import cohorts_of_columns
from experiments.bandits.log import WHY_NOT_POOLED, Batch
from experiments.bandits.ratios import bandit_sample_ratio
from experiments.bandits.weighted import weighted_estimates
from experiments.errors import DataError
from experiments.estimation.estimates import Estimates
from experiments.evidence.srm import SampleRatio
from experiments.metrics import Role, nonzero_cap

PLANNED: Final = 0
"""The version of the planned weights: before anything was learnt, and of the explored slice."""
ROUNDING: Final = 2e-4
"""How far a logged probability may be from its version's: variants own whole buckets of 10,000."""


@dataclass(frozen=True)
class Drawn:
    """One unit: whom it reached, when, by which version, and in which context.

    Attributes:
        stratum: Of the version and context together: what `BanditLog.vectors` are kept by.
    """

    exposed: tuple[Unit, ...]
    variant: str
    version: int
    at: Instant
    is_explored: bool
    stratum: int
    context: str = ""


@dataclass(frozen=True)
class BanditLog:
    """The mature units of one phase of a bandit.

    Attributes:
        vectors: Chances of all arms by stratum; without contexts, that is the version.
        n_open: Units whose cohort is not mature yet.
        n_unexplained: Units whose logged probability is not that of their version.
        n_torn: Units of which a merge found somebody under two variants.
    """

    experiment: Experiment
    arms: tuple[str, ...]
    drawn: tuple[Drawn, ...]
    vectors: Mapping[int, Mapping[str, float]]
    learnt: tuple[Allocation, ...]
    n_open: int
    n_unexplained: int
    n_torn: int

    @property
    def contexts(self) -> tuple[str, ...]:
        """Their names, the rest last; none where everybody has the same chances."""
        assert self.experiment.bandit is not None
        return self.experiment.bandit.context_names


@dataclass(frozen=True)
class BanditComparison:
    """One arm against the control on one metric, in both ways; never by plain averages.

    Attributes:
        weighted: By adaptively weighted scores.
        batched: Version by version, averaged over the units' days.
        n_left_out: Units that `batched` leaves out, in versions with fewer than two in an arm.
    """

    metric: MetricDefinition
    role: Role
    treatment: str
    weighted: Estimates
    batched: Estimates
    n_left_out: int


@dataclass(frozen=True)
class BanditFindings:
    """What a bandit's log says.

    Attributes:
        n: Mature units per arm.
        n_explored: Of them, those of the slice that is randomised for ever.
        sample_ratio: Whether every version's chances were kept; None while there are too few units.
        why_not: Why there are no comparisons, or "".
        why_not_pooled: Why no arm's average is shown, for the report.
    """

    log: BanditLog
    as_of: Instant
    n: Mapping[str, int]
    n_explored: int
    sample_ratio: SampleRatio | None
    comparisons: tuple[BanditComparison, ...]
    why_not: str
    why_not_pooled: str = WHY_NOT_POOLED

    @property
    def notes(self) -> tuple[str, ...]:
        """What a report says beside the numbers, in words."""
        log = self.log
        said = [
            self.why_not_pooled,
            f"{len(log.learnt)} versions of the weights were learnt; {self.n_explored:,} units were"
            " drawn at the planned weights for ever and not learnt from.",
        ]
        if log.n_open:
            said.append(
                f"{log.n_open:,} units are left out for now: the windows of their cohort are open."
            )
        if log.n_unexplained:
            said.append(
                f"{log.n_unexplained:,} units are set aside: their logged probability is not that"
                " of the version they name."
            )
        n_left_out = max((it.n_left_out for it in self.comparisons), default=0)
        if n_left_out:
            said.append(
                f"Version by version up to {n_left_out:,} units could not be compared: an arm had"
                " fewer than two."
            )
        return tuple(said)


def bandit_estimates(
    connection: Connection,
    experiment: Experiment,
    metrics: Sequence[tuple[MetricDefinition, Role]],
    *,
    as_of: Instant,
) -> BanditFindings:
    """Read one phase of a bandit as it stood at an instant.

    Raises:
        UsageError: If a metric cannot be read from a bandit.
    """
    for metric, _ in metrics:
        require_readable(metric)
    window = max([it.within or 0 for it, _ in metrics], default=0)
    log = bandit_log(connection, experiment, window=window, as_of=as_of)
    n = Counter(it.variant for it in log.drawn)
    findings: list[BanditComparison] = []
    ratio: SampleRatio | None = None
    why_not = ""
    treatments = [arm for arm in log.arms if arm != experiment.control]
    for metric, role in metrics:
        cohorts = cohorts_of(connection, log, metric, as_of=as_of)
        if ratio is None:
            ratio = _ratio(cohorts)
        for treatment in treatments:
            try:
                findings.append(
                    _compared(log, cohorts, experiment.control, treatment, metric, role)
                )
            except DataError as error:
                why_not = why_not or str(error)
    return BanditFindings(
        log=log,
        as_of=as_of,
        n={arm: n[arm] for arm in log.arms},
        n_explored=sum(it.is_explored for it in log.drawn),
        sample_ratio=ratio,
        # All or none: what is missing here must not be read in some other way.
        comparisons=() if why_not else tuple(findings),
        why_not=why_not,
    )


def bandit_log(
    connection: Connection,
    experiment: Experiment,
    *,
    window: int,
    as_of: Instant,
) -> BanditLog:
    """The units whose cohort's windows have all closed.

    Args:
        window: The longest time that an outcome takes.
    """
    assert experiment.bandit is not None
    every = experiment.bandit.every
    planned = {it.name: it.weight for it in experiment.variants if it.weight}
    learnt = versions(connection, experiment.name, experiment.phase)
    contexts = experiment.bandit.context_names or ("",)
    place = {name: i for i, name in enumerate(contexts)}
    vectors = dict.fromkeys(place.values(), _shares(planned))
    for it in learnt:
        for name, i in place.items():
            weights = it.contexts.get(name, it.weights)
            vectors[it.version * len(contexts) + i] = _shares(weights)
    learning_since = learnt[0].since if learnt else as_of + 1
    closed = (as_of - window) // every * every
    kept: list[Drawn] = []
    torn = torn_people(connection, experiment.name)
    n_open = n_unexplained = n_torn = 0
    for unit, rows in _units(connection, experiment, as_of=as_of).items():
        _, variant, at, probability, version, context = rows[0]
        if torn and any(row[0] in torn for row in rows):
            n_torn += 1
            continue
        stratum = version * len(contexts) + place.get(context, -1)
        chance = vectors[stratum].get(variant) if context in place and stratum in vectors else None
        if chance is None or abs(chance - probability) > ROUNDING:
            n_unexplained += 1
        elif at >= closed:
            n_open += 1
        else:
            explored = is_explored(experiment, unit) or (
                version == PLANNED and at >= learning_since
            )
            people = {row[0]: None for row in rows}
            exposed = tuple(Unit(each, variant, at) for each in people)
            kept.append(Drawn(exposed, variant, version, at, explored, stratum, context))
    return BanditLog(
        experiment, tuple(planned), tuple(kept), vectors, learnt, n_open, n_unexplained, n_torn
    )


def cohorts_of(
    connection: Connection,
    log: BanditLog,
    metric: MetricDefinition,
    *,
    as_of: Instant,
    for_training: bool = False,
) -> tuple[Batch, ...]:
    """The log's outcomes on one metric, summed by stratum and span; a batch's version is its
    stratum.

    Args:
        for_training: Without the explored slice.
    """
    drawn = [it for it in log.drawn if not (for_training and it.is_explored)]
    return summed(log, drawn, values_of(connection, drawn, metric, as_of=as_of))


def values_of(
    connection: Connection, drawn: Sequence[Drawn], metric: MetricDefinition, *, as_of: Instant
) -> list[float]:
    """What each unit did, capped as the metric says by all of them."""
    exposed = [unit for it in drawn for unit in it.exposed]
    measured = iter(outcomes(connection, exposed, metric, as_of=as_of) if exposed else ())
    values = [_together([next(measured)[0] for _ in it.exposed], metric) for it in drawn]
    if metric.winsorize is not None:
        cap = nonzero_cap(values, share=metric.winsorize)
        values = values if cap is None else [min(value, cap) for value in values]
    return values


def summed(log: BanditLog, drawn: Sequence[Drawn], values: Sequence[float]) -> tuple[Batch, ...]:
    """Units into cohorts."""
    assert log.experiment.bandit is not None
    place = {arm: i for i, arm in enumerate(log.arms)}
    return cohorts_of_columns(
        arms=log.arms,
        chosen=[place[it.variant] for it in drawn],
        version=[it.stratum for it in drawn],
        period=[it.at // log.experiment.bandit.every for it in drawn],
        outcomes=values,
        vectors=log.vectors,
    )


def require_readable(metric: MetricDefinition) -> None:
    """Refuse a metric of which a bandit cannot tell when or what a unit's outcome is."""
    if isinstance(metric, WarehouseMetric):
        raise UsageError(
            f'the metric "{metric.name}" lies in a warehouse, from which only sums come: a bandit '
            "reads each unit's outcome. Use a metric of events, or allocate by planned weights"
        )
    if metric.within is None:
        raise UsageError(
            f'the metric "{metric.name}" has no window: a bandit reads a unit once its outcome is '
            "final. Give the metric `within: 7d`, or allocate by planned weights"
        )
    if metric.measure in NOT_OF_ONE_UNIT:
        raise UsageError(
            f'the metric "{metric.name}" measures a {metric.measure}, which no single unit has: '
            "a bandit cannot read it. Use happened, count or sum, or allocate by planned weights"
        )


_Row = tuple[int, str, Instant, float, int, str]


def _units(
    connection: Connection, experiment: Experiment, *, as_of: Instant
) -> dict[str, list[_Row]]:
    """Exposures by unit as assignment names it, each unit's first exposure first."""
    rows = connection.execute(
        "SELECT profile_id, unit, variant, at, probability, allocation, context FROM exposure "
        "WHERE experiment = ? AND phase = ? AND flag = '' AND at <= ? ORDER BY at, profile_id",
        (experiment.name, experiment.phase, as_of),
    )
    found: dict[str, list[_Row]] = {}
    for profile, unit, variant, at, probability, version, context in rows:
        row = (int(profile), str(variant), int(at), float(probability), int(version), str(context))
        found.setdefault(unit or str(profile), []).append(row)
    return found


def _compared(
    log: BanditLog,
    cohorts: Sequence[Batch],
    control: str,
    treatment: str,
    metric: MetricDefinition,
    role: Role,
) -> BanditComparison:
    """Where chances follow contexts, everybody counts by the contexts they truly have."""
    if log.contexts:
        cells = cells_of(log, cohorts)
        weighted = contrast(cells, always(treatment, cells), against=always(control, cells))
    else:
        weighted = weighted_estimates(cohorts, control=control, treatment=treatment)
    return BanditComparison(
        metric=metric,
        role=role,
        treatment=treatment,
        weighted=weighted,
        batched=batched_estimates(
            cohorts, control=control, treatment=treatment, by_everyone=bool(log.contexts)
        ),
        n_left_out=compare_batches(cohorts, control=control, treatment=treatment).n_left_out,
    )


def cells_of(log: BanditLog, cohorts: Sequence[Batch]) -> list[Cell]:
    """Cohorts by their contexts: a stratum is a version in a context."""
    n = len(log.contexts)
    return [Cell(log.contexts[it.version % n], replace(it, version=it.version // n))
            for it in cohorts]  # fmt: skip


def _ratio(cohorts: Sequence[Batch]) -> SampleRatio | None:
    try:
        return bandit_sample_ratio(cohorts)
    except DataError:
        return None  # Too few units to check; the counts are shown beside it.


def _together(values: Sequence[float], metric: MetricDefinition) -> float:
    """One unit's outcome where several people are one unit."""
    return max(values) if metric.is_yes_or_no else sum(values)


def _shares(weights: Mapping[str, int]) -> dict[str, float]:
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items() if weight}
