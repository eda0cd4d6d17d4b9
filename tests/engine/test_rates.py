"""Rates of recipients' domains and warm-ups, through the outbox. On both databases."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from campaigns.sending_forms import WarmUpForm
from channels.base import Throttled
from engine.core.model.instants import DAY, HOUR, MINUTE, SECOND
from tests.rig.crowd import OFFER, RECEIPT, Crowd, counted
from tests.rig.stage import NOON, Stage

MIDNIGHT = NOON + 12 * HOUR
WARM_UP = WarmUpForm.model_construct(from_=MIDNIGHT - DAY, start=5, doubles=DAY)
N_GMAIL = 3
"""Of six people; the others are elsewhere."""


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    opened = Stage(database_url)
    yield opened
    opened.close()


@pytest.fixture
def crowd(stage: Stage) -> Crowd:
    crowd = Crowd(stage, n_people=6)
    for number in range(1, N_GMAIL + 1):
        stage.identify(f"u{number}", email=f"u{number}@gmail.com")
    stage.settle()
    return crowd


def formed(stage: Stage, **changes: Any) -> None:
    """Change the channel `email` as a release would."""
    playbook = stage.process.playbook
    form = playbook.workspace.settings.channels["email"]  # type: ignore[index]
    channels: Any = {
        **playbook.workspace.settings.channels, "email": form.model_copy(update=changes)
    }  # fmt: skip
    settings = playbook.workspace.settings.model_copy(update={"channels": channels})
    workspace = replace(playbook.workspace, settings=settings)
    stage.process.playbook = replace(playbook, workspace=workspace)
    if "domains" in changes:
        stage.process.outbox.paces.follow({}, domains={"email": changes["domains"]})


def domains_called(stage: Stage) -> Counter[str]:
    return Counter(message.to.partition("@")[2] for message in stage.email.calls)


def test_a_domain_over_its_rate_waits_with_its_reason_and_the_others_pass(
    stage: Stage, crowd: Crowd
) -> None:
    formed(stage, domains={"gmail.com": (2, MINUTE)})
    ids = crowd.queue(OFFER, 12, at=stage.now)

    stage.drain()
    at_once = domains_called(stage)
    reasons = {row[0] for row in stage.rows("SELECT reason FROM message WHERE status = 'queued'")}
    for _ in range(30):
        stage.now += 10 * SECOND
        stage.drain()

    assert at_once == {"gmail.com": 2, "example.com": 6}
    assert reasons == {"the rate of gmail.com"}
    assert counted(stage, ids) == {"sent": 12}


def test_a_domain_that_slows_us_down_rests_and_the_channel_does_not(
    stage: Stage, crowd: Crowd
) -> None:
    busy = Throttled(600.0, "451 4.7.0 slow down", "domain")
    ids = crowd.queue(OFFER, 6, at=stage.now)

    async def deliver(message: Any) -> Any:
        stage.email.calls.append(message)
        return busy if message.to.endswith("gmail.com") else await honest(message)

    honest = stage.email.deliver
    stage.email.deliver = deliver  # type: ignore[method-assign]
    stage.drain()
    stage.now += MINUTE
    later = crowd.queue(OFFER, 6, at=stage.now)
    stage.drain()

    assert counted(stage, [*ids, *later]) == {"queued": 6, "sent": 6}
    assert stage.process.outbox.paces.of("email").opens_at(now=stage.now) == stage.now
    assert [row[0] for row in stage.rows(
        "SELECT reason FROM message WHERE id >= ? AND status = 'queued'", later[0]
    )] == ["gmail.com asked us to slow down"] * N_GMAIL  # fmt: skip


def test_domains_that_are_ones_own_are_not_written_down(stage: Stage, crowd: Crowd) -> None:
    stage.identify("u6", email="ada@lovelace.name")
    stage.settle()
    formed(stage, domains={"*": (1, MINUTE)})
    crowd.queue(OFFER, 12, at=stage.now)

    stage.drain()

    kept = stage.rows("SELECT domain, count(*) FROM attempt GROUP BY domain ORDER BY domain")
    reasons = {row[0] for row in stage.rows("SELECT reason FROM message WHERE status = 'queued'")}
    assert kept == [("gmail.com", 1), ("other", 2)]
    assert reasons == {"the rate of gmail.com", "the rate of its domain"}


def test_over_the_ceiling_of_a_warm_up_messages_wait_for_the_next_day(
    stage: Stage, crowd: Crowd
) -> None:
    formed(stage, warm_up=WARM_UP)
    ids = crowd.queue(OFFER, 30, at=stage.now)

    for _ in range(4):
        stage.drain()
    first_day = counted(stage, ids)
    waiting = stage.rows(
        "SELECT DISTINCT due_at, reason FROM message WHERE status = 'queued' AND id >= ?", ids[0]
    )
    stage.restart()
    formed(stage, warm_up=WARM_UP)
    stage.now += HOUR
    stage.drain()
    by_day = [first_day["sent"]]
    for day in range(2):
        stage.now = MIDNIGHT + day * DAY + 10 * HOUR  # quiet hours are over
        for _ in range(4):
            stage.drain()
        by_day.append(counted(stage, ids)["sent"])

    assert first_day == {"sent": 5, "queued": 25}
    assert waiting == [
        (MIDNIGHT, "warm-up: 5 messages today, the next day opens 2026-03-03T00:00:00Z")
    ]
    assert by_day == [5, 15, 30]


def test_late_in_the_day_only_the_last_minutes_are_counted_again(
    stage: Stage, crowd: Crowd
) -> None:
    """Forty a day, five an hour: the ninth hour must find the ceiling reached, not passed."""
    plan = WARM_UP.model_copy(update={"start": 40})
    formed(stage, warm_up=plan)
    stage.now = MIDNIGHT - DAY + 9 * HOUR  # quiet hours are over; they begin at nine in the evening
    sent_by_hour = []
    for _ in range(10):
        crowd.queue(OFFER, 5, at=stage.now)
        stage.drain()
        sent_by_hour.append(len(stage.email.calls))
        stage.now += HOUR

    assert sent_by_hour == [5, 10, 15, 20, 25, 30, 35, 40, 40, 40]


def test_a_clock_that_was_set_back_counts_the_day_anew(stage: Stage, crowd: Crowd) -> None:
    formed(stage, warm_up=WARM_UP)
    stage.now += 3 * HOUR
    crowd.queue(OFFER, 5, at=stage.now)
    stage.drain()

    stage.now -= 3 * HOUR
    crowd.queue(OFFER, 5, at=stage.now)
    stage.drain()

    assert len(stage.email.calls) == 5


def test_receipts_are_counted_by_a_warm_up_and_never_held(stage: Stage, crowd: Crowd) -> None:
    formed(stage, warm_up=WARM_UP)
    receipts = crowd.queue(RECEIPT, 8, at=stage.now)
    offers = crowd.queue(OFFER, 8, at=stage.now)

    stage.drain()

    assert counted(stage, receipts) == {"sent": 8}
    assert counted(stage, offers) == {"queued": 8}
