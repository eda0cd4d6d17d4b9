"""From "what holds, and when something next happens" to the very instant at which it changes."""

from collections.abc import Callable
from typing import Final

from engine.core.conditions.comparisons import Answer
from engine.core.model.instants import NEVER, Instant

STEPS_MAX: Final = 10_000
"""After so many instants that change nothing, the next one is given as `until` all the same."""


def first_change(answer_at: Callable[[Instant], Answer], now: Instant) -> Answer:
    """The answer at `now` and the first instant at which it is another.

    Args:
        answer_at: Whether it holds at an instant, and the next instant at which that may change.
    """
    holds, until = answer_at(now)
    for _ in range(STEPS_MAX):
        if until >= NEVER:
            return holds, NEVER
        holds_then, next_until = answer_at(until)
        if holds_then is not holds:
            break
        until = next_until
    return holds, until
