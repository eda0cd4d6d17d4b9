"""The feature behind `min` and `max`: the values that are, or may yet become, the extreme one.

State: [times, values], by time. In a moving window a value matters until a later one is at least
as extreme; where none ever leaves, one value is left of all that have begun. Values dated in the
future wait for their time beside them. Past `limit` the oldest are dropped.
"""

from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from engine.core.conditions import limits
from engine.core.conditions.changes import first_change
from engine.core.conditions.comparisons import Answer
from engine.core.conditions.contributions import compile_contributions, join_values, number, slot
from engine.core.conditions.filters import compile_where
from engine.core.features.occurrences import bounds
from engine.core.model.conditions import EventMatch, Window
from engine.core.model.instants import NEVER, Instant
from engine.core.model.people import Event
from engine.core.paths import MISSING


class Extremes(Struct, frozen=True, tag="extremes"):
    """The smallest or largest number at a path of the events in the window."""

    match: EventMatch
    path: tuple[str, ...]
    window: Window
    is_max: bool
    limit: int


def limit_words(definition: Extremes) -> str:
    """What was too much."""
    return f"more than {definition.limit:,} values that may become the extreme one"


def compile_fold(definition: Extremes, key: str) -> Callable[[dict[str, Any], Event], None]:
    """Slot an event's numbers in and drop those that can no longer be the extreme one."""
    test = compile_where(definition.match.where)
    numbers_of = compile_contributions(definition.path, number)
    since, until = bounds(definition.window)
    within, limit, is_max = definition.window.within, definition.limit, definition.is_max

    def fold(features: dict[str, Any], event: Event) -> None:
        at, now = event.at, event.accepted_at
        gone = since - 1 if within is None else max(since - 1, now - within)
        if not gone < at < until or (test is not None and not test(event)):
            return
        found = numbers_of(event)
        if not found:
            return
        state = features.get(key)
        if state is None:
            state = features[key] = [[], []]
        times, values = state
        for value in found:
            slot(times, values, at, value)
        begun = bisect_right(times, now)
        if within is None:
            _keep_best(times, values, begun, is_max)
        else:
            _keep_staircase(times, values, begun, is_max, gone)
        if len(times) > limit:
            first = len(times) - limit
            limits.note(features, key, limits.leaves(times[first - 1], within))
            del times[:first], values[:first]

    return fold


def _keep_best(times: list[Instant], values: list[Any], begun: int, is_max: bool) -> None:
    """Of those that have begun, the most extreme; of equals the earliest."""
    if begun > 1:
        best = (max if is_max else min)(values[:begun])
        place = values.index(best)
        times[:begun], values[:begun] = [times[place]], [values[place]]


def _keep_staircase(
    times: list[Instant], values: list[Any], begun: int, is_max: bool, gone: Instant
) -> None:
    """Of those that have begun, each that no later one equals or exceeds."""
    kept: list[int] = []
    for place in range(begun - 1, -1, -1):
        if times[place] <= gone:
            break
        value = values[place]
        if not kept or (value > values[kept[-1]] if is_max else value < values[kept[-1]]):
            kept.append(place)
    if len(kept) < begun:
        kept.reverse()
        times[:begun] = [times[place] for place in kept]
        values[:begun] = [values[place] for place in kept]


def join(definition: Extremes, one: list[Any], other: list[Any]) -> list[Any]:
    """Both profiles' values; the next event drops what is too many."""
    return join_values(one, other)


def compile_answer(
    key: str, passes: Callable[[Any], bool], *, within: int | None, is_max: bool
) -> Callable[[dict[str, Any], Any, Instant], Answer]:
    """Whether the smallest or largest value in the window passes."""
    best_of = max if is_max else min

    def answer(features: dict[str, Any], profile: Any, now: Instant) -> Answer:
        times, values = features.get(key) or ((), ())

        def at(instant: Instant) -> Answer:
            come = bisect_right(times, instant)
            left = 0 if within is None else bisect_right(times, instant - within)
            changes_at = times[come] if come < len(times) else NEVER
            if left >= come:
                return passes(MISSING), changes_at
            best = best_of(values[left:come])
            if within is not None:
                last = come - 1
                while values[last] != best:
                    last -= 1
                changes_at = min(changes_at, times[last] + within)
            return passes(best), changes_at

        return first_change(at, now)

    return answer
