"""Who listens to what: a program turned inside out, so that an event meets only what it can change.

Everything here follows from the program alone and is built once per program, not per profile.
Read next: `play`.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from msgspec import Struct

from engine.core.conditions.filters import TraitAnswer, compile_trait_filter
from engine.core.conditions.followed import read_when_asked
from engine.core.model.campaigns import (
    ApiTrigger,
    Campaign,
    DateTrigger,
    EventTrigger,
    Experiment,
    Program,
    ScheduleTrigger,
    SegmentTrigger,
)
from engine.core.model.conditions import Condition, EventMatch, SegmentCondition
from engine.core.model.gates import Draft
from engine.core.model.steps import Repeat, Send, StepId, Update, WaitFor


class Asking(NamedTuple):
    """A context as it is asked: the person's condition, and what clients must say."""

    name: str
    condition: Condition | None
    where: tuple[TraitAnswer, ...]


class Arms(NamedTuple):
    """An experiment's current phase, as assignment asks for it.

    Attributes:
        shares: The planned share of each variant among those who take part.
        is_plain: Profiles are drawn by hash, coverage and layer, and nothing else is asked.
        where: Each filter of what clients say of themselves, compiled.
        contexts: In the order in which they are asked; empty where there are none.
    """

    experiment: Experiment
    names: tuple[str, ...]
    weights: tuple[int, ...]
    shares: dict[str, float]
    is_plain: bool = True
    where: tuple[TraitAnswer, ...] = ()
    contexts: tuple[Asking, ...] = ()


Crossing = tuple[str, str]
"""A segment's name and "enter" or "exit"."""

SEGMENT_ENTERED: Final = "Segment Entered"
SEGMENT_EXITED: Final = "Segment Exited"
CROSSINGS: Final = {"enter": SEGMENT_ENTERED, "exit": SEGMENT_EXITED}
"""The event that tells of each kind of crossing."""

ROSTERS_MAX = 8
"""Programs remembered at once: the applied one, a replay's, a test's."""


class Ears(NamedTuple):
    """What one campaign version listens for while someone is inside.

    Attributes:
        names: Every event name that matters; most events end here.
        exit_when: The event that ends the journey.
        waits: Wait steps by the name of the event they wait for.
        untils: Repeats that an event ends, by its name.
    """

    names: frozenset[str]
    exit_when: EventMatch | None
    waits: dict[str, tuple[WaitFor, ...]]
    untils: dict[str, tuple[Repeat, ...]]


class Roster:
    """A program by what it reacts to.

    Attributes:
        versions: Every version people may stand in, by (campaign, version).
        ears: What each of them listens for.
        transactional: Versions that send only transactional messages: no holdout applies.
        paused: Campaigns whose people hold where they are.
        triggers: Live campaigns started by an event, by its name, most important first.
        crossings: Live campaigns started by a segment, by (segment, "enter" or "exit").
        segments: Those with memberships; the others are asked when they are read (`followed`).
        schedules: Live campaigns started by the clock, by a date of each person's included.
        dates: Those of them that a trait's date starts.
        by_api: Live campaigns that the API starts, by name.
        backfills: Live campaigns that also enroll those already inside their segment.
        sets_traits: Whether any step changes a trait.
        ledger_span: Microseconds that the longest cap looks back.
        has_tries: Whether any cap draws its limit by lot.
        arms: The current phase of each experiment.
        served: Experiments that no journey has, by name.
        mentioned: Every event name that any condition, wait or trigger is about.
        followed: The crossings of a segment's border that anything could react to.
    """

    def __init__(self, program: Program) -> None:
        applied = {(each.name, each.version): each for each in program.campaigns.values()}
        self.program = program
        self.versions = {**program.pinned, **applied}
        self.ears = {ref: _ears_of(campaign) for ref, campaign in self.versions.items()}
        self.transactional = frozenset(
            ref for ref, campaign in self.versions.items() if _is_transactional(campaign, program)
        )
        self.paused = frozenset(
            each.name
            for each in (*program.pinned.values(), *program.campaigns.values())
            if each.state == "paused" and program.campaigns.get(each.name, each).state == "paused"
        )
        self.segments = tuple(sorted(program.segments.keys() - read_when_asked(program)))
        self.sets_traits = any(
            isinstance(step, Update)
            for campaign in self.versions.values()
            for step in campaign.steps.values()
        )
        self.ledger_span = max((cap.per for cap in program.caps), default=0)
        self.has_tries = any(cap.tries for cap in program.caps)
        self.has_continuous = any(each.is_continuous for each in self.versions.values())
        self.triggers: dict[str, list[tuple[Campaign, EventTrigger]]] = {}
        self.crossings: dict[Crossing, list[Campaign]] = {}
        self.schedules: dict[str, tuple[Campaign, ScheduleTrigger | DateTrigger]] = {}
        self.by_api: dict[str, tuple[Campaign, ApiTrigger]] = {}
        self.backfills: list[tuple[Campaign, str]] = []
        for campaign in by_importance(program.campaigns.values()):
            if campaign.state == "live":
                self._listen(campaign)

        self.dates = {
            name: trigger
            for name, (_, trigger) in self.schedules.items()
            if isinstance(trigger, DateTrigger)
        }
        self.schedules_of: dict[str, list[str]] = {}
        """The scheduled campaigns whose audience is exactly one segment, by that segment."""
        for name, (campaign, _) in self.schedules.items():
            if isinstance(campaign.audience, SegmentCondition):
                self.schedules_of.setdefault(campaign.audience.segment, []).append(name)
        self.mentioned = frozenset(_event_names(program))
        self.followed = frozenset(self._followed())
        self.drafts: dict[tuple[str, str, StepId], tuple[Campaign, Send, Draft]] = {}
        """The message of each send step, once it was asked for, as if it never expired."""
        self.arms = {
            name: arms_of(experiment)
            for (name, phase), experiment in program.experiments.items()
            if phase == program.phases.get(name, 1)
        }
        self.served = frozenset(
            name
            for name, arms in self.arms.items()
            if not (arms.experiment.campaign or arms.experiment.is_cap)
        )

    def _followed(self) -> Iterator[Crossing]:
        for segment in self.segments:
            for on, name in CROSSINGS.items():
                crossing = (segment, on)
                if (
                    name in self.mentioned
                    or crossing in self.crossings
                    or segment in self.schedules_of
                ):
                    yield crossing

    def _listen(self, campaign: Campaign) -> None:
        trigger = campaign.trigger
        if isinstance(trigger, EventTrigger):
            self.triggers.setdefault(trigger.match.event, []).append((campaign, trigger))
        elif isinstance(trigger, SegmentTrigger):
            self.crossings.setdefault((trigger.segment, trigger.on), []).append(campaign)
            if trigger.backfill == "current" and trigger.on == "enter":
                self.backfills.append((campaign, trigger.segment))
        elif isinstance(trigger, ApiTrigger):
            self.by_api[campaign.name] = (campaign, trigger)
        else:
            self.schedules[campaign.name] = (campaign, trigger)


