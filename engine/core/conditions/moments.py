"""The tests of `first_time` and `last_time`: an instant at which something happened, or missing.

The earliest time is the feature that a count of one for ever has; the latest is an edge without a
value. A day is a day in the profile's zone only for anniversaries.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from engine.core import clocktime
from engine.core.conditions.comparisons import NO, YES, Answer, TimedTest, compile_timed
from engine.core.conditions.filters import all_answer
from engine.core.errors import CampaignError
from engine.core.model.conditions import Comparison
from engine.core.model.instants import Instant
from engine.core.paths import MISSING

OPERATORS: Final = ("before", "after", "within_last", "anniversary_within", "exists")


def compile_moment_test(comparisons: Sequence[Comparison]) -> TimedTest:
    """The test of an instant or MISSING, for (value, now, zone).

    Raises:
        CampaignError: If an operator does not compare what has happened.
    """
    tests = tuple(_compile_one(one) for one in comparisons)
    if len(tests) == 1:
        return tests[0]
    return lambda value, now, zone: all_answer([test(value, now, zone) for test in tests])


def _compile_one(one: Comparison) -> TimedTest:
    operand = one.operand
    if one.operator not in OPERATORS:
        raise CampaignError(
            f"{one.operator} cannot compare when something happened; allowed are "
            f"{', '.join(OPERATORS)}"
        )
    if one.operator == "exists":
        if not isinstance(operand, bool):
            raise CampaignError(f"exists: {operand!r} is neither true nor false")
        return lambda value, now, zone: YES if (value is not MISSING) is operand else NO
    if one.operator == "anniversary_within":
        test = compile_timed(one)
        return lambda value, now, zone: (
            NO if value is MISSING else test(clocktime.iso(value), now, zone)
        )
    if not isinstance(operand, int) or isinstance(operand, bool):
        raise CampaignError(f"{one.operator}: {operand!r} is not an instant or a span")
    return _COMPILERS[one.operator](operand)


def _before(operand: Instant) -> TimedTest:
    return lambda value, now, zone: YES if value is not MISSING and value < operand else NO


def _after(operand: Instant) -> TimedTest:
    return lambda value, now, zone: YES if value is not MISSING and value > operand else NO


def _within_last(span: int) -> TimedTest:
    if span <= 0:
        raise CampaignError("within_last: a span is longer than nothing")

    def test(value: Any, now: Instant, zone: str) -> Answer:
        return (True, value + span) if value is not MISSING and value + span > now else NO

    return test


_COMPILERS: Final[dict[str, Callable[[int], TimedTest]]] = {
    "before": _before,
    "after": _after,
    "within_last": _within_last,
}
