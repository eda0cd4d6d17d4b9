"""Writes down what the core was asked for in batches that really committed.

The journal is what the oracle replays: the same calls, in memory, without a database between them.
Here poison strikes too, since it strikes where events are played.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import engine.ticking.poison
import engine.ticking.tick
from engine.core.model.campaigns import Program
from engine.core.model.effects import Effect
from engine.core.model.instants import Instant
from engine.core.model.people import Contact, Event, Person
from engine.core.play import play
from engine.core.segments import Segments
from engine.failpoints import Crash
from engine.store import people
from engine.ticking.wire import settle


class Poisoned(Exception):
    """What a poison event does where it does not kill the process."""


@dataclass(frozen=True)
class Played:
    """One call of the core, and what it was answered.

    Attributes:
        ids: Those it was given, in order: (noun, id).
        queued: What it was told of messages that still waited, question by question.
        effects: What it decided; empty where nobody asks.
    """

    profile_id: int
    events: tuple[Event, ...]
    floor: Instant
    horizon: Instant
    addresses: dict[str, Contact]
    program: Program
    segments: Segments
    ids: tuple[tuple[str, int], ...] = ()
    queued: tuple[frozenset[int], ...] = ()
    effects: tuple[Effect, ...] = ()

    @property
    def release(self) -> int:
        return self.program.release


@dataclass
class Recorder:
    """Calls of the batch under way, and those of batches that committed."""

    staged: list[Played] = field(default_factory=list)
    journal: list[Played] = field(default_factory=list)
    n_kills: int = 0

    def commit(self) -> None:
        self.journal += self.staged
        self.staged = []

    def play(self, person: Person, events: Sequence[Event], **given: Any) -> Any:
        for event in events:
            how = event.properties.get("poison")
            if how == "kill":
                self.n_kills += 1
                raise Crash
            if how == "raise":
                raise Poisoned(f"event {event.seq} cannot be played")
        ids: list[tuple[str, int]] = []
        queued: list[frozenset[int]] = []
        new_id, still_queued = given["new_id"], given.pop("still_queued", None)

        def numbered(noun: str) -> int:
            ids.append((noun, new_id(noun)))
            return ids[-1][1]

        def waiting(messages: Sequence[int]) -> frozenset[int]:
            queued.append(frozenset() if still_queued is None else still_queued(messages))
            return queued[-1]

        addresses = deepcopy(person.profile.addresses)
        given |= {"new_id": numbered, "still_queued": waiting}
        effects = play(person, events, **given)
        self.staged.append(
            Played(
                person.profile.id,
                tuple(events),
                given["floor"],
                given["horizon"],
                addresses,
                given["program"],
                given["segments"],
                tuple(ids),
                tuple(queued),
                tuple(effects),
            )
        )
        return effects

    def settle(self, each: Any, *given: Any) -> Event:
        if each.event.properties.get("poison") == "settle":
            raise Poisoned(f"event {each.event.seq} cannot be read")
        return settle(each, *given)


@contextmanager
def replaced(*changes: tuple[object, str, Any]) -> Iterator[None]:
    """Put other functions in the place of some for as long as the block runs."""
    before: list[tuple[object, str, Callable[..., Any]]] = []
    try:
        for owner, name, value in changes:
            before.append((owner, name, getattr(owner, name)))
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in reversed(before):
            setattr(owner, name, value)


def recording(recorder: Recorder) -> Any:
    """A block in which the engine's calls of the core are recorded.

    Whoever is saved without being told anything must have the row that was read: it is not written.
    """
    take = people.Changes.take

    def take_in(changes: people.Changes, it: people.Loaded) -> None:
        assert it.is_told or people.profile_row(it) == it.was_profile, "a change nobody told of"
        take(changes, it)

    return replaced(
        (people.Changes, "take", take_in),
        (engine.ticking.tick, "play", recorder.play),
        (engine.ticking.poison, "play", recorder.play),
        (engine.ticking.tick, "settle", recorder.settle),
    )