_rosters: dict[int, Roster] = {}


def roster_of(program: Program) -> Roster:
    """The roster of a program, built at most once while it is in use.

    Programs are frozen but not hashable (they hold dicts), so they are told apart by identity; the
    roster holds its program, so an identity in the table cannot belong to another one.
    """
    roster = _rosters.get(id(program))
    if roster is None:
        while len(_rosters) >= ROSTERS_MAX:
            _rosters.pop(next(iter(_rosters)), None)
        roster = _rosters[id(program)] = Roster(program)
    return roster


def by_importance(campaigns: Iterable[Campaign]) -> list[Campaign]:
    """Campaigns by falling priority, then name: the one order in which they act."""
    return sorted(campaigns, key=lambda campaign: (-campaign.priority, campaign.name))


def arms_of(experiment: Experiment) -> Arms:
    """One phase of an experiment, as assignment asks for it."""
    is_plain = (
        experiment.unit == "profile"
        and experiment.state == "live"
        and experiment.bandit is None
        and experiment.hash_version != "1"
        and bool(experiment.campaign)
        and not (experiment.forced or experiment.requires or experiment.audience)
    )
    total = sum(each.weight for each in experiment.variants) or 1
    return Arms(
        experiment,
        tuple(each.name for each in experiment.variants),
        tuple(each.weight for each in experiment.variants),
        {each.name: each.weight / total for each in reversed(experiment.variants)},
        is_plain,
        tuple(compile_trait_filter(each) for each in experiment.where),
        tuple(
            Asking(it.name, it.condition, tuple(compile_trait_filter(each) for each in it.where))
            for it in (experiment.bandit and experiment.bandit.contexts) or ()
        ),
    )


def _ears_of(campaign: Campaign) -> Ears:
    waits: dict[str, tuple[WaitFor, ...]] = {}
    untils: dict[str, tuple[Repeat, ...]] = {}
    for step in campaign.steps.values():
        if isinstance(step, WaitFor):
            waits[step.match.event] = (*waits.get(step.match.event, ()), step)
        elif isinstance(step, Repeat) and step.until is not None:
            untils[step.until.event] = (*untils.get(step.until.event, ()), step)
    names = {*waits, *untils}
    if campaign.exit_when is not None:
        names.add(campaign.exit_when.event)
    return Ears(frozenset(names), campaign.exit_when, waits, untils)


def _event_names(part: Any) -> Iterator[str]:
    if isinstance(part, EventMatch):
        yield part.event
    elif isinstance(part, Struct):
        for name in part.__struct_fields__:
            yield from _event_names(getattr(part, name))
    elif isinstance(part, (dict, tuple)):
        for each in part.values() if isinstance(part, dict) else part:
            yield from _event_names(each)


def _is_transactional(campaign: Campaign, program: Program) -> bool:
    topics: set[StepId] = {
        step.topic if step.topic is not None else campaign.topic
        for step in campaign.steps.values()
        if isinstance(step, Send)
    } or {campaign.topic}
    return all(name in program.topics and program.topics[name].is_transactional for name in topics)
