"""What an experiment or a holdout was worth: exposures and events -> `analysis.analyze`.

Everyone exposed is compared as assigned (intention to treat), from the instant it mattered. A unit
counts once its longest window has closed, in every variant alike. Where the gates' answers were
recorded for every arm, the same comparison among those an arm could have reached is read beside it
(triggered). Read next: `exposures` for who, `plans` for how, `collecting` for what else is shown.
Source: `facts` 2.11; Johnson, Lewis, Nubbemeyer (JMR 2017) for ghosts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from engine.core.clocktime import iso
from engine.core.errors import UsageError
from engine.core.model.campaigns import Experiment
from engine.core.model.instants import DAY, Instant
from engine.readout.bandits import bandit_estimates
from engine.readout.collecting import collected, keys_of, variants_of
from engine.readout.contexts import context_findings
from engine.readout.exploring import explored
from engine.readout.exposures import Exposed, Population, population_of
from engine.readout.metric_sums import NO_KEYS, Keys, MetricSums, Unit
from engine.readout.missing import held_back, never_read, without
from engine.readout.plans import Reading, never_runs, reading_of
from engine.readout.studies import Study
from engine.readout.touches import touched_by_others
from engine.readout.warehouse_metrics import Missing, sum_everywhere
from engine.release.experiment_orders import (
    ExperimentStanding,
    Explanation,
    experiment_standings,
)
from engine.store.connection import Connection
from experiments.analysis.analyze import analyze
from experiments.analysis.collected import Collected, Estimated
from experiments.analysis.readout import Readout
from experiments.errors import DataError
from experiments.estimation.estimates import Estimates

UNITS_MIN: Final = 2
"""Per variant; with fewer there is no variance to speak of."""
REACHED: Final = "allow"
WEEK: Final = 7 * DAY


@dataclass(frozen=True)
class Findings:
    """The readout of one study, or why there is none.

    Attributes:
        readout: None while a variant has too few mature units; `why_not` says so.
        triggered: Per variant, the comparison among units that it could have reached.
        n: Mature units per variant.
    """

    study: Study
    as_of: Instant
    readout: Readout | None
    why_not: str
    n: Mapping[str, int]
    n_immature: int
    n_conflicts: int
    triggered: tuple[Readout, ...] = ()


def read_out(
    connection: Connection,
    study: Study,
    *,
    as_of: Instant,
    experiment: Experiment | None = None,
    explore: Sequence[str] = (),
) -> Findings:
    """Read one study as it stood at an instant.

    Args:
        explore: Traits among which a tree may look for units with other effects.
        experiment: Its current phase, which a bandit is read by.
    """
    reading = reading_of(connection, study)
    window = max([it.within or 0 for it, _ in reading.metrics])
    population = population_of(connection, study, reading.plan, window=window, as_of=as_of)
    n = variants_of(population.mature)
    counts = {name: n[name] for name in (study.control, *study.treatments)}
    empty = Findings(study, as_of, None, "", counts, population.n_immature, population.n_torn)
    short = [name for name, units in counts.items() if units < UNITS_MIN and study.weights[name]]
    if short:
        if never := never_runs(connection, study, reading.plan):
            return replace(empty, why_not=never)
        waits = population.n_immature
        waiting = f" ({waits:,} units wait for their window to close)" if waits else ""
        return replace(
            empty, why_not=f'too few units yet in "{short[0]}": {counts[short[0]]}{waiting}'
        )
    keys = keys_of(connection, study, reading, population.mature, window=window, as_of=as_of)
    units = [it.unit for it in population.mature]
    reading, measured, missing = _measured(connection, study, reading, units, keys, as_of=as_of)
    if not reading.metrics:
        why = " ".join(reading.notes).rstrip(".")
        return replace(empty, why_not=f"no metric could be read. {why}")
    beside = collected(
        connection, study, reading, population, measured, window=window, as_of=as_of,
        acknowledged=_acknowledged(connection, study),
    )  # fmt: skip
    notes = _notes(study, reading, population, as_of=as_of)
    if explore:
        found_trees = explored(connection, reading, population.mature, explore, as_of=as_of)
        beside = replace(beside, trees=found_trees)
        notes.append("Explored by what is known of people today; declare what you believe of it.")
    if study.kind == "cap":
        notes.append(_OF_A_CAP)
    else:
        touched = touched_by_others(connection, study, units, as_of=as_of)
        notes.append(f"Messages of other campaigns after the exposure: {touched.reading}")
    once_shown: tuple[str, ...] = ()
    if study.bandit is not None:
        if experiment is None:
            return replace(empty, why_not="the bandit's phase is not in the program")
        found_arms = _of_bandit(connection, reading, experiment, beside, as_of)
        if found_arms.why_not:
            return replace(empty, why_not=found_arms.why_not)
        beside, notes = found_arms.beside, [*notes, *found_arms.notes]
        once_shown = found_arms.once_shown
    readout = held_back(_analyzed(reading, measured, notes=notes, beside=beside), missing)
    if once_shown and not (readout.awaited or readout.is_withheld):
        readout = replace(readout, notes=(*readout.notes, *once_shown))
    triggered: tuple[Readout, ...] = ()
    if not readout.awaited:
        found = _triggered(connection, study, reading, population, as_of)
        triggered = tuple(held_back(each, missing) for each in found)
    return replace(empty, readout=readout, triggered=triggered)


def among_reachable(found: Findings) -> Findings:
    """The same findings with the comparisons among those each arm could have reached alone.

    Raises:
        UsageError: If no gate's answer tells who they are.
    """
    if found.readout is None:
        return found
    if not found.triggered:
        raise UsageError(
            f'"{found.study.name}": who could be reached is not known apart. Either everyone could'
            " be, or the gates were not asked for every arm (a wait comes before an arm's first"
            " send). Read the effect on everyone assigned"
        )
    return replace(found, readout=found.triggered[0], triggered=found.triggered[1:])


def _analyzed(
    reading: Reading, measured: MetricSums, *, notes: Sequence[str], beside: Collected
) -> Readout:
    said = [*notes, *reading.notes, *measured.sums.notes]
    if measured.n_unreadable:
        said.append(f"{measured.n_unreadable:,} events had no readable value and add nothing")
    return analyze(reading.plan, measured.sums.aggregates, notes=said, collected=beside)


def _measured(
    connection: Connection,
    study: Study,
    reading: Reading,
    units: Sequence[Unit],
    keys: Keys = NO_KEYS,
    *,
    as_of: Instant,
) -> tuple[Reading, MetricSums, tuple[Missing, ...]]:
    """The sums of all metrics that could be read, the reading of these, and the others."""
    never = never_read(study, reading)
    left = without(reading, never)
    measured, missing = sum_everywhere(
        connection, units, left.metrics, addresses=study.addresses, as_of=as_of, keys=keys
    )
    return without(left, missing), measured, (*never, *missing)


def _acknowledged(connection: Connection, study: Study) -> Explanation:
    standing = experiment_standings(connection).get(study.name, ExperimentStanding())
    return standing.explanation(study.phase)


class _OfBandit(NamedTuple):
    """What a bandit's log adds; `once_shown` are effects in words, for when effects may be seen."""

    beside: Collected
    why_not: str = ""
    notes: Sequence[str] = ()
    once_shown: tuple[str, ...] = ()


