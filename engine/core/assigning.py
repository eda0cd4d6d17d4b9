"""Which variant a unit gets in an experiment, and why: for a journey's step and for a client alike.

The questions, in this order, the first that has an answer giving it:

1. Is it over or not begun (`state`), or did somebody choose a variant for this unit (`forced`)?
2. Is the person in the global holdout, or the programme's? (At a step the journey has asked.) A
   unit that is no profile is drawn by its own hash, and one exposed before is not asked again.
3. Was the unit exposed before? Then it keeps its variant for the life of the experiment (rule 2),
   also where it would no longer be let in: neither a layer nor an audience may move it.
4. Is it in the layer's range, in the namespace; has it the variants that are required; is it in
   the audience, and does `where` hold?
5. The hash: within the coverage, at the planned weights or at those a bandit has learnt, of the
   first of its contexts that holds.

A campaign's own holdout lies between 4 and 5 in effect: who is held out walks the arm they would
have had, unexposed. Each question that draws has a seed of its own, so they are independent.
Pure: nothing is recorded here. Read next: `journeys.forks`, `journeys.viewed`.
"""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Final, NamedTuple

from engine.core.journeys.holdouts import holder_of_served
from engine.core.model.campaigns import OTHERWISE, Allocation, Experiment, Program
from engine.core.model.instants import Instant
from engine.core.model.people import Exposed, Person
from engine.core.paths import MISSING, follow
from engine.core.roster import Arms, Roster
from engine.core.scene import no_one_shown
from engine.core.segments import Segments
from experiments.assignment import (
    HashVersion,
    assign,
    in_growthbook_namespace,
    in_layer,
    is_held_out,
)

OUTSIDE: Final = ""
"""The variant of someone an experiment does not cover: the control's path, no exposure."""

FORCED: Final = "forced"
STOPPED: Final = "stopped"
HELD_OUT_BY: Final = "held out by "
NOT_STARTED: Final = "not started"

_LACKS: Final = "no "

REQUIRED_DEPTH_MAX: Final = 8
"""Experiments that require one another; `check` refuses circles."""

_VERSIONS: Final[dict[str, HashVersion]] = {"2": 2, "s256": "s256", "1": 1}


class Allotment(NamedTuple):
    """What one unit gets in one experiment.

    Attributes:
        variant: Its name, or OUTSIDE.
        probability: Its share of those who take part, as it was used: a bandit's at that instant.
        is_exposed: Whether the unit was exposed before.
        reason: Why it is outside, or was not drawn; "" for a variant that was.
        unit: What the draw was about, "" where that is the profile itself.
        allocation: The version of a bandit's weights, 0 for the planned ones.
        context: The one whose weights they are; "" where everybody has the same.
    """

    experiment: Experiment
    variant: str
    probability: float
    is_exposed: bool
    reason: str = ""
    unit: str = ""
    allocation: int = 0
    context: str = ""

    @property
    def lacks_unit(self) -> bool:
        """Whether it is outside because there is nothing to draw."""
        return self.reason.startswith(_LACKS)

    @property
    def is_exposing(self) -> bool:
        """Whether reaching it now is the unit's first exposure."""
        return self.variant != OUTSIDE and not self.is_exposed and self.reason in ("", FORCED)


class Ids(NamedTuple):
    """What the caller calls the person, as far as this request or event says."""

    user: str = ""
    anonymous: str = ""


class Told(NamedTuple):
    """What a report says of how a bandit decided: None where it says nothing."""

    allocation: int | None = None
    context: str | None = None


class Asked(NamedTuple):
    """Who is to be assigned, and by what.

    Attributes:
        attributes: What a client says of itself; None where nobody can say (then `where` holds).
        asks_audience: False where the answer was given before, and may have changed since.
        shown: The first exposure of a unit that is not the profile, by (experiment, unit): another
            profile of the same account may have had it.
        told: By which version and in which context it was shown, where a report says so.
    """

    program: Program
    roster: Roster
    segments: Segments
    person: Person
    now: Instant
    ids: Ids = Ids()
    attributes: Mapping[str, Any] | None = None
    asks_audience: bool = True
    shown: Callable[[str, str], Exposed | None] = no_one_shown
    told: Told = Told()


