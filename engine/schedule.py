"""When a schedule fires: cron lines, intervals and recurrence rules, in a time zone. Pure.

The one reading of all three, whichever engine then starts the run: a local time inside a gap of
the clocks means the first instant after it, one inside a fold the first of the two, and each fires
once (`engine.core.clocktime`). Weekdays have names: `1` is Monday to cron(8) and Tuesday to
APScheduler. Read next: `engine.scheduling.rows`, where runs are claimed.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Final, TypeAlias

import msgspec

from engine.core import clocktime
from engine.core.cron import parse_cron
from engine.core.model.instants import MINUTE, Instant

EVERY_MIN: Final = MINUTE
"""A schedule starts batch work: what must happen sooner is a timer of the engine."""
COUNT_MAX: Final = 10_000
INTERVAL_MAX: Final = 1_000
YEARS_MAX: Final = {"DAILY": 12, "WEEKLY": 12, "MONTHLY": 40, "YEARLY": 40}
"""A rule that names no day in so many years never fires; days are walked one by one."""
FREQUENCIES: Final = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
PARTS: Final = (
    "FREQ", "INTERVAL", "COUNT", "UNTIL", "BYMONTH", "BYMONTHDAY", "BYDAY", "BYSETPOS", "BYHOUR",
    "BYMINUTE", "BYWEEKNO", "BYYEARDAY", "WKST",
)  # fmt: skip

_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_RULE_DAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_DAY_PARTS: Final = ("BYMONTHDAY", "BYDAY", "BYWEEKNO", "BYYEARDAY")
_UNTIL = re.compile(r"(\d{8}T\d{6})(Z?)")


class Cron(msgspec.Struct, frozen=True, tag="cron"):
    """Five fields, weekdays by name: `0 9 * * mon-fri`."""

    line: str


class Every(msgspec.Struct, frozen=True, tag="every"):
    """Every so many microseconds, counted from `start`, whatever clocks on walls do."""

    span: int
    start: Instant = 0


class Rule(msgspec.Struct, frozen=True, tag="rrule"):
    """A recurrence rule of RFC 5545 and its DTSTART, which is read in the schedule's zone."""

    text: str
    start: Instant


Times: TypeAlias = Cron | Every | Rule