def _of_bandit(
    connection: Connection,
    reading: Reading,
    experiment: Experiment,
    beside: Collected,
    as_of: Instant,
) -> _OfBandit:
    """A bandit's arms are compared by the chances they were drawn with, never by their means."""
    found = bandit_estimates(connection, experiment, reading.metrics, as_of=as_of)
    if found.why_not and not found.comparisons:
        return _OfBandit(beside, found.why_not)
    weighted = {
        (it.metric.name, it.treatment): Estimated(it.weighted, "adaptively weighted AIPW")
        for it in found.comparisons
    }
    said = list(found.notes)
    for it in found.comparisons:
        both = it.batched
        said.append(
            f"{it.metric.title}, {it.treatment}: version by version (batched least squares) the"
            f" difference is {both.treatment - both.control:.4g},"
            f" standard error {both.difference_variance**0.5:.2g}."
        )
    within: Mapping[str, Mapping[str, Estimates]] = {}
    once_shown: tuple[str, ...] = ()
    if found.log.contexts:
        deciding = next(it for it, _ in reading.metrics if it.name == reading.plan.deciding.name)
        by = context_findings(connection, found.log, deciding, reading=reading, as_of=as_of)
        within, once_shown = by.within, by.effects
        said += by.described
    drawn = found.sample_ratio
    told = replace(beside, estimated=weighted, days={}, dimensions={}, populations={}, ages={},
                   received={}, sample_ratio=drawn, contexts=within)  # fmt: skip
    return _OfBandit(told, "", said, once_shown)


_OF_A_CAP: Final = (
    "What a limit does it does by every message after the exposure, of whichever campaign. Who is "
    "held out of campaigns drew one, too, and pulls the differences towards none."
)