def decide(asked: Asked, name: str, *, arms: Arms | None = None, depth: int = 0) -> Allotment:
    """The variant of a unit and the reason, by the whole order of questions.

    Args:
        arms: A phase other than the current one.
    Raises:
        KeyError: If the program has no such experiment.
    """
    arms = arms or asked.roster.arms[name]
    it = arms.experiment
    if it.state == "draft":
        return _outside(it, NOT_STARTED)
    if it.state == "stopped":
        return Allotment(it, it.winner, 1.0 if it.winner else 0.0, False, STOPPED)
    unit = unit_of(it, asked)
    if unit is None:
        return _outside(it, f"{_LACKS}{_UNIT_WORDS.get(it.unit, it.unit)}")
    told = "" if it.unit == "profile" else unit
    known = first_exposure(asked, it, told)
    by_hand = _forced(it, unit, asked)
    if by_hand is not None:
        return Allotment(it, by_hand, 1.0, known is not None, FORCED, told)
    # A unit that is no profile keeps what its first exposure gave, also against a larger holdout.
    is_kept = known is not None and it.is_sticky and it.unit != "profile"
    if not it.campaign and not it.is_cap and not is_kept:
        holder = holder_of_served(asked.person, it, unit, program=asked.program)
        if holder:
            return _outside(it, f"{HELD_OUT_BY}{holder}", told)
    if known is not None and it.is_sticky:
        return Allotment(it, known.variant, arms.shares.get(known.variant, 0.0), True, "", told)
    why = _kept_out(asked, arms, unit, depth)
    if why:
        return _outside(it, why, told)
    drawn = _drawn(asked, arms, unit)
    why = "" if drawn.variant else drawn.why
    return Allotment(it, drawn.variant, drawn.probability, known is not None, why, told,
                     drawn.allocation, drawn.context)  # fmt: skip


def unit_of(experiment: Experiment, asked: Asked) -> str | None:
    """What is drawn, as text; None where it is missing.

    A whole number reads the same however it came: 7 and 7.0 are one account.
    """
    match experiment.unit:
        case "profile":
            return str(asked.person.profile.id) if asked.person.profile.id else None
        case "user":
            return asked.ids.user or None
        case "anonymous":
            return asked.ids.anonymous or None
        case path:
            parts = path.split(".")[1:]
            value = follow(asked.person.profile.traits, parts)
            if value is MISSING and asked.attributes is not None:
                value = follow(asked.attributes, parts)
            return as_unit(value)


_UNIT_WORDS: Final = {"profile": "profile yet", "user": "user id", "anonymous": "anonymous id"}


def as_unit(value: Any) -> str | None:
    """A value as the text that is hashed; None where it can name nobody.

    The rule of `experiments.flags.unit_text`, so that a journey and an SDK take the same for
    nobody: empty text, 0, booleans, null, NaN, infinities, lists and objects.
    """
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # A whole number that no double, and so no SDK, can hold.
        return None
    if not number or not isfinite(number):
        return None
    return str(int(value)) if number.is_integer() else str(value)


def exposure_key(experiment: str, unit: str) -> str:
    """Under which name a state keeps an exposure; `unit` is "" for the profile itself."""
    return f"{experiment}\n{unit}" if unit else experiment


def exposure_name(key: str) -> tuple[str, str]:
    """(experiment, unit) of such a name."""
    experiment, _, unit = key.partition("\n")
    return experiment, unit


def first_exposure(asked: Asked, experiment: Experiment, unit: str) -> Exposed | None:
    """The exposure that a unit keeps its variant by."""
    known = asked.person.state.exposures.get(exposure_key(experiment.name, unit))
    if known is None and unit:
        known = asked.shown(experiment.name, unit)
    return known


def is_explored(experiment: Experiment, unit: str) -> bool:
    """Whether a unit is in the slice that a bandit draws at the planned weights for ever."""
    bandit = experiment.bandit
    return bandit is not None and is_held_out(
        unit,
        seed=f"{experiment.seed}/explore",
        share=bandit.explore,
        # SDKs, which may decide here, have no SHA-256; elsewhere it is the faster of the two.
        version=2 if bandit.is_for_clients else "s256",
    )


def context_of(arms: Arms, asked: Asked) -> str:
    """The first context that holds, or OTHERWISE; "" where the experiment has none.

    Of whom nothing is known no condition holds, and of a client that says nothing no `where`.

    Raises:
        LookupError: If the phase is an earlier one, whose conditions nobody can ask any more.
    """
    if not arms.contexts:
        return ""
    profile, features, now = asked.person.profile, asked.person.state.features, asked.now
    for name, condition, where in arms.contexts:
        if where:
            if asked.attributes is None:
                continue
            attributes, zone = dict(asked.attributes), profile.zone or asked.program.zone
            if not all(test(attributes, now, zone)[0] for test in where):
                continue
        if condition is not None and not (
            profile.id and asked.segments.answer(condition, features, profile, now=now)[0]
        ):
            continue
        return name
    return OTHERWISE


