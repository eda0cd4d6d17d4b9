"""The last look before an attempt: what may have changed since the message was queued."""

from collections.abc import Iterator

import pytest

from channels.base import Ambiguous, Throttled
from channels.delivery import DeliveryEvent
from engine import failpoints
from engine.consent.unsubscribe import withdraw
from engine.core.model.instants import HOUR, MINUTE
from tests.rig.stage import Stage


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    opened = Stage(database_url)
    opened.identify("u1")
    yield opened
    opened.close()


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


def expires(stage: Stage, at: int) -> None:
    stage.process.write(lambda it: it.execute("UPDATE message SET expires_at = ?", (at,)))


def test_a_message_that_turns_out_to_have_arrived_while_it_is_taken_up_is_not_dropped(
    stage: Stage,
) -> None:
    stage.a_receipt()
    stage.email.script = [Ambiguous("reply lost")]
    stage.drain()
    stage.now += MINUTE
    ((message,),) = stage.rows("SELECT id FROM message WHERE template = 'receipt'")

    def meanwhile(name: str) -> None:
        if name == "outbox claim":
            failpoints.install(None)
            said = (("delivered", 1), ("complained", 2))
            stage.report(
                *(DeliveryEvent(kind, message, f"e{n}", stage.now) for kind, n in said)  # type: ignore[arg-type]
            )

    failpoints.install(meanwhile)
    stage.drain()

    assert stage.messages("receipt") == [("sent", "")]
    assert stage.attempts() == ["accepted"]
