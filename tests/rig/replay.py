"""The oracle: a profile's life played again in memory, with no database and no crash in between."""

from collections.abc import Sequence
from copy import deepcopy
from itertools import count
from typing import Any

from msgspec.structs import replace

from engine.core.model import (
    Contact,
    Discard,
    Emit,
    Enrollment,
    Event,
    Expose,
    Ghost,
    Hold,
    Person,
    Profile,
    ProfileId,
    SendMessage,
    State,
)
from engine.core.play import play
from tests.rig.build import a_playbook, packed
from tests.rig.recorder import Played


class Life:
    """One profile played in memory, and everything that came of it.

    Attributes:
        enrollments: All there ever were, in the order entered.
        messages: The last word on each message, in order of first mention.
        exposures: (experiment, phase, variant, at) in order.
    """

    def __init__(self, profile_id: int) -> None:
        self.person = Person(
            Profile(ProfileId(profile_id), "UTC", addresses={"web": Contact()}),
            State(),
            is_new=True,
        )
        self.enrollments: list[Enrollment] = []
        self.messages: dict[int, SendMessage | Hold | Discard] = {}
        self.exposures: list[tuple[str, int, str, int]] = []
        self._history: list[Event] = []
        self._ids = count(1)

    def live(self, call: Played) -> None:
        """Play one recorded call. The caller's batch read contacts as they then stood."""
        playbook = a_playbook(call.release)
        person = self.person
        if not person.is_new and person.state.release != call.release:
            self._rebuild(call.release)
        person.profile.addresses = deepcopy(call.addresses)
        effects = play(
            person,
            call.events,
            program=playbook.program,
            segments=playbook.segments,
            floor=call.floor,
            horizon=call.horizon,
            evaluate=playbook.evaluate,
            new_id=lambda noun: next(self._ids),
        )
        self._history += call.events
        for effect in effects:
            match effect:
                case SendMessage() | Hold() | Discard():
                    self.messages[effect.message] = effect
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
        known = {id(it) for it in self.enrollments}
        self.enrollments += [it for it in person.enrollments if id(it) not in known]
        person.enrollments = [it for it in person.enrollments if it.status == "active"]

    def _rebuild(self, release: int) -> None:
        before = a_playbook(self.person.state.release).segments.feature_keys
        segments = a_playbook(release).segments
        missing = segments.feature_keys - before
        for event in self._history:
            segments.observe(self.person.state.features, event, only=missing)

    def facts(self) -> dict[str, Any]:
        """What the database must say of this profile."""
        return facts(
            self.person.state,
            self.enrollments,
            [message_facts(it, self.enrollments) for it in self.messages.values()],
            self.exposures,
        )


def facts(
    state: State,
    enrollments: Sequence[Enrollment],
    messages: Sequence[tuple[Any, ...]],
    exposures: Sequence[tuple[str, int, str, int]],
) -> dict[str, Any]:
    """A profile with every id replaced by its place in order, so that two lives compare."""
    places = {int(it.id): place for place, it in enumerate(enrollments)}
    heard = {places[i]: sorted(steps) for i, steps in state.heard.items() if i in places}
    told = replace(state, heard={}, armed_at=0)
    return {
        "state": _by_part(told),
        "heard": heard,
        "enrollments": [
            packed(replace(it, id=place, message=it.message is not None))
            for place, it in enumerate(enrollments)
        ],
        "messages": sorted(messages),
        "exposures": sorted(exposures),
    }


def _by_part(state: State) -> dict[str, Any]:
    return {
        name: packed(getattr(state, name))
        for name in ("features", "memberships", "exposures", "ledger", "entries", "schedules",
                     "release", "audiences", "backfilled")
    }  # fmt: skip


def message_facts(
    it: SendMessage | Hold | Discard, enrollments: Sequence[Enrollment]
) -> tuple[Any, ...]:
    """(enrollment's place, step, visit, variant, template, kind, why, at, due)."""
    places = {each.id: place for place, each in enumerate(enrollments)}
    kind = "ghost" if isinstance(it, Ghost) else "sent"
    why, due = "", it.at
    if isinstance(it, Hold):
        kind, why, due = "deferred", it.why, it.until
    elif isinstance(it, Discard):
        kind, why = "dropped", it.why
    elif isinstance(it, Ghost):
        why = f"held out by {it.held_by}"
    template = it.draft.template if it.draft is not None else ""
    return (
        places.get(it.enrollment, -1), it.step, it.visit, it.variant, template, kind, why, it.at,
        due,
    )  # fmt: skip


def in_one_go(profile_id: int, events: Sequence[Event], *, horizon: int, release: int) -> Life:
    """A whole life in one call: whatever was cut into batches must come to the same."""
    life = Life(profile_id)
    addresses = {"web": Contact()}
    life.live(Played(profile_id, tuple(events), 0, horizon, addresses, release))
    return life
