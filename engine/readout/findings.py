"""What an experiment or a holdout was worth: exposures and events -> `experiments.analyze`.

Everyone exposed is compared as assigned (intention to treat), from the instant it mattered. A unit
counts once its longest window has closed, in every variant alike. People who turned out to be one
person with two variants are set aside and counted. Where the gates' answers were recorded for every
arm, the same comparison among those an arm could have reached is read beside it (triggered).
Source: `facts` 2.11; Johnson, Lewis, Nubbemeyer (JMR 2017) for ghosts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from engine.core.clocktime import iso
from engine.core.merge import ASSIGNMENT_CONFLICT
from engine.core.model import DAY, Instant
from engine.readout.metric_sums import MetricSums, Unit, sum_metrics
from engine.readout.studies import Study
from engine.store.connection import Connection
from experiments.analyze import ExperimentPlan, analyze
from experiments.readout import Readout

UNITS_MIN: Final = 2
"""Per variant; with fewer there is no variance to speak of."""
PLANNED_SAMPLE: Final = 10_000
"""Where the sequential method is tightest. Fixed for all, so that no data decides it."""
REACHED: Final = "allow"

_answers: Final = msgspec.json.Decoder(dict[str, str | None])


@dataclass(frozen=True)
class Exposed:
    """A unit with the gate's answers for every arm at that instant."""

    unit: Unit
    would_allow: Mapping[str, str | None]


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


def read_out(connection: Connection, study: Study, *, as_of: Instant) -> Findings:
    """Read one study as it stood at an instant."""
    exposed = _exposures(connection, study, as_of=as_of)
    conflicts = _conflicts(connection, study)
    kept = [it for it in exposed if it.unit.profile_id not in conflicts]
    window = max([it.within or 0 for it, _ in study.metrics])
    mature = [it for it in kept if it.unit.at + window <= as_of]
    n_immature = len(kept) - len(mature)
    n = Counter(it.unit.variant for it in mature)
    counts = {name: n[name] for name in (study.control, *study.treatments)}
    n_conflicts = len(exposed) - len(kept)
    empty = Findings(study, as_of, None, "", counts, n_immature, n_conflicts)
    short = [name for name, units in counts.items() if units < UNITS_MIN and study.weights[name]]
    if short:
        waiting = f" ({n_immature:,} units wait for their window to close)" if n_immature else ""
        return replace(
            empty, why_not=f'too few units yet in "{short[0]}": {counts[short[0]]}{waiting}'
        )
    notes = _notes(
        study, window=window, as_of=as_of, n_immature=n_immature, n_conflicts=n_conflicts
    )
    units = [it.unit for it in mature]
    measured = sum_metrics(connection, units, study.metrics, as_of=as_of)
    readout = _analyzed(study, measured, study.weights, name=study.name, notes=notes)
    triggered = _triggered(connection, study, mature, as_of=as_of)
    return replace(empty, readout=readout, triggered=triggered)


def _exposures(connection: Connection, study: Study, *, as_of: Instant) -> list[Exposed]:
    rows = connection.execute(
        "SELECT profile_id, variant, at, would_allow FROM exposure "
        "WHERE experiment = ? AND phase = ? AND at <= ? ORDER BY profile_id",
        (study.name, study.phase, as_of),
    )
    return [
        Exposed(Unit(row[0], row[1], row[2]), _answers.decode(row[3]) if row[3] else {})
        for row in rows
        if row[1] in study.weights
    ]


def _conflicts(connection: Connection, study: Study) -> set[int]:
    """Units that a merge found under two variants of this study."""
    rows = connection.execute(
        "SELECT profile_id, properties FROM event WHERE name = ?", (ASSIGNMENT_CONFLICT,)
    )
    return {row[0] for row in rows if msgspec.json.decode(row[1]).get("experiment") == study.name}


def _analyzed(
    study: Study,
    measured: MetricSums,
    weights: Mapping[str, int],
    *,
    name: str,
    notes: Sequence[str],
) -> Readout:
    said = [*notes, *measured.sums.notes]
    if measured.n_unreadable:
        said.append(f"{measured.n_unreadable:,} events had no readable value and add nothing")
    plan = ExperimentPlan(
        name=name,
        control=study.control,
        weights=weights,
        metrics=measured.metrics,
        method=study.method,
        alpha=study.alpha,
        correction=study.correction,
        planned_sample=PLANNED_SAMPLE if study.method == "sequential" else None,
    )
    return analyze(plan, measured.sums.aggregates, notes=said)


def _notes(
    study: Study, *, window: int, as_of: Instant, n_immature: int, n_conflicts: int
) -> list[str]:
    said = [
        f"Read as of {iso(as_of)}. Everyone exposed counts as assigned, from the first exposure on."
    ]
    if "holdout" in study.kind:
        said.append(
            "Both sides passed the same gates; one heard a ghost. What follows is counted from the "
            "instant at which the message would have gone out."
        )
    if n_immature:
        said.append(
            f"{n_immature:,} units are left out for now: their {window / DAY:g} days are not over."
        )
    if n_conflicts:
        said.append(
            f"{n_conflicts:,} people turned out to have two profiles under different variants and "
            "are set aside."
        )
    if study.phase > 1:
        said.append(f"Phase {study.phase}: only units first exposed in it.")
    if study.method == "fixed":
        said.append(
            "Fixed: valid once, at the planned end. To look at any time, write method: sequential."
        )
    if study.method == "sequential":
        said.append(
            "Sequential: valid however often it is looked at; tightest at "
            f"{PLANNED_SAMPLE:,} units."
        )
    return said


def _triggered(
    connection: Connection, study: Study, mature: Sequence[Exposed], *, as_of: Instant
) -> tuple[Readout, ...]:
    """Each treatment against the control among units that its gate allowed, in both arms alike.

    The answer was written for every arm at the instant of exposure, before any outcome, so
    choosing by it is no selection after treatment.
    """
    found = []
    for variant in study.treatments:
        pair = {study.control: study.weights[study.control], variant: study.weights[variant]}
        chosen = [
            it.unit
            for it in mature
            if it.unit.variant in pair and it.would_allow.get(variant) == REACHED
        ]
        n = Counter(unit.variant for unit in chosen)
        n_pair = sum(it.unit.variant in pair for it in mature)
        if min(n[name] for name in pair) < UNITS_MIN or len(chosen) == n_pair:
            continue
        measured = sum_metrics(connection, chosen, study.metrics, as_of=as_of)
        notes = [
            f"Only the {len(chosen):,} of {n_pair:,} units that {variant} could have reached when "
            "they were assigned; by the same rule in both arms."
        ]
        name = f"{study.name}: who {variant} could reach"
        found.append(_analyzed(study, measured, pair, name=name, notes=notes))
    return tuple(found)
