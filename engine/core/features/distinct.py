"""The feature behind `distinct`: the different values that decide, each with its time.

State: [times, values], by time. Where values leave the window each counts by its latest event, and
the `keep` latest of them are enough; where none ever leaves, each counts by its earliest and the
`keep` earliest are. Events dated in the future wait beside them.
"""

from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from engine.core.conditions import limits
from engine.core.conditions.changes import first_change
from engine.core.conditions.comparisons import Answer
from engine.core.conditions.contributions import compile_contributions, identity, join_values, slot
from engine.core.conditions.filters import compile_where
from engine.core.features.occurrences import bounds, count_answer
from engine.core.model.conditions import EventMatch, Window
from engine.core.model.instants import NEVER, Instant
from engine.core.model.people import Event


class Distinct(Struct, frozen=True, tag="distinct"):
    """Different values at a path in the window; more than `keep` of them make no difference.

    `is_cut` says that they do, and that only the limit stands in the way of remembering them.
    """

    match: EventMatch
    path: tuple[str, ...]
    window: Window
    keep: int
    is_cut: bool


def limit_words(definition: Distinct) -> str:
    """What was too much."""
    waiting = f"{limits.WAITING_MAX:,} events that wait"
    return f"more than {definition.keep:,} different values, or {waiting}"


def compile_fold(definition: Distinct, key: str) -> Callable[[dict[str, Any], Event], None]:
    """Note an event's values unless they are known by a better time."""
    test = compile_where(definition.match.where)
    values_of = compile_contributions(definition.path, identity)
    since, until = bounds(definition.window)
    within, keep, is_cut = definition.window.within, definition.keep, definition.is_cut

    def fold(features: dict[str, Any], event: Event) -> None:
        at, now = event.at, event.accepted_at
        gone = since - 1 if within is None else max(since - 1, now - within)
        if not gone < at < until or (test is not None and not test(event)):
            return
        found = values_of(event)
        if not found:
            return
        state = features.get(key)
        if state is None:
            state = features[key] = [[], []]
        times, values = state
        for value in found:
            if within is None:
                dropped_at = _note_earliest(times, values, at, value, keep)
            elif at <= now and (not times or at > times[-1]):
                dropped_at = _note_latest(times, values, at, value, keep=keep, gone=gone)
            else:
                slot(times, values, at, value)
                dropped_at = _keep_latest(times, values, keep=keep, begun=now, gone=gone)
            if is_cut and dropped_at is not None:
                limits.note(features, key, limits.leaves(dropped_at, within))
        if within is not None and times[-1] > now and _n_waiting(times, now) > limits.WAITING_MAX:
            limits.note(features, key, times.pop() + within)
            values.pop()

    return fold


def _note_earliest(
    times: list[Instant], values: list[Any], at: Instant, value: Any, keep: int
) -> Instant | None:
    if value in values:
        place = values.index(value)
        if times[place] <= at:
            return None
        del times[place], values[place]
    elif len(times) >= keep and at > times[-1]:
        return at
    slot(times, values, at, value)
    if len(times) <= keep:
        return None
    values.pop()
    return times.pop()


def _note_latest(
    times: list[Instant], values: list[Any], at: Instant, value: Any, *, keep: int, gone: Instant
) -> Instant | None:
    """The common case of `_keep_latest`: the value is the latest of all, and none waits."""
    if value in values:
        place = values.index(value)
        del times[place], values[place]
    times.append(at)
    values.append(value)
    if times[0] > gone:
        if len(times) <= keep:
            return None
        if len(times) == keep + 1 and len(set(values)) == len(values):
            del values[0]
            return times.pop(0)
    return _keep_latest(times, values, keep=keep, begun=at, gone=gone)


def _n_waiting(times: list[Instant], now: Instant) -> int:
    return len(times) - bisect_right(times, now)


def _keep_latest(
    times: list[Instant], values: list[Any], *, keep: int, begun: Instant, gone: Instant
) -> Instant | None:
    """Of each value that has begun the latest time, of those the `keep` latest."""
    started = bisect_right(times, begun)
    kept: list[int] = []
    known: set[Any] = set()
    dropped_at = None
    for place in range(started - 1, -1, -1):
        if times[place] <= gone:
            break
        if values[place] in known:
            continue
        if len(known) == keep:
            dropped_at = times[place]
            break
        known.add(values[place])
        kept.append(place)
    if len(kept) < started:
        kept.reverse()
        times[:started] = [times[place] for place in kept]
        values[:started] = [values[place] for place in kept]
    return dropped_at


def join(definition: Distinct, one: list[Any], other: list[Any]) -> list[Any]:
    """Both profiles' values."""
    times, values = join_values(one, other)
    if definition.window.within is not None:
        return [times, values]
    state: list[Any] = [[], []]
    for at, value in zip(times, values, strict=True):
        _note_earliest(state[0], state[1], at, value, definition.keep)
    return state


def compile_answer(
    key: str, verdicts: tuple[bool, ...], *, within: int | None
) -> Callable[[dict[str, Any], Any, Instant], Answer]:
    """The verdict of the number of different values, by number; the last stands for all above."""
    most = len(verdicts) - 1
    nothing = (verdicts[0], NEVER)
    is_threshold = all(verdict is verdicts[0] for verdict in verdicts[:-1])
    reached = verdicts[-1]

    def answer(features: dict[str, Any], profile: Any, now: Instant) -> Answer:
        state = features.get(key)
        if state is None:
            return nothing
        times, values = state
        if within is None or len(set(values)) == len(values):
            if is_threshold and within is not None and times[-1] <= now:
                # The common case: nothing waits for its time, so the number can only fall.
                leaves_at = times[-most] + within if len(times) >= most else now
                return (reached, leaves_at) if leaves_at > now else nothing
            return count_answer(times, verdicts, within=within, delay=0, now=now)

        def at(instant: Instant) -> Answer:
            come, left = bisect_right(times, instant), bisect_right(times, instant - within)
            changes_at = times[come] if come < len(times) else NEVER
            if left < len(times):
                changes_at = min(changes_at, times[left] + within)
            return verdicts[min(len(set(values[left:come])), most)], changes_at

        return first_change(at, now)

    return answer
