"""P8: local rules survive every clock change of every zone from 2024 to 2032.

Zones whose clocks change alike are played once. Around each change a daily message, a nightly cron
line and quiet hours are followed minute by minute for two days on either side.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest

from engine.core.clocktime import local_time, next_fire, next_wall_time, quiet_until, to_instant
from engine.core.model.campaigns import QuietHours
from engine.core.model.instants import DAY, HOUR, MINUTE, Instant

EVERY_DAY = (0, 1, 2, 3, 4, 5, 6)
MINUTES = (0, 30, 60, 90, 120, 150, 180, 540, 1260, 1410, 1439)
"""Wall times that clocks skip or repeat somewhere, and some that they never do."""
QUIET = (QuietHours(21 * 60, 9 * 60), QuietHours(60, 2 * 60 + 30), QuietHours(0, 3 * 60))


@lru_cache
def changes() -> dict[tuple[tuple[Instant, int], ...], str]:
    """One zone for each distinct list of (instant, new offset) at which clocks change."""
    found = {}
    for name in sorted(available_timezones()):
        if name in ("localtime", "Factory") or name.startswith(("posix/", "right/")):
            continue
        own = tuple(_changes_of(ZoneInfo(name)))
        if own:
            found.setdefault(own, name)
    return found


def _changes_of(zone: ZoneInfo) -> Iterator[tuple[Instant, int]]:
    day = datetime(2024, 1, 1, tzinfo=UTC)
    end = datetime(2033, 1, 1, tzinfo=UTC)
    offset = day.astimezone(zone).utcoffset()
    while day < end:
        following = day + timedelta(days=1)
        later = following.astimezone(zone).utcoffset()
        if later != offset:
            low, high = day, following
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) // 2
                if middle.astimezone(zone).utcoffset() == offset:
                    low = middle
                else:
                    high = middle
            assert later is not None
            changed = high.replace(second=0, microsecond=0)
            yield to_instant(changed), int(later.total_seconds())
            offset = later
        day = following


def each_change() -> Iterator[tuple[str, Instant]]:
    for instants, zone in changes().items():
        for instant, _ in instants:
            yield zone, instant


def test_there_are_changes_to_play() -> None:
    played = list(each_change())

    assert len(changes()) >= 30
    assert len(played) >= 400


@pytest.mark.parametrize("minute", MINUTES)
def test_a_daily_message_comes_once_a_day_and_on_the_minute_or_at_the_end_of_the_gap(
    minute: int,
) -> None:
    for zone, change in each_change():
        days: list[date] = []
        now = change - 2 * DAY
        while now < change + 2 * DAY:
            due = next_wall_time(minute, EVERY_DAY, zone, now=now)
            local = local_time(due, zone)
            shown = local.hour * 60 + local.minute
            if shown != minute:
                # The minute does not exist that day: the first valid instant after the gap.
                before = local_time(due - MINUTE, zone)
                assert (before.hour * 60 + before.minute) < minute < shown or (
                    before.date() < local.date()
                ), (zone, minute, local)
                days.append(local.date() if shown > minute else before.date())
            else:
                assert local.fold == 0, (zone, minute, local)
                days.append(local.date())
            now = due + MINUTE
        gone = [day for day, following in pairwise(days) if day == following]
        assert not gone, (zone, minute, days)
        skipped = [
            (one, other) for one, other in pairwise(days)
            if (other - one).days != 1 and not _has_no_such_day(zone, one + timedelta(days=1))
        ]  # fmt: skip
        assert not skipped, (zone, minute, skipped)


def _has_no_such_day(zone: str, day: date) -> bool:
    """Whether clocks jumped over a whole date, as on an island that changes sides."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone))
    return noon.astimezone(UTC).astimezone(ZoneInfo(zone)).date() != day


@pytest.mark.parametrize("line", ["30 2 * * *", "0 0 * * *", "15 1 * * *"])
def test_a_nightly_cron_line_fires_once_for_each_local_date(line: str) -> None:
    for zone, change in each_change():
        fires: list[date] = []
        now = change - 2 * DAY
        while now < change + 2 * DAY:
            now = next_fire(line, zone, after=now)
            fires.append(local_time(now, zone).date())
        assert len(set(fires)) == len(fires), (zone, line, fires)
        apart = {(b - a).days for a, b in pairwise(fires)}
        assert apart == {1}, (zone, line, fires)


@pytest.mark.parametrize("hours", QUIET, ids=lambda it: f"{it.from_minute}-{it.to_minute}")
def test_no_minute_around_a_change_is_let_through_while_clocks_show_quiet_hours(
    hours: QuietHours,
) -> None:
    for zone, change in each_change():
        for now in range(change - 4 * HOUR, change + 4 * HOUR, 10 * MINUTE):
            local = local_time(now, zone)
            minute = local.hour * 60 + local.minute
            begins, ends = hours.from_minute, hours.to_minute
            is_quiet = (
                begins <= minute < ends if begins < ends else minute >= begins or minute < ends
            )
            until = quiet_until(hours, zone, now=now)
            assert (until is not None) is is_quiet, (zone, local)
            if until is not None:
                assert quiet_until(hours, zone, now=until) is None, (zone, local)
