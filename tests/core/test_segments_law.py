"""The laws of the segment engine, against an oracle that reads every event each time.

The unit of time is one microsecond and a history spans a few dozen of them, so the tests look at
*every* instant: the engine answers only when an event arrives or an `until` comes, exactly as the
loop asks it, and must agree with the oracle at each instant in between.
"""

import random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.core.errors import CampaignError
from engine.core.features.kinds import Features
from engine.core.model.conditions import (
    All,
    Comparison,
    Condition,
    EventMatch,
    Filter,
    Not,
    SegmentCondition,
    TraitCondition,
    Window,
)
from engine.core.model.instants import NEVER
from engine.core.model.people import Event
from engine.core.segments import compile_segments, matches_event
from tests.core.build import someone
from tests.core.definitions import (
    GAP,
    HORIZON,
    about_events,
    all_traits,
    conditions,
    deliveries,
    matches,
    nested,
    session_conditions,
)
from tests.core.segments_oracle import Oracle, is_match, play_every_instant


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(conditions, conditions, deliveries(), all_traits)
def test_a_verdict_equals_the_oracle_at_every_instant_and_stands_until_its_until(
    first: Condition, second: Condition, events: list[Event], traits: dict[str, Any]
) -> None:
    definitions = {
        "first": first,
        "second": second,
        "both": All((SegmentCondition("first"), SegmentCondition("second"))),
    }
    segments = compile_segments(definitions, session_gap=GAP)
    oracle = Oracle(definitions, session_gap=GAP)

    play_every_instant(segments, oracle, events, traits, features={}, end=HORIZON)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(about_events, deliveries())
def test_the_until_of_a_condition_about_events_is_the_very_instant_it_changes(
    condition: Condition, events: list[Event]
) -> None:
    segments = compile_segments({"only": condition}, session_gap=GAP)
    oracle = Oracle({"only": condition}, session_gap=GAP)
    features: Features = {}
    for event in events:
        segments.observe(features, event)
    now = events[-1].accepted_at if events else 0

    holds, until = segments.evaluate("only", features, someone(), now=now)

    changes = [
        at for at in range(now, 2 * HORIZON) if oracle.holds(condition, events, {}, at) != holds
    ]
    assert until == (changes[0] if changes else NEVER)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.recursive(
        about_events | session_conditions.map(
            # One profile has forgotten what left the window; see the docs on merged sessions.
            lambda one: msgspec.structs.replace(one, window=Window(within=2 * HORIZON))
        ),
        nested,
        max_leaves=4,
    ),
    deliveries(),
    deliveries(),
    st.lists(st.booleans(), min_size=16, max_size=16),
)  # fmt: skip
def test_merged_features_answer_as_if_one_profile_had_seen_both_histories(
    condition: Condition, before: list[Event], after: list[Event], is_left: list[bool]
) -> None:
    segments = compile_segments({"only": condition}, session_gap=GAP)
    oracle = Oracle({"only": condition}, session_gap=GAP)
    left: Features = {}
    right: Features = {}
    for event, goes_left in zip(before, is_left, strict=False):
        segments.observe(left if goes_left else right, event)
    copies = msgspec.msgpack.encode((left, right))

    merged = segments.merge(left, right)

    start = before[-1].accepted_at if before else 0
    later = [
        msgspec.structs.replace(event, accepted_at=max(start, event.accepted_at)) for event in after
    ]
    play_every_instant(
        segments, oracle, later, {}, features=merged, start=start, earlier=before, end=HORIZON
    )
    assert msgspec.msgpack.encode((left, right)) == copies


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(conditions, deliveries(), st.randoms(use_true_random=False))
def test_features_pack_and_unpack_to_the_same_and_go_on_from_there(
    condition: Condition, events: list[Event], rng: random.Random
) -> None:
    segments = compile_segments({"only": condition}, session_gap=GAP)
    straight: Features = {}
    packed: Features = {}
    for event in events:
        segments.observe(straight, event)
        segments.observe(packed, event)
        if rng.random() < 0.5:
            packed = msgspec.msgpack.decode(msgspec.msgpack.encode(packed))

    assert packed == straight
    assert packed.keys() <= segments.feature_keys


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(matches(), deliveries())
def test_the_last_seen_of_a_wait_is_the_last_match_in_processing_order(
    match: EventMatch, events: list[Event]
) -> None:
    segments = compile_segments({}, matches=[match], session_gap=GAP)
    features: Features = {}
    for event in events:
        segments.observe(features, event)
    matching = [event for event in events if is_match(match, event)]

    seen = segments.last_seen(match, features)

    assert seen == ((matching[-1].seq, matching[-1].accepted_at) if matching else None)
    assert [event for event in events if matches_event(match, event)] == matching


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(conditions, deliveries())
def test_a_backfill_of_some_features_meets_the_live_stream(
    condition: Condition, events: list[Event]
) -> None:
    segments = compile_segments({"only": condition}, session_gap=GAP)
    live: Features = {}
    for event in events:
        segments.observe(live, event)

    filled: Features = {}
    for key in sorted(segments.feature_keys):
        for event in events:
            segments.observe(filled, event, only=frozenset({key}))

    assert filled == live


def test_the_oracle_itself_refuses_what_it_does_not_know() -> None:
    # Otherwise a new operator would be "tested" by an oracle that always says no.
    oracle = Oracle({}, session_gap=GAP)

    with pytest.raises(AssertionError):
        oracle.holds(
            TraitCondition(Filter(("plan",), (Comparison("contains", "x"),))), [], {"plan": "x"}, 0
        )


def test_segments_that_refer_to_each_other_are_refused_with_the_path() -> None:
    circle: dict[str, Condition] = {
        "a": All((SegmentCondition("b"),)),
        "b": Not(SegmentCondition("c")),
        "c": SegmentCondition("a"),
    }

    with pytest.raises(CampaignError, match="a -> b -> c -> a"):
        compile_segments(circle, session_gap=GAP)
