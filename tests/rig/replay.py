"""The oracle: a profile's life played again in memory, with no database and no crash in between.

It is given the very ids, and the very answers about queued messages, that the live calls were
given, so whatever it comes to must be the same to the last bit.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any

from channels.content.expressions import evaluate
from engine.core.model.effects import (
    Call,
    Discard,
    Displace,
    Emit,
    Expose,
    Ghost,
    Hold,
    SendMessage,
)
from engine.core.model.instants import ProfileId
from engine.core.model.people import Contact, Enrollment, Event, Person, Profile, State
from engine.core.play import play
from tests.rig.build import packed
from tests.rig.recorder import Played

NOT_COMPARED = frozenset({"armed_at", "heard"})
"""A timer is armed lazily, so when depends on how a life was cut; `heard` is compared by itself."""

FeaturesAt = Callable[[int], frozenset[str]]


class Life:
    """One profile played in memory, and everything that came of it.

    Attributes:
        enrollments: All there ever were, by id.
        messages: The last word on each message.
        exposures: (experiment, phase, variant, at) in order.
        displaced: Messages that had to give way, and why.
    """

    def __init__(self, profile_id: int, *, features_at: FeaturesAt) -> None:
        self.person = Person(
            Profile(ProfileId(profile_id), "UTC", addresses={"web": Contact()}),
            State(),
            is_new=True,
        )
        self.enrollments: dict[int, Enrollment] = {}
        self.messages: dict[int, SendMessage | Hold | Discard | Call] = {}
        self.exposures: list[tuple[str, int, str, int]] = []
        self.displaced: dict[int, str] = {}
        self._history: list[Event] = []
        self._features_at = features_at

    def live(self, call: Played) -> None:
        """Play one recorded call. The caller's batch read contacts as they then stood."""
        person = self.person
        if not person.is_new and person.state.release != call.release:
            self._rebuild(call)
        person.profile.addresses = deepcopy(call.addresses)
        answers = deque(call.queued)
        effects = play(
            person,
            call.events,
            program=call.program,
            segments=call.segments,
            floor=call.floor,
            horizon=call.horizon,
            evaluate=evaluate,
            new_id=_numbers(call.ids),
            still_queued=lambda messages: answers.popleft() if answers else frozenset(),
        )
        self._history += call.events
        for effect in effects:
            match effect:
                case SendMessage() | Hold() | Discard() | Call():
                    self.messages[effect.message] = effect
                case Displace():
                    self.displaced[effect.message] = effect.why
                case Expose():
                    self.exposures.append(
                        (effect.experiment, effect.phase, effect.variant, effect.at)
                    )
                case Emit():
                    self._history.append(
                        Event(0, effect.event, effect.at, effect.at, effect.properties)
                    )
                case _:
                    pass
        person.is_new = False
        self.enrollments |= {int(it.id): it for it in person.enrollments}
        person.enrollments = [it for it in person.enrollments if it.status == "active"]

    def _rebuild(self, call: Played) -> None:
        missing = call.segments.feature_keys - self._features_at(self.person.state.release)
        for event in self._history:
            call.segments.observe(self.person.state.features, event, only=missing)

    def facts(self) -> dict[str, Any]:
        """What the database must say of this profile."""
        return facts(
            self.person.state,
            self.enrollments.values(),
            [message_facts(it) for it in self.messages.values()],
            self.exposures,
            self.displaced,
        )


def _numbers(ids: Iterable[tuple[str, int]]) -> Callable[[str], int]:
    """Hands out the ids of a live call again; whoever asks otherwise than it did gets -1."""
    waiting = deque(ids)

    def next_id(noun: str) -> int:
        if not waiting or waiting[0][0] != noun:
            return -1
        return waiting.popleft()[1]

    return next_id


def facts(
    state: State,
    enrollments: Iterable[Enrollment],
    messages: Sequence[tuple[Any, ...]],
    exposures: Sequence[tuple[str, int, str, int]],
    displaced: dict[int, str],
) -> dict[str, Any]:
    """A profile in a form in which two lives compare."""
    known = {int(it.id): it for it in enrollments}
    compared = [name for name in State.__struct_fields__ if name not in NOT_COMPARED]
    return {
        "state": {name: packed(getattr(state, name)) for name in compared},
        # What was heard of an enrollment that has ended is forgotten at its own time.
        "heard": {id: sorted(steps) for id, steps in state.heard.items() if id in known},
        "enrollments": [packed(known[id]) for id in sorted(known)],
        "messages": sorted(messages),
        "exposures": sorted(exposures),
        "displaced": dict(sorted(displaced.items())),
    }


def message_facts(it: SendMessage | Hold | Discard | Call) -> tuple[Any, ...]:
    """(id, enrollment, step, visit, variant, template, kind, why, at, due)."""
    kind = "ghost" if isinstance(it, Ghost) else "sent"
    why, due = "", it.at
    if isinstance(it, Hold):
        kind, why, due = "deferred", it.why, it.until
    elif isinstance(it, Discard):
        kind, why = "dropped", it.why
    elif isinstance(it, Ghost):
        why = f"held out by {it.held_by}"
    draft = None if isinstance(it, Call) else it.draft
    template = draft.template if draft is not None else ""
    return (
        it.message, it.enrollment, it.step, it.visit, it.variant, template, kind, why, it.at, due,
    )  # fmt: skip


def in_one_go(calls: Sequence[Played], events: Sequence[Event], *, horizon: int) -> Life:
    """A whole life in one call: whatever was cut into batches must come to the same.

    Args:
        calls: Those it was really played in.
    """
    first = calls[0]
    life = Life(first.profile_id, features_at=lambda release: frozenset())
    life.live(
        Played(
            first.profile_id,
            tuple(events),
            0,
            horizon,
            {"web": Contact()},
            first.program,
            first.segments,
            tuple(it for call in calls for it in call.ids),
            tuple(it for call in calls for it in call.queued),
        )
    )
    return life
