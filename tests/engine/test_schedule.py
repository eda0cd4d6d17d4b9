"""`next_fire` against slow and plain readings: minute by minute, and rules never moved."""

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.clocktime import iso, resolve, to_instant
from engine.core.model.instants import DAY, HOUR, MINUTE, Instant
from engine.schedule import Cron, Every, Rule, Times, check_times, latest_fire, next_fire

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
NEAR_CHANGES = (
    date(2026, 3, 7), date(2026, 3, 28), date(2026, 4, 4), date(2026, 10, 3), date(2026, 10, 24),
    date(2026, 10, 31), date(2026, 12, 30), date(2028, 2, 27),
)  # fmt: skip


def at(text: str) -> Instant:
    return to_instant(datetime.fromisoformat(text).replace(tzinfo=UTC))


def fires(schedule: Times, zone: str, *, after: Instant, until: Instant) -> list[Instant]:
    found = []
    while (fire := next_fire(schedule, after, zone)) is not None and fire <= until:
        found.append(fire)
        after = fire
    return found


# --- cron: every minute that a wall clock shows, looked at ----------------------------------------


def shown_minutes(zone: str, *, after: Instant, until: Instant) -> dict[Instant, list[datetime]]:
    """The wall minutes that each instant is the first to show, by walking through the minutes.

    Minutes that are skipped belong to the first instant after the gap.
    """
    info, found, seen = ZoneInfo(zone), {}, set()
    start = datetime.fromtimestamp((after - DAY) // 1_000_000, UTC).replace(second=0, microsecond=0)
    previous = start.astimezone(info).replace(tzinfo=None) - timedelta(minutes=1)
    moment = start
    while to_instant(moment) <= until:
        wall = moment.astimezone(info).replace(tzinfo=None)
        new = []
        each = previous + timedelta(minutes=1)
        while each <= wall:
            if each not in seen:
                new.append(each)
                seen.add(each)
            each += timedelta(minutes=1)
        found[to_instant(moment)] = new
        previous = max(previous, wall)
        moment += timedelta(minutes=1)
    return {instant: walls for instant, walls in found.items() if instant > after}


def names(number: int, field: str, *, low: int, high: int) -> bool:
    """Whether a field of numbers, `*`, ranges, lists and steps names the number."""
    for item in field.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        start = low if span == "*" else int(first)
        end = high if span == "*" else int(last or first)
        if start <= number <= end and (number - start) % int(step or 1) == 0:
            return True
    return False


def fires_at(line: str, wall: datetime) -> bool:
    minute, hour, day, month, weekday = line.split()
    is_day = names(wall.day, day, low=1, high=31)
    is_weekday = weekday == "*" or DAYS[wall.isoweekday() % 7] in weekday.split(",")
    on = (is_day or is_weekday) if day[0] != "*" and weekday != "*" else is_day and is_weekday
    return (
        on
        and names(wall.minute, minute, low=0, high=59)
        and names(wall.hour, hour, low=0, high=23)
        and names(wall.month, month, low=1, high=12)
    )


lines = st.builds(
    "{} {} {} {} {}".format,
    st.sampled_from(["0", "30", "15,45", "*/20", "5-10/2", "59"]),
    st.sampled_from(["*", "2", "1-3", "0", "9", "*/6", "23", "2,3"]),
    st.sampled_from(["*", "*", "29", "1-7", "8", "28-31"]),
    st.sampled_from(["*", "*", "3", "10", "2-4"]),
    st.sampled_from(["*", "*", "sun", "mon,fri", "sat,sun"]),
)


@settings(max_examples=40, deadline=None)
@given(lines, st.sampled_from(ZONES), st.sampled_from(NEAR_CHANGES), st.integers(0, 1439))
def test_a_cron_line_fires_at_the_minutes_that_clocks_come_to_show(
    line: str, zone: str, on: date, minute: int
) -> None:
    after = resolve(on, minute, "UTC")
    until = after + 3 * DAY

    found = fires(Cron(line), zone, after=after, until=until)

    shown = shown_minutes(zone, after=after, until=until)
    assert found == [it for it, walls in shown.items() if any(fires_at(line, w) for w in walls)]


def test_a_time_in_the_gap_fires_at_its_end_and_one_in_the_fold_fires_once() -> None:
    nightly = Cron("30 2 * * *")

    spring = fires(
        nightly, "Europe/Berlin", after=at("2026-03-28T12:00"), until=at("2026-03-30T12:00")
    )
    autumn = fires(
        nightly, "Europe/Berlin", after=at("2026-10-24T12:00"), until=at("2026-10-26T12:00")
    )

    assert [iso(it) for it in spring] == ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
    assert [iso(it) for it in autumn] == ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]


