"""Sequences by example: ties, gaps, what may not come between, and the instant they are over."""

import pytest

from engine.core.features.kinds import Features
from engine.core.model.conditions import EventMatch, SequenceCondition, SequenceStep, Window
from engine.core.model.instants import NEVER
from engine.core.model.people import Event
from engine.core.segments import Segments, compile_segments
from tests.core.build import someone

A, B, C = EventMatch("A"), EventMatch("B"), EventMatch("C")
TEN = Window(within=10)


def compiled(*steps: SequenceStep, window: Window = TEN) -> Segments:
    return compile_segments({"only": SequenceCondition(steps, window)}, session_gap=1)


def remembered(segments: Segments, *events: tuple[str, int], accepted_at: int = 5) -> Features:
    features: Features = {}
    for seq, (name, at) in enumerate(events, start=1):
        segments.observe(features, Event(seq, name, at, accepted_at))
    return features


@pytest.mark.parametrize(
    ("events", "holds"),
    [
        ([("A", 1), ("B", 2)], True),
        ([("B", 1), ("A", 2)], False),
        ([("A", 2), ("B", 2)], False),  # a tie is no order
        ([("B", 2), ("A", 1)], True),  # what comes late slots in
        ([("A", 1), ("C", 2), ("B", 3)], True),  # others may come between
    ],
)
def test_the_order_is_that_of_the_events_own_times(
    events: list[tuple[str, int]], holds: bool
) -> None:
    segments = compiled(SequenceStep(A), SequenceStep(B))

    features = remembered(segments, *events)

    assert segments.evaluate("only", features, someone(), now=5)[0] is holds


@pytest.mark.parametrize(("at", "holds"), [(4, True), (5, False)])
def test_a_gap_includes_its_last_instant(at: int, holds: bool) -> None:
    segments = compiled(SequenceStep(A), SequenceStep(B, gap=3))

    features = remembered(segments, ("A", 1), ("B", at))

    assert segments.evaluate("only", features, someone(), now=5)[0] is holds


@pytest.mark.parametrize(("at", "holds"), [(1, True), (2, False), (3, False), (4, True)])
def test_without_bars_what_lies_strictly_between(at: int, holds: bool) -> None:
    segments = compiled(SequenceStep(A), SequenceStep(B, without=C))

    features = remembered(segments, ("A", 1), ("B", 4), ("C", at))

    assert segments.evaluate("only", features, someone(), now=5)[0] is holds


def test_a_late_event_breaks_a_sequence_and_a_later_start_mends_it() -> None:
    segments = compiled(SequenceStep(A), SequenceStep(B, without=C))
    features = remembered(segments, ("A", 1), ("B", 4))

    answers = []
    for event in (Event(8, "C", 2, 5), Event(9, "A", 3, 5)):
        segments.observe(features, event)
        answers.append(segments.evaluate("only", features, someone(), now=5))

    assert answers == [(False, NEVER), (True, 13)]


def test_it_is_over_when_the_sequence_that_began_last_leaves() -> None:
    segments = compiled(SequenceStep(A), SequenceStep(B))

    features = remembered(segments, ("A", 1), ("A", 3), ("B", 4), ("A", 5))

    assert segments.evaluate("only", features, someone(), now=5) == (True, 13)
    assert segments.evaluate("only", features, someone(), now=13) == (False, NEVER)


def test_one_that_ends_at_the_very_instant_another_leaves_carries_on() -> None:
    segments = compiled(SequenceStep(A), SequenceStep(B))

    # The second ends in the future, exactly when the first has left.
    features = remembered(segments, ("A", 1), ("B", 2), ("A", 5), ("B", 11), accepted_at=6)

    assert segments.evaluate("only", features, someone(), now=6) == (True, 15)


def test_a_whole_sequence_of_all_time_is_all_that_is_remembered() -> None:
    segments = compiled(SequenceStep(A), SequenceStep(B), window=Window())

    events = [(name, at) for at in range(500) for name in "AB"]
    features = remembered(segments, *events, accepted_at=500)

    assert list(features.values()) == [[[], [], NEVER]]


def test_what_comes_late_and_completes_a_sequence_leaves_as_little_behind() -> None:
    segments = compiled(SequenceStep(A), SequenceStep(B))

    in_order = remembered(segments, ("A", 1), ("A", 2), ("B", 4))
    late = remembered(segments, ("B", 4), ("A", 1), ("A", 2))

    assert in_order == late
    assert list(late.values()) == [[[], [4], 2]]
