"""Dates in traits as instants: the anniversary or the day itself, some days off, at a wall time.

A date is what stands written: `1990-05-17`, or the first ten characters of an ISO time. 29 February
is kept on the 28th in common years, as in segments (`anniversary_within`); the day itself is no
anniversary of itself. A wall time inside a DST gap is the first instant that exists after it.
"""

from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

from engine.core.clocktime import local_time, parse_instant, resolve
from engine.core.model.campaigns import DateTrigger
from engine.core.model.instants import Instant

_YEAR_MIN: Final = 1900
_YEAR_MAX: Final = 9990


class Occasion(NamedTuple):
    """One day that a trigger is about: when it fires, and what tells it from the others."""

    at: Instant
    key: str


def next_occasion(
    trigger: DateTrigger, value: Any, zone: str, *, after: Instant
) -> Occasion | None:
    """The first occasion that fires strictly after an instant, or None if there is none.

    Args:
        value: The trait as it stands; what is no date has no occasion.
    """
    day = _day_of(value) if isinstance(value, str) else None
    if day is None:
        return None
    if not trigger.is_yearly:
        at = _fires_at(trigger, day, zone)
        return Occasion(at, day.isoformat()) if at is not None and at > after else None
    # An offset may lead into the next year or the last: three years hold the next one.
    this_year = local_time(after, zone).year - trigger.offset_days // 366
    first = max(day.year + 1, this_year - 1)
    for year in range(first, min(max(first, this_year) + 3, _YEAR_MAX)):
        at = _fires_at(trigger, anniversary(day, year), zone)
        if at is not None and at > after:
            return Occasion(at, str(year))
    return None


def anniversary(day: date, year: int) -> date:
    """The day on which a date is kept in a year."""
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    is_short = (day.month, day.day) == (2, 29) and not is_leap
    return day.replace(year=year, day=28 if is_short else day.day)


def _fires_at(trigger: DateTrigger, day: date, zone: str) -> Instant | None:
    if not _YEAR_MIN <= day.year <= _YEAR_MAX:
        return None
    return resolve(day + timedelta(days=trigger.offset_days), trigger.at_minute, zone)


@lru_cache(maxsize=4096)
def _day_of(text: str) -> date | None:
    try:
        parse_instant(text)
        # As written there: a week date ("2026-W10-1") has its day elsewhere than in front.
        return datetime.fromisoformat(text).date()
    except ValueError:
        return None
