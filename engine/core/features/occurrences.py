"""The feature behind "at least n events in the window": the times of those events that decide.

State: times of matching events in order. Where events leave the window, the `keep` most recent
that have begun are enough: while an older one is inside, so are they. Where none ever leaves, the
`keep` earliest are. An event dated in the future counts only from its time on, so it is kept
beside them until then.
"""

from bisect import bisect_right, insort
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from engine.core.conditions import limits
from engine.core.conditions.comparisons import NO, YES, Answer
from engine.core.conditions.filters import compile_where
from engine.core.model.conditions import EventMatch, Window
from engine.core.model.instants import NEVER, Instant
from engine.core.model.people import Event

WAITING_MAX: Final = limits.WAITING_MAX
LIMIT_WORDS: Final = f"more than {WAITING_MAX:,} events that wait for their time"


class Occurrences(Struct, frozen=True, tag="occurrences"):
    """Times of matching events in the window; counts above `keep` make no difference."""

    match: EventMatch
    window: Window
    keep: int


def compile_fold(definition: Occurrences, key: str) -> Callable[[dict[str, Any], Event], None]:
    """Slot a matching event in and drop what can no longer matter."""
    test = compile_where(definition.match.where)
    window, keep = definition.window, definition.keep
    since, until = bounds(window)
    within = window.within

    def fold_earliest(features: dict[str, Any], event: Event) -> None:
        at = event.at
        if not since <= at < until or (test is not None and not test(event)):
            return
        times = features.get(key)
        if times is None:
            features[key] = [at]
        elif len(times) < keep or at < times[-1]:
            insort(times, at)
            del times[keep:]

    if within is None:
        return fold_earliest

    def fold_latest(features: dict[str, Any], event: Event) -> None:
        at, gone = event.at, event.accepted_at - within
        if at <= gone or not since <= at < until or (test is not None and not test(event)):
            return
        times = features.get(key)
        if times is None:
            features[key] = [at]
            return
        if at >= times[-1]:
            times.append(at)
        else:
            insort(times, at)
        if len(times) > keep or times[0] <= gone:
            dropped_at = forget(times, keep=keep, begun=event.accepted_at, gone=gone)
            if dropped_at is not None:
                limits.note(features, key, dropped_at + within)

    return fold_latest


def bounds(window: Window) -> tuple[Instant, Instant]:
    """The fixed part of a window: [since, until)."""
    since = -NEVER if window.since is None else window.since
    return since, NEVER if window.until is None else window.until


def forget(times: list[Instant], *, keep: int, begun: Instant, gone: Instant) -> Instant | None:
    """Drop times up to `gone`, and all but the `keep` latest of those up to `begun`.

    Gives the furthest of those that wait where too many do, which are dropped.
    """
    started = bisect_right(times, begun)
    first = max(bisect_right(times, gone), started - keep)
    dropped_at = None
    if len(times) - started > WAITING_MAX:
        dropped_at = times[-1]
        del times[started + WAITING_MAX :]
    if first > 0:
        del times[:first]
    return dropped_at


def join(definition: Occurrences, one: list[Instant], other: list[Instant]) -> list[Instant]:
    """Both profiles' times; the next event drops what is too many."""
    times = sorted([*one, *other])
    return times[: definition.keep] if definition.window.within is None else times


Times = Callable[[Any], list[Instant]]
"""Where the times are in a feature's state."""


def compile_answer(
    key: str, verdicts: tuple[bool, ...], *, within: int | None, delay: int = 0, part: int = -1
) -> Callable[[dict[str, Any], Any, Instant], Answer]:
    """The verdict of a count, and when it next changes by itself.

    Args:
        verdicts: The answer for each count; the last stands for that count and any above.
        within: Microseconds an event counts for after its time; None for ever.
        delay: Microseconds after its time from which an event counts; under `within`.
        part: Which element of the state holds the times; -1 if the state is the times.
    """
    most = len(verdicts) - 1
    nothing = YES if verdicts[0] else NO
    if most == 0 or (within is not None and delay >= within):
        return lambda features, profile, now: nothing
    is_threshold = all(verdict is verdicts[0] for verdict in verdicts[:-1])
    reached = verdicts[-1]

    def answer(features: dict[str, Any], profile: Any, now: Instant) -> Answer:
        times = features.get(key)
        if times is not None and part >= 0:
            times = times[part]
        if not times:
            return nothing
        if is_threshold and times[-1] + delay <= now:
            # The common case: nothing waits for its time, so the count can only fall.
            if len(times) < most:
                return nothing
            if within is None:
                return reached, NEVER
            leaves_at = times[-most] + within
            return (reached, leaves_at) if leaves_at > now else nothing
        return count_answer(times, verdicts, within=within, delay=delay, now=now)

    return answer


def count_answer(
    times: list[Instant],
    verdicts: tuple[bool, ...],
    *,
    within: int | None,
    delay: int,
    now: Instant,
) -> Answer:
    """Step through the instants at which a time enters or leaves until the verdict differs."""
    most, size = len(verdicts) - 1, len(times)
    entered = bisect_right(times, now - delay)
    left = 0 if within is None else bisect_right(times, now - within)
    verdict = verdicts[min(entered - left, most)]
    while True:
        enters_at = times[entered] + delay if entered < size else NEVER
        leaves_at = times[left] + within if within is not None and left < size else NEVER
        changes_at = min(enters_at, leaves_at)
        if changes_at >= NEVER:
            return verdict, NEVER
        while entered < size and times[entered] + delay <= changes_at:
            entered += 1
        while within is not None and left < size and times[left] + within <= changes_at:
            left += 1
        if verdicts[min(entered - left, most)] is not verdict:
            return verdict, changes_at
