"""Past what is remembered a verdict says that it is approximate, and for how long."""

from typing import Any

import pytest

from engine.core.features.kinds import Features
from engine.core.model.conditions import (
    AggregateCondition,
    Comparison,
    Condition,
    EventCondition,
    EventMatch,
    FollowedBy,
    SequenceCondition,
    SequenceStep,
    SessionCondition,
    Window,
)
from engine.core.model.people import Event
from engine.core.segments import Segments, compile_segments
from tests.core.build import someone

A, B = EventMatch("A"), EventMatch("B")
VALUE = ("properties", "v")
ONCE = (Comparison("gte", 1),)


def compiled(condition: Condition) -> Segments:
    return compile_segments({"only": condition}, session_gap=4)


def remembered(segments: Segments, events: list[tuple[int, str, Any]], **changes: Any) -> Features:
    features: Features = {}
    for seq, (at, name, value) in enumerate(events, start=1):
        accepted_at = changes.get("accepted_at", at)
        segments.observe(features, Event(seq, name, at, accepted_at, {"v": value}))
    return features


def aggregate(measure: Any, comparison: Comparison, window: Window, limit: int) -> Condition:
    return AggregateCondition(A, measure, VALUE, (comparison,), window, limit)


def ten(values: list[Any]) -> list[tuple[int, str, Any]]:
    return [(10 * n, "A", value) for n, value in enumerate(values, start=1)]


RECENT = Window(within=1_000)
OVER: list[tuple[Condition, list[tuple[int, str, Any]], str, int | None]] = [
    # (condition, events, words, the latest time that was dropped, or None where that is for good)
    (
        aggregate("sum", Comparison("gte", 3), RECENT, 3),
        ten([1, 1, 1, 1]),
        "more than 3 values in the window",
        10,
    ),
    (
        aggregate("first", Comparison("is", "a"), RECENT, 2),
        ten(["a", "b", "c", "d"]),
        "more than 2 values in the window",
        20,
    ),
    (
        aggregate("max", Comparison("gte", 9), RECENT, 2),
        ten([9, 8, 7]),
        "more than 2 values that may become the extreme one",
        10,
    ),
    (
        aggregate("distinct", Comparison("gte", 3), RECENT, 2),
        ten(["a", "b", "c"]),
        "more than 2 different values, or 1,024 events that wait",
        10,
    ),
    (
        aggregate("distinct", Comparison("gte", 3), Window(), 2),
        ten(["a", "b", "c"]),
        "more than 2 different values, or 1,024 events that wait",
        None,
    ),
    (
        SequenceCondition((SequenceStep(A), SequenceStep(B, None, A)), RECENT, 3),
        ten([0, 0, 0, 0, 0]),
        "more than 3 events of one step",
        20,
    ),
    (
        SequenceCondition((SequenceStep(A), SequenceStep(B)), Window(), 3),
        ten([0, 0, 0, 0]),
        "more than 3 events of one step",
        None,
    ),
    (
        SessionCondition(events=(Comparison("gte", 2),), window=RECENT, limit=3),
        ten([0, 0, 0, 0]),
        "more than 3 sessions, or 1,024 events that wait",
        10,
    ),
    (
        EventCondition(A, not_followed_by=FollowedBy(B, 2), window=RECENT),
        [(3 * n, "B", 0) for n in range(1, 258)],
        "more than 256 stretches ruled out, or 1,024 events that wait",
        3,
    ),
]


@pytest.mark.parametrize(("condition", "events", "words", "dropped_at"), OVER)
def test_past_its_limit_a_verdict_is_approximate_until_what_was_dropped_would_have_left(
    condition: Condition, events: list[tuple[int, str, Any]], words: str, dropped_at: int | None
) -> None:
    segments = compiled(condition)
    now = events[-1][0]

    features = remembered(segments, events)

    assert segments.approximate("only", features, now=now) == [words]
    (row,) = segments.explain("only", features, someone(), now=now)
    assert row["approximate"] == words
    if dropped_at is None:
        assert segments.approximate("only", features, now=10**15) == [words]
    else:
        assert segments.approximate("only", features, now=dropped_at + 999) == [words]
        assert segments.approximate("only", features, now=dropped_at + 1_000) == []


@pytest.mark.parametrize(("condition", "events", "words", "dropped_at"), OVER)
def test_within_its_limit_a_verdict_is_exact(
    condition: Condition, events: list[tuple[int, str, Any]], words: str, dropped_at: int | None
) -> None:
    segments = compiled(condition)
    too_many = 256 if len(events) > 256 else 3 if words.startswith("more than 3") else 2

    features = remembered(segments, events[:too_many])

    assert segments.approximate("only", features, now=events[-1][0]) == []


@pytest.mark.parametrize(("condition", "events", "words", "dropped_at"), OVER)
def test_a_merged_profile_is_as_approximate_as_the_worse_of_the_two(
    condition: Condition, events: list[tuple[int, str, Any]], words: str, dropped_at: int | None
) -> None:
    segments = compiled(condition)
    now = events[-1][0]

    merged = segments.merge({}, remembered(segments, events))

    assert segments.approximate("only", merged, now=now) == [words]
    assert merged.keys() <= segments.feature_keys


FROM_THE_FUTURE = [
    aggregate("sum", Comparison("gte", 3), Window(), 1_000),
    aggregate("last", Comparison("gte", 3), Window(), 1_000),
    aggregate("distinct", Comparison("gte", 9), RECENT, 1_000),
    EventCondition(A, ONCE, RECENT),
    EventCondition(A, ONCE, Window(), FollowedBy(B, 2)),
    SessionCondition(events=ONCE, window=RECENT),
]


@pytest.mark.parametrize("condition", FROM_THE_FUTURE)
def test_a_flood_from_the_future_is_bounded_and_said(condition: Condition) -> None:
    segments = compiled(condition)
    flood = [(5_000 + n, "A", n) for n in range(1_030)]

    features = remembered(segments, flood[:1_024], accepted_at=10)
    before = segments.approximate("only", features, now=10)
    for seq, (at, name, value) in enumerate(flood[1_024:], start=2_000):
        segments.observe(features, Event(seq, name, at, 10, {"v": value}))

    assert before == []
    (words,) = segments.approximate("only", features, now=10)
    assert "more than 1,024" in words or "1,024 events that wait" in words


def test_a_sequence_that_was_complete_stays_so_when_old_events_are_dropped() -> None:
    segments = compiled(SequenceCondition((SequenceStep(A), SequenceStep(B, 5)), Window(), 3))

    features = remembered(segments, [(1, "A", 0), (3, "B", 0), *ten([0] * 50)])

    assert segments.evaluate("only", features, someone(), now=500) == (True, 2**62)
    assert segments.approximate("only", features, now=500) == []
