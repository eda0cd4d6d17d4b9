"""The daily ceiling of a new domain: a pure function of the schedule and the day."""

from hypothesis import given
from hypothesis import strategies as st

from channels.warm_up import WarmUp, ceiling, day_began, next_day
from engine.core.clocktime import parse_instant
from engine.core.model.instants import DAY, HOUR, NEVER

FIRST_DAY = parse_instant("2026-12-01T00:00Z")
PLAN = WarmUp(since=FIRST_DAY, start=50, doubles=DAY, until=10_000)


def test_the_ceiling_doubles_from_day_to_day_until_it_reaches_the_rate() -> None:
    ceilings = [ceiling(PLAN, now=FIRST_DAY + day * DAY) for day in range(10)]

    assert ceilings == [50, 100, 200, 400, 800, 1_600, 3_200, 6_400, None, None]


def test_it_is_the_same_all_day_in_utc() -> None:
    last = FIRST_DAY + 3 * DAY - 1

    assert ceiling(PLAN, now=FIRST_DAY + 2 * DAY) == ceiling(PLAN, now=last) == 200
    assert (day_began(last), next_day(last)) == (FIRST_DAY + 2 * DAY, FIRST_DAY + 3 * DAY)


def test_before_its_first_day_it_is_as_low_as_on_it() -> None:
    assert ceiling(PLAN, now=FIRST_DAY - 100 * DAY) == 50


@given(
    st.integers(1, 100_000), st.integers(HOUR, 30 * DAY), st.integers(0, NEVER // 2),
    st.integers(0, 400 * DAY),
)  # fmt: skip
def test_it_never_falls_and_always_ends(start: int, doubles: int, now: int, later: int) -> None:
    plan = WarmUp(since=now, start=start, doubles=doubles)
    first, then = ceiling(plan, now=now), ceiling(plan, now=now + later)

    assert first == start
    assert then is None or then >= start
    assert ceiling(plan, now=now + 60 * doubles + DAY) is None
