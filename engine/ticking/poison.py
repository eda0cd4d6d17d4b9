"""A poison item stops nobody: it is tried again, set apart, and the rest of the batch goes on.

An exception is found at once and parked after TRIES; what kills the process is found by the count
that `tick` keeps before each try. Parked rows keep their payload and can be replayed.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy

from msgspec import Struct

from engine.core.errors import StoreError
from engine.core.model.effects import Effect, Pick
from engine.core.model.instants import NEVER, Instant
from engine.core.model.people import Event, Exposed, Person
from engine.core.play import play
from engine.core.scene import no_one_shown, nothing_picked
from engine.release.playbook import Playbook
from engine.store import bulk
from engine.store.connection import Connection, Row
from engine.store.people import Loaded, text

TRIES = 5


class Parked(Struct, frozen=True):
    """One item put aside. `ref` is the event's seq, or the enrollment's id for a due step."""

    kind: str
    profile_id: int
    ref: int
    reason: str
    attempts: int
    payload: str


def isolate(
    it: Loaded,
    events: Sequence[Event],
    playbook: Playbook,
    *,
    floor: Instant,
    horizon: Instant,
    new_id: Callable[[str], int],
    error: Exception,
    shown: Callable[[str, str], Exposed | None] = no_one_shown,
    pick: Pick = nothing_picked,
) -> tuple[list[Effect], list[Parked]]:
    """Play a profile's items one at a time; those that raise TRIES times are parked.

    `it` is freshly loaded and is left as if the parked items had never come.
    """
    profile_id = it.person.profile.id
    effects: list[Effect] = []
    parked: list[Parked] = []

    def attempt(happened: Sequence[Event], until: Instant) -> Exception | None:
        for _ in range(TRIES):
            trial = deepcopy(it.person)
            try:
                done = play(
                    trial,
                    happened,
                    program=playbook.program,
                    segments=playbook.segments,
                    floor=floor,
                    horizon=until,
                    evaluate=playbook.evaluate,
                    new_id=new_id,
                    shown=shown,
                    pick=pick,
                )
            except StoreError:
                raise  # the database's trouble is nobody's poison: the batch is played again
            except Exception as found:
                failure: Exception = found
            else:
                it.person = trial
                effects.extend(done)
                return None
        return failure

    for event in events:
        failure = attempt([event], event.accepted_at)
        if failure is not None:
            failure = _without_due_steps(it, parked, attempt, event)
        if failure is not None:
            parked.append(
                Parked("event", profile_id, event.seq, _words(failure), TRIES, text(event))
            )
    failure = attempt([], horizon)
    if failure is not None:
        _park_due_steps(it.person, horizon, failure, parked)
        failure = attempt([], horizon)
        if failure is not None:
            parked.append(Parked("profile", profile_id, profile_id, _words(failure), TRIES, "{}"))
    return effects, parked


def _without_due_steps(
    it: Loaded,
    parked: list[Parked],
    attempt: Callable[[Sequence[Event], Instant], Exception | None],
    event: Event,
) -> Exception | None:
    """Try an event again with the due steps that raise by themselves set aside first."""
    failure = attempt([], event.accepted_at)
    if failure is not None:
        _park_due_steps(it.person, event.accepted_at, failure, parked)
    return attempt([event], event.accepted_at)


def _park_due_steps(
    person: Person, until: Instant, failure: Exception, parked: list[Parked]
) -> None:
    """Freeze every enrollment that is due: it stays where it is until it is replayed."""
    for enrollment in person.enrollments:
        if enrollment.status == "active" and enrollment.due_at <= until:
            parked.append(
                Parked(
                    "enrollment",
                    person.profile.id,
                    enrollment.id,
                    _words(failure),
                    TRIES,
                    text({"due_at": enrollment.due_at}),
                )
            )
            enrollment.due_at = NEVER
            enrollment.reason = f"parked: {_words(failure)}"


def thaw(person: Person, *, horizon: Instant) -> None:
    """Let a step that was put back (`replaying`) be due for the core.

    The core takes a profile's own timer for its earliest bound, which it always is, but for a step
    that was frozen when the timer was armed and is due again since. Only what is due by the
    horizon counts: of a later one the core would believe that its timer stands.
    """
    for enrollment in person.enrollments:
        if enrollment.due_at <= horizon and enrollment.due_at < person.state.armed_at:
            person.state.armed_at = enrollment.due_at


def park_unplayed(
    events: Sequence[Row], timers: Sequence[Row], *, attempts: int, why: str
) -> list[Parked]:
    """Park the single item that has failed too often, or has killed the process."""
    if events:
        row = events[0]
        return [Parked("event", row[1], row[0], why, attempts, text(list(row[2:])))]
    due, profile_id = timers[0]
    return [Parked("timer", profile_id, due, why, attempts, "{}")]


def write_parked(connection: Connection, parked: Sequence[Parked], *, now: Instant) -> None:
    """Keep what was put aside, in the transaction that moves past it."""
    if not parked:
        return
    first = bulk.reserve(connection, "parked", len(parked))
    bulk.insert(
        connection,
        "parked",
        ("id", "kind", "profile_id", "ref", "reason", "attempts", "payload", "parked_at"),
        [
            (first + n, it.kind, it.profile_id, it.ref, it.reason, it.attempts, it.payload, now)
            for n, it in enumerate(parked)
        ],
    )


def _words(failure: Exception) -> str:
    return f"{type(failure).__name__}: {failure}"
