"""Spans, wall times, shares and dates as people write them -> the core's numbers, and back.

`30m 24h 7d 2w` and `90s` are exact (a day is 24 hours); ISO `P1D P1W P1M` are calendar steps
counted in a profile's zone. Every function raises ValueError with words for the reader.
"""

import re
from datetime import date, datetime
from typing import Final

from engine.core.model.instants import DAY, HOUR, MINUTE, SECOND, Instant
from engine.core.model.steps import Duration

UNITS: Final = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

SPAN_MAX: Final = 3660 * DAY
"""Ten years: longer is a slip of the pen, and sums of a few still fit an SQL integer."""

_EXACT = re.compile(r"(?:[0-9]{1,9}[smhdw])+")
_PART = re.compile(r"([0-9]+)([smhdw])")
_CALENDAR = re.compile(r"P(?:([0-9]{1,3})Y)?(?:([0-9]{1,4})M)?(?:([0-9]{1,4})W)?(?:([0-9]{1,4})D)?")
_DAY_OFFSET = re.compile(r"([+-]?)([0-9]{1,4})([dw])")
_OFFSET_DAYS_MAX: Final = 366
_RATE = re.compile(r"([0-9]{1,6})/([smhd])")
_WALL_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%")
_ISO_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ].+")
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def parse_duration(text: str) -> Duration:
    """An exact span or calendar steps.

    >>> parse_duration("1h30m").exact == 90 * MINUTE, parse_duration("P1M").months
    (True, 1)
    """
    if text.startswith("P"):
        return _calendar(text)
    return Duration(exact=parse_span(text))


def parse_span(text: str) -> int:
    """An exact span in microseconds, above zero.

    Raises:
        ValueError: Also for calendar steps, whose length depends on the date.
    """
    if _is_calendar(text):
        raise ValueError(
            f'"{text}" is a calendar step, whose length depends on the date; an exact span is '
            f"needed here. Write {_as_exact(text)}"
        )
    if not _EXACT.fullmatch(text):
        raise ValueError(
            f'"{text[:40]}" is not a duration. Write 30m, 24h, 7d or 2w (units: s, m, h, d, w)'
        )
    parts = _PART.findall(text)
    sizes = [UNITS[unit] for _, unit in parts]
    if sizes != sorted(set(sizes), reverse=True):
        raise ValueError(f'"{text}" mixes its units; write each once, the largest first: 1h30m')
    span = sum(int(number) * UNITS[unit] for number, unit in parts)
    if span == 0:
        raise ValueError(f'"{text}" is no time at all; a duration is above zero')
    if span > SPAN_MAX:
        raise ValueError(f'"{text}" is longer than ten years')
    return span


def parse_day_offset(text: str) -> int:
    """Whole days before (negative) or after a date: `-7d`, `1w`."""
    match = _DAY_OFFSET.fullmatch(text)
    if not match:
        raise ValueError(f'"{text[:40]}" is not an offset of whole days. Write -7d, 1d or 2w')
    days = int(match[2]) * (7 if match[3] == "w" else 1)
    if days > _OFFSET_DAYS_MAX:
        raise ValueError(f'"{text}" is more than a year away')
    return -days if match[1] == "-" else days


def dump_duration(duration: Duration) -> str:
    """The shortest text that `parse_duration` reads back to the same value."""
    if duration.months or duration.days:
        years, months = divmod(duration.months, 12)
        parts = ((years, "Y"), (months, "M"), (duration.days, "D"))
        return "P" + "".join(f"{number}{unit}" for number, unit in parts if number)
    return dump_span(duration.exact)


def dump_span(span: int) -> str:
    """An exact span of whole seconds as text: `1h30m`; weeks only where nothing is left over."""
    if span % UNITS["w"] == 0:
        return f"{span // UNITS['w']}w"
    text = ""
    for unit in "dhms":
        number, span = divmod(span, UNITS[unit])
        text += f"{number}{unit}" if number else ""
    return text