def next_fire(schedule: Times, after: Instant, zone: str) -> Instant | None:
    """The first instant strictly after `after` at which the schedule fires.

    None once a rule with COUNT or UNTIL has ended.

    Raises:
        ValueError: If the schedule cannot be read, or never fires (`check_times` says so first).
    """
    match schedule:
        case Cron(line=line):
            return clocktime.next_fire(line, zone, after=after)
        case Every(span=span, start=start):
            return start + max(0, (after - start) // span + 1) * span
        case Rule():
            return _next_of_rule(schedule, after, zone)


def latest_fire(schedule: Times, after: Instant, until: Instant, zone: str) -> Instant | None:
    """The last instant in (after, until] at which the schedule fires; None if there is none."""
    low, high = after, until
    first = next_fire(schedule, low, zone)
    if first is None or first > until:
        return None
    # "Something fires in (x, until]" holds up to the last fire and never again.
    while high - low > 1:
        middle = (low + high) // 2
        fire = next_fire(schedule, middle, zone)
        if fire is not None and fire <= until:
            low, first = middle, fire
        else:
            high = middle
    return first


def check_times(schedule: Times, zone: str) -> None:
    """Refuse a schedule that two engines would read differently, or that never fires.

    Raises:
        ValueError: With what was found and what to write instead.
    """
    match schedule:
        case Cron(line=line):
            _check_weekdays(line)
            clocktime.check_cron(line)
        case Every(span=span):
            if span < EVERY_MIN:
                raise ValueError(
                    "an interval is at least a minute: a schedule starts batch work. Write 1m"
                )
        case Rule():
            if schedule.start % MINUTE:
                raise ValueError("the start of an rrule is a whole minute")
            if next_fire(schedule, schedule.start - 1, zone) is None:
                raise ValueError(f'rrule "{schedule.text}" never fires: mend its BY… parts')


def weekdays_by_name(line: str) -> str | None:
    """The weekdays that a cron line writes as numbers, by name: `1-5` is mon,tue,wed,thu,fri.

    0 and 7 are Sunday, as in cron(8). None where the line writes none as a number.
    """
    found = parse_cron(line).weekdays
    if not any(letter.isdigit() for letter in line.split()[4]):
        return None
    named = ",".join(_WEEKDAYS[day] for day in sorted(found, key=lambda day: day or 7))
    return named if len(found) < 7 else "*"


def _check_weekdays(line: str) -> None:
    if (named := weekdays_by_name(line)) is not None:
        raise ValueError(
            f'cron "{line}": the weekdays "{line.split()[4]}" are numbers, which engines read '
            f"differently. Write {named}"
        )


# --- recurrence rules ---------------------------------------------------------------------------


def _next_of_rule(rule: Rule, after: Instant, zone: str) -> Instant | None:
    parts = _parts(rule.text)
    text_until, is_utc = _until(parts)
    near = clocktime.local_time(max(after, rule.start - 1), zone).replace(tzinfo=None, fold=0)
    for wall in _walls(rule, parts, near - timedelta(days=1), zone):
        if text_until is not None and not is_utc and wall > text_until:
            return None
        instant = clocktime.resolve(wall.date(), wall.hour * 60 + wall.minute, zone)
        if is_utc and text_until is not None and instant > _utc(text_until):
            return None
        if instant > after and instant >= rule.start:
            return instant
    return None


def _utc(wall: datetime) -> Instant:
    return clocktime.parse_instant(wall.isoformat() + "Z")


@lru_cache(maxsize=256)
def _parts(text: str) -> dict[str, str]:
    """The parts of a rule by name."""
    found: dict[str, str] = {}
    for item in text.strip().rstrip(";").split(";"):
        name, equals, value = item.partition("=")
        if name not in PARTS or not equals or not value:
            if name.startswith(("DTSTART", "RRULE:")):
                raise ValueError(
                    f'rrule "{text}": write the parts alone, FREQ=…;…, and DTSTART as start'
                )
            raise ValueError(f'rrule "{text}": "{item}" is no part of it; {", ".join(PARTS)} are')
        if name in found:
            raise ValueError(f'rrule "{text}": {name} stands twice')
        found[name] = value
    if found.get("FREQ") not in FREQUENCIES:
        raise ValueError(
            f'rrule "{text}": FREQ is one of {", ".join(FREQUENCIES)}; for less than a day write '
            "every: 2h, or BYHOUR=9,12,15"
        )
    for name, most in (("INTERVAL", INTERVAL_MAX), ("COUNT", COUNT_MAX)):
        value = found.get(name, "1")
        if not (value.isascii() and value.isdecimal() and 1 <= int(value) <= most):
            raise ValueError(f'rrule "{text}": {name} is a whole number from 1 to {most}')
    if "COUNT" in found and "UNTIL" in found:
        raise ValueError(f'rrule "{text}": it ends by COUNT or by UNTIL; keep one')
    _until(found)
    return found


def _until(parts: dict[str, str]) -> tuple[datetime | None, bool]:
    """(the last instant as written, whether it is UTC and not local)."""
    if "UNTIL" not in parts:
        return None, False
    match = _UNTIL.fullmatch(parts["UNTIL"])
    if not match:
        raise ValueError(f"UNTIL={parts['UNTIL']} is no instant; write UNTIL=20261231T235959Z")
    try:
        return datetime.strptime(match[1], "%Y%m%dT%H%M%S"), bool(match[2])
    except ValueError:
        raise ValueError(f"UNTIL={parts['UNTIL']} is no instant that exists") from None


def _walls(rule: Rule, parts: dict[str, str], near: datetime, zone: str) -> Iterator[datetime]:
    """The local times that a rule names, in order, from some time before `near` on.

    dateutil walks from DTSTART; a rule without COUNT walks from a period shortly before instead.
    """
    from dateutil.rrule import rrulestr

    start = clocktime.local_time(rule.start, zone).replace(tzinfo=None, fold=0)
    start = start.replace(second=0, microsecond=0)
    kept = {name: value for name, value in parts.items() if name not in ("COUNT", "UNTIL")}
    if "COUNT" not in parts:
        start, kept = _moved(start, kept, near)
    text = ";".join(f"{name}={value}" for name, value in kept.items())
    end = max(start, near).replace(month=1, day=1)
    end = end.replace(year=min(9998, end.year + YEARS_MAX[parts["FREQ"]]))
    if "UNTIL" in parts:
        until, _ = _until(parts)
        assert until is not None
        end = min(end, until + timedelta(days=2))  # zones are less than a day from UTC
    if end < start:
        return
    try:
        found = rrulestr(f"{text};UNTIL={end:%Y%m%dT%H%M%S}", dtstart=start)
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f'rrule "{rule.text}": {error}') from None
    yield from islice(found, int(parts["COUNT"]) if "COUNT" in parts else None)


def _moved(
    start: datetime, parts: dict[str, str], near: datetime
) -> tuple[datetime, dict[str, str]]:
    """The same rule from a later period on: a whole number of its intervals after the first.

    What DTSTART says of the day, where no BY… part does, is written out before it moves.
    """
    interval = int(parts.get("INTERVAL", "1"))
    has_days = any(name in parts for name in _DAY_PARTS)
    match parts["FREQ"]:
        case "DAILY" | "WEEKLY" as frequency:
            days = interval * (7 if frequency == "WEEKLY" else 1)
            n = max(0, (near - start).days // days - 1)
            if frequency == "WEEKLY" and not has_days:
                parts = {**parts, "BYDAY": _RULE_DAYS[start.weekday()]}
            return start + timedelta(days=n * days), parts
        case "MONTHLY":
            months = (near.year - start.year) * 12 + near.month - start.month
            n = max(0, months // interval - 1)
            if n == 0:
                return start, parts
            if not has_days:
                parts = {**parts, "BYMONTHDAY": str(start.day)}
            year, month = divmod(start.year * 12 + start.month - 1 + n * interval, 12)
            return start.replace(year=year, month=month + 1, day=1), parts
        case _:
            n = max(0, (near.year - start.year) // interval - 1)
            if n == 0:
                return start, parts
            if not has_days:
                named = {"BYMONTH": str(start.month)} if "BYMONTH" not in parts else {}
                parts = {**parts, **named, "BYMONTHDAY": str(start.day)}
            return start.replace(year=start.year + n * interval, month=1, day=1), parts
