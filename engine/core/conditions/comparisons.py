"""One test of one value: each operator is one small unit in one dict.

Types are strict: text is never a number, a boolean is never 1, and a value that is missing is
neither null nor false. What each operator says of missing, null and other types is the table in
`docs/segments.md`. Operands are checked when compiled, so evaluation cannot fail.
"""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import lru_cache
from operator import ge, gt, le, lt
from typing import Any, Final, TypeAlias

import re2

from engine.core import clocktime
from engine.core.errors import CampaignError
from engine.core.model.conditions import Comparison
from engine.core.model.instants import NEVER, Instant
from engine.core.paths import MISSING

Test: TypeAlias = Callable[[Any], bool]
Answer: TypeAlias = tuple[bool, Instant]
TimedTest: TypeAlias = Callable[[Any, Instant, str], Answer]
"""Whether a value passes at an instant, and until when that answer stands. The zone says when a
date without a time begins."""

YES: Final[Answer] = (True, NEVER)
NO: Final[Answer] = (False, NEVER)

_REGEX_LENGTH_MAX: Final = 1_000


def is_timed(comparison: Comparison) -> bool:
    """Whether the answer can change by time alone."""
    return comparison.operator in TIMED


def compile_test(comparison: Comparison) -> Test:
    """The test of a comparison that time does not change.

    Raises:
        CampaignError: If the operator is unknown or its operand is not what it takes.
    """
    build = TESTS.get(comparison.operator)
    if build is None:
        allowed = ", ".join([*TESTS, *TIMED])
        raise CampaignError(f'operator "{comparison.operator}" is unknown; allowed are {allowed}')
    return build(comparison.operand)


def compile_timed(comparison: Comparison) -> TimedTest:
    """The test of any comparison, with how long its answer stands."""
    build = TIMED.get(comparison.operator)
    if build is not None:
        return build(_span(comparison))
    test = compile_test(comparison)
    return lambda value, now, zone: YES if test(value) else NO


# --- equality ------------------------------------------------------------------------------------


def _is(operand: Any) -> Test:
    if operand is None or isinstance(operand, bool):
        return lambda value: value is operand
    if isinstance(operand, str):
        return lambda value: bool(value == operand)
    if isinstance(operand, int | float):
        return lambda value: value == operand and value is not True and value is not False
    raise CampaignError(f"is: {operand!r} is not text, a number, true, false or null")


def _in(operand: Any) -> Test:
    if not isinstance(operand, tuple | list):
        raise CampaignError(f"in: {operand!r} is not a list")
    if all(isinstance(item, str) for item in operand):
        words = frozenset(operand)
        return lambda value: type(value) is str and value in words
    tests = tuple(_is(item) for item in operand)
    return lambda value: any(test(value) for test in tests)


def _exists(operand: Any) -> Test:
    if not isinstance(operand, bool):
        raise CampaignError(f"exists: {operand!r} is neither true nor false")
    return lambda value: (value is not MISSING) is operand


def _negation(build: Callable[[Any], Test]) -> Callable[[Any], Test]:
    """`is_not` is true exactly where `is` is not, missing and null included."""

    def build_negation(operand: Any) -> Test:
        test = build(operand)
        return lambda value: not test(value)

    return build_negation


# --- order ---------------------------------------------------------------------------------------


def _ordered(operator: str, compare: Callable[[Any, Any], bool]) -> Callable[[Any], Test]:
    """Numbers with numbers, text with text (by code point); anything else is false."""

    def build(operand: Any) -> Test:
        if isinstance(operand, str):
            return lambda value: type(value) is str and compare(value, operand)
        if isinstance(operand, int | float) and not isinstance(operand, bool):
            return lambda value: (
                (type(value) is int or type(value) is float) and compare(value, operand)
            )
        raise CampaignError(f"{operator}: {operand!r} is neither a number nor text")

    return build


_GTE: Final = _ordered("gte", ge)
_LTE: Final = _ordered("lte", le)


def _between(operand: Any) -> Test:
    if not isinstance(operand, tuple | list) or len(operand) != 2:
        raise CampaignError(f"between: {operand!r} is not a pair; write [low, high]")
    low, high = _GTE(operand[0]), _LTE(operand[1])
    return lambda value: low(value) and high(value)


# --- text ----------------------------------------------------------------------------------------


def _text(operator: str, passes: Callable[[str, str], bool]) -> Callable[[Any], Test]:
    def build(operand: Any) -> Test:
        if not isinstance(operand, str):
            raise CampaignError(f"{operator}: {operand!r} is not text")
        return lambda value: type(value) is str and passes(value, operand)

    return build


def _contains(operand: Any) -> Test:
    """Part of a text, or an element of a list."""
    element = _is(operand)

    def test(value: Any) -> bool:
        if type(value) is str:
            return isinstance(operand, str) and operand in value
        return type(value) is list and any(element(item) for item in value)

    return test


