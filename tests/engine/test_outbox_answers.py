"""What a provider's answer does to a message and to its channel. On both databases."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from channels.base import NotSent, RefusedBy, Throttled
from channels.delivery import DeliveryEvent
from engine.consent.unsubscribe import withdraw
from engine.core.model.instants import HOUR, MINUTE, SECOND
from engine.sending.answers import PAUSE, WAIT_MAX
from tests.rig import planted_sending as planted
from tests.rig.crowd import OFFER, RECEIPT, Crowd, counted
from tests.rig.stage import Stage


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    opened = Stage(database_url)
    opened.identify("u1")
    yield opened
    opened.close()


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


def test_what_never_left_us_waits_for_its_provider_however_often_it_was_tried(
    stage: Stage,
) -> None:
    """Seventy hours of refused connections, then the provider is back."""
    stage.a_receipt()
    stage.email.script = [NotSent("connection refused")] * 420

    for _ in range(422):
        stage.drain()
        stage.now += 10 * MINUTE

    assert stage.messages("receipt") == [("sent", "")]
    assert stage.attempts() == ["not_sent"] * 420 + ["accepted"]


def test_what_never_left_us_is_given_up_after_three_days_with_its_reason(stage: Stage) -> None:
    stage.a_receipt()
    stage.email.script = [NotSent("connection refused")] * 500

    for _ in range(75):
        stage.drain()
        stage.now += HOUR

    assert stage.messages("receipt") == [("failed", "gave up after 72 h: connection refused")]


def test_what_waited_three_days_behind_an_outage_is_not_sent_after_all(stage: Stage) -> None:
    """Its provider is back, but nobody wants a receipt of last week."""
    stage.a_receipt()
    stage.now += WAIT_MAX + HOUR

    stage.drain()

    ((status, reason),) = stage.messages("receipt")
    assert (status, stage.email.calls) == ("failed", [])
    assert reason == "it waited more than 72 h for scripted-email"


def test_while_the_provider_is_down_no_attempt_is_used_up(stage: Stage) -> None:
    for number in range(30):
        stage.track("u1", "Order Completed", order=f"o{number}")
    stage.settle()
    stage.email.script = [NotSent("connection refused")] * 1_000
    first = len(stage.email.calls)

    for _ in range(20):
        stage.drain()
        stage.now += SECOND // 2
    after_noticing = len(stage.email.calls)
    stage.email.script = []
    for _ in range(120):
        stage.drain()
        stage.now += 10 * SECOND

    # One pass of calls was under way when the first five had failed; then nobody called.
    assert after_noticing - first == 30
    assert {status for status, _ in stage.messages("receipt")} == {"sent"}


def test_retry_after_rests_the_whole_channel_and_no_other(stage: Stage) -> None:
    stage.identify("u2")
    stage.a_receipt("u1", "o1")
    stage.email.script = [Throttled(90.0, "slow down")]
    stage.drain()
    stage.a_receipt("u2", "o2")
    stage.track("u1", "Product Viewed")
    stage.track("u1", "Product Viewed")
    stage.settle()

    stage.now += 89 * SECOND
    resting, other = stage.drain("email"), stage.drain("sms")
    stage.now += SECOND
    stage.drain()

    assert resting.is_idle
    assert resting.opens_at == stage.now
    assert other.n_sent == 1
    assert [status for status, _ in stage.messages("receipt")] == ["sent", "sent"]


def test_a_busy_answer_about_one_recipient_rests_nobody_else(stage: Stage) -> None:
    """A greylisting mail server says 450 without a time."""
    stage.identify("u2")
    stage.a_receipt("u1", "o1")
    stage.email.script = [Throttled(None, "450 greylisted")]
    stage.drain()
    stage.a_receipt("u2", "o2")

    stage.drain()

    assert [status for status, _ in stage.messages("receipt")] == ["queued", "sent"]


def test_a_receipt_goes_before_a_thousand_offers(stage: Stage) -> None:
    crowd = Crowd(stage, n_people=1)
    offers = crowd.queue(OFFER, 300, at=stage.now - HOUR)
    (receipt,) = crowd.queue(RECEIPT, 1, at=stage.now)

    stage.drain()

    assert stage.email.calls[0].id == receipt
    assert counted(stage, offers) == {"sent": 100, "queued": 200}


def test_a_bounce_suppresses_the_address_it_went_to_and_not_the_new_one(stage: Stage) -> None:
    """The person changes their address between the message and its bounce."""
    stage.a_receipt(order="o1")
    stage.drain()
    ((message,),) = stage.rows("SELECT id FROM message")
    stage.identify("u1", email="new@example.com")
    stage.settle()

    stage.report(DeliveryEvent("bounced", message, "e1", stage.now, bounce_class="hard"))
    stage.a_receipt(order="o2")
    stage.drain()

    assert [status for status, _ in stage.messages("receipt")] == ["sent", "sent"]
    assert stage.email.calls[-1].to == "new@example.com"
    vault = stage.process.vault
    went_to = vault.address_hash("email", "u1@example.com")
    assert stage.rows("SELECT address_hash, suppressed FROM contact WHERE suppressed <> ''") == [
        (went_to, "hard bounce")
    ]


def test_a_link_of_an_old_message_withdraws_the_old_address_and_the_present_one(
    stage: Stage,
) -> None:
    stage.a_cart_message()
    stage.drain()
    ((message,),) = stage.rows("SELECT id FROM message WHERE template = 'soft'")
    stage.identify("u1", email="new@example.com")
    stage.settle()

    stage.process.write(
        lambda it: withdraw(
            it, message=message, scope="all", log=stage.process.log, now=stage.now, proof="test"
        )
    )

    vault = stage.process.vault
    rows = stage.rows("SELECT address_hash, withdrawn FROM contact WHERE withdrawn <> '[]'")
    assert dict(rows) == {
        vault.address_hash("email", it): '["*"]' for it in ("u1@example.com", "new@example.com")
    }


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


@pytest.mark.parametrize(
    ("bug", "proof"),
    [
        (
            planted.the_present_address_is_suppressed,
            test_a_bounce_suppresses_the_address_it_went_to_and_not_the_new_one,
        ),
        (
            planted.attempts_are_counted,
            test_what_never_left_us_waits_for_its_provider_however_often_it_was_tried,
        ),
        (
            planted.nothing_is_given_up,
            test_what_waited_three_days_behind_an_outage_is_not_sent_after_all,
        ),
    ],
    ids=lambda it: str(it.__name__),
)
def test_a_planted_bug_is_caught(
    stage: Stage,
    bug: Callable[[], AbstractContextManager[Any]],
    proof: Callable[[Stage], None],
) -> None:
    with bug(), pytest.raises(AssertionError):
        proof(stage)