# --- intervals --------------------------------------------------------------------------------


@given(st.integers(1, 40 * DAY), st.integers(-(10**9), 10**17), st.integers(-(10**9), 10**17))
def test_an_interval_fires_at_whole_spans_from_its_start(
    span: int, start: Instant, after: Instant
) -> None:
    fire = next_fire(Every(span, start), after, "UTC")

    assert fire is not None
    assert fire >= start
    assert fire > after
    assert (fire - start) % span == 0
    assert fire == start or fire - span <= after


# --- recurrence rules: dateutil from DTSTART on, never moved --------------------------------------

rules = st.builds(
    lambda frequency, interval, parts, times: ";".join(
        [f"FREQ={frequency}", f"INTERVAL={interval}", *parts.get(frequency, []), *times]
    ),
    st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]),
    st.integers(1, 5),
    st.fixed_dictionaries(
        {
            "DAILY": st.sampled_from([[], ["BYDAY=MO,SA"], ["BYMONTH=3,10"]]),
            "WEEKLY": st.sampled_from([[], ["BYDAY=SU"], ["BYDAY=MO,TH"], ["BYDAY=SU", "WKST=SU"]]),
            "MONTHLY": st.sampled_from(
                [[], ["BYMONTHDAY=-1"], ["BYDAY=-1FR"], ["BYDAY=MO,TU,WE,TH,FR", "BYSETPOS=-1"]]
            ),
            "YEARLY": st.sampled_from(
                [[], ["BYMONTH=3", "BYDAY=-1SU"], ["BYWEEKNO=20"], ["BYYEARDAY=-1"]]
            ),
        }
    ),
    st.sampled_from([[], ["BYHOUR=2", "BYMINUTE=30"], ["BYHOUR=0,2,23", "BYMINUTE=15"]]),
)
starts = st.datetimes(datetime(2018, 1, 1), datetime(2026, 12, 31)).map(
    lambda it: it.replace(second=0, microsecond=0)
)


@settings(max_examples=60, deadline=None)
@given(rules, starts, st.sampled_from(ZONES), st.integers(-400, 4000), st.integers(0, DAY))
def test_a_rule_fires_where_dateutil_walks_and_clocks_resolve(
    text: str, start: datetime, zone: str, days: int, offset: int
) -> None:
    began = resolve(start.date(), start.hour * 60 + start.minute, zone)
    after = began + days * DAY + offset
    until = max(began, after) + 500 * DAY
    local = datetime.fromtimestamp(began / 1e6, UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)

    found = fires(Rule(text, began), zone, after=after, until=until)

    expected = set()
    for wall in rrulestr(text, dtstart=local):
        instant = resolve(wall.date(), wall.hour * 60 + wall.minute, zone)
        if instant > until:
            break
        if instant > after and instant >= began:
            expected.add(instant)
    assert found == sorted(expected)


def test_a_rule_ends_by_count_and_by_until() -> None:
    start = at("2026-03-01T09:00")
    thrice = Rule("FREQ=WEEKLY;COUNT=3", start)
    utc = Rule("FREQ=DAILY;UNTIL=20260303T090000Z", start)
    # 10:00 in Berlin is 9:00 UTC.
    local = Rule("FREQ=DAILY;UNTIL=20260303T100000", start)

    far = at("2031-01-01T00:00")

    assert fires(thrice, "UTC", after=0, until=far) == [start, start + 7 * DAY, start + 14 * DAY]
    assert len(fires(utc, "Europe/Berlin", after=0, until=far)) == 3
    assert len(fires(local, "Europe/Berlin", after=0, until=far)) == 3
    assert next_fire(thrice, start + 14 * DAY, "UTC") is None


