"""Instants and local time: where text, zones and daylight saving become whole microseconds.

It never reads a clock: `now` is always given. A local time inside a gap (clocks go forward) means
the first instant that exists after it; one inside a fold (clocks go back) means the first of the
two. Cron lines are read by `cron`.
"""

from calendar import monthrange
from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.core.cron import parse_cron
from engine.core.model.campaigns import QuietHours
from engine.core.model.instants import SECOND, Instant
from engine.core.model.steps import Duration

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MINUTES_A_DAY: Final = 1440
# 29 February can be eight years away (1896 to 1904, 2096 to 2104).
_CRON_DAYS_MAX: Final = 9 * 366


def to_instant(moment: datetime) -> Instant:
    """The instant of an aware datetime; ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone; give one, such as Z or +02:00")
    return (moment - _EPOCH) // _MICROSECOND


def to_datetime(instant: Instant) -> datetime:
    """The instant as a datetime in UTC; OverflowError outside the years 1 to 9999."""
    return _EPOCH + timedelta(microseconds=instant)


@lru_cache(maxsize=4096)
def parse_instant(text: str) -> Instant:
    """Read an ISO 8601 date or time. Without an offset it is UTC; a bare date is its midnight.

    Raises:
        ValueError: If the text is no such date or time, or falls outside the years 1 to 9999.
    """
    try:
        moment = datetime.fromisoformat(text)
        instant = to_instant(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
        to_datetime(instant)  # an offset can lead out of the years that have a name
    except (ValueError, OverflowError, TypeError) as error:
        raise ValueError(
            f'"{text}" is not an ISO 8601 date or time; write 2026-03-02T09:00:00Z'
        ) from error
    return instant


@lru_cache(maxsize=1024)  # one instant is written for every arm, gate and message of a step
def iso(instant: Instant) -> str:
    """ISO 8601 text in UTC; microseconds only where there are some.

    >>> iso(1772442000000000)
    '2026-03-02T09:00:00Z'
    """
    return to_datetime(instant).replace(tzinfo=None).isoformat() + "Z"


@lru_cache(maxsize=1024)
def zone_info(zone: str) -> ZoneInfo:
    """The IANA zone of this name; ValueError if there is none."""
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f'"{zone}" is not a time zone; write an IANA name such as Europe/Berlin'
        ) from error


def local_time(instant: Instant, zone: str) -> datetime:
    """What clocks and calendars in the zone show at the instant."""
    return to_datetime(instant).astimezone(zone_info(zone))


def resolve(on: date, minute: int, zone: str) -> Instant:
    """The instant at which clocks in the zone first show this minute (0 to 1439) of this date."""
    wall = datetime(on.year, on.month, on.day, *divmod(minute, 60))
    return _resolve_wall(wall, zone_info(zone))


def showings(on: date, minute: int, zone: str) -> tuple[Instant, ...]:
    """The instants at which clocks come to show this minute of this date: two where they repeat it.

    One that they skip gives the first instant after the gap.
    """
    wall, info = datetime(on.year, on.month, on.day, *divmod(minute, 60)), zone_info(zone)
    first, second = _resolve_wall(wall, info), _resolve_wall(wall.replace(fold=1), info)
    return (first,) if first == second else (first, second)


def offset_changes_at(zone: str, *, after: Instant, until: Instant) -> Instant | None:
    """The instant in (after, until] at which the zone's offset changes, if it does.

    The two must be so near that it changes at most once between them: a day.
    """
    info = zone_info(zone)
    if local_time(after, zone).utcoffset() == local_time(until, zone).utcoffset():
        return None
    return _transition(after, until, info)


def add(instant: Instant, duration: Duration, zone: str) -> Instant:
    """The instant a duration later: calendar steps first, in the zone, then the exact part.

    A month step keeps the day of the month and takes the month's last where it is too short
    (`P1M` from 31 January is 28 or 29 February). Calendar steps keep the local wall time.
    """
    if not duration.months and not duration.days:
        return instant + duration.exact
    wall = local_time(instant, zone).replace(tzinfo=None, fold=0)
    months = wall.year * 12 + wall.month - 1 + duration.months
    year, month = months // 12, months % 12 + 1
    day = min(wall.day, monthrange(year, month)[1])
    wall = wall.replace(year=year, month=month, day=day) + timedelta(days=duration.days)
    return _resolve_wall(wall, zone_info(zone)) + duration.exact


def next_wall_time(at_minute: int, days: Collection[int], zone: str, *, now: Instant) -> Instant:
    """The next instant, `now` included, at which clocks show this minute on one of these days.

    Args:
        days: 0 (Monday) to 6 (Sunday), by the local calendar; ValueError if there are none.
    """
    if not days:
        raise ValueError("no days are given; name at least one of mon to sun")
    on = local_time(now, zone).date() - timedelta(days=1)
    while True:  # at most nine days: `days` holds one of any seven
        if on.weekday() in days:
            instant = resolve(on, at_minute, zone)
            if instant >= now:
                return instant
        on += timedelta(days=1)


@lru_cache(maxsize=4096)  # every arm of an experiment, and then its send, asks at one instant
def quiet_until(hours: QuietHours, zone: str, *, now: Instant) -> Instant | None:
    """When the quiet hours that hold now end; None if now is not quiet.

    It is quiet whenever local clocks show a time in [from, to), so an hour that clocks repeat is
    quiet both times. The end is the next instant at which clocks reach `to`. Equal ends mean no
    quiet hours at all.
    """
    local = local_time(now, zone)
    if not _is_quiet(hours, local):
        return None
    for days in (0, 1, 2):
        on = local.date() + timedelta(days=days)
        for fold in (0, 1):
            wall = datetime(on.year, on.month, on.day, *divmod(hours.to_minute, 60), fold=fold)
            end = _resolve_wall(wall, zone_info(zone))
            if end > now and not _is_quiet(hours, local_time(end, zone)):
                return end
    raise AssertionError(f"quiet hours {hours} in {zone} do not end after {iso(now)}")


def next_fire(cron: str, zone: str, *, after: Instant) -> Instant:
    """The first instant strictly after `after` at which the cron line fires in the zone.

    Each local time fires once: one inside a gap at the first instant after it, together with any
    other that falls there; one inside a fold the first time.

    Raises:
        ValueError: If the line cannot be read, or never fires.
    """
    line = parse_cron(cron)
    on = local_time(after, zone).date() - timedelta(days=1)
    for _ in range(_CRON_DAYS_MAX):
        if line.fires_on(on):
            instant = _first_after(on, line.minutes, zone, after)
            if instant is not None:
                return instant
        on += timedelta(days=1)
    raise ValueError(f'cron "{cron}" never fires: no month it names has such a day')


def check_cron(text: str) -> None:
    """Raise ValueError with a clear word if the cron line cannot be read or never fires."""
    next_fire(text, "UTC", after=0)


def _resolve_wall(wall: datetime, zone: ZoneInfo) -> Instant:
    """Gap to the first valid instant, fold to the first, unless `wall.fold` asks for the second."""
    before = zone.utcoffset(wall.replace(fold=0)) or timedelta()
    after = zone.utcoffset(wall.replace(fold=1)) or timedelta()
    as_utc = to_instant(wall.replace(tzinfo=UTC, fold=0))
    if after > before:
        return _transition(as_utc - after // _MICROSECOND, as_utc - before // _MICROSECOND, zone)
    return as_utc - (after if wall.fold else before) // _MICROSECOND


def _transition(low: Instant, high: Instant, zone: ZoneInfo) -> Instant:
    """The first instant in (low, high] with the offset of `high`; transitions fall on seconds."""
    low, high = low // SECOND, -(-high // SECOND)
    offset = to_datetime(high * SECOND).astimezone(zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if to_datetime(middle * SECOND).astimezone(zone).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return high * SECOND


def _is_quiet(hours: QuietHours, local: datetime) -> bool:
    minute = local.hour * 60 + local.minute
    if hours.from_minute <= hours.to_minute:
        return hours.from_minute <= minute < hours.to_minute
    return minute >= hours.from_minute or minute < hours.to_minute


def _first_after(on: date, minutes: list[int], zone: str, after: Instant) -> Instant | None:
    """The first of these minutes of the date that falls after an instant; they are in order."""
    low, high = 0, len(minutes)
    while low < high:
        middle = (low + high) // 2
        if resolve(on, minutes[middle], zone) > after:
            high = middle
        else:
            low = middle + 1
    return resolve(on, minutes[low], zone) if low < len(minutes) else None
