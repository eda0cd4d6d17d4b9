"""Small builders for tests of the core: say what matters, the rest is ordinary.

`a_theatre()` holds one program and plays people in it; times are given as ISO text.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import count
from typing import Any

from engine.core.clocktime import parse_instant
from engine.core.model.campaigns import (
    Campaign,
    EventTrigger,
    Program,
    TemplateFacts,
    Topic,
    Trigger,
)
from engine.core.model.conditions import Condition, EventCondition, EventMatch
from engine.core.model.effects import Effect, Pick, Wake
from engine.core.model.instants import NEVER, Instant, ProfileId
from engine.core.model.people import Contact, Event, Person, Profile, State
from engine.core.model.steps import Expression, Send, Step
from engine.core.play import play
from engine.core.scene import nothing_picked
from engine.core.segments import Segments, for_program

DAY_ONE = "2026-03-02T10:00Z"
"""A Monday, eleven in Berlin."""


def at(text: str) -> Instant:
    return parse_instant(text)


def a_person(
    number: int = 1,
    *,
    zone: str = "UTC",
    traits: Mapping[str, Any] | None = None,
    channels: Sequence[str] = ("email", "sms"),
    consent: bool | None = True,
    is_new: bool = True,
) -> Person:
    """Someone who may be reached about offers on every channel, unless told otherwise."""
    answers = {} if consent is None else {"offers": consent}
    profile = Profile(
        id=ProfileId(number),
        zone=zone,
        traits=dict(traits or {}),
        consent={channel: dict(answers) for channel in channels},
        addresses={channel: Contact() for channel in channels},
    )
    return Person(profile, State(), is_new=is_new)


def someone(traits: Mapping[str, Any] | None = None) -> Profile:
    """A profile that is nothing but its traits."""
    return Profile(ProfileId(1), "UTC", traits=dict(traits or {}))


def an_event(
    name: str,
    when: str | Instant,
    *,
    seq: int | None = None,
    traits: Mapping[str, Any] | None = None,
    is_old: bool = False,
    **properties: Any,
) -> Event:
    """An event accepted when it happened; its seq follows from its instant unless given."""
    instant = at(when) if isinstance(when, str) else when
    return Event(
        seq=instant if seq is None else seq,
        name=name,
        at=instant,
        accepted_at=instant,
        properties=properties,
        traits=dict(traits or {}),
        is_old=is_old,
    )


def a_send(step: str = "mail", **changes: Any) -> Send:
    return Send(**{"id": step, "channel": "email", "template": "hello", **changes})


def a_campaign(
    name: str = "cart",
    *steps: Step,
    trigger: Trigger | str = "Product Added",
    **changes: Any,
) -> Campaign:
    """A live campaign with the steps given, the first one first; about offers."""
    if isinstance(trigger, str):
        trigger = EventTrigger(EventMatch(trigger))
    return Campaign(
        **{
            "name": name,
            "version": "v1",
            "trigger": trigger,
            "steps": {step.id: step for step in steps},
            "first": steps[0].id if steps else None,
            "topic": "offers",
            **changes,
        }
    )


def a_program(*campaigns: Campaign, **changes: Any) -> Program:
    return Program(
        **{
            "release": 1,
            "zone": "UTC",
            "campaigns": {campaign.name: campaign for campaign in campaigns},
            "topics": {
                "offers": Topic("offers"),
                "orders": Topic("orders", is_transactional=True),
            },
            "templates": {("email", "hello"): TemplateFacts("h1")},
            **changes,
        }
    )


def has_done(event: str) -> Condition:
    """Whether the event ever happened."""
    return EventCondition(EventMatch(event))


def evaluate(expression: Expression, values: Mapping[str, Any]) -> Any:
    """A path, or `variant('name')`: enough of the expression language for the core's tests."""
    source = expression.source
    if source.startswith("variant("):
        return values["variants"][source[9:-2]]
    found: Any = values
    for key in source.split("."):
        if not isinstance(found, Mapping) or key not in found:
            raise LookupError(source)
        found = found[key]
    return found


class Theatre:
    """A program and the ids it has handed out; plays people and keeps nothing of them."""

    def __init__(self, program: Program, *, pick: Pick = nothing_picked) -> None:
        self.program = program
        self.pick = pick
        self.segments: Segments = for_program(program)
        self.restart()

    def restart(self) -> None:
        """Hand out ids from one again."""
        self._ids = count(1)

    def play(
        self,
        person: Person,
        *events: Event,
        until: str | Instant | None = None,
        floor: str | Instant = 0,
        queued: Collection[int] = (),
        pick: Pick | None = None,
    ) -> list[Effect]:
        """Play events, then time until the instant (or the last event), as a committed batch.

        `queued` are the messages that still wait for their first attempt; `pick` is what a
        recommender answers.
        """
        last = max((event.accepted_at for event in events), default=0)
        horizon = last if until is None else at(until) if isinstance(until, str) else until
        effects = play(
            person,
            events,
            program=self.program,
            segments=self.segments,
            floor=at(floor) if isinstance(floor, str) else floor,
            horizon=horizon,
            evaluate=evaluate,
            new_id=lambda kind: next(self._ids),
            still_queued=lambda messages: frozenset(messages) & frozenset(queued),
            pick=pick or self.pick,
        )
        person.is_new = False
        person.enrollments = [each for each in person.enrollments if each.status == "active"]
        return effects


def a_theatre(*campaigns: Campaign, **changes: Any) -> Theatre:
    return Theatre(a_program(*campaigns, **changes))


def only(effects: Sequence[Effect], *kinds: type) -> list[Any]:
    """The effects of exactly these kinds (a ghost is not a message)."""
    return [effect for effect in effects if type(effect) in kinds]


def but_wakes(effects: Sequence[Effect]) -> list[Effect]:
    return [effect for effect in effects if not isinstance(effect, Wake)]


def person_held_by(share: float, *, seed: str, is_held: bool = True) -> int:
    """The smallest profile number whose holdout assignment is as asked."""
    from experiments.assignment import is_held_out

    return next(
        number
        for number in range(1, 100_000)
        if is_held_out(str(number), seed=seed, share=share) is is_held
    )


__all__ = [
    "DAY_ONE",
    "NEVER",
    "Theatre",
    "a_campaign",
    "a_person",
    "a_program",
    "a_send",
    "a_theatre",
    "an_event",
    "at",
    "but_wakes",
    "evaluate",
    "has_done",
    "only",
    "person_held_by",
]
