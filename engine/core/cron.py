"""A five-field cron line, read and checked: which minutes of which dates it names.

Dates and minutes only, no zones: `clocktime.next_fire` turns them into instants. The rules are
those of cron(8): when day of month and day of week are both restricted, either one suffices, and
a field that starts with `*` is not restricted. Source: https://man7.org/linux/man-pages/man5/crontab.5.html
"""

from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

_MONTHS: Final = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6,
    "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
}  # fmt: skip
_WEEKDAYS: Final = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    words: dict[str, int]


_FIELDS: Final = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of month", 1, 31, {}),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 7, _WEEKDAYS),
)


class Cron(NamedTuple):
    """What a cron line names. `minutes` are minutes of the day in order; Sunday is 0."""

    minutes: list[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    is_either_day: bool

    def fires_on(self, on: date) -> bool:
        """Whether the line fires at all on this local date."""
        if on.month not in self.months:
            return False
        is_day, is_weekday = on.day in self.days, on.isoweekday() % 7 in self.weekdays
        return (is_day or is_weekday) if self.is_either_day else (is_day and is_weekday)


@lru_cache(maxsize=1024)
def parse_cron(text: str) -> Cron:
    """Read a cron line: minute, hour, day of month, month, day of week.

    Each field takes `*`, numbers, names (jan, mon), ranges, lists and steps of a range.

    Raises:
        ValueError: Naming the field, what was found and what is allowed.
    """
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(
            f'cron "{text}" has {len(parts)} fields; write five: minute, hour, day of month, '
            'month, day of week, such as "0 9 * * mon"'
        )
    minutes, hours, days, months, weekdays = (
        _numbers(part, field, text) for part, field in zip(parts, _FIELDS, strict=True)
    )
    return Cron(
        minutes=[hour * 60 + minute for hour in sorted(hours) for minute in sorted(minutes)],
        days=frozenset(days),
        months=frozenset(months),
        weekdays=frozenset(day % 7 for day in weekdays),
        is_either_day=not parts[2].startswith("*") and not parts[4].startswith("*"),
    )


def _numbers(part: str, field: _Field, text: str) -> set[int]:
    found: set[int] = set()
    for item in part.split(","):
        span, slash, step_text = item.partition("/")
        if slash and (not step_text.isdecimal() or int(step_text) == 0):
            raise _wrong(item, field, text, "a step is a whole number of at least 1")
        step = int(step_text) if slash else 1
        first, dash, last = span.partition("-")
        if span == "*":
            low, high = field.low, field.high
        elif dash:
            low, high = _number(first, field, text), _number(last, field, text)
            if last.lower() == "sun":
                high = 7
            if low > high:
                raise _wrong(item, field, text, "a range goes from small to large")
        elif slash:
            raise _wrong(item, field, text, f"write {span}-{field.high}/{step_text}")
        else:
            low = high = _number(span, field, text)
        found.update(range(low, high + 1, step))
    return found


def _number(word: str, field: _Field, text: str) -> int:
    if word.lower() in field.words:
        return field.words[word.lower()]
    if word.isdecimal() and word.isascii() and field.low <= int(word) <= field.high:
        return int(word)
    names = f" or {', '.join(field.words)}" if field.words else ""
    raise _wrong(word, field, text, f"allowed are {field.low} to {field.high}{names}")


def _wrong(item: str, field: _Field, text: str, allowed: str) -> ValueError:
    return ValueError(f'cron "{text}": "{item}" is not a {field.name}; {allowed}')
