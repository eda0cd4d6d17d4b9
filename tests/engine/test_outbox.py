"""The outbox: an attempt before every call, one outcome for every attempt. On both databases."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from channels.base import Accepted, Ambiguous, NotSent, OutMessage, Receipt, RefusedBy, Throttled
from engine import failpoints
from engine.core.errors import StoreError
from engine.core.model import HOUR, MINUTE, SECOND
from engine.failpoints import Crash
from engine.outbox import ATTEMPTS_MAX, PAUSE
from engine.store import queue
from engine.unsubscribe import withdraw
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


def test_a_hard_refusal_suppresses_the_address_for_everything(stage: Stage) -> None:
    stage.email.script = [RefusedBy("recipient", "550", "no such user", "hard")]
    stage.a_receipt(order="o1")
    stage.drain()

    stage.a_receipt(order="o2")
    stage.drain()

    assert stage.rows("SELECT suppressed FROM contact WHERE channel = 'email'") == [
        ("hard bounce",)
    ]
    assert [status for status, _ in stage.messages("receipt")] == ["failed", "dropped"]
    assert len(stage.email.calls) == 1


def test_a_throttled_message_waits_as_long_as_the_provider_says(stage: Stage) -> None:
    stage.a_receipt()
    stage.email.script = [Throttled(90.0, "slow down")]
    due = stage.now + 90 * SECOND

    stage.drain()
    stage.now = due - 1
    early = stage.drain()
    stage.now = due
    stage.drain()

    assert early.is_idle
    assert stage.attempts() == ["throttled", "accepted"]


def test_what_never_left_us_is_tried_again_and_given_up_with_its_reason(stage: Stage) -> None:
    stage.a_receipt()
    stage.email.script = [NotSent("connection refused")] * (ATTEMPTS_MAX + 1)

    for _ in range(ATTEMPTS_MAX + 2):
        stage.drain()
        stage.now += 10 * MINUTE

    assert stage.messages("receipt") == [
        ("failed", f"gave up after {ATTEMPTS_MAX} attempts: connection refused")
    ]
    assert stage.attempts() == ["not_sent"] * ATTEMPTS_MAX


def test_a_refused_account_rests_the_channel_and_fails_nobody(stage: Stage) -> None:
    stage.a_receipt()
    stage.email.script = [RefusedBy("account", "401", "key revoked")]

    stage.drain()
    stage.now += PAUSE - SECOND
    resting = stage.drain()
    stage.now += SECOND
    stage.drain()

    assert resting.is_idle
    assert stage.messages("receipt") == [("sent", "")]


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


def test_a_message_that_cannot_be_made_fails_alone(stage: Stage) -> None:
    stage.identify("u2")
    stage.a_receipt("u1", "o1")
    stage.a_receipt("u2", "o2")
    stage.process.write(
        lambda it: it.execute(
            "UPDATE profile SET sealed = replace(sealed, 'sealed:1:', 'sealed:1:AAAA') "
            "WHERE external_id = 'u1'"
        )
    )

    stage.drain()

    (first, second) = stage.messages("receipt")
    assert first[0] == "failed"
    assert first[1].startswith("it cannot be made: StoreError")
    assert second == ("sent", "")


def test_an_error_in_one_call_costs_no_other_its_outcome(stage: Stage) -> None:
    stage.identify("u2")
    stage.a_receipt("u1", "o1")
    stage.a_receipt("u2", "o2")
    stage.email.script = [Accepted("p1"), ValueError("a bug of the provider's translation")]

    stage.drain()

    assert sorted(stage.attempts()) == ["accepted", "ambiguous"]


def test_a_withdrawal_while_the_message_is_composed_drops_it(stage: Stage) -> None:
    stage.a_cart_message()
    ((message,),) = stage.rows("SELECT id FROM message WHERE template = 'soft'")

    def withdraw_now(hit: str) -> None:
        if hit == "outbox claim":
            failpoints.install(None)
            stage.process.write(
                lambda it: withdraw(
                    it, message=message, scope="topic", log=stage.process.log, now=stage.now,
                    proof="test",
                )
            )  # fmt: skip

    failpoints.install(withdraw_now)
    try:
        stage.drain()
    finally:
        failpoints.install(None)

    assert stage.messages("soft") == [("dropped", "unsubscribed from offers by email")]
    assert stage.email.calls == []


def test_quiet_hours_are_read_again_at_the_attempt(stage: Stage) -> None:
    """Queued in the afternoon, but nobody sent it before eleven at night."""
    stage.a_cart_message()
    stage.now += 11 * HOUR

    held = stage.drain()

    assert held.n_held == 1
    ((status, reason),) = stage.messages("soft")
    assert status == "queued"
    assert reason.startswith("quiet hours until 2026-03-03T05:00:00Z")


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


def test_a_refused_setting_rests_its_own_channel_only(stage: Stage) -> None:
    stage.track("u1", "Product Viewed")
    stage.track("u1", "Product Viewed")
    stage.a_receipt()
    stage.email.script = [RefusedBy("config", "535", "wrong password")]

    stage.drain("email")
    stage.drain("sms")

    assert stage.messages("hello") == [("sent", "")]
    assert stage.messages("receipt") == [
        ("queued", "scripted-email refused it (535): wrong password")
    ]


def test_a_soft_refusal_fails_the_message_and_suppresses_nobody(stage: Stage) -> None:
    stage.a_receipt(order="o1")
    stage.email.script = [RefusedBy("recipient", "452", "mailbox full", "soft")]
    stage.drain()

    stage.a_receipt(order="o2")
    stage.drain()

    assert [status for status, _ in stage.messages("receipt")] == ["failed", "sent"]


def test_a_message_that_expired_in_the_queue_is_dropped(stage: Stage) -> None:
    stage.a_receipt()
    expires(stage, stage.now + HOUR)
    stage.now += HOUR

    stage.drain()

    assert stage.messages("receipt") == [("dropped", "expired")]
    assert stage.email.calls == []


def test_a_message_that_would_expire_before_its_next_try_is_dropped_now(stage: Stage) -> None:
    stage.a_receipt()
    expires(stage, stage.now + MINUTE)
    stage.email.script = [Throttled(60.0, "slow down")]

    stage.drain()

    assert stage.messages("receipt") == [
        ("dropped", "expired while waiting to try again: slow down")
    ]
    assert stage.attempts() == ["throttled"]


def test_a_value_that_went_missing_since_drops_the_message_and_names_its_path(
    stage: Stage,
) -> None:
    """The gate saw `profile.plan`; before the attempt the person lost it."""
    stage.track("u1", "Product Viewed")
    stage.track("u1", "Product Viewed")
    stage.settle()
    stage.identify("u1", plan=None)
    stage.settle()

    stage.drain("sms")

    ((status, reason),) = stage.messages("hello")
    assert status == "dropped"
    assert "profile.plan" in reason
    assert stage.sms.calls == []


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


def expires(stage: Stage, at: int) -> None:
    stage.process.write(lambda it: it.execute("UPDATE message SET expires_at = ?", (at,)))
