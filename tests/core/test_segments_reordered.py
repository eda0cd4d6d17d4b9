"""Delivery does not matter: any order, any repetition and any split end in the same.

Whoever repeats an event repeats its message id, so that ingest drops it; here a repetition is
therefore another delivery of the whole history to somebody else.
"""

import random

import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.core.features.kinds import Features
from engine.core.model.conditions import (
    AggregateCondition,
    Comparison,
    Condition,
    EventMatch,
    SessionCondition,
    Window,
)
from engine.core.model.instants import Instant
from engine.core.model.people import Event
from engine.core.segments import Segments, compile_segments
from tests.core.build import someone
from tests.core.definitions import (
    GAP,
    HORIZON,
    LAST,
    about_events,
    deliveries,
    nested,
    session_conditions,
)
from tests.core.segments_oracle import Oracle

# The bound of the law for sessions (docs/segments/session.md, "Any order"): what left its window is
# forgotten, and an event that comes later than that cannot bring it back. An import brings all at
# one instant, so here no window is shorter than the history; `since` and `until` stay as they are.
whole_sessions = session_conditions.map(
    lambda one: msgspec.structs.replace(
        one, window=msgspec.structs.replace(one.window, within=2 * HORIZON)
    )
)
whole = about_events | whole_sessions


def seen_at(*times: Instant) -> list[Event]:
    return [Event(seq, "A", at, at) for seq, at in enumerate(times, start=1)]


def all_at_once(events: list[Event], at: Instant) -> list[Event]:
    """The events as an import delivers them: all accepted at one instant, in the order given."""
    return [
        msgspec.structs.replace(event, seq=seq, accepted_at=at)
        for seq, event in enumerate(events, start=1)
    ]


def remembered(segments: Segments, events: list[Event]) -> Features:
    features: Features = {}
    for event in events:
        segments.observe(features, event)
    return features


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(whole, deliveries(), st.randoms(use_true_random=False))
# The link between two passing sessions comes last, when the older one may be forgotten.
@example(
    SessionCondition(window=Window(within=2 * HORIZON)),
    seen_at(0, 0, 0, 1, 5),
    random.Random(4),  # 0, 0, 0, 5, 1
)
def test_an_import_in_any_order_ends_in_the_same_features(
    condition: Condition, events: list[Event], rng: random.Random
) -> None:
    segments = compile_segments({"only": condition}, session_gap=GAP)
    shuffled = rng.sample(events, len(events))

    in_order = remembered(segments, all_at_once(events, LAST + 1))
    out_of_order = remembered(segments, all_at_once(shuffled, LAST + 1))

    assert out_of_order == in_order
    assert in_order.keys() <= {key for key in segments.feature_keys if not key.endswith("~")}


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(whole_sessions, deliveries(), st.randoms(use_true_random=False))
def test_two_merged_halves_of_an_import_have_the_sessions_of_the_whole(
    condition: SessionCondition, events: list[Event], rng: random.Random
) -> None:
    segments = compile_segments({"only": condition}, session_gap=GAP)
    shuffled = all_at_once(rng.sample(events, len(events)), LAST + 1)
    middle = rng.randint(0, len(events))

    merged = segments.merge(
        remembered(segments, shuffled[:middle]), remembered(segments, shuffled[middle:])
    )

    assert merged == remembered(segments, shuffled)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.recursive(whole, nested, max_leaves=5), deliveries(), st.randoms(use_true_random=False))
def test_a_stream_an_import_and_two_merged_halves_end_in_the_same_verdict(
    condition: Condition, events: list[Event], rng: random.Random
) -> None:
    definitions = {"only": condition}
    segments = compile_segments(definitions, session_gap=GAP)
    at = max([LAST + 1, *(event.accepted_at for event in events)])
    shuffled = all_at_once(rng.sample(events, len(events)), at)
    middle = rng.randint(0, len(events))

    imported = remembered(segments, shuffled)
    merged = segments.merge(
        remembered(segments, shuffled[:middle]), remembered(segments, shuffled[middle:])
    )

    oracle = Oracle(definitions, session_gap=GAP)
    for now in range(at, at + HORIZON, 3):
        expected = oracle.holds(condition, shuffled, {}, now)
        assert segments.evaluate("only", imported, someone(), now=now)[0] is expected
        assert segments.evaluate("only", merged, someone(), now=now)[0] is expected


def a_sum(is_exactly: float, window: Window, *, limit: int = 1_000) -> AggregateCondition:
    return AggregateCondition(
        EventMatch("A"),
        "sum",
        ("properties", "v"),
        (Comparison("is", is_exactly),),
        window,
        limit,
    )


def test_sums_of_a_hundred_thousand_amounts_never_drift() -> None:
    # Added as binary fractions these end in one of thousands of sums, by the order.
    rng = random.Random(1)
    cents = [rng.randrange(-5_000, 10_000) for _ in range(100_000)]
    always = Window(within=10**9)
    segments = compile_segments(
        {
            "ever": a_sum(sum(cents) / 100, Window()),
            "recent": a_sum(sum(cents[-10_000:]) / 100, always, limit=10_000),
        },
        session_gap=GAP,
    )
    events = [
        Event(seq, "A", seq, seq, {"v": amount / 100}) for seq, amount in enumerate(cents, start=1)
    ]
    shuffled = rng.sample(events, len(events))

    streamed = remembered(segments, events)
    imported = remembered(segments, all_at_once(shuffled[:30_000], len(events)))
    for event in all_at_once(shuffled[30_000:], len(events)):
        segments.observe(imported, event)

    for features in (streamed, imported):
        assert segments.evaluate("ever", features, someone(), now=100_000)[0]
        assert segments.approximate("ever", features, now=100_000) == []
        # Ten times what the window remembers: the newest are summed, and it says so.
        assert segments.evaluate("recent", features, someone(), now=100_000)[0]
        assert segments.approximate("recent", features, now=100_000) == [
            "more than 10,000 values in the window"
        ]
    # Once the newest that was dropped would have left anyway, the sum is exact again.
    assert segments.approximate("recent", streamed, now=90_000 + 10**9) == []
    assert sum(amount / 100 for amount in cents) != sum(cents) / 100
