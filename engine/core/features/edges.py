"""The features behind `first` and `last` of a property, and `last_time`: one event decides.

`FirstValue`, where no event ever leaves: [at, value] of the earliest. `LastValue`: [times, values]
of the latest that has begun, and of those dated in the future until their time comes.
"""

from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from engine.core.conditions import limits
from engine.core.conditions.changes import first_change
from engine.core.conditions.comparisons import Answer
from engine.core.conditions.contributions import (
    compile_contributions,
    join_values,
    order,
    scalar,
    slot,
)
from engine.core.conditions.filters import compile_where
from engine.core.features.occurrences import bounds
from engine.core.model.conditions import EventMatch, Window
from engine.core.model.instants import NEVER, Instant
from engine.core.model.people import Event
from engine.core.paths import MISSING

Ask = Callable[[Any, Instant, str], Answer]
"""(value, now, zone) -> whether it passes and until when."""

LIMIT_WORDS = f"more than {limits.WAITING_MAX:,} events dated in the future"


class FirstValue(Struct, frozen=True, tag="first_value"):
    """The value of the earliest contribution; the window has no `within`."""

    match: EventMatch
    path: tuple[str, ...]
    window: Window


class LastValue(Struct, frozen=True, tag="last_value"):
    """The value of the latest contribution; without a path, its time."""

    match: EventMatch
    path: tuple[str, ...]
    window: Window


def compile_first_fold(definition: FirstValue, key: str) -> Callable[[dict[str, Any], Event], None]:
    """Keep the event if it is the earliest."""
    test = compile_where(definition.match.where)
    values_of = compile_contributions(definition.path, scalar)
    since, until = bounds(definition.window)

    def fold(features: dict[str, Any], event: Event) -> None:
        at = event.at
        if not since <= at < until or (test is not None and not test(event)):
            return
        state = features.get(key)
        if state is not None and at > state[0]:
            return
        for value in values_of(event):
            if state is None or at < state[0] or order(value) < order(state[1]):
                features[key] = [at, value]

    return fold


def join_first(definition: FirstValue, one: list[Any], other: list[Any]) -> list[Any]:
    """The earlier of the two."""
    if not one or not other:
        return list(one or other)
    is_first = (one[0], order(one[1])) <= (other[0], order(other[1]))
    return list(one if is_first else other)


def compile_last_fold(definition: LastValue, key: str) -> Callable[[dict[str, Any], Event], None]:
    """Keep the event if none that has begun is later."""
    test = compile_where(definition.match.where)
    values_of = compile_contributions(definition.path, scalar) if definition.path else _time_only
    since, until = bounds(definition.window)
    within = definition.window.within

    def fold(features: dict[str, Any], event: Event) -> None:
        at, now = event.at, event.accepted_at
        if not since <= at < until or (within is not None and at <= now - within):
            return
        state = features.get(key)
        if state is not None and at < state[0][0] <= now:
            return
        if test is not None and not test(event):
            return
        found = values_of(event)
        if not found:
            return
        if state is None:
            state = features[key] = [[], []]
        times, values = state
        for value in found:
            slot(times, values, at, value)
        begun = bisect_right(times, now)
        if begun > 1:
            del times[: begun - 1], values[: begun - 1]
        if len(times) > limits.WAITING_MAX:
            limits.note(features, key, limits.leaves(times[-1], within))
            del times[limits.WAITING_MAX :], values[limits.WAITING_MAX :]

    return fold


def _time_only(event: Event) -> tuple[Any, ...]:
    return (None,)


def join_last(definition: LastValue, one: list[Any], other: list[Any]) -> list[Any]:
    """Both profiles' events; the next event drops what is too many."""
    return join_values(one, other)


def compile_first_answer(
    key: str, ask: Ask, *, time_only: bool = False
) -> Callable[[dict[str, Any], Any, Instant], Answer]:
    """Whether the earliest value passes; `time_only`: its time, which then is all of the state."""

    def answer(features: dict[str, Any], profile: Any, now: Instant) -> Answer:
        state = features.get(key)
        zone = profile.zone
        if state is None:
            return first_change(lambda instant: ask(MISSING, instant, zone), now)
        first_at, value = state[0], state[0] if time_only else state[1]

        def at(instant: Instant) -> Answer:
            if first_at <= instant:
                return ask(value, instant, zone)
            holds, until = ask(MISSING, instant, zone)
            return holds, min(until, first_at)

        return first_change(at, now)

    return answer


def compile_last_answer(
    key: str, ask: Ask, *, within: int | None, time_only: bool = False
) -> Callable[[dict[str, Any], Any, Instant], Answer]:
    """Whether the latest value in the window, or its time, passes."""

    def answer(features: dict[str, Any], profile: Any, now: Instant) -> Answer:
        times, values = features.get(key) or ((), ())
        zone = profile.zone

        def at(instant: Instant) -> Answer:
            come = bisect_right(times, instant)
            value, changes_at = MISSING, times[come] if come < len(times) else NEVER
            if come:
                last_at = times[come - 1]
                leaves_at = limits.leaves(last_at, within)
                if leaves_at > instant:
                    value = last_at if time_only else values[come - 1]
                    changes_at = min(changes_at, leaves_at)
            holds, until = ask(value, instant, zone)
            return holds, min(until, changes_at)

        return first_change(at, now)

    return answer
