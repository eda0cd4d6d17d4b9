"""Bugs the rig must find: each replaces one piece of the engine by one that breaks a promise.

A rig that has never caught anything proves nothing. Every bug here is one that a reasonable person
could write; some stood in this very code until the rig found them.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

from msgspec.structs import replace

import engine.core.journeys.forks
import engine.core.journeys.steps
import engine.core.play
import engine.hearing.feedback
import engine.sending.attempts
import engine.sending.composing
import engine.ticking.taking
import engine.ticking.tenure
import engine.ticking.tick
from channels.base import Accepted, Ambiguous
from engine.core.model.effects import Wake
from engine.core.model.instants import NEVER, Instant
from engine.failpoints import hit
from engine.hearing.feedback import ORDER
from engine.intake.commit import GroupCommit
from engine.sending import answers
from engine.sending.outbox import Outbox
from engine.store import claims, people, queue
from engine.store.connection import Connection, Row
from engine.store.events import EventLog
from engine.store.outcomes import Outcomes
from engine.ticking.tick import Ticker
from tests.rig.recorder import replaced

Bug = Callable[[], AbstractContextManager[Any]]


def acknowledged_before_the_commit() -> AbstractContextManager[Any]:
    """P1: the answer is out while the transaction is still open."""

    def commit(self: GroupCommit, group: list[Any]) -> None:
        with self._database.write() as connection:
            answers = self._ingest.commit(
                connection, [request.prepared for request in group], now=self._clock()
            )
            for request, given in zip(group, answers, strict=True):
                request.future.set_result(given)
            hit("reply")
        hit("ingest commit")

    return replaced((GroupCommit, "_commit", commit))


def no_dedupe_across_batches() -> AbstractContextManager[Any]:
    """P2: only repeats within one batch are noticed."""

    def known(self: EventLog, connection: Connection, hashes: Any, *, now: Instant) -> set[bytes]:
        return set()

    def append(self: EventLog, connection: Connection, rows: Sequence[Row], *, now: Instant) -> int:
        connection.execute("DROP INDEX IF EXISTS event_1_message")
        return honest(self, connection, rows, now=now)

    honest = EventLog.append
    return replaced((EventLog, "known", known), (EventLog, "append", append))


def dedupe_forgets_closed_parts() -> AbstractContextManager[Any]:
    """P2: a messageId is looked up in the newest part of the log alone."""

    def known(self: EventLog, connection: Connection, hashes: Any, *, now: Instant) -> set[bytes]:
        part = (max(self.lock(connection), 1) - 1) // self._per_part + 1
        rows = connection.select_in(
            f"SELECT message_hash FROM event_{part} WHERE message_hash IN (?)", hashes
        )
        return {bytes(row[0]) for row in rows}

    return replaced((EventLog, "known", known))


def position_before_the_effects() -> AbstractContextManager[Any]:
    """P3: the place in the log is committed on its own, before what the events caused."""

    def commit(
        self: Ticker, lease: Any, batch: Any, items: Any, *, now: Instant, **more: Any
    ) -> None:
        if items.events:
            last = items.events[-1][0]
            self._write(lambda it: claims.advance(it, lease, position=last, attempts=0))
        hit("step commit")
        honest(self, lease, batch, items, now=now, **more)

    honest = Ticker._commit
    return replaced((Ticker, "_commit", commit))


def state_before_the_timers() -> AbstractContextManager[Any]:
    """P3: people are saved in one transaction, their messages and timers in the next."""

    def commit(
        self: Ticker, lease: Any, batch: Any, items: Any, *, now: Instant, **more: Any
    ) -> None:
        self._write(lambda it: people.save(it, batch.people, now=now))
        hit("step commit")
        batch.people = people.Changes()
        honest(self, lease, batch, items, now=now, **more)

    honest = Ticker._commit
    return replaced((Ticker, "_commit", commit))


def no_epoch_check() -> AbstractContextManager[Any]:
    """P3, P11: an engine that was usurped goes on writing."""

    def advance(
        connection: Connection, lease: Any, *, position: int, attempts: int, **more: Any
    ) -> None:
        numbers = sorted(more.get("numbers") or lease.held)
        connection.executemany(
            "UPDATE partition SET position = ?, attempts = ? WHERE number = ?",
            [(position or lease.held[it].position, attempts, it) for it in numbers],
        )

    return replaced((claims, "advance", advance))


def timers_not_armed_again() -> AbstractContextManager[Any]:
    """P3: a timer that fired is gone, and the next one is not set."""

    def take(self: Outcomes, effects: Any, **given: Any) -> None:
        fired = [it for it in effects if isinstance(it, Wake)]
        rest = [it for it in effects if not isinstance(it, Wake)]
        first = [it for it in fired if not self.timers]
        honest(self, [*rest, *first], **given)

    honest = Outcomes.take
    return replaced((Outcomes, "take", take))


def timers_overtake_events() -> AbstractContextManager[Any]:
    """Rule 1: what fell due during an outage acts before the events that came first."""

    def next_events(*given: Any, **more: Any) -> Any:
        events, _, position = honest(*given, **more)
        return events, given[3], position

    honest = engine.ticking.taking.next_events
    return replaced((engine.ticking.taking, "next_events", next_events))


def armed_only_if_earlier() -> AbstractContextManager[Any]:
    """P3: a fired timer is taken for one that still stands."""

    def arm(scene: Any, due: Instant, horizon: Instant) -> None:
        if due < scene.state.armed_at:
            scene.state.armed_at = due
            scene.effects.append(Wake(due))

    return replaced((engine.core.play, "_arm", arm))


def consent_looked_at_too_early() -> AbstractContextManager[Any]:
    """P10: contact rows are read when messages are claimed, not where the attempt commits."""
    seen: dict[str, Any] = {}

    def claim(connection: Connection, channel: str, **given: Any) -> Any:
        rows = connection.execute("SELECT address_hash FROM contact")
        seen.update(people.contacts(connection, [bytes(row[0]).hex() for row in rows]))
        return honest(connection, channel, **given)

    def locked(connection: Connection, keys: Any, *, now: Instant) -> Any:
        return {key: seen[key] for _, key in keys if key in seen}

    honest = queue.queued
    return replaced((queue, "queued", claim), (queue, "locked_contacts", locked))


def attempt_after_the_call() -> AbstractContextManager[Any]:
    """P4: the attempt row is written with its outcome."""

    def begin(connection: Connection, rows: Any) -> dict[int, int]:
        return {it.message: 1 for it in rows}

    def finish(connection: Connection, outcomes: Any) -> Any:
        honest_begin(
            connection, [queue.Beginning(it.message, "late", "", it.at, None) for it in outcomes]
        )
        return honest_finish(connection, outcomes)

    honest_begin, honest_finish = queue.begin_attempts, queue.finish_attempts
    return replaced((queue, "begin_attempts", begin), (queue, "finish_attempts", finish))


def ambiguous_taken_for_accepted() -> AbstractContextManager[Any]:
    """P4: a lost reply counts as a yes."""

    def outcome(self: Outbox, playbook: Any, provider: Any, it: Any, receipt: Any, now: int) -> Any:
        if isinstance(receipt, Ambiguous):
            receipt = Accepted("probably")
        return honest(self, playbook, provider, it, receipt, now)

    honest = Outbox._outcome
    return replaced((Outbox, "_outcome", outcome))


def ambiguous_sent_again() -> AbstractContextManager[Any]:
    """P4: marketing whose fate nobody knows is simply tried again."""
    return replaced((answers, "may_repeat", lambda *given, **more: True))


def key_changes_with_the_attempt() -> AbstractContextManager[Any]:
    """P4: every try carries an idempotency key of its own."""
    tries: list[int] = []

    def composed(*given: Any, **more: Any) -> Any:
        made = honest(*given, **more)
        tries.append(1)
        return replace(made, message=replace(made.message, idempotency_key=f"try {len(tries)}"))

    honest = engine.sending.composing.compose
    return replaced((engine.sending.attempts, "compose", composed))


def webhooks_move_backwards() -> AbstractContextManager[Any]:
    """P5: the last report to come in decides."""

    def merged(row: Row | None, it: Any) -> Row:
        message, _, _, opened_at, clicked_at = honest(row, it)
        return (message, it.kind if it.kind in ORDER else "queued", it.at, opened_at, clicked_at)

    honest = engine.hearing.feedback.merged
    return replaced((engine.hearing.feedback, "merged", merged))


def exposure_forgotten() -> AbstractContextManager[Any]:
    """P9: everyone is assigned anew, by the weights of the day."""

    def allot(scene: Any, name: str) -> Any:
        known = scene.state.exposures.pop(name, None)
        try:
            return honest(scene, name)
        finally:
            if known is not None:
                scene.state.exposures[name] = known

    honest = engine.core.journeys.forks.allot
    return replaced(
        (engine.core.journeys.forks, "allot", allot), (engine.core.journeys.steps, "allot", allot)
    )


def starts_count_as_tries() -> AbstractContextManager[Any]:
    """P12: an engine that was restarted often parks the next innocent event."""

    def claim(connection: Connection, **given: Any) -> claims.Lease:
        connection.execute("UPDATE partition SET attempts = attempts + 1")
        return honest(connection, **given)

    honest = claims.claim
    return replaced((claims, "claim", claim))


def poison_stops_the_loop() -> AbstractContextManager[Any]:
    """P12: an error in one profile's play undoes the batch, for ever."""

    def isolate(*given: Any, error: Exception, **more: Any) -> Any:
        raise error

    return replaced(
        (engine.ticking.tick, "isolate", isolate),
        (engine.ticking.tenure, "TRIES_BEFORE_CARE", NEVER),
    )


BUGS: Final[tuple[Bug, ...]] = (
    acknowledged_before_the_commit,
    no_dedupe_across_batches,
    dedupe_forgets_closed_parts,
    position_before_the_effects,
    state_before_the_timers,
    no_epoch_check,
    timers_not_armed_again,
    timers_overtake_events,
    armed_only_if_earlier,
    consent_looked_at_too_early,
    attempt_after_the_call,
    ambiguous_taken_for_accepted,
    ambiguous_sent_again,
    key_changes_with_the_attempt,
    webhooks_move_backwards,
    exposure_forgotten,
    starts_count_as_tries,
    poison_stops_the_loop,
)