def _matches(operand: Any) -> Test:
    """RE2, so time is linear in the text whatever the pattern: https://github.com/google/re2."""
    if not isinstance(operand, str) or len(operand) > _REGEX_LENGTH_MAX:
        raise CampaignError(f"matches: a pattern is text of at most {_REGEX_LENGTH_MAX} characters")
    options = re2.Options()
    options.log_errors = False
    try:
        search = re2.compile(operand, options).search
    except re2.error as error:
        raise CampaignError(
            f'matches: "{operand}" is not a pattern RE2 can read ({error}); '
            "look-around and back-references do not exist there"
        ) from error
    return lambda value: type(value) is str and search(value) is not None


# --- dates ---------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _instant_of(text: str) -> Instant | None:
    try:
        return clocktime.parse_instant(text)
    except ValueError:
        return None


def as_instant(value: Any) -> Instant | None:
    """The instant an ISO 8601 text names; None for anything else, numbers included."""
    return _instant_of(value) if type(value) is str else None


@lru_cache(maxsize=4096)
def _local_instant_of(text: str, zone: str) -> Instant | None:
    instant = _instant_of(text)
    day = _bare_date_of(text) if instant is not None and zone != "UTC" else None
    return instant if day is None else clocktime.resolve(day, 0, zone)


def _bare_date_of(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def as_local_instant(value: Any, zone: str) -> Instant | None:
    """As `as_instant`, but that a date without a time is its midnight in the zone."""
    return _local_instant_of(value, zone) if type(value) is str else None


def _dated(operator: str, compare: Callable[[int, int], bool]) -> Callable[[Any], Test]:
    def build(operand: Any) -> Test:
        if not isinstance(operand, int) or isinstance(operand, bool):
            raise CampaignError(f"{operator}: {operand!r} is not an instant")

        def test(value: Any) -> bool:
            instant = as_instant(value)
            return instant is not None and compare(instant, operand)

        return test

    return build


def _span(comparison: Comparison) -> int:
    span = comparison.operand
    if not isinstance(span, int) or isinstance(span, bool) or span <= 0:
        raise CampaignError(f"{comparison.operator}: {span!r} is not a span of microseconds")
    return span


def _within_last(span: int) -> TimedTest:
    """now - span < value <= now, so it ends at exactly value + span."""

    def test(value: Any, now: Instant, zone: str) -> Answer:
        instant = as_local_instant(value, zone)
        if instant is None or instant + span <= now:
            return NO
        return (True, instant + span) if instant <= now else (False, instant)

    return test


def _within_next(span: int) -> TimedTest:
    """now < value <= now + span: it begins at value - span and ends at value."""

    def test(value: Any, now: Instant, zone: str) -> Answer:
        instant = as_local_instant(value, zone)
        if instant is None or instant <= now:
            return NO
        return (True, instant) if instant - span <= now else (False, instant - span)

    return test


def _anniversary_within(span: int) -> TimedTest:
    """From `span` before the anniversary's day begins in the zone until that day ends there.

    The day is the date as written; 29 February is kept on the 28th in common years; the day itself
    is no anniversary, the first is a year later.
    """

    def test(value: Any, now: Instant, zone: str) -> Answer:
        day = _day_of(value) if type(value) is str else None
        if day is None:
            return NO
        first = max(day.year + 1, clocktime.to_datetime(now).year - 1)
        for year in range(first, first + 3):
            on = _anniversary(day, year)
            if on is None:
                return NO
            begins_at = clocktime.resolve(on, 0, zone)
            ends_at = clocktime.resolve(on + timedelta(days=1), 0, zone)
            if now < ends_at:
                is_near = begins_at - span <= now
                return (True, ends_at) if is_near else (False, begins_at - span)
        return NO

    return test


@lru_cache(maxsize=4096)
def _day_of(text: str) -> date | None:
    """The date as written, in whatever form ISO 8601 lets it be written (2026-W10T09:00 too)."""
    return datetime.fromisoformat(text).date() if _instant_of(text) is not None else None


def _anniversary(day: date, year: int) -> date | None:
    if year >= 9999:
        return None  # its last day ends beyond the years that have a name
    is_short = day.month == 2 and day.day == 29 and not _is_leap(year)
    return day.replace(year=year, day=28 if is_short else day.day)


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


TESTS: Final[dict[str, Callable[[Any], Test]]] = {
    "is": _is,
    "is_not": _negation(_is),
    "in": _in,
    "not_in": _negation(_in),
    "gt": _ordered("gt", gt),
    "gte": _GTE,
    "lt": _ordered("lt", lt),
    "lte": _LTE,
    "between": _between,
    "contains": _contains,
    "not_contains": _negation(_contains),
    "starts_with": _text("starts_with", str.startswith),
    "ends_with": _text("ends_with", str.endswith),
    "matches": _matches,
    "exists": _exists,
    "before": _dated("before", lambda instant, operand: instant < operand),
    "after": _dated("after", lambda instant, operand: instant > operand),
}
"""Operators whose answer only a new value can change."""

TIMED: Final[dict[str, Callable[[int], TimedTest]]] = {
    "within_last": _within_last,
    "within_next": _within_next,
    "anniversary_within": _anniversary_within,
}
"""Operators whose answer time alone can change."""
