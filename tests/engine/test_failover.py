"""A backup takes over while its channel is down, within its own pace. On both databases."""

from collections.abc import Iterator
from typing import Any

import pytest

from campaigns.sending_forms import WarmUpForm
from channels.base import RefusedBy, Throttled
from channels.delivery import DeliveryEvent
from engine.core.model.instants import DAY, HOUR, MINUTE, SECOND
from engine.hearing.attribution import Speaker, attributed
from engine.story import message_story, told
from tests.engine.failing_over import FIRST, SECOND_ONE, Account, pace_of, with_backup
from tests.rig.crowd import TEXT, TEXT_RECEIPT, Crowd, counted
from tests.rig.stage import Stage


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    opened = Stage(database_url)
    yield opened
    opened.close()


@pytest.fixture
def crowd(stage: Stage) -> Crowd:
    return Crowd(stage, n_people=3)


def called(stage: Stage) -> list[tuple[str, str]]:
    """(channel, outcome) of every attempt in order of message and number."""
    rows = stage.rows("SELECT account, outcome FROM attempt ORDER BY message_id, number")
    return [(row[0], row[1]) for row in rows]


def is_opened(stage: Stage, crowd: Crowd, account: Account, n: int = 5) -> None:
    """Let so many connections be refused that the first channel is left alone."""
    account.outages = [(stage.now, stage.now + HOUR)]
    crowd.queue(TEXT, n, at=stage.now)
    stage.drain(FIRST)
    assert pace_of(stage, FIRST).is_down(now=stage.now)


def test_what_is_due_goes_by_the_backup_while_its_channel_is_down(
    stage: Stage, crowd: Crowd
) -> None:
    first, other = with_backup(stage)
    is_opened(stage, crowd, first)

    stage.now += 2 * SECOND
    ids = crowd.queue(TEXT, 20, at=stage.now)
    stage.now += 10 * SECOND
    stage.drain(FIRST)

    assert counted(stage, ids) == {"sent": 20}
    assert {id for _, id in other.taken} >= set(ids)
    rows = stage.rows("SELECT DISTINCT account, provider FROM attempt WHERE outcome = 'accepted'")
    assert rows == [(SECOND_ONE, other.name)]


def test_the_first_is_probed_on_and_gets_its_messages_back_by_itself(
    stage: Stage, crowd: Crowd
) -> None:
    first, other = with_backup(stage)
    is_opened(stage, crowd, first)
    for _ in range(30):
        stage.now += MINUTE
        crowd.queue(TEXT, 2, at=stage.now)
        for _ in range(3):
            stage.drain(FIRST)
    probed = [at for at, _, was_down in first.called_at if was_down][5:]
    n_by_backup = len(other.taken)

    first.outages = []
    stage.now += 10 * MINUTE
    for _ in range(30):
        stage.now += MINUTE
        crowd.queue(TEXT, 2, at=stage.now)
        stage.drain(FIRST)

    assert 3 <= len(probed) <= 30
    assert n_by_backup > 50
    assert len(other.taken) - n_by_backup <= 2
    assert len(first.taken) >= 58


def test_a_refused_account_is_no_loss_where_there_is_a_backup(stage: Stage, crowd: Crowd) -> None:
    first, _ = with_backup(stage)
    first.refusal, first.outages = RefusedBy("account", "401", "key revoked"), [(0, 2**62)]
    ids = crowd.queue(TEXT, 10, at=stage.now)

    stage.drain(FIRST)
    stage.now += 2 * SECOND
    stage.drain(FIRST)

    assert counted(stage, ids) == {"sent": 10}
    assert called(stage).count((FIRST, "refused")) == 10


def test_a_provider_that_asks_for_patience_gets_it_and_no_backup_is_called(
    stage: Stage, crowd: Crowd
) -> None:
    first, other = with_backup(stage)
    first.refusal, first.outages = Throttled(60.0, "busy"), [(0, 2**62)]
    crowd.queue(TEXT, 3, at=stage.now)

    for _ in range(5):
        stage.drain(FIRST)
        stage.now += SECOND

    assert other.calls == []


