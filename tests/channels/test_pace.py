"""Rates, breakers and slow starts: state machines whose clock is ours."""

import random

import pytest

from channels.base import Accepted, Ambiguous, NotSent, Receipt, RefusedBy, Throttled
from channels.pace import (
    COOL_DOWN,
    COOL_DOWN_MAX,
    FAILURES_IN_A_ROW,
    WINDOW,
    Breaker,
    Rate,
    SlowStart,
)
from engine.core.model.instants import HOUR, MINUTE, SECOND

NOW = 1_772_442_000_000_000
DOWN = NotSent("connection refused")
FINE = Accepted("p1")


class Middle:
    """Half of every jitter."""

    def random(self) -> float:
        return 0.5


def a_breaker() -> Breaker:
    return Breaker(rng=Middle())


def opened(breaker: Breaker, *, at: int = NOW) -> Breaker:
    for _ in range(FAILURES_IN_A_ROW):
        breaker.record(DOWN, started_at=at, now=at)
    return breaker


# --- rate ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("calls", "per"), [(1, SECOND), (7, SECOND), (100, MINUTE)])
def test_in_no_span_do_more_calls_start_than_the_rate_says(calls: int, per: int) -> None:
    """Callers come in bursts at random times and wait for their turn; spans begin anywhere."""
    rng = random.Random(calls)
    rate, now, starts = Rate(calls, per), NOW, []

    for _ in range(40):
        now += int(rng.random() ** 4 * 3 * per)
        starts += [
            rate.take(now=now) for _ in range(min(rng.randint(0, calls), rate.free(now=now)))
        ]

    assert len(starts) > calls
    for first, later in zip(starts, starts[calls:], strict=False):
        assert later - first >= per


def test_what_is_booked_too_early_is_told_to_wait_for_its_turn() -> None:
    rate = Rate(2, SECOND)

    starts = [rate.take(now=NOW) - NOW for _ in range(5)]

    assert starts == [0, 0, SECOND, SECOND, 2 * SECOND]