def parse_rate(text: str) -> tuple[int, int]:
    """(number, microseconds) of "100/s", "30/m", "5000/h" or "50000/d".

    >>> parse_rate("30/m") == (30, MINUTE)
    True
    """
    match = _RATE.fullmatch(text)
    if not match:
        raise ValueError(
            f'"{text[:40]}" is not a rate. Write a whole number of calls a second, minute, hour or '
            "day: 100/s, 600/m, 5000/h, 50000/d"
        )
    if int(match[1]) == 0:
        raise ValueError(f'"{text}" lets nothing through. To send nothing, pause the campaigns')
    return int(match[1]), UNITS[match[2]]


def parse_wall_time(text: str) -> int:
    """Minutes after midnight of "09:30"."""
    match = _WALL_TIME.fullmatch(text)
    if not match:
        raise ValueError(f'"{text[:40]}" is not a time of day. Write "09:30", from 00:00 to 23:59')
    return int(match[1]) * 60 + int(match[2])


def parse_share(text: str) -> float:
    """A share in [0, 1] from "10%" or "0.1"."""
    match = _SHARE.fullmatch(text)
    if match:
        share = float(match[1]) / 100
    else:
        try:
            share = float(text) if re.fullmatch(r"[0-9]*\.?[0-9]+", text) else -1.0
        except ValueError:
            share = -1.0
    if share < 0:
        raise ValueError(f'"{text[:40]}" is not a share. Write 10% or 0.1')
    if share > 1:
        raise ValueError(
            f'"{text}" is more than everyone. Write a share from 0% to 100%'
            + (f": {text}%" if not match and share <= 100 else "")
        )
    return round(share, 10)


def parse_instant(text: str) -> Instant:
    """An instant from ISO 8601 with its zone, `2026-03-02T09:00Z`."""
    try:
        if not _ISO_INSTANT.fullmatch(text):
            raise ValueError
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f'"{text[:40]}" is not an instant. Write 2026-03-02T09:00Z or 2026-03-02T09:00+01:00'
        ) from None
    if when.tzinfo is None:
        raise ValueError(f'"{text}" has no zone. End it with Z or with an offset such as +01:00')
    return (when - datetime.fromisoformat("1970-01-01T00:00+00:00")) // _MICROSECOND


def parse_date(text: str) -> date | None:
    """A calendar date such as `2026-01-31`, or None if the text is none."""
    if not _ISO_DATE.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f'"{text}" is not a date of the calendar') from None


def _calendar(text: str) -> Duration:
    match = _CALENDAR.fullmatch(text)
    if not match or text == "P":
        raise ValueError(
            f'"{text[:40]}" is not a duration. Calendar steps are whole: P1D, P2W, P1M, P1Y; '
            "write hours and minutes as 12h or 30m"
        )
    years, months, weeks, days = (int(part or 0) for part in match.groups())
    duration = Duration(months=years * 12 + months, days=weeks * 7 + days)
    if not (duration.months or duration.days):
        raise ValueError(f'"{text}" is no time at all; a duration is above zero')
    if duration.months * 31 + duration.days > SPAN_MAX // DAY:
        raise ValueError(f'"{text}" is longer than ten years')
    return duration


def _is_calendar(text: str) -> bool:
    return text.startswith("P") and bool(_CALENDAR.fullmatch(text)) and text != "P"


def _as_exact(text: str) -> str:
    duration = _calendar(text)
    return dump_span((duration.months * 30 + duration.days) * DAY)


_MICROSECOND = datetime.resolution


def dump_instant(instant: Instant) -> str:
    """ISO 8601 in UTC that `parse_instant` reads back: "2026-03-02T09:00:00+00:00"."""
    return (datetime.fromisoformat("1970-01-01T00:00+00:00") + instant * _MICROSECOND).isoformat()