def _forced(it: Experiment, unit: str, asked: Asked) -> str | None:
    if not it.forced:
        return None
    if it.unit != "profile":
        return it.forced.get(unit)
    # Nobody writes our own ids into a file.
    names = (unit, asked.person.profile.external_id, *asked.ids)
    return next((it.forced[name] for name in names if name and name in it.forced), None)


def _kept_out(asked: Asked, arms: Arms, unit: str, depth: int) -> str:
    """Why a unit that was never exposed is not let in, or ""."""
    it = arms.experiment
    if it.namespace is not None:
        name, start, end = it.namespace
        if not in_growthbook_namespace(unit, namespace=name, start=start, end=end):
            return f'not in its range of the namespace "{name}"'
    if it.layer is not None:
        seed, start, end = it.layer
        if not in_layer(unit, layer_seed=seed, start=start, end=end):
            return f'not in its range of the layer "{seed.removeprefix("layer:")}"'
    for other, variant in it.requires:
        if not _has(asked, other, variant, depth):
            return f'requires "{variant}" in "{other}"'
    person = asked.person
    if it.audience and asked.asks_audience:
        ask = asked.segments.asks.get(it.audience)
        if ask is None or not ask(person.state.features, person.profile, asked.now)[0]:
            return f'not in the segment "{it.audience}"'
    if arms.where and asked.attributes is not None:
        attributes, zone = dict(asked.attributes), person.profile.zone or asked.program.zone
        if not all(test(attributes, asked.now, zone)[0] for test in arms.where):
            return "its attributes do not match"
    return ""


def _has(asked: Asked, other: str, variant: str, depth: int) -> bool:
    if depth >= REQUIRED_DEPTH_MAX or other not in asked.roster.arms:
        return False
    # What a report says of its own experiment says nothing of this one.
    asked = asked._replace(told=Told())
    return decide(asked, other, depth=depth + 1).variant == variant


class _Drawn(NamedTuple):
    """What the hash gives; `why` where that is nothing."""

    variant: str
    probability: float
    allocation: int = 0
    context: str = ""
    why: str = "outside the coverage"


def _drawn(asked: Asked, arms: Arms, unit: str) -> _Drawn:
    it, names = arms.experiment, arms.names
    version = _VERSIONS[it.hash_version]
    if it.bandit is None:
        given = assign(
            unit, seed=it.seed, variants=names, weights=arms.weights, coverage=it.coverage,
            version=version, imported=it.is_imported,
        )  # fmt: skip
        variant = given.variant or OUTSIDE
        return _Drawn(variant, arms.shares.get(variant, 0.0))
    # Coverage has its own seed here: where weights move, ranges would move people in and out.
    if it.coverage < 1 and not in_layer(
        unit, layer_seed=f"{it.seed}/coverage", start=0.0, end=it.coverage
    ):
        return _Drawn(OUTSIDE, 0.0)
    told_version, context = asked.told
    if context is None:
        try:
            context = context_of(arms, asked)
        except LookupError:
            return _Drawn(OUTSIDE, 0.0, why="its phase is over and its context was not said")
    weights, allocation = arms.weights, 0
    if not is_explored(it, unit):
        version_used = _version_used(asked, it.name, told_version)
        if version_used is not None:
            learnt = version_used.contexts.get(context, version_used.weights)
            weights = tuple(learnt.get(name, 0) for name in names)
            allocation = version_used.version
        elif told_version:
            return _Drawn(OUTSIDE, 0.0, why=f"version {told_version} of its weights is not known")
    given = assign(unit, seed=it.seed, variants=names, weights=weights, version=version)
    return _Drawn(given.variant or OUTSIDE, given.probability, allocation, context)


def _version_used(asked: Asked, name: str, told: int | None) -> Allocation | None:
    """The version that was told, or else the one in force; None for the planned weights."""
    learnt = asked.program.allocations.get(name, ())
    for each in reversed(learnt):
        if each.version == told if told is not None else each.since <= asked.now:
            return each
    return None


def _outside(it: Experiment, why: str, unit: str = "") -> Allotment:
    return Allotment(it, OUTSIDE, 0.0, False, why, unit)
