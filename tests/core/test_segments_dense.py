"""Crowded little histories by seed: what rarely meets in random data meets here all the time.

Late followers, several future events, sessions joined by a late one, profiles merged half-way:
each seed makes one condition and a dozen events within thirty microseconds.
"""

import random
from typing import Any

import msgspec
import pytest

from engine.core.features.kinds import Features
from engine.core.model.conditions import (
    AggregateCondition,
    All,
    AnyOf,
    Comparison,
    Condition,
    EventCondition,
    EventMatch,
    FollowedBy,
    MomentCondition,
    Not,
    SegmentCondition,
    SequenceCondition,
    SequenceStep,
    SessionCondition,
    Window,
)
from engine.core.model.people import Event
from engine.core.segments import compile_segments
from tests.core.segments_oracle import Oracle, play_every_instant

GAP = 3
END = 80


def a_count(rng: random.Random) -> tuple[Comparison, ...]:
    operator: Any = rng.choice(["gte", "gte", "lt", "is", "gt", "lte", "is_not"])
    return (Comparison(operator, rng.choice([1, 1, 2, 3])),)


def an_event_condition(rng: random.Random) -> EventCondition:
    window = Window(within=rng.choice([None, rng.randint(3, 25)]))
    if rng.random() < 0.15:
        window = Window(window.within, since=rng.randint(0, 15), until=rng.randint(10, 35))
    followed = FollowedBy(EventMatch(rng.choice("BBA")), rng.randint(1, 8))
    return EventCondition(
        EventMatch("A"), a_count(rng), window, followed if rng.random() < 0.5 else None
    )


def a_session_condition(rng: random.Random, *, within_min: int) -> SessionCondition:
    operator: Any = rng.choice(["gte", "gte", "lt", "is"])
    comparison = (Comparison(operator, rng.randint(2, 6)),)
    is_long = rng.random() < 0.5
    window = Window(
        within=rng.choice([None, rng.randint(within_min, within_min + 4)]),
        since=rng.choice([None, None, rng.randint(0, 20)]),
        until=rng.choice([None, None, rng.randint(10, 35)]),
    )
    return SessionCondition(comparison if is_long else (), () if is_long else comparison, window)


def a_sequence_condition(rng: random.Random) -> SequenceCondition:
    steps = [SequenceStep(EventMatch(rng.choice("AB")))]
    for _ in range(rng.choice([1, 1, 2, 3])):
        gap = rng.choice([None, rng.randint(1, 6)])
        without = rng.choice([None, None, EventMatch(rng.choice("AB"))])
        steps.append(SequenceStep(EventMatch(rng.choice("AAB")), gap, without))
    window = Window(rng.choice([None, rng.randint(2, 20)]), rng.choice([None, rng.randint(0, 15)]))
    return SequenceCondition(tuple(steps), window)


def an_aggregate_condition(rng: random.Random) -> Condition:
    window = Window(rng.choice([None, rng.randint(2, 20)]), rng.choice([None, rng.randint(0, 15)]))
    measure: Any = rng.choice(["sum", "avg", "min", "max", "first", "last", "distinct", "time"])
    if measure == "time":
        test = rng.choice([Comparison("within_last", rng.randint(1, 20)), Comparison("before", 15)])
        which: Any = rng.choice(["first", "last"])
        return MomentCondition(EventMatch("A"), which, (test,), Window(since=window.since))
    operator: Any = rng.choice(["gte", "lt", "is", "is_not"])
    number = rng.choice([1, 2, 3]) if measure == "distinct" else rng.choice([0, 0.1, 0.3, 1, 2])
    tests = (Comparison(operator, number),)
    return AggregateCondition(EventMatch("A"), measure, ("properties", "v"), tests, window)


def a_history(rng: random.Random, *, late_max: int) -> list[Event]:
    drafts = []
    for _ in range(rng.randint(1, 14)):
        at = rng.randint(0, 30)
        late = rng.choice([0, 0, 0, rng.randint(0, late_max), -rng.randint(0, 10)])
        drafts.append((max(0, at + late), at, rng.choice("AAB")))
    drafts.sort(key=lambda draft: draft[0])
    values = [{}, *({"v": value} for value in (0, 0.1, 0.2, 0.3, 1, 1, 2, -0.1, None, "x", True))]
    return [
        Event(seq, name, at, accepted, rng.choice(values))
        for seq, (accepted, at, name) in enumerate(drafts, 1)
    ]


