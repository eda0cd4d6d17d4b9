"""Local time against two other sources: clocks read minute by minute, and fixed known dates."""

import random
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest

from engine.core import clocktime
from engine.core.clocktime import iso, parse_instant
from engine.core.model.campaigns import QuietHours
from engine.core.model.instants import DAY, HOUR, MINUTE, SECOND, Instant
from engine.core.model.steps import Duration

EVERY_DAY = (0, 1, 2, 3, 4, 5, 6)
BERLIN = "Europe/Berlin"


def transitions(zone: str, *, start: int = 1990, end: int = 2030) -> list[tuple[int, int, int]]:
    """(epoch second, offset before, offset after) of each change of offset, by bisection."""
    info = ZoneInfo(zone)

    @cache
    def offset(second: int) -> int:
        at = datetime.fromtimestamp(second, info).utcoffset()
        assert at is not None
        return int(at.total_seconds())

    found = []
    step = 7 * 86_400
    first = int(datetime(start, 1, 1, tzinfo=UTC).timestamp())
    for low in range(first, int(datetime(end, 1, 1, tzinfo=UTC).timestamp()), step):
        if offset(low) != offset(low + step):
            before, after = low, low + step
            while after - before > 1:
                middle = (before + after) // 2
                if offset(middle) == offset(low):
                    before = middle
                else:
                    after = middle
            found.append((after, offset(before), offset(after)))
    return found


def wall(instant: Instant, zone: str) -> datetime:
    return datetime.fromtimestamp(instant / SECOND, ZoneInfo(zone)).replace(tzinfo=None)


def test_text_and_instants_are_each_others_inverse() -> None:
    rng = random.Random(1)
    for instant in [0, 1, -1, *(rng.randrange(-(2**52), 2**52) for _ in range(500))]:
        assert parse_instant(iso(instant)) == instant
        assert clocktime.to_instant(clocktime.to_datetime(instant)) == instant

    assert iso(parse_instant("2026-03-02T10:00+01:00")) == "2026-03-02T09:00:00Z"
    assert iso(parse_instant("2026-03-02T09:00:00.25Z")) == "2026-03-02T09:00:00.250000Z"
    assert iso(parse_instant("2026-03-02")) == "2026-03-02T00:00:00Z"


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "1772442000", "0001-01-01T00:00+23:00"])
def test_what_is_no_date_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write 2026-03-02T09:00:00Z"):
        parse_instant(text)


def test_a_naive_datetime_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        clocktime.to_instant(datetime(2026, 3, 2))


def test_an_unknown_zone_is_refused_with_an_example() -> None:
    for zone in ("Mars/Olympus", "../../etc/passwd", ""):
        with pytest.raises(ValueError, match="Europe/Berlin"):
            clocktime.resolve(date(2026, 3, 2), 0, zone)


