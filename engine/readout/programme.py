"""What all campaigns together were worth, beside the sum of what each is worth by itself.

Measured: the global holdout against everyone else, over the whole time since each unit's first
exposure, by calendar period and by tenure. Sum of parts: each campaign by its own holdout, or,
where it has none, by its experiments; effects shrunk for luck and scaled by the units they reached.
Read next: `experiments.programme.reconcile`, `assigned`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from campaigns.metrics import MetricDefinition
from engine.core.clocktime import iso
from engine.core.errors import UsageError
from engine.core.model.campaigns import Program
from engine.core.model.instants import DAY, Instant
from engine.readout.assigned import check_adds_up, exposed_units, over_time
from engine.readout.impacts import UNITS_MIN, by_period, by_tenure, impact, impact_of
from engine.readout.metric_sums import Unit
from engine.readout.parts import MeasuredPart, measured_parts, reconciled
from engine.readout.studies import Study
from engine.readout.touches import touched_by_others
from engine.store.connection import Connection
from experiments.evidence.srm import sample_ratio
from experiments.programme.contamination import Contamination
from experiments.programme.holdout import Additivity, Impact, Slice, additivity
from experiments.programme.reconcile import Reconciliation


@dataclass(frozen=True)
class ProgrammeFindings:
    """The whole and its parts.

    Attributes:
        measured: None where the global holdout cannot be read; `why_not` says so.
        by_period: Calendar periods of four weeks, from the first exposure on.
        by_tenure: Four-week spans since each unit's first exposure, of units that lived them.
        additivity: Global against the programmes' own holdouts, where there are any.
        reconciliation: None where nothing can be compared; `why_not` says so.
        unmeasured: Campaigns whose part nothing tells.
    """

    metric: MetricDefinition
    as_of: Instant
    measured: Impact | None
    why_not: str
    by_period: tuple[Slice, ...] = ()
    by_tenure: tuple[Slice, ...] = ()
    parts: tuple[MeasuredPart, ...] = ()
    additivity: Additivity | None = None
    reconciliation: Reconciliation | None = None
    contamination: Contamination | None = None
    unmeasured: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def programme_findings(
    connection: Connection,
    studies: Sequence[Study],
    program: Program,
    definition: MetricDefinition,
    *,
    as_of: Instant,
    alpha: float = 0.05,
) -> ProgrammeFindings:
    """Read the global holdout and everything under it on one metric.

    Raises:
        UsageError: If the metric does not add up over people.
    """
    check_adds_up(definition)
    whole = over_time(definition)
    parts = measured_parts(connection, studies, program, whole, as_of=as_of, alpha=alpha)
    unmeasured = _unmeasured(program, parts)
    study = next((it for it in studies if it.kind == "global holdout"), None)
    if study is None:
        why = "there is no global holdout: write global_holdout: {share: 2%} in antiphon.yaml"
        return ProgrammeFindings(definition, as_of, None, why, parts=parts, unmeasured=unmeasured)
    units = exposed_units(connection, study, as_of=as_of)
    if lost := _mismatch(study, units):
        return ProgrammeFindings(definition, as_of, None, lost, parts=parts, unmeasured=unmeasured)
    total = impact_of(connection, study, units, whole, as_of=as_of, alpha=alpha)
    if total is None:
        n = Counter(unit.variant for unit in units)
        counted = " and ".join(f"{n[name]:,} {name.replace('_', ' ')}" for name in study.weights)
        why = f"too few units yet: {counted}; at least {UNITS_MIN} on each side are needed"
        return ProgrammeFindings(definition, as_of, None, why, parts=parts, unmeasured=unmeasured)
    programmes = [
        found
        for it in studies
        if it.kind == "programme holdout"
        and (found := impact(connection, it, whole, as_of=as_of, alpha=alpha)) is not None
    ]
    return ProgrammeFindings(
        metric=definition,
        as_of=as_of,
        measured=total,
        why_not="" if parts else "no campaign has a holdout or an experiment of its own to add up",
        by_period=by_period(connection, study, units, whole, as_of=as_of, alpha=alpha),
        by_tenure=by_tenure(connection, study, units, whole, as_of=as_of, alpha=alpha),
        parts=parts,
        additivity=additivity(total, programmes, alpha=alpha) if programmes else None,
        reconciliation=reconciled(total, parts, definition, alpha=alpha),
        contamination=touched_by_others(connection, study, units, as_of=as_of, alpha=alpha),
        unmeasured=unmeasured,
        notes=_notes(definition, as_of=as_of),
    )


def chosen_metric(
    studies: Iterable[Study], known: Mapping[str, MetricDefinition], name: str | None
) -> MetricDefinition:
    """The metric asked for, or the first that the global holdout is judged by.

    Raises:
        UsageError: If there is none.
    """
    if name is not None:
        if name not in known:
            raise UsageError(f'there is no metric "{name}"; there is: {", ".join(known) or "none"}')
        return known[name]
    for study in sorted(studies, key=lambda it: it.kind != "global holdout"):
        for definition, _ in study.metrics:
            return definition
    raise UsageError("no campaign has a goal and no experiment a metric; name one with --metric")


def _mismatch(study: Study, units: Sequence[Unit]) -> str:
    """Why the whole is withheld, "" if both sides have the shares they were promised."""
    counts = Counter(unit.variant for unit in units)
    observed = {name: counts[name] for name in study.weights}
    if min(observed.values()) < UNITS_MIN:
        return ""
    found = sample_ratio(observed, weights=study.weights)
    if found.passed:
        return ""
    seen = " and ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in observed.items())
    return (
        f"sample ratio mismatch: {seen} are not the shares planned (p = {found.pvalue:.2g}); look "
        "for exposures lost on one side"
    )


def _unmeasured(program: Program, parts: Sequence[MeasuredPart]) -> tuple[str, ...]:
    told = {part.campaign for part in parts}
    return tuple(name for name in program.campaigns if name not in told)


def _notes(definition: MetricDefinition, *, as_of: Instant) -> tuple[str, ...]:
    said = [
        f"Read as of {iso(as_of)}, from each unit's first exposure to that instant. Everyone "
        "exposed counts as assigned.",
        "Nothing is capped: a total with its largest orders cut is not what was earned.",
    ]
    if definition.within is not None:
        said.append(
            f"The metric's own window of {definition.within / DAY:g} days does not apply here: a "
            "programme goes on after the first touch."
        )
    if definition.measure == "happened":
        said.append("This metric counts people once, so its periods do not add up to the whole.")
    return tuple(said)
