"""The feature behind `session`: stretches of events no further apart than the gap.

State: [sessions, waiting]. A session is [first, last, n_events]; sessions are in order and late
events extend or join them. `waiting` are times still in the future, which belong to no session
until they come. Sessions whose last event left the window more than one gap ago are forgotten;
an event so late that it lies before the window cannot bring one back.

Where one session is enough and growing cannot spoil it, the latest that passes is kept as
[0, last, 0], settled: when it began and what came before it can change no verdict, and to forget
both is what makes the state the same in whatever order the events came.
"""

from bisect import bisect_right, insort
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from engine.core.conditions import limits
from engine.core.conditions.comparisons import Answer, Test, compile_test
from engine.core.features.occurrences import WAITING_MAX, bounds
from engine.core.model.conditions import Comparison, Window
from engine.core.model.instants import DAY, NEVER, Instant
from engine.core.model.people import Event

NOT_BEHAVIOUR: Final = frozenset(
    {
        "Assignment Conflict",
        "Campaign Triggered",
        "Profile Merged",
        "Segment Entered",
        "Segment Exited",
        "Message Delivered",
        "Message Bounced",
        "Message Deferred",
        "Message Complained",
        "Message Dropped",
        "Message Failed",
        "Message Rejected",
        "Message Sent",
        "Message Undelivered",
        "Send Time Explored",
        "Webhook Answered",
    }
)
"""Events that we or a provider make: a person does nothing then, so no session grows by them."""


ONE: Final = (Comparison("gte", 1),)


class Sessions(Struct, frozen=True, tag="sessions"):
    """Sessions that pass, or may yet pass, both lists of comparisons; `count` is how many must."""

    duration: tuple[Comparison, ...]
    events: tuple[Comparison, ...]
    window: Window
    gap: int
    limit: int
    count: tuple[Comparison, ...] = ONE


def limit_words(definition: Sessions) -> str:
    """What was too much."""
    return f"more than {definition.limit:,} sessions, or {WAITING_MAX:,} events that wait"


def compile_fold(definition: Sessions, key: str) -> Callable[[dict[str, Any], Event], None]:
    """Grow, join or open a session, and drop those that can no longer matter."""
    gap, within, since = definition.gap, definition.window.within, definition.window.since
    passes, limit = _compile_passes(definition), definition.limit
    is_lasting, gone_by = _is_lasting(definition), _compile_gone(definition)
    one_settles = is_lasting and passes(0, 0, 1)

    def fold(features: dict[str, Any], event: Event) -> None:
        at, now = event.at, event.accepted_at
        state = features.get(key)
        if state is not None and state[0] and not state[1] and at <= now:
            sessions = state[0]
            latest = sessions[-1]
            is_inside = (within is None or at > now - within) and (since is None or at >= since)
            if is_inside and at >= latest[1]:
                # The common case: the latest session goes on or another follows it, and only that
                # one can newly pass.
                settles = False
                if at - latest[1] > gap:
                    sessions.append([at, at, 1])
                    settles = one_settles
                else:
                    latest[1] = at
                    if latest[2]:
                        latest[2] += 1
                        settles = is_lasting and passes(*latest)
                if sessions[0][1] <= (gone := gone_by(now)) or len(sessions) > limit:
                    dropped_at = _forget(sessions, gone, limit)
                    if dropped_at is not None:
                        limits.note(features, key, limits.leaves(dropped_at, within))
                if settles:
                    sessions[:] = [[0, at, 0]]
                return
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
            if len(waiting) > WAITING_MAX:
                limits.note(features, key, limits.leaves(waiting.pop(), within))
        else:
            _extend(sessions, at, gap)
        dropped_at = _forget(sessions, gone_by(now), limit)
        if is_lasting:
            _settle(sessions, passes, since)
        if dropped_at is not None:
            limits.note(features, key, limits.leaves(dropped_at, within))
        if not sessions and not waiting:
            del features[key]

    return fold


def join(definition: Sessions, one: list[Any], other: list[Any]) -> list[Any]:
    """Both profiles' sessions; those closer than the gap become one."""
    joined: list[list[int]] = []
    # A settled one takes in all that came before it, so it goes first.
    for first, last, n_events in sorted([*one[0], *other[0]], key=lambda it: (it[2] > 0, it)):
        if joined and first - joined[-1][1] <= definition.gap:
            joined[-1][1] = max(joined[-1][1], last)
            joined[-1][2] += n_events if joined[-1][2] else 0
        else:
            joined.append([first, last, n_events])
    if _is_lasting(definition):
        _settle(joined, _compile_passes(definition), definition.window.since)
    return [joined, sorted([*one[1], *other[1]])]