def test_the_backup_keeps_its_own_rate(stage: Stage, crowd: Crowd) -> None:
    first, other = with_backup(stage)
    stage.process.outbox._clock = lambda: stage.now
    stage.process.outbox.paces.follow({SECOND_ONE: (3, MINUTE)})
    is_opened(stage, crowd, first)
    crowd.queue(TEXT, 20, at=stage.now)

    for _ in range(4):
        stage.drain(FIRST)

    assert len(other.calls) == 3


def test_a_backup_that_warms_up_keeps_its_ceiling_and_the_others_wait_for_their_channel(
    stage: Stage, crowd: Crowd
) -> None:
    first, other = with_backup(stage)
    plan = WarmUpForm.model_construct(from_=stage.now, start=4, doubles=DAY)
    channels: Any = stage.process.playbook.workspace.settings.channels
    channels[SECOND_ONE] = channels[SECOND_ONE].model_copy(update={"warm_up": plan})
    is_opened(stage, crowd, first)
    ids = crowd.queue(TEXT, 10, at=stage.now)
    for _ in range(5):
        stage.drain(FIRST)
        stage.now += SECOND
    n_by_backup = len(other.calls)
    reasons = {row[0] for row in stage.rows("SELECT reason FROM message WHERE status = 'queued'")}

    first.outages = []
    for _ in range(40):
        stage.now += 30 * SECOND
        stage.drain(FIRST)

    assert n_by_backup == 4
    assert "warm-up of the backup sms_two: today's messages have gone out" in reasons
    assert counted(stage, ids) == {"sent": 10}


def test_where_both_are_down_messages_wait_for_the_first_that_comes_back(
    stage: Stage, crowd: Crowd
) -> None:
    first, other = with_backup(stage)
    first.outages = other.outages = [(stage.now, stage.now + HOUR)]
    ids = crowd.queue(TEXT, 30, at=stage.now)
    while stage.now < first.outages[0][1]:
        stage.drain(FIRST)
        stage.now += MINUTE
    n_calls = len(first.calls) + len(other.calls)

    other.outages = []
    for _ in range(40):
        stage.drain(FIRST)
        stage.now += 10 * SECOND

    assert n_calls < 120
    assert counted(stage, ids) == {"sent": 30}


def test_marketing_that_the_first_may_have_taken_waits_for_it(stage: Stage, crowd: Crowd) -> None:
    """Its key lives for an hour, so the first may be called again; the backup knows no key."""
    first, other = with_backup(stage, lost_share=1.0)
    other._lost_share = 0.0
    (doubtful,) = crowd.queue(TEXT, 1, at=stage.now)
    stage.drain(FIRST)
    is_opened(stage, crowd, first)
    stage.now += MINUTE
    for _ in range(5):
        stage.drain(FIRST)
        stage.now += 20 * SECOND
    while_down = stage.rows("SELECT status, reason FROM message WHERE id = ?", doubtful)

    first.outages, first._lost_share = [], 0.0
    for _ in range(30):
        stage.now += 30 * SECOND
        stage.drain(FIRST)

    assert while_down == [("queued", "sms may have taken it, so it waits for sms to come back")]
    assert doubtful not in [id for _, id in other.calls]
    assert counted(stage, [doubtful]) == {"sent": 1}
    assert [id for _, id in first.taken].count(doubtful) == 1


def test_marketing_whose_key_ran_out_meanwhile_ends_as_unknown(stage: Stage, crowd: Crowd) -> None:
    first, other = with_backup(stage, lost_share=1.0)
    (doubtful,) = crowd.queue(TEXT, 1, at=stage.now)
    stage.drain(FIRST)
    is_opened(stage, crowd, first)

    first.outages, first._lost_share = [], 0.0
    stage.now += 2 * HOUR
    for _ in range(3):
        stage.drain(FIRST)
        stage.now += MINUTE

    assert counted(stage, [doubtful]) == {"unknown": 1}
    assert doubtful not in [id for _, id in other.calls]


