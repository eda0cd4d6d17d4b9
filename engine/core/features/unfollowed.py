"""The feature behind `not_followed_by`: events that nothing has followed in time, so far.

An event at t counts from t + span on, if no follower came in (t, t + span]. A follower at f rules
out every t in [f - span, f), so followers are remembered as a union of such ranges: whoever
arrives late, event or follower, finds the other.

State: [times, ruled_out], times of events not ruled out, and the ranges' ends, flat and in order.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from engine.core.conditions import limits
from engine.core.conditions.filters import compile_where
from engine.core.features.occurrences import WAITING_MAX, bounds, forget
from engine.core.model.conditions import EventMatch, Window
from engine.core.model.instants import Instant
from engine.core.model.people import Event

SPARE: Final = 32
"""How many counted events beyond the deciding ones are kept, in case a late follower rules out
newer ones. More late followers than that, with no newer event between, are not undone."""

RANGES_MAX: Final = 256
"""How many ranges of followers are remembered for events that come late; the oldest go first."""

LIMIT_WORDS: Final = (
    f"more than {RANGES_MAX} stretches ruled out, or {WAITING_MAX:,} events that wait"
)


class Unfollowed(Struct, frozen=True, tag="unfollowed"):
    """Times of matching events in the window that no follower ruled out within `span`."""

    match: EventMatch
    window: Window
    keep: int
    follower: EventMatch
    span: int


def compile_fold(definition: Unfollowed, key: str) -> Callable[[dict[str, Any], Event], None]:
    """Slot in an event, or let a follower rule events out; one that is both does both."""
    match, follower, span = definition.match, definition.follower, definition.span
    is_match, is_follower = compile_where(match.where), compile_where(follower.where)
    since, until = bounds(definition.window)
    within, keep = definition.window.within, definition.keep + SPARE

    def fold(features: dict[str, Any], event: Event) -> None:
        at, name = event.at, event.name
        gone = max(since - 1, event.accepted_at - within) if within is not None else since - 1
        follows = (
            name == follower.event
            and at > gone
            and at - span < until
            and (is_follower is None or is_follower(event))
        )
        counts = name == match.event and gone < at < until and (is_match is None or is_match(event))
        if not follows and not counts:
            return
        state = features.get(key)
        if state is None:
            state = features[key] = [[], []]
        times, ruled_out = state
        if follows:
            _rule_out(times, ruled_out, at - span, at)
        if counts and not bisect_right(ruled_out, at) % 2:
            insort(times, at)
        begun = event.accepted_at - span
        if within is None:
            dropped_at = _forget_latest(times, keep=keep, begun=begun)
        else:
            dropped_at = forget(times, keep=keep, begun=begun, gone=gone)
        del ruled_out[: bisect_right(ruled_out, gone) & ~1]
        if len(ruled_out) > 2 * RANGES_MAX:
            dropped_at = max(dropped_at or 0, ruled_out[-2 * RANGES_MAX - 1])
            del ruled_out[: -2 * RANGES_MAX]
        if dropped_at is not None:
            limits.note(features, key, limits.leaves(dropped_at, within))
        if not times and not ruled_out:
            del features[key]

    return fold


def join(definition: Unfollowed, one: list[Any], other: list[Any]) -> list[Any]:
    """Both profiles' events, less those the other's followers rule out."""
    times, ruled_out = sorted([*one[0], *other[0]]), list(one[1])
    for start, end in [*zip(one[1][::2], one[1][1::2], strict=True),
                       *zip(other[1][::2], other[1][1::2], strict=True)]:  # fmt: skip
        _rule_out(times, ruled_out, start, end)
    return [times, ruled_out]


def _rule_out(times: list[Instant], ruled_out: list[Instant], start: Instant, end: Instant) -> None:
    """Drop the times in [start, end) and add the range to the union, touching ranges as one."""
    del times[bisect_left(times, start) : bisect_left(times, end)]
    first, last = bisect_left(ruled_out, start), bisect_right(ruled_out, end)
    # An odd position lies inside a range, whose own end then stands.
    ruled_out[first:last] = [start] * (first % 2 == 0) + [end] * (last % 2 == 0)


def _forget_latest(times: list[Instant], *, keep: int, begun: Instant) -> Instant | None:
    """Where events never leave, the earliest decide: later ones are dropped once enough begun.

    Gives the furthest of those that wait where too many do, which are dropped.
    """
    started = bisect_right(times, begun)
    if started >= keep:
        del times[keep:]
    elif len(times) > started + WAITING_MAX:
        dropped_at = times[-1]
        del times[started + WAITING_MAX :]
        return dropped_at
    return None
