"""Conditions about events in plain words, and what is remembered that decides them."""

from bisect import bisect_right
from collections.abc import Callable
from typing import Any, Final

from engine.core import clocktime
from engine.core.conditions.aggregates import aggregate_of
from engine.core.conditions.wording import (
    comparisons_words,
    count_words,
    event_words,
    number_words,
    span_words,
    value_words,
    window_words,
)
from engine.core.features.sessions import ONE
from engine.core.model.conditions import (
    AggregateCondition,
    EventCondition,
    MomentCondition,
    SequenceCondition,
    SessionCondition,
)
from engine.core.model.instants import NEVER, Instant
from engine.core.model.people import Profile
from engine.core.paths import MISSING


def _describe_event(condition: EventCondition) -> str:
    text = f"{event_words(condition.match)} {count_words(condition.count)}"
    text += window_words(condition.window)
    followed = condition.not_followed_by
    if followed is not None:
        text += f", not followed by {event_words(followed.match)} for {span_words(followed.within)}"
    return text


def _describe_session(condition: SessionCondition) -> str:
    tests = [f"lasting {number_words(one, span_words)}" for one in condition.duration]
    tests += [f"with {number_words(one, str)} events" for one in condition.events]
    what = "a session"
    if condition.count != ONE:
        what = f"{' and '.join(number_words(one, str) for one in condition.count)} sessions"
    return f"{what} {' and '.join(tests)}".rstrip() + window_words(condition.window)


def _describe_aggregate(condition: AggregateCondition) -> str:
    what = _MEASURES[condition.measure].format(".".join(condition.path))
    if condition.measure == "distinct":
        tests = " and ".join(number_words(one, str) for one in condition.comparisons)
    else:
        tests = comparisons_words(condition.comparisons)
    return f"{what} of {event_words(condition.match)} {tests}" + window_words(condition.window)


def _describe_moment(condition: MomentCondition) -> str:
    text = f"{condition.which} time of {event_words(condition.match)}"
    return f"{text} {comparisons_words(condition.comparisons)}" + window_words(condition.window)


def _describe_sequence(condition: SequenceCondition) -> str:
    text = event_words(condition.steps[0].match)
    for step in condition.steps[1:]:
        text += f", then {event_words(step.match)}"
        if step.gap is not None:
            text += f" at most {span_words(step.gap)} later"
        if step.without is not None:
            text += f" without {event_words(step.without)} between"
    return text + window_words(condition.window)


def _find_aggregate(
    condition: AggregateCondition, state: Any, profile: Profile, now: Instant
) -> str:
    value = aggregate_of(condition, state, now)
    return "missing" if value is MISSING else value_words(value)


def _find_moment(condition: MomentCondition, state: Any, profile: Profile, now: Instant) -> str:
    if not state:
        return "never"
    times = state if condition.which == "first" else state[0]
    come = bisect_right(times, now)
    if not come:
        return "never"
    return clocktime.iso(times[0 if condition.which == "first" else come - 1])


def _find_sequence(condition: SequenceCondition, state: Any, profile: Profile, now: Instant) -> str:
    if not state:
        return "none"
    words = []
    for step, times in zip(condition.steps, state, strict=False):
        come = bisect_right(times, now)
        latest = f", latest {clocktime.iso(times[come - 1])}" if come else ""
        words.append(f"{step.match.event} {come} remembered{latest}")
    if state[-1] == NEVER:
        return "a whole sequence"
    if state[-1] > -NEVER:
        words.append(f"a whole sequence that began {clocktime.iso(state[-1])}")
    return "; ".join(words)


def _find_times(condition: Any, state: Any, profile: Profile, now: Instant) -> str:
    """What is remembered: only the events that can decide, so a count here is a least."""
    times = state[0] if state and isinstance(state[0], list) else state
    if not times:
        return "none"
    return f"{len(times)} remembered, latest {clocktime.iso(times[-1])}"


def _find_sessions(condition: Any, state: Any, profile: Profile, now: Instant) -> str:
    if not state or not state[0]:
        return "none"
    words = []
    (_, settled_at, n_counted), (first, last, n_events) = state[0][0], state[0][-1]
    if not n_counted:
        words.append(f"one that passes, its last event {clocktime.iso(settled_at)}")
    if n_events:
        span = span_words(last - first)
        words.append(f"latest of {n_events} events over {span}, {clocktime.iso(last)}")
    return "; ".join(words)


_MEASURES: Final = {
    "sum": "sum of {}",
    "avg": "mean of {}",
    "min": "smallest {}",
    "max": "largest {}",
    "first": "first {}",
    "last": "last {}",
    "distinct": "number of different {}",
}

DESCRIBE: Final[dict[type[Any], Callable[[Any], str]]] = {
    EventCondition: _describe_event,
    AggregateCondition: _describe_aggregate,
    MomentCondition: _describe_moment,
    SequenceCondition: _describe_sequence,
    SessionCondition: _describe_session,
}
"""Each kind in words."""

FOUND: Final[dict[type[Any], Callable[[Any, Any, Profile, Instant], str]]] = {
    EventCondition: _find_times,
    AggregateCondition: _find_aggregate,
    MomentCondition: _find_moment,
    SequenceCondition: _find_sequence,
    SessionCondition: _find_sessions,
}
"""What decided it, from (condition, state of its feature, profile, now)."""