def test_one_that_was_booked_ahead_does_not_let_others_in_between() -> None:
    """A slow start books a call for later; the next comes at once and asks for now."""
    rng = random.Random(8)
    rate, starts = Rate(5, SECOND), []

    for n in range(200):
        now = NOW + n * SECOND // 7
        starts.append(rate.take(now=now + rng.choice((0, 0, SECOND // 2))))

    for first, later in zip(sorted(starts), sorted(starts)[5:], strict=False):
        assert later - first >= SECOND


def test_a_clock_set_back_by_a_day_does_not_stop_a_rate_for_a_day() -> None:
    rate = Rate(1, SECOND)
    rate.take(now=NOW)

    start = rate.take(now=NOW - 24 * HOUR)

    assert start == NOW - 24 * HOUR


@pytest.mark.parametrize(("calls", "per"), [(0, SECOND), (1, 0)])
def test_a_rate_of_nothing_is_refused(calls: int, per: int) -> None:
    with pytest.raises(ValueError, match="at least one call"):
        Rate(calls, per)


# --- breaker ------------------------------------------------------------------------------------


def test_a_breaker_opens_after_failures_in_a_row_and_lets_one_call_probe_after_its_rest() -> None:
    breaker = opened(a_breaker())
    rest = COOL_DOWN * 3 // 4  # between half and all of it: the middle

    assert breaker.state(now=NOW + rest - 1) == "open"
    assert not breaker.may_call(now=NOW + rest - 1)
    assert breaker.may_call(now=NOW + rest)
    assert not breaker.may_call(now=NOW + rest)  # one probe at a time


def test_half_of_the_last_calls_failing_opens_it_though_never_five_in_a_row() -> None:
    breaker = a_breaker()

    for n in range(WINDOW):
        assert breaker.state(now=NOW) == "closed"
        breaker.record(DOWN if n % 2 else FINE, started_at=NOW, now=NOW)

    assert breaker.state(now=NOW) == "open"


def test_each_failed_probe_doubles_the_rest_up_to_its_bound() -> None:
    breaker, now, rests = opened(a_breaker()), NOW, []

    for _ in range(6):
        opens_at = breaker.opens_at(now=now)
        rests.append(opens_at - now)
        now = opens_at
        assert breaker.may_call(now=now)
        breaker.record(Ambiguous("still down"), started_at=now, now=now)

    longest = [min(COOL_DOWN_MAX, COOL_DOWN * 2**n) for n in range(6)]
    assert rests == [it * 3 // 4 for it in longest]


def test_an_answered_probe_closes_it_and_says_that_the_provider_came_back() -> None:
    breaker = opened(a_breaker())
    now = breaker.opens_at(now=NOW)
    breaker.may_call(now=now)

    came_back = breaker.record(FINE, started_at=now, now=now + SECOND)

    assert came_back
    assert breaker.state(now=now + SECOND) == "closed"


@pytest.mark.parametrize("late", [DOWN, FINE])
def test_what_was_under_way_when_it_opened_changes_nothing(late: Receipt) -> None:
    breaker = opened(a_breaker())
    opens_at = breaker.opens_at(now=NOW)

    came_back = breaker.record(late, started_at=NOW - SECOND, now=NOW + SECOND)

    assert not came_back
    assert breaker.opens_at(now=NOW + SECOND) == opens_at


def test_a_probe_that_was_not_made_lets_another_probe() -> None:
    breaker = opened(a_breaker())
    now = breaker.opens_at(now=NOW)
    breaker.may_call(now=now)

    breaker.did_not_call()

    assert breaker.may_call(now=now)


def test_refused_recipients_and_busy_answers_do_not_open_it_but_a_refused_account_does() -> None:
    patient, strict = a_breaker(), a_breaker()

    for _ in range(3 * WINDOW):
        patient.record(RefusedBy("recipient", "550", "no"), started_at=NOW, now=NOW)
        patient.record(Throttled(1.0), started_at=NOW, now=NOW)
    strict.record(RefusedBy("account", "401", "no"), started_at=NOW, now=NOW)

    assert patient.state(now=NOW) == "closed"
    assert strict.opens_at(now=NOW) == NOW + COOL_DOWN_MAX


def test_a_clock_set_back_by_a_day_does_not_keep_it_open_for_a_day() -> None:
    breaker = opened(a_breaker())
    earlier = NOW - 24 * HOUR

    opens_at = breaker.opens_at(now=earlier)

    assert opens_at - earlier <= COOL_DOWN


# --- slow start ---------------------------------------------------------------------------------


def test_after_an_outage_calls_begin_at_one_a_second_and_double_every_five() -> None:
    """Everybody waits: whatever may start does. The bound is the integral of 2 ** (t / 5)."""
    start, starts, now = SlowStart(since=NOW), [], NOW

    while now < NOW + 40 * SECOND:
        starts += [start.take(now=now) for _ in range(start.free(now=now))]
        now += SECOND // 20

    per_second = [
        sum(NOW + n * SECOND <= at < NOW + (n + 1) * SECOND for at in starts) for n in range(40)
    ]
    for n in (0, 5, 10, 20, 35):
        expected = 2 ** ((n + 0.5) / 5)
        assert per_second[n] == pytest.approx(expected, rel=0.15, abs=1.0)


def test_a_quiet_minute_during_a_slow_start_earns_no_burst() -> None:
    start = SlowStart(since=NOW)

    free = start.free(now=NOW + 25 * SECOND)

    assert free <= 2 ** (25 / 5) + 1  # one second's worth, not the 216 of all 25 seconds


def test_a_slow_start_ends() -> None:
    start = SlowStart(since=NOW)

    assert not start.is_over(now=NOW + 40 * SECOND)
    assert start.is_over(now=NOW + MINUTE)
