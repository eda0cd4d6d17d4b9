"""The parts of conditions in plain words: spans, counts, comparisons, filters, windows."""

from collections.abc import Callable
from typing import Any, Final

from engine.core import clocktime
from engine.core.conditions.comparisons import TIMED
from engine.core.model.conditions import Comparison, EventMatch, Filter, Window
from engine.core.model.instants import DAY, HOUR, MINUTE, SECOND

_WORDS: Final = {
    "is": "is", "is_not": "is not", "in": "is one of", "not_in": "is none of",
    "gt": "is more than", "gte": "is at least", "lt": "is less than", "lte": "is at most",
    "contains": "contains", "not_contains": "does not contain", "starts_with": "starts with",
    "ends_with": "ends with", "matches": "matches", "before": "is before", "after": "is after",
    "within_last": "lies in the last", "within_next": "lies in the next",
    "anniversary_within": "has its anniversary within",
}  # fmt: skip


def span_words(span: int) -> str:
    """Microseconds as people write them: `2h`, `30m`, `1m 30s`."""
    words = []
    for unit, letter in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")):
        number, span = divmod(span, unit)
        if number:
            words.append(f"{number}{letter}")
    return " ".join(words) or "0s"


def event_words(match: EventMatch) -> str:
    """An event with its filters."""
    where = " and ".join(filter_words(one) for one in match.where)
    return f"{match.event} where {where}" if where else match.event


def filter_words(one: Filter) -> str:
    """A path with its tests."""
    return f"{'.'.join(one.path)} {comparisons_words(one.comparisons)}"


def comparisons_words(comparisons: tuple[Comparison, ...]) -> str:
    """Tests of one value, which must all pass."""
    return " and ".join(_comparison(test) for test in comparisons)


def value_words(value: Any) -> str:
    """A value as found, a protected one without its marker."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return (
        "a protected value" if isinstance(value, str) and value.startswith("blind:") else str(value)
    )


def number_words(one: Comparison, words: Callable[[Any], str]) -> str:
    """A test of an amount, its operands put by `words`: `at least 2h`."""
    if one.operator == "between":
        return f"between {words(one.operand[0])} and {words(one.operand[1])}"
    if isinstance(one.operand, tuple | list):
        listed = ", ".join(words(item) for item in one.operand)
    else:
        listed = words(one.operand)
    return f"{_WORDS[one.operator].removeprefix('is')} {listed}".strip()


def count_words(count: tuple[Comparison, ...]) -> str:
    """How many times: `at least once`."""
    if count == (Comparison("gte", 1),):
        return "at least once"
    return " and ".join(f"{number_words(one, str)} times" for one in count) or "any number of times"


def window_words(window: Window) -> str:
    """Which times count, with a space before it; nothing for ever."""
    text = "" if window.within is None else f" in the last {span_words(window.within)}"
    if window.since is not None:
        text += f" since {clocktime.iso(window.since)}"
    if window.until is not None:
        text += f" before {clocktime.iso(window.until)}"
    return text


def _comparison(one: Comparison) -> str:
    if one.operator == "exists":
        return "exists" if one.operand else "does not exist"
    if one.operator == "between":
        return f"is between {one.operand[0]} and {one.operand[1]}"
    return f"{_WORDS[one.operator]} {_operand(one)}"


def _operand(one: Comparison) -> str:
    if one.operator in TIMED:
        return span_words(one.operand)
    if one.operator in ("before", "after"):
        return clocktime.iso(one.operand)
    if isinstance(one.operand, tuple | list):
        return ", ".join(value_words(item) for item in one.operand)
    return value_words(one.operand)
