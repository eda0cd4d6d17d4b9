"""The outbox: an attempt before every call, one outcome for every attempt. On both databases."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from channels.base import Accepted, Ambiguous, OutMessage, Receipt
from engine import failpoints
from engine.core.errors import StoreError
from engine.core.model.instants import HOUR, MINUTE
from engine.failpoints import Crash
from engine.sending.answers import ATTEMPTS_MAX
from engine.store import queue
from tests.rig.recorder import replaced
from tests.rig.stage import Stage


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    opened = Stage(database_url)
    opened.identify("u1")
    yield opened
    opened.close()


def test_an_accepted_message_is_sent_once_and_says_so(stage: Stage) -> None:
    stage.a_receipt()

    stage.drain()
    again = stage.drain()

    assert stage.messages("receipt") == [("sent", "")]
    assert stage.attempts() == ["accepted"]
    assert again.is_idle
    assert [call.to for call in stage.email.calls] == ["u1@example.com"]


def test_marketing_whose_reply_was_lost_ends_unknown_and_is_never_repeated(stage: Stage) -> None:
    stage.a_cart_message()
    stage.email.script = [Ambiguous("reply lost")]

    stage.drain()
    stage.now += HOUR
    stage.drain()

    ((status, reason),) = stage.messages("soft")
    assert (status, reason) == ("unknown", "reply lost")
    assert len(stage.email.calls) == 1


def test_a_transactional_message_is_tried_again_with_the_same_key(stage: Stage) -> None:
    stage.a_receipt()
    stage.email.script = [Ambiguous("reply lost")]

    stage.drain()
    stage.now += MINUTE
    stage.drain()

    assert stage.messages("receipt") == [("sent", "")]
    assert stage.attempts() == ["ambiguous", "accepted"]
    first, second = stage.email.calls
    assert first.idempotency_key == second.idempotency_key != ""


def test_a_provider_that_honours_keys_is_asked_again_for_marketing_too(stage: Stage) -> None:
    stage.track("u1", "Product Viewed")
    stage.track("u1", "Product Viewed")
    stage.settle()
    stage.sms.script = [Ambiguous("reply lost")]

    stage.drain("sms")
    stage.now += MINUTE
    stage.drain("sms")

    assert stage.messages("hello") == [("sent", "")]
    assert len({call.idempotency_key for call in stage.sms.calls}) == 1


@pytest.mark.parametrize(
    ("name", "n_calls"), [("attempt commit", 0), ("bytes sent", 1), ("reply unread", 1)]
)
def test_a_death_around_the_call_leaves_marketing_unknown(
    stage: Stage, name: str, n_calls: int
) -> None:
    def die(hit: str) -> None:
        if hit == name:
            raise Crash

    stage.a_cart_message()
    failpoints.install(die)
    try:
        with pytest.raises(Crash):
            stage.drain()
    finally:
        failpoints.install(None)
    stage.restart()
    stage.drain()

    ((status, reason),) = stage.messages("soft")
    assert status == "unknown"
    assert reason == "the process stopped before the provider's answer was recorded"
    assert len(stage.email.calls) == n_calls


def test_an_answer_that_could_not_be_recorded_is_recorded_before_the_next_calls(
    stage: Stage,
) -> None:
    stage.a_receipt()
    honest = queue.finish_attempts

    def full(*given: Any, **more: Any) -> None:
        raise StoreError("the disk is full")

    with replaced((queue, "finish_attempts", full)), pytest.raises(StoreError):
        stage.drain()
    assert honest is queue.finish_attempts
    stage.drain()

    assert stage.messages("receipt") == [("sent", "")]
    assert len(stage.email.calls) == 1


def test_an_error_in_one_call_costs_no_other_its_outcome(stage: Stage) -> None:
    stage.identify("u2")
    stage.a_receipt("u1", "o1")
    stage.a_receipt("u2", "o2")
    stage.email.script = [Accepted("p1"), ValueError("a bug of the provider's translation")]

    stage.drain()

    assert sorted(stage.attempts()) == ["accepted", "ambiguous"]


def test_a_crash_loop_does_not_repeat_even_transactional_messages_for_ever(stage: Stage) -> None:
    def die(hit: str) -> None:
        if hit == "bytes sent":
            raise Crash

    stage.a_receipt()
    for _ in range(ATTEMPTS_MAX + 3):
        failpoints.install(die)
        try:
            stage.drain()
        except Crash:
            pass
        finally:
            failpoints.install(None)
        stage.restart()

    assert len(stage.email.calls) == ATTEMPTS_MAX
    assert stage.messages("receipt")[0][0] == "unknown"


def test_the_attempt_is_committed_before_the_provider_hears_of_it(stage: Stage) -> None:
    """Seen by another connection from within the call, which reads only what is committed."""
    seen: list[Any] = []

    async def look(message: OutMessage) -> Receipt:
        seen.extend(
            stage.rows(
                "SELECT m.status, a.number, a.provider, a.outcome, a.started_at FROM attempt a "
                "JOIN message m ON m.id = a.message_id WHERE m.id = ?",
                message.id,
            )
        )
        return Accepted("p1")

    stage.email.deliver = look  # type: ignore[method-assign]
    stage.a_receipt()
    stage.drain()

    assert seen == [("attempting", 1, "scripted-email", "", stage.now)]
    assert stage.attempts() == ["accepted"]


def test_no_outcome_waits_for_the_call_of_a_slow_recipient(stage: Stage) -> None:
    """The slow call ends only when the quick one's outcome can be read, or after ten seconds."""
    while_waiting: list[list[str]] = []

    async def deliver(message: OutMessage) -> Receipt:
        if message.to == "u2@example.com":
            for _ in range(1_000):
                await asyncio.sleep(0.01)
                if "accepted" in stage.attempts():
                    break
            while_waiting.append(sorted(stage.attempts()))
        return Accepted("p1")

    stage.email.deliver = deliver  # type: ignore[method-assign]
    stage.identify("u2")
    stage.a_receipt("u2", "o2")
    stage.a_receipt("u1", "o1")
    stage.drain()

    assert while_waiting == [["", "accepted"]]
    assert stage.attempts() == ["accepted", "accepted"]


def test_recovery_settles_what_a_dead_process_left_and_says_how_many(stage: Stage) -> None:
    def die(hit: str) -> None:
        if hit == "attempt commit":
            raise Crash

    stage.identify("u2")
    stage.a_receipt("u1", "o1")
    stage.a_receipt("u2", "o2")
    failpoints.install(die)
    try:
        with pytest.raises(Crash):
            stage.drain()
    finally:
        failpoints.install(None)

    outbox, playbook = stage.process.outbox, stage.process.playbook
    settled = [outbox.recover(playbook, now=stage.now), outbox.recover(playbook, now=stage.now)]
    stage.drain()

    assert settled == [2, 0]
    assert stage.attempts() == ["ambiguous", "accepted"] * 2
    assert [status for status, _ in stage.messages("receipt")] == ["sent", "sent"]


def test_a_message_that_another_has_taken_is_left_alone(stage: Stage) -> None:
    """Between our reading of the queue and our transaction, someone else began the attempt."""

    def taken(hit: str) -> None:
        if hit == "outbox claim":
            failpoints.install(None)
            stage.process.write(lambda it: it.execute("UPDATE message SET status = 'attempting'"))

    stage.a_receipt()
    failpoints.install(taken)
    try:
        done = stage.drain()
    finally:
        failpoints.install(None)

    assert done.n_attempts == 0
    assert stage.email.calls == []
    assert stage.attempts() == []
