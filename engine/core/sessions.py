"""The feature behind `session`: stretches of events no further apart than the gap.

State: [sessions, waiting]. A session is [first, last, n_events]; sessions are in order and late
events extend or join them. `waiting` are times still in the future, which belong to no session
until they come. Sessions whose last event left the window more than one gap ago are forgotten;
an event so late that it lies before the window cannot bring one back.
"""

from bisect import bisect_right, insort
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from engine.core.comparisons import NO, Answer, Test, compile_test
from engine.core.model import DAY, NEVER, Comparison, Event, Instant, Window
from engine.core.occurrences import WAITING_MAX, bounds

SESSIONS_MAX: Final = 512
"""How many sessions are remembered; the oldest go first."""

NOT_BEHAVIOUR: Final = frozenset(
    {
        "Segment Entered",
        "Segment Exited",
        "Message Delivered",
        "Message Bounced",
        "Message Deferred",
        "Message Complained",
        "Message Dropped",
        "Message Sent",
    }
)
"""Events that we or a provider make: a person does nothing then, so no session grows by them."""


class Sessions(Struct, frozen=True, tag="sessions"):
    """Sessions that pass, or may yet pass, both lists of comparisons."""

    duration: tuple[Comparison, ...]
    events: tuple[Comparison, ...]
    window: Window
    gap: int


def compile_fold(definition: Sessions, key: str) -> Callable[[dict[str, Any], Event], None]:
    """Grow, join or open a session, and drop those that can no longer matter."""
    gap, within, since = definition.gap, definition.window.within, definition.window.since
    passes = _compile_passes(definition)
    # A session that passes and cannot stop passing outlives every older one.
    is_lasting = definition.window.until is None and all(
        one.operator in ("gt", "gte") for one in (*definition.duration, *definition.events)
    )

    def fold(features: dict[str, Any], event: Event) -> None:
        at, now = event.at, event.accepted_at
        # What lies before `since` may still grow into it until that is a day ago.
        gone = -NEVER if since is None else min(since - 1, now - DAY)
        if within is not None:
            gone = max(gone, now - within)
        state = features.get(key)
        if state is None:
            state = features[key] = [[], []]
        sessions, waiting = state
        if waiting and waiting[0] <= now:
            come = bisect_right(waiting, now)
            for time in waiting[:come]:
                _extend(sessions, time, gap)
            del waiting[:come]
        if at > now:
            insort(waiting, at)
            del waiting[WAITING_MAX:]
        else:
            _extend(sessions, at, gap)
        _forget(sessions, gone - gap)
        if is_lasting:
            _keep_from_last_passing(sessions, passes, since)
        if not sessions and not waiting:
            del features[key]

    return fold


def join(definition: Sessions, one: list[Any], other: list[Any]) -> list[Any]:
    """Both profiles' sessions; those closer than the gap become one."""
    joined: list[list[int]] = []
    for first, last, n_events in sorted([*one[0], *other[0]]):
        if joined and first - joined[-1][1] <= definition.gap:
            joined[-1][1] = max(joined[-1][1], last)
            joined[-1][2] += n_events
        else:
            joined.append([first, last, n_events])
    return [joined, sorted([*one[1], *other[1]])]


def compile_answer(
    definition: Sessions, key: str
) -> Callable[[dict[str, Any], Any, Instant], Answer]:
    """Whether a session that passes has its last event in the window, and until when."""
    passes, gap = _compile_passes(definition), definition.gap
    within = definition.window.within
    since, until = bounds(definition.window)

    def answer(features: dict[str, Any], profile: Any, now: Instant) -> Answer:
        state = features.get(key)
        if state is None:
            return NO
        sessions, waiting = state
        stands_until = NEVER
        if waiting:
            come = bisect_right(waiting, now)
            sessions = [list(session) for session in sessions]
            for time in waiting[:come]:
                _extend(sessions, time, gap)
            if come < len(waiting):
                stands_until = waiting[come]
        for first, last, n_events in reversed(sessions):
            leaves_at = NEVER if within is None else last + within
            if last < since or leaves_at <= now:
                break
            if last < until and passes(first, last, n_events):
                return True, min(leaves_at, stands_until)
        return False, stands_until

    return answer


def _compile_passes(definition: Sessions) -> Callable[[Instant, Instant, int], bool]:
    durations: list[Test] = [compile_test(one) for one in definition.duration]
    counts: list[Test] = [compile_test(one) for one in definition.events]
    if len(durations) == 1 and not counts:
        only = durations[0]
        return lambda first, last, n_events: only(last - first)
    return lambda first, last, n_events: (
        all(test(last - first) for test in durations) and all(test(n_events) for test in counts)
    )


def _extend(sessions: list[list[int]], at: Instant, gap: int) -> None:
    """Add one event: to the session within the gap, between two as their link, or as a new one."""
    if sessions and 0 <= at - sessions[-1][1] <= gap:
        sessions[-1][1] = at
        sessions[-1][2] += 1
        return
    index = len(sessions) - 1
    while index >= 0 and sessions[index][0] > at:
        index -= 1
    # `index` is the last session that begins at or before the event, or -1.
    if index >= 0 and at - sessions[index][1] <= gap:
        session = sessions[index]
        session[1] = max(session[1], at)
        session[2] += 1
    else:
        index += 1
        sessions.insert(index, [at, at, 1])
    after = index + 1
    if after < len(sessions) and sessions[after][0] - sessions[index][1] <= gap:
        _, last, n_events = sessions.pop(after)
        sessions[index][1] = last
        sessions[index][2] += n_events


def _forget(sessions: list[list[int]], gone: Instant) -> None:
    n_gone = 0
    while n_gone < len(sessions) and sessions[n_gone][1] <= gone:
        n_gone += 1
    del sessions[: max(n_gone, len(sessions) - SESSIONS_MAX)]


def _keep_from_last_passing(
    sessions: list[list[int]],
    passes: Callable[[Instant, Instant, int], bool],
    since: Instant | None,
) -> None:
    for index in range(len(sessions) - 1, 0, -1):
        first, last, n_events = sessions[index]
        if passes(first, last, n_events) and (since is None or last >= since):
            del sessions[:index]
            return