def test_what_the_backup_may_have_taken_stays_with_the_backup(stage: Stage, crowd: Crowd) -> None:
    first, other = with_backup(stage, keys=(0, 1))
    is_opened(stage, crowd, first)
    other._lost_share = 1.0
    (doubtful,) = crowd.queue(TEXT, 1, at=stage.now)
    stage.drain(FIRST)

    first.outages, other._lost_share = [], 0.0
    for _ in range(10):
        stage.now += MINUTE
        stage.drain(FIRST)
        stage.drain(SECOND_ONE)

    assert doubtful not in [id for _, id in first.taken]
    assert counted(stage, [doubtful]) == {"sent": 1}


def test_a_receipt_may_be_repeated_by_the_backup_and_says_that_it_may_be_a_copy(
    stage: Stage, crowd: Crowd
) -> None:
    first, other = with_backup(stage, lost_share=1.0)
    other._lost_share = 0.0
    (doubtful,) = crowd.queue(TEXT_RECEIPT, 1, at=stage.now)
    stage.drain(FIRST)
    is_opened(stage, crowd, first)

    for _ in range(5):
        stage.now += 20 * SECOND
        stage.drain(FIRST)

    ((status, reason),) = stage.rows("SELECT status, reason FROM message WHERE id = ?", doubtful)
    assert (status, reason.partition(":")[0]) == ("sent", "possible duplicate")
    assert doubtful in [id for _, id in other.taken]


def test_what_a_dead_process_left_open_at_the_backup_is_judged_by_the_backups_keys(
    stage: Stage, crowd: Crowd
) -> None:
    """The backup holds keys, the channel does not: it is tried again there and nowhere else."""
    first, _ = with_backup(stage, keys=(0, 24))
    is_opened(stage, crowd, first)
    (open_,) = crowd.queue(TEXT, 1, at=stage.now)
    stage.process.write(
        lambda connection: (
            connection.execute(
                "INSERT INTO attempt (message_id, number, provider, started_at, outcome, "
                "provider_id, detail, body_digest, account) "
                "VALUES (?, 1, 'server-sms_two', ?, '', '', '', '', ?)",
                (open_, stage.now, SECOND_ONE),
            ),
            connection.execute("UPDATE message SET status = 'attempting' WHERE id = ?", (open_,)),
        )
    )

    stage.process.outbox.recover(stage.process.playbook, now=stage.now)

    rows = stage.rows("SELECT status, account FROM message WHERE id = ?", open_)
    assert rows == [("queued", SECOND_ONE)]


def test_a_report_of_the_backup_is_believed_and_one_of_the_first_is_not(
    stage: Stage, crowd: Crowd
) -> None:
    first, other = with_backup(stage)
    other.name = first.name  # two accounts of one vendor
    is_opened(stage, crowd, first)
    (sent,) = crowd.queue(TEXT, 1, at=stage.now)
    stage.drain(FIRST)
    stage.process.write(
        lambda it: it.execute("UPDATE attempt SET provider_id = '' WHERE message_id = ?", (sent,))
    )
    report = DeliveryEvent("delivered", sent, "e1", stage.now)

    with stage.process.database.read() as connection:
        believed = {
            name: len(attributed(connection, [report], Speaker(name, "sms", first.name)).known)
            for name in (FIRST, SECOND_ONE)
        }

    assert believed == {FIRST: 0, SECOND_ONE: 1}


def test_the_story_of_a_message_names_the_channel_that_was_called(
    stage: Stage, crowd: Crowd
) -> None:
    first, _ = with_backup(stage)
    is_opened(stage, crowd, first)
    (sent,) = crowd.queue(TEXT, 1, at=stage.now)
    stage.drain(FIRST)

    with stage.process.database.read() as connection:
        story = message_story(connection, sent, program=None, segments=None)

    assert story is not None
    titles = [moment.title for moment in told(story) if moment.kind == "attempt"]
    assert titles == ["Attempt 1 by sms_two through server-sms_two: accepted"]
