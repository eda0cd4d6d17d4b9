"""Counts as verdicts: what a comparison says of 0, 1, 2, … events."""

from math import ceil
from typing import Final

from engine.core.conditions.comparisons import NO, YES, compile_test
from engine.core.conditions.compiled import Compiled
from engine.core.errors import CampaignError
from engine.core.model.conditions import Comparison

COUNT_MAX: Final = 10_000
"""The largest count a condition may compare with: so many times are kept for each profile."""


def count_verdicts(count: tuple[Comparison, ...]) -> tuple[bool, ...]:
    """The answer for 0, 1, 2, … events; the last stands for every larger count too.

    >>> count_verdicts((Comparison("gte", 2),))
    (False, False, True)
    """
    tests = [compile_test(one) for one in count]
    verdicts = [all(test(n) for test in tests) for n in range(_largest(count) + 2)]
    while len(verdicts) > 1 and verdicts[-1] == verdicts[-2]:
        verdicts.pop()
    return tuple(verdicts)


def _largest(count: tuple[Comparison, ...]) -> int:
    largest = 0
    for one in count:
        operands = one.operand if isinstance(one.operand, tuple | list) else (one.operand,)
        for operand in operands:
            if not isinstance(operand, int | float) or isinstance(operand, bool):
                raise CampaignError(f"count: {operand!r} is not a number")
            if not operand <= COUNT_MAX:
                raise CampaignError(
                    f"count: {operand} is more than {COUNT_MAX}, the most that is remembered"
                )
            largest = max(largest, ceil(operand))
    return largest


def constant(holds: bool) -> Compiled:
    """The closure of what is always or never so."""
    answer = YES if holds else NO
    return Compiled(lambda features, profile, now: answer)