def _notes(study: Study, reading: Reading, population: Population, *, as_of: Instant) -> list[str]:
    plan = reading.plan
    said = [
        f"Read as of {iso(as_of)}. Everyone exposed counts as assigned, from the first exposure on."
    ]
    if "holdout" in study.kind:
        said.append(
            "Both sides passed the same gates; one heard a ghost. What follows is counted from the "
            "instant at which the message would have gone out."
        )
    instants = [it.unit.at for it in population.mature]
    if max(instants) - min(instants) < WEEK:
        said.append(
            "Exposures of less than a week: days of the week are not balanced, and whole weeks tell"
            " more."
        )
    if population.n_immature:
        said.append(
            f"{population.n_immature:,} units are left out for now: their windows are not over."
        )
    if population.n_torn:
        said.append(
            f"{population.n_torn:,} people turned out to have two profiles under different "
            "variants and are set aside."
        )
    if study.phase > 1:
        said.append(f"Phase {study.phase}: only units first exposed in it.")
    if plan.dimensions:
        said.append(
            "Segments are by what is known of people today; a trait that the treatment changes "
            "would mislead."
        )
    if plan.method == "fixed" and plan.ends_at is None and plan.planned_sample is None:
        said.append(
            "Fixed, but without a planned end: valid only if this is the one look. Write ends, "
            "runs or planned_sample, or method: sequential."
        )
    if plan.method == "sequential":
        said.append(
            "Sequential: valid however often it is looked at; tightest at "
            f"{plan.planned_sample:,} units."
        )
    return said


def _triggered(
    connection: Connection,
    study: Study,
    reading: Reading,
    population: Population,
    as_of: Instant,
) -> tuple[Readout, ...]:
    """Each treatment against the control among units that its gate allowed, in both arms alike.

    The answer was written for every arm at the instant of exposure, before any outcome, so
    choosing by it is no selection after treatment.
    """
    if study.bandit is not None:
        return ()
    found = []
    for variant in study.treatments:
        pair = {study.control: study.weights[study.control], variant: study.weights[variant]}
        both = [it for it in population.mature if it.unit.variant in pair]
        chosen = [it for it in both if it.would_allow.get(variant) == REACHED]
        n = Counter(it.unit.variant for it in chosen)
        if min(n[name] for name in pair) < UNITS_MIN or len(chosen) == len(both):
            continue
        readout = _among(connection, study, reading, variant, pair, chosen, both, as_of)
        if readout is not None:
            found.append(readout)
    return tuple(found)


def _among(
    connection: Connection,
    study: Study,
    reading: Reading,
    variant: str,
    pair: Mapping[str, int],
    chosen: Sequence[Exposed],
    both: Sequence[Exposed],
    as_of: Instant,
) -> Readout | None:
    units, n_pair = [it.unit for it in chosen], len(both)
    others = [it.unit for it in both if it.would_allow.get(variant) != REACHED]
    _, rest, _ = _measured(connection, study, reading, others, as_of=as_of)
    reading, measured, missing = _measured(connection, study, reading, units, as_of=as_of)
    if not reading.metrics:
        return None
    notes = [
        f"Only the {len(chosen):,} of {n_pair:,} units that {variant} could have reached when "
        "they were assigned; by the same rule in both arms.",
    ]
    # A ratio or a quantile of everyone is no mix of those reached and the others by their numbers.
    whole = [it for it in reading.plan.metrics if it.kind in ("ratio", "quantile")]
    if len(whole) < len(reading.plan.metrics):
        besides = f" (not so of {', '.join(it.label for it in whole)})" if whole else ""
        notes.append(
            f"Among everyone assigned this is {len(chosen) / n_pair:.0%} of the effect{besides}:"
            " the others could not be reached in either arm."
        )
    plan = replace(
        reading.plan, name=f"{study.name}: who {variant} could reach", weights=pair, looks=(),
        method="sequential" if reading.plan.method == "group_sequential" else reading.plan.method,
    )  # fmt: skip
    beside = Collected(
        record=reading.record,
        quantiles=measured.sums.quantiles,
        caps=measured.sums.caps,
        untriggered=rest.sums.aggregates,
        # The whole was read at its end; so is this part of it.
        is_at_end=True,
        is_open_ended=reading.is_open_ended,
    )
    try:
        found = _analyzed(replace(reading, plan=plan), measured, notes=notes, beside=beside)
        return held_back(found, missing)
    except DataError:
        return None  # Too little varies among so few; the whole says what there is.