@pytest.mark.parametrize("block", range(4))
def test_counts_hold_at_every_instant(block: int) -> None:
    for seed in range(block * 300, block * 300 + 300):
        rng = random.Random(seed)
        first, second = an_event_condition(rng), an_event_condition(rng)
        definitions: dict[str, Condition] = {
            "first": first,
            "both": All((SegmentCondition("first"), second)),
            "neither": Not(AnyOf((first, second))),
        }
        segments = compile_segments(definitions, session_gap=GAP)

        oracle = Oracle(definitions, session_gap=GAP)
        history = a_history(rng, late_max=30)
        play_every_instant(segments, oracle, history, {}, features={}, end=END)


@pytest.mark.parametrize("block", range(4))
def test_sequences_and_aggregates_hold_at_every_instant(block: int) -> None:
    for seed in range(block * 400, block * 400 + 400):
        rng = random.Random(f"sequence {seed}")
        definitions: dict[str, Condition] = {
            "sequence": a_sequence_condition(rng),
            "aggregate": an_aggregate_condition(rng),
        }
        segments = compile_segments(definitions, session_gap=GAP)

        oracle = Oracle(definitions, session_gap=GAP)
        history = a_history(rng, late_max=30)
        play_every_instant(segments, oracle, history, {}, features={}, end=END)


@pytest.mark.parametrize("block", range(2))
def test_sessions_hold_at_every_instant(block: int) -> None:
    for seed in range(block * 1_500, block * 1_500 + 1_500):
        rng = random.Random(f"session {seed}")
        definitions: dict[str, Condition] = {"only": a_session_condition(rng, within_min=4)}
        segments = compile_segments(definitions, session_gap=GAP)

        oracle = Oracle(definitions, session_gap=GAP)
        # As late as a session's window is long, an event may find it forgotten.
        history = a_history(rng, late_max=3)
        play_every_instant(segments, oracle, history, {}, features={}, end=END)


def test_sessions_are_the_same_however_late_each_event_comes_within_its_window() -> None:
    """The exact law of docs/segments/session.md: nothing is later than its window is long."""
    for seed in range(4_000):
        rng = random.Random(f"delivery {seed}")
        segments = compile_segments(
            {"only": a_session_condition(rng, within_min=16)}, session_gap=GAP
        )
        times = [rng.randint(0, 30) for _ in range(rng.randint(1, 14))]

        ends: list[Features] = [{}, {}]
        for features in ends:
            come = sorted((max(0, at + rng.randint(-10, 15)), at) for at in times)
            for seq, (accepted, at) in enumerate([*come, (46, 40)], start=1):
                segments.observe(features, Event(seq, "A", at, accepted))

        assert ends[0] == ends[1], f"seed {seed}"


@pytest.mark.parametrize("block", range(2))
def test_a_merge_holds_at_every_instant_after_it(block: int) -> None:
    for seed in range(block * 400, block * 400 + 400):
        rng = random.Random(f"merge {seed}")
        definitions: dict[str, Condition] = {
            "count": an_event_condition(rng),
            # A window longer than the history: see docs/segments.md on merged sessions.
            "session": a_session_condition(rng, within_min=END),
            "sequence": a_sequence_condition(rng),
            "aggregate": an_aggregate_condition(rng),
        }
        segments = compile_segments(definitions, session_gap=GAP)
        history = a_history(rng, late_max=20)
        middle = rng.randint(0, len(history))
        sides: tuple[Features, Features] = ({}, {})
        for event in history[:middle]:
            segments.observe(rng.choice(sides), event)
        before = msgspec.msgpack.encode(sides)

        merged = segments.merge(*sides)

        play_every_instant(
            segments,
            Oracle(definitions, session_gap=GAP),
            history[middle:],
            {},
            features=merged,
            end=END,
            start=history[middle - 1].accepted_at if middle else 0,
            earlier=history[:middle],
        )
        assert msgspec.msgpack.encode(sides) == before
