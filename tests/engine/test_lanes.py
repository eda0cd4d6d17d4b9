"""What the two lanes of a channel share, and what /metrics says of them."""

import random
from pathlib import Path

import pytest

from channels.base import Accepted, NotSent, RefusedBy, Throttled
from engine.core.model.instants import HOUR, MINUTE, SECOND
from engine.sending.lanes import PLACES, THROTTLED_IN_A_ROW, Pace, Paces
from engine.store.database import Database
from engine.store.queue import MARKETING, TRANSACTIONAL
from tests.engine.test_unsubscribe import a_message, a_profile
from tests.engine.web_harness import an_app

NOW = 1_772_442_000_000_000
FINE = Accepted("p1")
DOWN = NotSent("connection refused")


def a_pace(rate: tuple[int, int] | None = None) -> Pace:
    return Pace(rng=random.Random(1), rate=rate)


def called(pace: Pace, answer: object, *, lane: int = MARKETING, at: int = NOW) -> None:
    """One call from its place to its answer."""
    assert pace.grant(lane, wanted=1, now=at) == 1
    pace.take(now=at)
    pace.record(lane, answer, started_at=at, now=at)  # type: ignore[arg-type]


def test_each_lane_has_its_own_places_and_no_more_than_those() -> None:
    pace = a_pace()

    marketing = [pace.grant(MARKETING, wanted=60, now=NOW) for _ in range(3)]
    receipts = pace.grant(TRANSACTIONAL, wanted=60, now=NOW)

    assert marketing == [60, PLACES - 60, 0]
    assert receipts == 60


def test_what_is_given_back_can_be_granted_again() -> None:
    pace = a_pace()
    pace.grant(MARKETING, wanted=PLACES, now=NOW)

    pace.give_back(MARKETING, 30)

    assert pace.grant(MARKETING, wanted=PLACES, now=NOW) == 30


def test_while_a_receipt_waits_for_the_rate_marketing_takes_none_of_it() -> None:
    pace = a_pace((10, SECOND))
    for _ in range(10):
        called(pace, FINE)

    pace.first_waits(True)
    later = NOW + SECOND
    marketing = pace.grant(MARKETING, wanted=5, now=later)
    receipts = pace.grant(TRANSACTIONAL, wanted=5, now=later)
    pace.first_waits(False)

    assert marketing == 0
    assert receipts == 5
    assert pace.grant(MARKETING, wanted=5, now=later) == 5


def test_only_one_message_of_one_lane_probes() -> None:
    pace = a_pace()
    for _ in range(5):
        called(pace, DOWN)
    now = pace.opens_at(now=NOW)

    granted = [pace.grant(lane, wanted=50, now=now) for lane in (MARKETING, TRANSACTIONAL)]

    assert granted == [1, 0]


def test_a_probe_for_which_there_was_no_message_is_left_to_the_other_lane() -> None:
    pace = a_pace()
    for _ in range(5):
        called(pace, DOWN)
    now = pace.opens_at(now=NOW)
    pace.grant(TRANSACTIONAL, wanted=50, now=now)

    pace.give_back(TRANSACTIONAL, 1)

    assert pace.grant(MARKETING, wanted=50, now=now) == 1


def test_after_an_answered_probe_calls_begin_one_by_one() -> None:
    pace = a_pace()
    for _ in range(5):
        called(pace, DOWN)
    now = pace.opens_at(now=NOW)
    called(pace, FINE, at=now)

    granted = pace.grant(MARKETING, wanted=50, now=now)

    assert granted == 1
    assert pace.state("email", now=now).breaker == "slow start"
    assert pace.state("email", now=now + 2 * MINUTE).breaker == "closed"


def test_busy_answers_without_a_time_rest_the_channel_only_in_a_row() -> None:
    pace = a_pace()

    for n in range(THROTTLED_IN_A_ROW - 1):
        called(pace, Throttled(None, "450 greylisted"))
        assert pace.opens_at(now=NOW) == NOW, n
    called(pace, FINE)
    for _ in range(THROTTLED_IN_A_ROW):
        called(pace, Throttled(None, "450 greylisted"))

    assert NOW < pace.opens_at(now=NOW) <= NOW + SECOND