def test_in_every_zone_a_gap_resolves_to_its_first_valid_instant_and_a_fold_to_its_first() -> None:
    rng = random.Random(7)
    n_gaps = n_folds = 0
    for zone in sorted(available_timezones()):
        changes = transitions(zone)
        for second, before, after in rng.sample(changes, min(3, len(changes))):
            # Local seconds since the epoch at the change, as clocks showed and then show it.
            shown_before, shown_after = second + before, second + after
            minute = -(-min(shown_before, shown_after) // 60) + rng.randrange(
                max(1, abs(after - before) // 60)
            )
            local = datetime(1970, 1, 1) + timedelta(minutes=minute)

            instant = clocktime.resolve(local.date(), local.hour * 60 + local.minute, zone)

            if shown_before <= minute * 60 < shown_after:
                n_gaps += 1
                assert instant == second * SECOND, (zone, local)
            elif shown_after <= minute * 60 < shown_before:
                n_folds += 1
                assert instant == (minute * 60 - before) * SECOND, (zone, local)
                assert instant < second * SECOND
    assert n_gaps > 200
    assert n_folds > 200


def test_outside_gaps_clocks_show_exactly_the_wall_time_resolved() -> None:
    rng = random.Random(3)
    for zone in rng.sample(sorted(available_timezones()), 100):
        on = date(2026, 6, 15) + timedelta(days=rng.randrange(3))
        minute = rng.randrange(1440)

        instant = clocktime.resolve(on, minute, zone)

        shown = wall(instant, zone)
        assert (shown.date(), shown.hour * 60 + shown.minute, shown.second) == (on, minute, 0)


def test_the_next_wall_time_includes_now_and_skips_to_the_days_named() -> None:
    # 2 March 2026 is a Monday; Berlin is one hour ahead of UTC.
    now = parse_instant("2026-03-02T08:00Z")

    assert clocktime.next_wall_time(9 * 60, EVERY_DAY, BERLIN, now=now) == now
    assert iso(clocktime.next_wall_time(9 * 60, EVERY_DAY, BERLIN, now=now + 1)) == (
        "2026-03-03T08:00:00Z"
    )
    assert iso(clocktime.next_wall_time(9 * 60, (6,), BERLIN, now=now)) == "2026-03-08T08:00:00Z"
    with pytest.raises(ValueError, match="at least one"):
        clocktime.next_wall_time(9 * 60, (), BERLIN, now=now)


def test_the_next_wall_time_is_the_first_minute_at_which_clocks_show_it() -> None:
    # Minute by minute over weeks in which clocks change, Lord Howe by half an hour.
    for zone, begin in [
        (BERLIN, "2026-03-28"),
        (BERLIN, "2026-10-24"),
        ("Australia/Lord_Howe", "2026-04-04"),
        ("America/Sao_Paulo", "2018-11-03"),
    ]:
        start = parse_instant(begin)
        for at_minute in (0, 45, 9 * 60):
            now = start + 17 * SECOND
            candidates = range(start + MINUTE, start + 3 * DAY, MINUTE)
            expected = next(
                at
                for at in candidates
                if wall(at, zone).hour * 60 + wall(at, zone).minute == at_minute
                or _is_gap_end_over(at, at_minute, zone)
            )

            assert clocktime.next_wall_time(at_minute, EVERY_DAY, zone, now=now) == expected


def _is_gap_end_over(at: Instant, at_minute: int, zone: str) -> bool:
    """Whether clocks jumped over this minute in the minute before."""
    before, after = wall(at - MINUTE, zone), wall(at, zone)
    skipped = (after - before) - timedelta(minutes=1)
    if skipped <= timedelta():
        return False
    return any(
        (before + timedelta(minutes=1 + n)).hour * 60 + (before + timedelta(minutes=1 + n)).minute
        == at_minute
        for n in range(int(skipped.total_seconds() // 60))
    )


def test_quiet_hours_hold_over_midnight_and_end_on_the_minute() -> None:
    hours = QuietHours(from_minute=21 * 60, to_minute=9 * 60)
    end = parse_instant("2026-03-03T08:00Z")

    assert clocktime.quiet_until(hours, BERLIN, now=parse_instant("2026-03-02T20:00Z")) == end
    assert clocktime.quiet_until(hours, BERLIN, now=end - 1) == end
    assert clocktime.quiet_until(hours, BERLIN, now=end) is None
    assert clocktime.quiet_until(hours, BERLIN, now=parse_instant("2026-03-02T20:00Z") - 1) is None
    assert clocktime.quiet_until(QuietHours(540, 540), BERLIN, now=end) is None


def test_quiet_hours_inside_an_hour_that_clocks_repeat_are_quiet_both_times() -> None:
    # Berlin shows 02:00 to 03:00 twice on 25 October 2026, from 00:00Z and from 01:00Z.
    hours = QuietHours(from_minute=2 * 60 + 10, to_minute=2 * 60 + 40)
    first, second = parse_instant("2026-10-25T00:20Z"), parse_instant("2026-10-25T01:20Z")

    assert clocktime.quiet_until(hours, BERLIN, now=first) == first + 20 * MINUTE
    assert clocktime.quiet_until(hours, BERLIN, now=first + 30 * MINUTE) is None
    assert clocktime.quiet_until(hours, BERLIN, now=second) == second + 20 * MINUTE


def test_nobody_is_reached_while_their_clock_shows_quiet_hours_in_any_zone() -> None:
    rng = random.Random(11)
    for zone in rng.sample(sorted(available_timezones()), 120):
        for second, _, _ in transitions(zone, start=2005, end=2027)[-2:]:
            hours = QuietHours(rng.randrange(1440), rng.randrange(1440))
            for _ in range(10):
                now = second * SECOND + rng.randrange(-5 * HOUR, 5 * HOUR)
                shown = wall(now, zone)
                minute = shown.hour * 60 + shown.minute
                is_quiet = (
                    hours.from_minute <= minute < hours.to_minute
                    if hours.from_minute <= hours.to_minute
                    else not hours.to_minute <= minute < hours.from_minute
                )

                end = clocktime.quiet_until(hours, zone, now=now)

                assert (end is not None) is is_quiet
                if end is not None:
                    assert now < end <= now + 2 * DAY
                    assert clocktime.quiet_until(hours, zone, now=end) is None
                    first_minute = now - now % MINUTE + MINUTE
                    assert all(
                        wall(at, zone).hour * 60 + wall(at, zone).minute != hours.to_minute
                        for at in range(first_minute, min(end, first_minute + 6 * HOUR), MINUTE)
                    )


def test_a_month_after_the_last_of_january_is_the_last_of_february() -> None:
    months = [
        iso(clocktime.add(parse_instant("2026-01-31T12:00Z"), Duration(months=n), BERLIN))[:10]
        for n in (1, 2, 3, 25)
    ]

    assert months == ["2026-02-28", "2026-03-31", "2026-04-30", "2028-02-29"]
    leap = parse_instant("2028-02-29T12:00Z")
    assert iso(clocktime.add(leap, Duration(months=12), "UTC")) == "2029-02-28T12:00:00Z"


def test_a_calendar_day_keeps_the_wall_time_and_an_exact_one_does_not() -> None:
    # Clocks in Berlin go forward in the night to 29 March 2026.
    eve = parse_instant("2026-03-28T11:00Z")

    assert iso(clocktime.add(eve, Duration(days=1), BERLIN)) == "2026-03-29T10:00:00Z"
    assert iso(clocktime.add(eve, Duration(exact=DAY), BERLIN)) == "2026-03-29T11:00:00Z"
    assert clocktime.add(eve, Duration(days=1, exact=5), BERLIN) == eve + 23 * HOUR + 5


def test_a_calendar_day_into_a_gap_ends_at_its_first_valid_instant() -> None:
    half_past_two = parse_instant("2026-03-28T01:30Z")

    assert iso(clocktime.add(half_past_two, Duration(days=1), BERLIN)) == "2026-03-29T01:00:00Z"
