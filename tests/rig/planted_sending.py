"""Bugs that the proofs by number must find: P4, P5, P10, P12, P13 and P15, one switch each.

As in `planted`: each is a change that a reasonable person could make.
"""

from contextlib import AbstractContextManager
from typing import Any, Final

import engine.hearing.feedback
import engine.ticking.tick
from channels import pace
from channels.base import NotSent
from engine.sending import answers, attempts
from engine.sending.lanes import Pace
from engine.store import queue
from engine.store.events import COLUMNS, EventLog
from engine.store.queue import Outcome
from tests.rig.recorder import replaced


def no_breaker() -> AbstractContextManager[Any]:
    """P13: a provider that is down is called for every message, each in its own time."""
    return replaced((pace.Breaker, "record", lambda *given, **more: False))


def no_slow_start() -> AbstractContextManager[Any]:
    """P13: a provider that has come back gets everything at once."""

    def record(self: Pace, *given: Any, **more: Any) -> None:
        honest(self, *given, **more)
        self._slow_start = None

    honest = Pace.record
    return replaced((Pace, "record", record))


def no_rate() -> AbstractContextManager[Any]:
    """P13: the rate is asked when messages are claimed, and nobody books its calls."""
    return replaced((pace.Rate, "take", lambda self, *, now: now))


def attempts_are_counted() -> AbstractContextManager[Any]:
    """P13: a message that could not be sent eight times has failed, whoever was to blame."""

    def judged(case: Any, receipt: Any, **more: Any) -> Outcome:
        outcome = honest(case, receipt, **more)
        if isinstance(receipt, NotSent) and case.number >= 8:
            return Outcome(
                outcome.message, outcome.number, "not_sent", "failed", "gave up", outcome.due_at,
                outcome.at,
            )  # fmt: skip
        return outcome

    honest = answers.judged
    return replaced((answers, "judged", judged))


def one_lane_for_all() -> AbstractContextManager[Any]:
    """P13: channels share one pace, so that the outage of one rests the others."""
    from engine.sending.lanes import Paces

    def of(self: Paces, channel: str) -> Pace:
        return honest(self, "email")

    honest = Paces.of
    return replaced((Paces, "of", of))


def keys_live_for_ever() -> AbstractContextManager[Any]:
    """P4: an ambiguous call is repeated under a key that its provider has forgotten."""
    return replaced(
        (answers, "key_holds", lambda capabilities, **more: capabilities.idempotency_hours > 0)
    )


def repeats_are_not_counted() -> AbstractContextManager[Any]:
    """P4: a lost reply is written down as if nothing had left us."""
    honest = answers.judged

    def judged(case: Any, receipt: Any, **more: Any) -> Outcome:
        is_ambiguous = type(receipt).__name__ == "Ambiguous"
        return honest(case, NotSent(receipt.why) if is_ambiguous else receipt, **more)

    return replaced((answers, "judged", judged))


def a_backup_knows_no_doubt() -> AbstractContextManager[Any]:
    """P4: a backup is asked about its own lost replies alone, not about the first's."""

    def may_repeat(*given: Any, n_elsewhere: int = 0, **more: Any) -> bool:
        return honest(*given, **more)

    honest = answers.may_repeat
    return replaced((answers, "may_repeat", may_repeat))


def the_present_address_is_suppressed() -> AbstractContextManager[Any]:
    """P5: a bounce is taken to be about the address that the profile has by now."""
    return replaced((engine.hearing.feedback, "reached", lambda *given: {}))


def repeated_reports_count_again() -> AbstractContextManager[Any]:
    """P5: the last word of a provider wins, and every repeat is a word."""

    def merged(row: Any, it: Any) -> Any:
        made = honest(row, it)
        kind = it.kind if it.kind in engine.hearing.feedback.ORDER else "queued"
        return (made[0], kind, it.at, made[3], made[4])

    honest = engine.hearing.feedback.merged
    return replaced((engine.hearing.feedback, "merged", merged))


def consent_is_read_when_claimed() -> AbstractContextManager[Any]:
    """P10: the gates are asked with the contact rows as they were when the message was claimed."""
    from engine.store import people

    seen: dict[str, Any] = {}

    def claim(connection: Any, channel: str, **given: Any) -> Any:
        rows = connection.execute("SELECT address_hash FROM contact")
        seen.clear()
        seen.update(people.contacts(connection, [bytes(row[0]).hex() for row in rows]))
        return honest(connection, channel, **given)

    def locked(connection: Any, keys: Any, *, now: int) -> Any:
        return {key: seen[key] for _, key in keys if key in seen}

    honest = queue.queued
    return replaced((queue, "queued", claim), (queue, "locked_contacts", locked))


def nothing_is_given_up() -> AbstractContextManager[Any]:
    """P13: what is three days old still goes out when its provider comes back."""
    return replaced(
        (answers, "has_waited", lambda *given, **more: False),
        (attempts, "has_waited", lambda *given, **more: False),
    )


def a_full_disk_is_poison() -> AbstractContextManager[Any]:
    """P12, P15: what could not be written five times is put aside as poison."""

    class Nothing(Exception):
        """What no database raises."""

    return replaced((engine.ticking.tick, "StoreError", Nothing))


def a_replay_copies_the_event() -> AbstractContextManager[Any]:
    """P12: what is replayed is a second event, which reports count again."""

    def move_to_end(self: EventLog, connection: Any, seq: int, *, now: int) -> bool:
        columns = ", ".join(COLUMNS[2:])
        rows = connection.execute(f"SELECT {columns} FROM event WHERE seq = ?", (seq,))
        self.append(connection, [(None, *rows[0])], now=now)
        return True

    return replaced((EventLog, "move_to_end", move_to_end))


BUGS: Final = (
    no_breaker,
    no_slow_start,
    no_rate,
    attempts_are_counted,
    one_lane_for_all,
    keys_live_for_ever,
    repeats_are_not_counted,
    a_backup_knows_no_doubt,
    the_present_address_is_suppressed,
    repeated_reports_count_again,
    consent_is_read_when_claimed,
    nothing_is_given_up,
    a_full_disk_is_poison,
    a_replay_copies_the_event,
)