def test_a_named_time_is_kept_and_a_clock_set_back_does_not_prolong_it() -> None:
    pace = a_pace()

    called(pace, Throttled(3_600.0, "come back later"))

    assert pace.opens_at(now=NOW) == NOW + HOUR
    assert pace.opens_at(now=NOW - 24 * HOUR) == NOW - 23 * HOUR


def test_several_processes_share_a_rate_by_stretching_its_span() -> None:
    paces = Paces(rng=random.Random(1))

    paces.follow({"sms": (1, MINUTE)}, share=0.25)
    pace = paces.of("sms")
    called(pace, FINE)

    assert pace.grant(MARKETING, wanted=1, now=NOW + 3 * MINUTE) == 0
    assert pace.grant(MARKETING, wanted=1, now=NOW + 4 * MINUTE) == 1


def test_the_parts_of_a_rate_come_to_no_more_than_the_rate() -> None:
    """One worker has just used up the whole rate when two others come to share it."""
    workers = [Paces(rng=random.Random(n)) for n in range(3)]
    for n, paces in enumerate(workers):
        paces.follow({"sms": (10, SECOND)}, share=1.0 if n == 0 else 0.3)
    starts = [workers[0].of("sms").take(now=NOW) for _ in range(10)]

    workers[0].follow({}, share=0.4)
    for n in range(400):
        now = NOW + SECOND + n * SECOND // 100
        for paces in workers:
            pace = paces.of("sms")
            for _ in range(pace.grant(MARKETING, wanted=10, now=now)):
                starts.append(pace.take(now=now))
                pace.record(MARKETING, FINE, started_at=now, now=now)

    assert len(starts) >= 10 + 4 * 10
    for first, later in zip(sorted(starts), sorted(starts)[10:], strict=False):
        assert later - first >= SECOND


def test_a_new_release_with_the_same_rate_forgets_no_call() -> None:
    paces = Paces(rng=random.Random(1))
    paces.follow({"sms": (1, MINUTE)})
    called(paces.of("sms"), FINE)

    paces.follow({"sms": (1, MINUTE)})

    assert paces.of("sms").grant(MARKETING, wanted=1, now=NOW + SECOND) == 0


@pytest.fixture
def metrics(sqlite_database: Database, tmp_path: Path) -> str:
    """What /metrics says with two offers waiting, and a provider whose account was refused."""
    with sqlite_database.write() as connection:
        a_profile(connection, 1)
        for id in (1, 2):
            a_message(connection, id, profile=1)
    paces = Paces(rng=random.Random(1))
    paces.follow({"email": (120, MINUTE)})
    with an_app(sqlite_database, tmp_path) as app:
        now = app.services.clock()
        pace = paces.of("email")
        called(pace, RefusedBy("account", "401", "key revoked"), at=now)
        app.services.lanes = lambda: paces.states(lambda: now)
        return str(app.client.get("/metrics").text)


@pytest.mark.parametrize(
    "line",
    [
        'antiphon_lane_queued{channel="email",lane="marketing"} 2',
        'antiphon_lane_calls_in_flight{channel="email",lane="transactional"} 0',
        'antiphon_channel_breaker{channel="email",state="open"} 1',
        'antiphon_channel_rate_per_second{channel="email"} 2',
    ],
)
def test_metrics_show_every_lane_and_what_its_provider_lets_through(
    metrics: str, line: str
) -> None:
    assert line in metrics.splitlines()


def test_metrics_show_how_long_the_oldest_waits_and_the_channel_rests(metrics: str) -> None:
    values = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line[0] != "#")

    oldest = float(values['antiphon_lane_oldest_seconds{channel="email",lane="marketing"}'])
    rest = float(values['antiphon_channel_rests_seconds{channel="email"}'])
    assert oldest > 0
    assert 290 < rest <= 300
