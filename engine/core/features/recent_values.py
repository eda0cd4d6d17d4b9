"""The feature behind `sum`, `avg` and `first` in a moving window: every contribution inside it.

State: [times, values], in order. What leaves must be known to be taken off, so each one is kept
until it has left; past `limit` the oldest are dropped, and the verdict is approximate until they
would have left. Sums of few are added anew each time: nothing drifts.
"""

from bisect import bisect_right
from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

from engine.core.conditions import limits
from engine.core.conditions.changes import first_change
from engine.core.conditions.comparisons import Answer
from engine.core.conditions.contributions import compile_contributions, join_values, scalar, slot
from engine.core.conditions.filters import compile_where
from engine.core.conditions.units import TotalTest, units
from engine.core.features.occurrences import bounds
from engine.core.model.conditions import EventMatch, Window
from engine.core.model.instants import NEVER, Instant
from engine.core.model.people import Event
from engine.core.paths import MISSING


class RecentValues(Struct, frozen=True, tag="recent_values"):
    """The values at a path that count, of the events in a window that moves."""

    match: EventMatch
    path: tuple[str, ...]
    window: Window
    take: Literal["units", "scalar"]
    limit: int


def limit_words(definition: RecentValues) -> str:
    """What was too much."""
    return f"more than {definition.limit:,} values in the window"


def compile_fold(definition: RecentValues, key: str) -> Callable[[dict[str, Any], Event], None]:
    """Slot an event's values in and drop those that left."""
    test = compile_where(definition.match.where)
    values_of = compile_contributions(
        definition.path, units if definition.take == "units" else scalar
    )
    since, until = bounds(definition.window)
    within, limit = definition.window.within, definition.limit
    assert within is not None

    def fold(features: dict[str, Any], event: Event) -> None:
        at, gone = event.at, event.accepted_at - within
        if at <= gone or not since <= at < until or (test is not None and not test(event)):
            return
        found = values_of(event)
        if not found:
            return
        state = features.get(key)
        if state is None:
            state = features[key] = [[], []]
        times, values = state
        for value in found:
            slot(times, values, at, value)
        first = bisect_right(times, gone) if times[0] <= gone else 0
        if len(times) - first > limit:
            first = len(times) - limit
            limits.note(features, key, times[first - 1] + within)
        if first:
            del times[:first], values[:first]

    return fold


def join(definition: RecentValues, one: list[Any], other: list[Any]) -> list[Any]:
    """Both profiles' values; the next event drops what is too many."""
    return join_values(one, other)


def compile_total_answer(
    key: str, passes: TotalTest, *, within: int
) -> Callable[[dict[str, Any], Any, Instant], Answer]:
    """Whether the sum or mean in the window passes, and the very instant at which that changes."""
    nothing = (passes(0, 0), NEVER)

    def answer(features: dict[str, Any], profile: Any, now: Instant) -> Answer:
        state = features.get(key)
        if state is None:
            return nothing
        times, amounts = state
        size = len(times)
        entered = size if times[-1] <= now else bisect_right(times, now)
        left = bisect_right(times, now - within) if times[0] <= now - within else 0
        total = sum(amounts[left:entered])
        holds = passes(total, entered - left)
        while left < size:
            at = times[left] + within
            if entered < size and times[entered] < at:
                at = times[entered]
            while entered < size and times[entered] <= at:
                total += amounts[entered]
                entered += 1
            while left < size and times[left] + within <= at:
                total -= amounts[left]
                left += 1
            if passes(total, entered - left) is not holds:
                return holds, at
        return holds, NEVER

    return answer


def compile_first_answer(
    key: str, ask: Callable[[Any, Instant, str], Answer], *, within: int
) -> Callable[[dict[str, Any], Any, Instant], Answer]:
    """Whether the earliest value in the window passes."""

    def answer(features: dict[str, Any], profile: Any, now: Instant) -> Answer:
        times, values = features.get(key) or ((), ())

        def at(instant: Instant) -> Answer:
            left = bisect_right(times, instant - within)
            if left < len(times) and times[left] <= instant:
                value, changes_at = values[left], times[left] + within
            else:
                value, changes_at = MISSING, times[left] if left < len(times) else NEVER
            holds, until = ask(value, instant, profile.zone)
            return holds, min(until, changes_at)

        return first_change(at, now)

    return answer
