"""Exposures that clients report: an `Experiment Viewed` event about a served experiment.

Keys of its properties, as Segment's spec has them: `experiment_id` or `experiment_name`, and
`variation_id` or `variation_name` (the variant's name, or its place counted from 0, as GrowthBook's
SDKs number them); camel case, `experiment` and `variant` will do as well. `phase` may say under
which phase it was served; of a bandit `allocation` (or `bandit_version`) by which version of its
weights, `bandit_context` (or `leaf_id`, its place) in which context: what decided is what is kept.
The ids are those of the event itself (`context.ids`, written at ingest).

The first exposure of a unit wins and later ones change nothing. What was seen is kept even where
our assignment gives another variant: such a row is flagged, and no analysis counts it. What cannot
be taken at all is counted by its reason. Read next: `assigning`.
"""

import re
from typing import Any, Final

from engine.core.assigning import (
    FORCED,
    HELD_OUT_BY,
    NOT_STARTED,
    OUTSIDE,
    STOPPED,
    Asked,
    Ids,
    Told,
    decide,
    exposure_key,
    first_exposure,
)
from engine.core.model.campaigns import Experiment
from engine.core.model.effects import Expose, Misreport
from engine.core.model.instants import EnrollmentId
from engine.core.model.people import Event, Exposed
from engine.core.roster import Arms, arms_of
from engine.core.scene import Scene

EXPERIMENT_VIEWED: Final = "Experiment Viewed"

EXPERIMENT_KEYS: Final = (
    "experiment_id", "experiment_name", "experiment", "experimentId", "experimentName",
)  # fmt: skip
VARIANT_KEYS: Final = (
    "variation_id", "variation_name", "variant", "variationId", "variationName",
)  # fmt: skip
ALLOCATION_KEYS: Final = ("allocation", "bandit_version", "banditVersion")
LEAF_KEYS: Final = ("leaf_id", "leafId")
"""GrowthBook's words for a version of weights and for the place of a context, -1 for the rest."""

UNKNOWN_EXPERIMENT: Final = "unknown experiment"
UNKNOWN_VARIANT: Final = "unknown variant"
NOT_SERVED: Final = "exposed by its journey"
NOT_A_CLIENTS: Final = "exposed by its cap"
NOT_LIVE: Final = "not live"
NO_UNIT: Final = "no unit"
ANOTHER_VARIANT: Final = "another variant than the first"
UNKNOWN_ALLOCATION: Final = "unknown allocation"


NO_ENROLLMENT: Final = EnrollmentId(0)


def take_exposure(scene: Scene, event: Event) -> None:
    """Record what a client says someone was shown, unless it is known already."""
    arms = _arms_named(scene, event.properties)
    if arms is None:
        _misreport(scene, "", UNKNOWN_EXPERIMENT)
        return
    it = arms.experiment
    if it.campaign:
        _misreport(scene, it.name, NOT_SERVED)
        return
    if it.is_cap:
        _misreport(scene, it.name, NOT_A_CLIENTS)
        return
    variant = _variant_named(arms, event.properties)
    if variant is None:
        _misreport(scene, it.name, UNKNOWN_VARIANT)
        return
    asked = Asked(
        scene.program,
        scene.roster,
        scene.segments,
        scene.person,
        scene.now,
        ids=ids_of(event),
        asks_audience=False,  # it was asked when it was served, and may have changed by it
        shown=scene.shown,
        told=_told(it, event.properties),
    )
    given = decide(asked, it.name, arms=arms)
    if given.reason in (NOT_STARTED, STOPPED):
        _misreport(scene, it.name, NOT_LIVE)
        return
    unit = given.unit
    if it.unit != "profile" and not unit:
        _misreport(scene, it.name, NO_UNIT)
        return
    key = exposure_key(it.name, unit)
    known = first_exposure(asked, it, unit)
    if known is not None and known.variant != variant:
        _misreport(scene, it.name, ANOTHER_VARIANT)
    if key in scene.state.exposures:
        return
    flag: Any = "forced" if given.reason == FORCED else ""
    phase, probability, allocation = it.phase, given.probability, given.allocation
    context = given.context
    if known is not None:
        # Another profile of the same unit was first: this one shares its variant and its phase.
        variant, phase = known.variant, known.phase
    elif variant != given.variant:
        # A client of the payload, which knows no holdout, may show a variant to somebody held out.
        flag = "held_out" if given.reason.startswith(HELD_OUT_BY) else "off_plan"
        allocation, context = 0, ""
        probability = arms.shares.get(variant, 0.0)
    elif not flag and asked.told.context is None and any(each.where for each in arms.contexts):
        flag = "off_plan"  # Only the client knew its context, so nobody knows its chances.
    if _is_of_no_allocation(scene, it, event):
        _misreport(scene, it.name, UNKNOWN_ALLOCATION)
        flag = flag or "off_plan"  # Weights that never were gave it chances that nobody knows.
    seen_at = min(event.at, event.accepted_at)
    scene.state.exposures[key] = Exposed(variant, phase, seen_at)
    source: Any = "api" if event.is_ours else "event"
    scene.effects.append(
        Expose(
            it.name, phase, variant, seen_at, probability, "", NO_ENROLLMENT, {}, unit,
            allocation, source, flag, context,
        )
    )  # fmt: skip