# --- the latest of those that were missed ---------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(lines.map(Cron), st.integers(1, 200).map(lambda n: Every(n * MINUTE))),
    st.sampled_from(ZONES),
    st.sampled_from(NEAR_CHANGES),
    st.integers(0, 3 * DAY),
)
def test_the_latest_fire_is_the_last_of_all_of_them(
    schedule: Times, zone: str, on: date, length: int
) -> None:
    after = resolve(on, 0, "UTC")
    every = fires(schedule, zone, after=after, until=after + length)

    assert latest_fire(schedule, after, after + length, zone) == (every[-1] if every else None)


def test_a_year_of_missed_minutes_is_found_at_once() -> None:
    year = at("2026-01-01T00:00")

    latest = latest_fire(Cron("* * * * *"), year, year + 365 * DAY + 1, "Europe/Berlin")

    assert latest == year + 365 * DAY


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (
            Cron("0 9 * * 1"),
            'weekdays "1" are numbers, which engines read differently. Write mon',
        ),
        (Cron("0 9 * * 1-5"), "Write mon,tue,wed,thu,fri"),
        (Cron("0 9 * * 0,7"), "Write sun"),
        (Cron("0 9 * * */2"), "Write tue,thu,sat,sun"),
        (Cron("0 9 30 2 *"), "never fires"),
        (Cron("0 9 * *"), "has 4 fields"),
        (Every(0), "at least a minute"),
        (Every(MINUTE - 1), "at least a minute"),
        (Rule("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", 0), "never fires"),
        (Rule("FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30", 0), "never fires"),
        (Rule("FREQ=HOURLY", 0), "FREQ is one of DAILY, WEEKLY, MONTHLY, YEARLY"),
        (Rule("RRULE:FREQ=DAILY", 0), "write the parts alone"),
        (Rule("FREQ=DAILY;BYHOUR=25", 0), 'rrule "FREQ=DAILY;BYHOUR=25"'),
        (Rule("FREQ=DAILY;BYDAY=XX", 0), 'rrule "FREQ=DAILY;BYDAY=XX"'),
        (Rule("FREQ=DAILY;INTERVAL=0", 0), "INTERVAL is a whole number from 1 to 1000"),
        (Rule("FREQ=DAILY;COUNT=1;UNTIL=20260101T000000Z", 0), "keep one"),
        (Rule("FREQ=DAILY;UNTIL=20260101", 0), "write UNTIL=20261231T235959Z"),
        (Rule("FREQ=DAILY;UNTIL=20261399T000000Z", 0), "no instant that exists"),
        (Rule("FREQ=DAILY;UNTIL=19690101T000000Z", 0), "never fires"),
        (Rule("FREQ=DAILY;FREQ=DAILY", 0), "stands twice"),
        (Rule("FREQ=DAILY", 30_000_000), "whole minute"),
    ],
)
def test_what_engines_would_read_differently_or_never_fires_is_refused(
    schedule: Times, said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        check_times(schedule, "Europe/Berlin")


@pytest.mark.parametrize(
    "schedule",
    [
        Cron("0 9 * * mon-fri"), Cron("*/15 * * * *"), Cron("0 0 29 2 *"), Every(MINUTE),
        Every(HOUR, at("2026-01-01T00:30")), Rule("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9", 0),
        Rule("FREQ=YEARLY;INTERVAL=4;BYMONTH=2;BYMONTHDAY=29", at("2024-02-29T00:00")),
    ],
)  # fmt: skip
def test_what_fires_is_allowed(schedule: Times) -> None:
    check_times(schedule, "Europe/Berlin")
