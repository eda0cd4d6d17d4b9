"""`local_time`: whether clocks where someone lives show such a time on such a day.

It is what clocks show that counts: an hour that they repeat counts both times, one that they skip
never does. The answer of a zone stands for all its people until it changes, so it is worked out
once and remembered.
"""

from datetime import date, datetime, timedelta
from typing import Any, Final

from engine.core import clocktime
from engine.core.conditions.comparisons import Answer
from engine.core.conditions.compiled import Ask
from engine.core.errors import CampaignError
from engine.core.model.conditions import LocalTimeCondition
from engine.core.model.instants import NEVER, Instant

_DAY_MINUTES: Final = 1440
_LOOK_AHEAD_DAYS: Final = 15
"""Any weekly hours begin or end within a week; two, for those that a clock change swallows."""


def compile_local_time(condition: LocalTimeCondition) -> Ask:
    """The closure, with the exact instant at which the answer changes.

    Raises:
        CampaignError: If it names no day, no time, or no zone.
    """
    _check(condition)
    fixed = None if condition.zone == "profile" else condition.zone
    known: dict[str, tuple[Instant, Instant, bool]] = {}

    def ask(features: dict[str, Any], profile: Any, now: Instant) -> Answer:
        zone = fixed or profile.zone
        span = known.get(zone)
        if span is None or not span[0] <= now < span[1]:
            holds = shows(condition, clocktime.local_time(now, zone))
            span = known[zone] = (now, _changes_at(condition, zone, holds, now=now), holds)
        return span[2], span[1]

    return ask


def shows(condition: LocalTimeCondition, local: datetime) -> bool:
    """Whether a clock that shows this is inside the hours."""
    minute, today = local.hour * 60 + local.minute, local.weekday()
    if condition.from_minute < condition.to_minute:
        return condition.from_minute <= minute < condition.to_minute and today in condition.days
    if minute >= condition.from_minute:
        return today in condition.days
    return minute < condition.to_minute and (today - 1) % 7 in condition.days


def _changes_at(condition: LocalTimeCondition, zone: str, holds: bool, *, now: Instant) -> Instant:
    """The first instant after now at which the answer is another, looking two weeks ahead."""
    if not _can_change(condition):
        return NEVER
    on = clocktime.local_time(now, zone).date()
    seen = now
    for days in range(_LOOK_AHEAD_DAYS):
        borders = _borders(condition, zone, on + timedelta(days=days), after=seen)
        for at in borders:
            if shows(condition, clocktime.local_time(at, zone)) is not holds:
                return at
        seen = borders[-1] if borders else seen  # Apia once skipped a whole day
    return seen


def _borders(
    condition: LocalTimeCondition, zone: str, on: date, *, after: Instant
) -> list[Instant]:
    """The instants after another at which the hours, this date or the zone's offset change."""
    minutes = {0, condition.from_minute, condition.to_minute % _DAY_MINUTES}
    found = {at for minute in minutes for at in clocktime.showings(on, minute, zone) if at > after}
    midnight = clocktime.resolve(on + timedelta(days=1), 0, zone)
    borders = sorted({*found, midnight})
    start = after
    for end in list(borders):
        changes_at = clocktime.offset_changes_at(zone, after=start, until=end)
        if changes_at is not None:
            found.add(changes_at)
        start = end
    return sorted({*found, midnight} - {after})


def _can_change(condition: LocalTimeCondition) -> bool:
    is_all_day = (condition.from_minute, condition.to_minute) == (0, _DAY_MINUTES)
    return not is_all_day or len(set(condition.days)) < 7


def _check(condition: LocalTimeCondition) -> None:
    if not condition.days or not set(condition.days) <= set(range(7)):
        raise CampaignError("local_time: days: name at least one of mon to sun")
    if condition.from_minute == condition.to_minute:
        raise CampaignError("local_time: from and to are the same time, so it is never; change one")
    if not (0 <= condition.from_minute < _DAY_MINUTES and 0 <= condition.to_minute <= _DAY_MINUTES):
        raise CampaignError("local_time: a time of day lies between 00:00 and 23:59")
    if condition.zone != "profile":
        try:
            clocktime.zone_info(condition.zone)
        except ValueError as error:
            raise CampaignError(f"local_time: {error}") from error
