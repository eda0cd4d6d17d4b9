"""Cron lines: against every minute of the calendar, and at the edges of daylight saving."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from engine.core import clocktime
from engine.core.clocktime import iso, parse_instant
from engine.core.model.instants import DAY, MINUTE

BERLIN = "Europe/Berlin"


def fires(cron: str, zone: str, *, after: str, n: int) -> list[str]:
    instants = [parse_instant(after)]
    for _ in range(n):
        instants.append(clocktime.next_fire(cron, zone, after=instants[-1]))
    return [iso(instant) for instant in instants[1:]]


def names(part: str, value: int, low: int) -> bool:
    """Whether one field of only numbers, lists, ranges and steps names a value."""
    for item in part.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        begin, end = (low, 99) if span == "*" else (int(first), int(last or first))
        if begin <= value <= end and (value - begin) % int(step or 1) == 0:
            return True
    return False


def test_a_line_fires_at_exactly_the_minutes_that_its_fields_name() -> None:
    rng = random.Random(5)
    start = datetime(2026, 2, 25, tzinfo=UTC)
    for _ in range(25):
        minute = rng.choice(["*", "0", "*/20", "5,35", "10-50/13"])
        hour = rng.choice(["*", "9", "*/7", "8-10", "0,23"])
        day = rng.choice(["*", "1", "28-31", "*/2", "15,3"])
        month = rng.choice(["*", "3", "2-3"])
        weekday = rng.choice(["*", "1", "1-5", "0", "*/3"])
        expected = []
        for n in range(20 * 1440):
            at = start + timedelta(minutes=n)
            on_day, on_weekday = names(day, at.day, 1), names(weekday, at.isoweekday() % 7, 0)
            is_either = day[0] != "*" and weekday[0] != "*"
            if (
                names(minute, at.minute, 0)
                and names(hour, at.hour, 0)
                and names(month, at.month, 1)
                and ((on_day or on_weekday) if is_either else (on_day and on_weekday))
            ):
                expected.append(clocktime.to_instant(at))
        line = f"{minute} {hour} {day} {month} {weekday}"

        found: list[int] = []
        at_instant = clocktime.to_instant(start) - 1
        end = clocktime.to_instant(start) + 20 * DAY
        while len(found) < 50:
            at_instant = clocktime.next_fire(line, "UTC", after=at_instant)
            if at_instant >= end:
                break
            found.append(at_instant)

        assert found == expected[:50], line


def test_the_next_fire_is_strictly_after() -> None:
    nine = parse_instant("2026-03-02T08:00Z")

    assert clocktime.next_fire("0 9 * * *", BERLIN, after=nine - 1) == nine
    assert clocktime.next_fire("0 9 * * *", BERLIN, after=nine) == nine + DAY


def test_half_past_two_fires_once_a_day_through_gap_and_fold() -> None:
    # The gap of 29 March leads to 03:00 summer time; the fold of 25 October to its first 02:30.
    spring = fires("30 2 * * *", BERLIN, after="2026-03-27T12:00Z", n=3)
    autumn = fires("30 2 * * *", BERLIN, after="2026-10-24T12:00Z", n=2)

    assert spring == ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
    assert autumn == ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]


def test_a_line_of_many_minutes_fires_once_for_each_local_time() -> None:
    # All of 02:00 to 02:45 falls at 03:00 in the gap; in the fold the second pass stays silent.
    spring = fires("*/15 * * * *", BERLIN, after="2026-03-29T00:40Z", n=3)
    autumn = fires("*/15 * * * *", BERLIN, after="2026-10-25T00:40Z", n=2)

    assert spring == ["2026-03-29T00:45:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:15:00Z"]
    assert autumn == ["2026-10-25T00:45:00Z", "2026-10-25T02:00:00Z"]


def test_the_29th_of_february_waits_for_a_leap_year_even_eight_years() -> None:
    assert fires("0 9 29 feb *", "UTC", after="2026-03-01", n=2) == [
        "2028-02-29T09:00:00Z",
        "2032-02-29T09:00:00Z",
    ]
    assert fires("0 9 29 2 *", "UTC", after="2096-03-01", n=1) == ["2104-02-29T09:00:00Z"]


def test_names_ranges_to_sunday_and_both_numbers_of_sunday_are_understood() -> None:
    weekend = fires("0 9 * * sat-sun", "UTC", after="2026-03-02", n=3)

    # 7, 8 and 14 March 2026 are Saturday, Sunday and Saturday.
    assert [day[:10] for day in weekend] == ["2026-03-07", "2026-03-08", "2026-03-14"]
    for sunday in ("0", "7", "SUN"):
        assert fires(f"0 9 * * {sunday}", "UTC", after="2026-03-02", n=1)[0][:10] == "2026-03-08"


def test_day_of_month_and_day_of_week_together_mean_either() -> None:
    days = fires("0 9 13 * fri", "UTC", after="2026-03-01", n=4)

    assert [day[:10] for day in days] == ["2026-03-06", "2026-03-13", "2026-03-20", "2026-03-27"]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("0 9 * *", "has 4 fields"),
        ("@daily", "has 1 fields"),
        ("60 9 * * *", '"60" is not a minute; allowed are 0 to 59'),
        ("0 24 * * *", '"24" is not a hour'),
        ("0 9 0 * *", '"0" is not a day of month'),
        ("0 9 * foo *", "or jan, feb"),
        ("0 9 * * 8", "allowed are 0 to 7"),
        ("0 9 * * fri-mon", "from small to large"),
        ("*/0 9 * * *", "a step is a whole number"),
        ("5/15 9 * * *", "write 5-59/15"),
        ("0 9 30 2 *", "never fires"),
        ("0 9 ٣ * *", "is not a day of month"),
        ("0 9 , * *", "is not a day of month"),
    ],
)
def test_a_line_that_cannot_be_read_is_refused_with_what_is_allowed(line: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        clocktime.check_cron(line)


def test_finding_the_next_fire_of_any_line_is_quick_enough_for_a_batch() -> None:
    # The rarest line there is; each search walks days, never minutes.
    at = clocktime.next_fire("59 23 29 2 *", BERLIN, after=parse_instant("2096-03-01"))

    assert clocktime.next_fire("59 23 29 2 *", BERLIN, after=at - MINUTE) == at