def compile_answer(
    definition: Sessions, key: str, verdicts: tuple[bool, ...]
) -> Callable[[dict[str, Any], Any, Instant], Answer]:
    """Whether enough sessions that pass have their last event in the window, and until when.

    Args:
        verdicts: The answer for each number of sessions; the last stands for any above.
    """
    passes, gap = _compile_passes(definition), definition.gap
    within = definition.window.within
    since, until = bounds(definition.window)
    is_one_enough, most = verdicts == (False, True), len(verdicts) - 1
    nothing = (verdicts[0], NEVER)

    def answer(features: dict[str, Any], profile: Any, now: Instant) -> Answer:
        state = features.get(key)
        if state is None:
            return nothing
        sessions, waiting = state
        if is_one_enough and not waiting:
            # The common case: the latest that passes decides, and it can only leave.
            for first, last, n_events in reversed(sessions):
                leaves_at = NEVER if within is None else last + within
                if last < since or leaves_at <= now:
                    break
                if last < until and (not n_events or passes(first, last, n_events)):
                    return True, leaves_at
            return nothing
        stands_until = NEVER
        if waiting:
            come = bisect_right(waiting, now)
            sessions = [list(session) for session in sessions]
            for time in waiting[:come]:
                _extend(sessions, time, gap)
            if come < len(waiting):
                stands_until = waiting[come]
        leaving: list[Instant] = []
        for first, last, n_events in reversed(sessions):
            leaves_at = NEVER if within is None else last + within
            if last < since or leaves_at <= now:
                break
            if last < until and (not n_events or passes(first, last, n_events)):
                if is_one_enough:
                    return True, min(leaves_at, stands_until)
                leaving.append(leaves_at)
        verdict = verdicts[min(len(leaving), most)]
        while leaving:  # the next to leave is the last one found
            leaves_at = leaving.pop()
            if verdicts[min(len(leaving), most)] is not verdict:
                return verdict, min(leaves_at, stands_until)
        return verdict, stands_until

    return answer


def _is_lasting(definition: Sessions) -> bool:
    """Whether one passing session is enough and, once it passes, goes on passing as it grows."""
    return (
        definition.count == ONE
        and definition.window.until is None
        and all(one.operator in ("gt", "gte") for one in (*definition.duration, *definition.events))
    )


def _compile_passes(definition: Sessions) -> Callable[[Instant, Instant, int], bool]:
    durations: list[Test] = [compile_test(one) for one in definition.duration]
    counts: list[Test] = [compile_test(one) for one in definition.events]
    if len(durations) == 1 and not counts:
        only, (asked,) = durations[0], definition.duration
        if asked.operator == "gte" and type(asked.operand) is int:
            shortest: int = asked.operand
            return lambda first, last, n_events: last - first >= shortest
        return lambda first, last, n_events: only(last - first)
    return lambda first, last, n_events: (
        all(test(last - first) for test in durations) and all(test(n_events) for test in counts)
    )


def _compile_gone(definition: Sessions) -> Callable[[Instant], Instant]:
    """The instant up to which a session must have ended to be forgotten now."""
    gap, within, since = definition.gap, definition.window.within, definition.window.since
    if since is None:
        reach = NEVER if within is None else within + gap
        return lambda now: now - reach
    # What lies before `since` may still grow into it until that is a day ago.
    span = NEVER if within is None else within
    return lambda now: max(min(since - 1, now - DAY), now - span) - gap


def _extend(sessions: list[list[int]], at: Instant, gap: int) -> None:
    """Add one event: to the session within the gap, between two as their link, or as a new one."""
    if sessions and 0 <= at - sessions[-1][1] <= gap:
        _grow(sessions[-1], at, 1)
        return
    index = len(sessions) - 1
    while index >= 0 and sessions[index][0] > at and sessions[index][2]:
        index -= 1
    # `index` is the last session that begins at or before the event or is settled, or -1.
    if index >= 0 and at - sessions[index][1] <= gap:
        _grow(sessions[index], at, 1)
    else:
        index += 1
        sessions.insert(index, [at, at, 1])
    after = index + 1
    if after < len(sessions) and sessions[after][0] - sessions[index][1] <= gap:
        _, last, n_events = sessions.pop(after)
        _grow(sessions[index], last, n_events)


def _grow(session: list[int], last: Instant, n_events: int) -> None:
    """Take in events up to an instant; one that is settled counts them no more."""
    session[1] = max(session[1], last)
    if session[2]:
        session[2] += n_events


def _forget(sessions: list[list[int]], gone: Instant, limit: int) -> Instant | None:
    """Drop what is gone, and the oldest beyond the limit; gives the latest end of those."""
    n_gone = 0
    while n_gone < len(sessions) and sessions[n_gone][1] <= gone:
        n_gone += 1
    n_over = len(sessions) - limit
    dropped_at = sessions[n_over - 1][1] if n_over > n_gone else None
    del sessions[: max(n_gone, n_over)]
    return dropped_at


def _settle(
    sessions: list[list[int]],
    passes: Callable[[Instant, Instant, int], bool],
    since: Instant | None,
) -> None:
    """Keep of the latest session that passes only its end, and nothing of any before it."""
    for index in range(len(sessions) - 1, -1, -1):
        first, last, n_events = sessions[index]
        if not n_events:
            return
        if passes(first, last, n_events) and (since is None or last >= since):
            sessions[: index + 1] = [[0, last, 0]]
            return