def ids_of(event: Event) -> Ids:
    """The ids an event came with, as ingest has written them."""
    ids = event.context.get("ids")
    if not isinstance(ids, dict):
        return Ids()
    return Ids(*(it if isinstance(it, str) else "" for it in map(ids.get, ("user", "anonymous"))))


def _arms_named(scene: Scene, properties: dict[str, Any]) -> Arms | None:
    """The experiment that a report is about, in the phase it names or else the current one."""
    for key in EXPERIMENT_KEYS:
        name = properties.get(key)
        if isinstance(name, str) and name in scene.roster.arms:
            phase = properties.get("phase")
            earlier = (
                scene.program.experiments.get((name, phase)) if isinstance(phase, int) else None
            )
            arms = scene.roster.arms[name]
            if earlier is None or earlier.phase == arms.experiment.phase:
                return arms
            return arms_of(earlier)
    return None


def _variant_named(arms: Arms, properties: dict[str, Any]) -> str | None:
    """The variant that a report names; by place only where no name fits."""
    said = [properties[key] for key in VARIANT_KEYS if key in properties]
    for value in said:
        if isinstance(value, str) and value in arms.names and value != OUTSIDE:
            return value
    for value in said:
        place = str(value) if type(value) in (str, int) else ""
        if re.fullmatch("[0-9]{1,4}", place) and int(place) < len(arms.names):
            return arms.names[int(place)]
    return None


def _told(experiment: Experiment, properties: dict[str, Any]) -> Told:
    """By which weights a report says that its variant was drawn."""
    if experiment.bandit is None:
        return Told()
    version = next((properties[key] for key in ALLOCATION_KEYS if key in properties), None)
    if type(version) is not int or version < 0:
        version = None
    names = experiment.bandit.context_names
    context = properties.get("bandit_context")
    if names and context not in names:
        leaf = next((properties[key] for key in LEAF_KEYS if key in properties), None)
        # -1 is the rest, which is the last of our names, too.
        is_known = type(leaf) is int and leaf in range(-1, len(names) - 1)
        context = names[int(leaf or 0)] if is_known else None
    return Told(version, context if names else None)


def _is_of_no_allocation(scene: Scene, experiment: Experiment, event: Event) -> bool:
    """Whether a report names weights that its experiment never had."""
    # In others' events of a plain experiment the word may mean anything.
    if experiment.bandit is None and not event.is_ours:
        return False
    said = [event.properties[key] for key in ALLOCATION_KEYS if key in event.properties]
    if not said or said[0] is None:
        return False
    learnt = scene.program.allocations.get(experiment.name, ())
    return type(said[0]) is not int or said[0] not in {0, *(each.version for each in learnt)}


def _misreport(scene: Scene, experiment: str, why: str) -> None:
    scene.effects.append(Misreport(experiment, why, scene.now))
