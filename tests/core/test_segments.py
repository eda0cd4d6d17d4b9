"""Segments by example: exact instants, who is touched, what is remembered, why in words."""

import json
from typing import Any

import msgspec
import pytest

from engine.core.clocktime import iso, parse_instant
from engine.core.errors import CampaignError
from engine.core.features.kinds import Features
from engine.core.features.occurrences import WAITING_MAX
from engine.core.model.campaigns import Campaign, EventTrigger, Program
from engine.core.model.conditions import (
    All,
    AnyOf,
    Comparison,
    Condition,
    EventCondition,
    EventMatch,
    Filter,
    FollowedBy,
    Not,
    SegmentCondition,
    SessionCondition,
    TraitCondition,
    Window,
)
from engine.core.model.instants import DAY, HOUR, MINUTE, NEVER, SECOND
from engine.core.model.people import Event
from engine.core.model.steps import Branch, Duration, WaitFor
from engine.core.segments import Segments, compile_segments, for_program
from tests.core.build import someone

NINE = parse_instant("2026-03-02T09:00Z")
GAP = 30 * MINUTE

HIGH_INTENT = All((
    EventCondition(
        EventMatch(
            "Product Viewed",
            (Filter(("context", "device", "type"), (Comparison("is", "mobile"),)),),
        ),
        (Comparison("gte", 2),),
        Window(within=2 * HOUR),
    ),
    SessionCondition((Comparison("gte", 2 * MINUTE),), window=Window(within=2 * HOUR)),
    EventCondition(
        EventMatch("Product Added"),
        window=Window(within=2 * HOUR),
        not_followed_by=FollowedBy(EventMatch("Order Completed"), 30 * MINUTE),
    ),
))  # fmt: skip
"""The guide's example: language.md, Segments."""


def compiled(**segments: Condition) -> Segments:
    return compile_segments(segments, session_gap=GAP)


def an_event(
    name: str, at: int, *, accepted_at: int | None = None, seq: int = 1, **properties: Any
) -> Event:
    context = {"device": {"type": properties.pop("device", "mobile")}}
    return Event(seq, name, at, at if accepted_at is None else accepted_at, properties, context)


def after(*events: Event, segments: Segments) -> Features:
    features: Features = {}
    for event in events:
        segments.observe(features, event)
    return features


def bought(n: int, operator: Any = "gte", within: int | None = DAY) -> EventCondition:
    return EventCondition(
        EventMatch("Order Completed"), (Comparison(operator, n),), Window(within=within)
    )


def test_a_mobile_shopper_about_to_buy_turns_true_thirty_minutes_after_the_add() -> None:
    segments = compiled(high_intent=HIGH_INTENT)
    added = NINE + 3 * MINUTE
    features = after(
        an_event("Product Viewed", NINE),
        an_event("Product Viewed", NINE + 70 * SECOND),
        an_event("Product Added", added),
        segments=segments,
    )
    turns_true, turns_false = added + 30 * MINUTE, NINE + 2 * HOUR

    # False until the add has gone thirty minutes unbought; true until the first view is two
    # hours old, which is the first of the three windows to close.
    assert segments.evaluate("high_intent", features, someone(), now=added) == (False, turns_true)
    assert segments.evaluate("high_intent", features, someone(), now=turns_true - 1) == (
        False,
        turns_true,
    )
    assert segments.evaluate("high_intent", features, someone(), now=turns_true) == (
        True,
        turns_false,
    )
    assert segments.evaluate("high_intent", features, someone(), now=turns_false - 1)[0]
    assert segments.evaluate("high_intent", features, someone(), now=turns_false) == (False, NEVER)


@pytest.mark.parametrize("bought_after", [1, 10 * MINUTE, 30 * MINUTE])
def test_an_order_within_thirty_minutes_keeps_them_out(bought_after: int) -> None:
    segments = compiled(high_intent=HIGH_INTENT)
    added = NINE + 3 * MINUTE
    features = after(
        an_event("Product Viewed", NINE),
        an_event("Product Viewed", NINE + 70 * SECOND),
        an_event("Product Added", added),
        an_event("Order Completed", added + bought_after),
        segments=segments,
    )

    verdict = segments.evaluate("high_intent", features, someone(), now=added + 30 * MINUTE)

    assert verdict == (False, NEVER)


@pytest.mark.parametrize(
    "change",
    [
        {"device": "desktop"},
        {"second_view": NINE + 3 * MINUTE - 2 * HOUR - 30 * MINUTE},
        {"added": NINE + 119 * SECOND},
    ],
    ids=["on a desktop", "one view too long ago", "a session under two minutes"],
)
def test_each_part_of_the_example_is_needed(change: dict[str, Any]) -> None:
    segments = compiled(high_intent=HIGH_INTENT)
    added = change.get("added", NINE + 3 * MINUTE)
    features = after(
        an_event("Product Viewed", change.get("second_view", NINE + 70 * SECOND), device="mobile"),
        an_event("Product Viewed", NINE, device=change.get("device", "mobile")),
        an_event("Product Added", added),
        segments=segments,
    )

    verdict = segments.evaluate("high_intent", features, someone(), now=added + 30 * MINUTE)

    assert verdict[0] is False


def test_a_late_order_takes_the_verdict_back() -> None:
    segments = compiled(high_intent=HIGH_INTENT)
    added = NINE + 3 * MINUTE
    now = added + 40 * MINUTE
    features = after(
        an_event("Product Viewed", NINE),
        an_event("Product Viewed", NINE + 70 * SECOND),
        an_event("Product Added", added),
        segments=segments,
    )
    assert segments.evaluate("high_intent", features, someone(), now=now)[0]

    order = an_event("Order Completed", added + 5 * MINUTE, accepted_at=now)
    segments.observe(features, order)

    assert "high_intent" in segments.touched_by(order)
    assert segments.evaluate("high_intent", features, someone(), now=now) == (False, NEVER)


def test_an_event_from_a_fast_clock_counts_only_from_its_own_time() -> None:
    segments = compiled(buyer=bought(1))
    features = after(an_event("Order Completed", NINE + HOUR, accepted_at=NINE), segments=segments)

    assert segments.evaluate("buyer", features, someone(), now=NINE) == (False, NINE + HOUR)
    assert segments.evaluate("buyer", features, someone(), now=NINE + HOUR) == (
        True,
        NINE + HOUR + DAY,
    )


def test_a_group_stands_as_long_as_the_longest_lived_part_that_settles_it() -> None:
    short, long = bought(1, within=HOUR), bought(1, within=DAY)
    segments = compiled(
        either=AnyOf((short, long, short)),
        neither=All((Not(short), Not(long), Not(short))),
        both=All((short, long)),
        soon=TraitCondition(
            Filter(("due",), (Comparison("within_next", DAY), Comparison("within_next", HOUR)))
        ),
        either_trait=TraitCondition(Filter(("visits", "*"), (Comparison("within_last", DAY),))),
    )
    features = after(an_event("Order Completed", NINE), segments=segments)
    visits = {"visits": [iso(NINE), iso(NINE - HOUR)]}
    due = {"due": iso(NINE + 2 * DAY)}

    assert segments.evaluate("either", features, someone(), now=NINE) == (True, NINE + DAY)
    assert segments.evaluate("neither", features, someone(), now=NINE) == (False, NINE + DAY)
    assert segments.evaluate("both", features, someone(), now=NINE) == (True, NINE + HOUR)
    assert segments.evaluate("soon", {}, someone(due), now=NINE) == (False, NINE + 2 * DAY - HOUR)
    assert segments.evaluate("either_trait", {}, someone(visits), now=NINE) == (True, NINE + DAY)


def test_an_empty_group_is_settled_for_ever() -> None:
    segments = compiled(all_of_none=All(()), any_of_none=AnyOf(()))

    assert segments.evaluate("all_of_none", {}, someone(), now=NINE) == (True, NEVER)
    assert segments.evaluate("any_of_none", {}, someone(), now=NINE) == (False, NEVER)


def test_equal_features_are_shared_and_their_keys_never_change() -> None:
    one = compiled(loyal=bought(2), also=Not(bought(2)), third=bought(2, "lt"))
    again = compiled(other=bought(2))

    # "At least two" and "fewer than two" need the same two times.
    assert one.feature_keys == again.feature_keys
    # A key is written to databases; this literal fails when a release would orphan their features.
    assert again.feature_keys == {"wYS5qE25", "wYS5qE25~"}


def test_memory_is_bounded_by_the_definition_and_not_by_history() -> None:
    within_hour = Window(within=HOUR)
    segments = compiled(
        ever=bought(3, within=None),
        exactly=bought(3, "is"),
        unfollowed=EventCondition(
            EventMatch("Order Completed"),
            window=Window(within=DAY),
            not_followed_by=FollowedBy(EventMatch("Product Viewed"), MINUTE),
        ),
        long_session=SessionCondition((Comparison("gte", HOUR),), window=Window(within=DAY)),
        short_session=SessionCondition((Comparison("lt", HOUR),), window=within_hour),
    )
    features: Features = {}
    sizes = []
    for n in range(3_000):
        name = "Product Viewed" if n % 10 == 0 else "Order Completed"
        segments.observe(features, an_event(name, NINE + n * 7 * MINUTE, seq=n))
        sizes.append(len(msgspec.msgpack.encode(features)))

    # In order: 3 and 4 times, 33 times and a day's ranges, sessions that may still matter.
    assert max(sizes[1000:]) < 1_000
    assert max(sizes[2000:]) == max(sizes[1000:2000])


def test_a_flood_from_the_future_is_bounded_and_hides_nothing_of_today() -> None:
    segments = compiled(buyer=bought(1))
    features: Features = {}
    for n in range(3 * WAITING_MAX):
        segments.observe(
            features, an_event("Order Completed", NINE + DAY + n, accepted_at=NINE, seq=n)
        )
    segments.observe(features, an_event("Order Completed", NINE))

    (times,) = (features[key] for key in features if not key.endswith("~"))
    assert len(times) <= WAITING_MAX + 1
    assert segments.evaluate("buyer", features, someone(), now=NINE)[0]
    too_many = "more than 1,024 events that wait for their time"
    assert segments.approximate("buyer", features, now=NINE) == [too_many]


def test_an_event_touches_the_segments_that_may_change_and_those_that_refer_to_them() -> None:
    mobile = Filter(("context", "device", "type"), (Comparison("is", "mobile"),))
    segments = compiled(
        buyer=bought(1),
        no_buyer=Not(SegmentCondition("buyer")),
        mobile_buyer=EventCondition(EventMatch("Order Completed", (mobile,))),
        viewer=EventCondition(EventMatch("Product Viewed")),
        visitor=SessionCondition((Comparison("gte", MINUTE),)),
        vip=TraitCondition(Filter(("plan",), (Comparison("is", "vip"),))),
        vip_buyer=All((SegmentCondition("vip"), SegmentCondition("buyer"))),
    )

    on_desktop = segments.touched_by(an_event("Order Completed", NINE, device="desktop"))
    on_mobile = segments.touched_by(an_event("Order Completed", NINE))

    assert set(on_desktop) == {"buyer", "no_buyer", "visitor", "vip_buyer"}
    assert set(on_mobile) == {"buyer", "no_buyer", "visitor", "vip_buyer", "mobile_buyer"}
    assert set(segments.observe({}, an_event("Order Completed", NINE))) == set(on_mobile)
    assert set(segments.touched_by(an_event("Never Heard Of", NINE))) == {"visitor"}
    assert set(segments.observe({}, an_event("Segment Entered", NINE))) == set()
    assert set(segments.touched_by_traits(["plan", "name"])) == {"vip", "vip_buyer"}


@pytest.mark.parametrize("name", ["Segment Entered", "Send Time Explored", "Webhook Answered"])
def test_our_own_events_make_no_session(name: str) -> None:
    segments = compiled(visitor=SessionCondition((Comparison("gte", 0),)))

    features = after(an_event(name, NINE), segments=segments)

    assert features == {}


def test_a_program_answers_for_audiences_branches_waits_and_exits_of_every_version() -> None:
    audience, arm, old_arm = bought(1), bought(2), bought(3)
    wait = EventMatch("Checkout Started")
    leave = EventMatch("Order Completed")
    campaign = Campaign(
        "cart",
        "v2",
        EventTrigger(EventMatch("Product Added")),
        {
            "wait": WaitFor("wait", wait, Duration(HOUR), then="choose"),
            "choose": Branch("choose", ((arm, None),)),
        },
        "wait",
        audience=audience,
        exit_when=leave,
    )
    old = Campaign(
        "cart", "v1", campaign.trigger, {"choose": Branch("choose", ((old_arm, None),))}, "choose"
    )
    program = Program(1, "UTC", {"cart": campaign}, pinned={("cart", "v1"): old})
    segments = for_program(program)
    features = after(
        an_event("Order Completed", NINE, seq=7),
        an_event("Checkout Started", NINE, accepted_at=NINE + 5, seq=8),
        segments=segments,
    )

    assert segments.answer(audience, features, someone(), now=NINE) == (True, NINE + DAY)
    assert segments.answer(arm, features, someone(), now=NINE) == (False, NEVER)
    assert segments.answer(old_arm, features, someone(), now=NINE) == (False, NEVER)
    assert segments.last_seen(leave, features) == (7, NINE)
    assert segments.last_seen(wait, features) == (8, NINE + 5)
    # Another object of equal content is the same question.
    assert segments.answer(bought(1), features, someone(), now=NINE) == (True, NINE + DAY)
    assert segments.last_seen(EventMatch("Checkout Started"), features) == (8, NINE + 5)


def test_a_question_that_was_not_compiled_is_refused() -> None:
    segments = compiled(buyer=bought(1))

    with pytest.raises(LookupError, match="not compiled with this program"):
        segments.answer(bought(5), {}, someone(), now=NINE)
    with pytest.raises(LookupError, match="not compiled with this program"):
        segments.last_seen(EventMatch("Page"), {})


def test_an_explanation_has_a_row_in_words_for_each_condition() -> None:
    segments = compiled(
        high_intent=HIGH_INTENT,
        cold=Not(AnyOf((SegmentCondition("high_intent"), bought(1)))),
        vip=TraitCondition(Filter(("plan",), (Comparison("in", ("vip", "gold")),))),
    )
    features = after(an_event("Product Viewed", NINE), segments=segments)

    rows = segments.explain("cold", features, someone(), now=NINE)
    vip = segments.explain("vip", features, someone({"plan": "basic"}), now=NINE)

    assert [(row["depth"], row["matches"], row["condition"]) for row in rows] == [
        (0, True, "none of:"),
        (1, False, 'in segment "high_intent"'),
        (2, False, "all of:"),
        (
            3,
            False,
            "Product Viewed where context.device.type is mobile at least 2 times in the last 2h",
        ),
        (3, False, "a session lasting at least 2m in the last 2h"),
        (
            3,
            False,
            "Product Added at least once in the last 2h, not followed by Order Completed for 30m",
        ),
        (1, False, "Order Completed at least once in the last 1d"),
    ]
    assert rows[3]["found"] == "1 remembered, latest 2026-03-02T09:00:00Z"
    assert [(row["condition"], row["found"]) for row in vip] == [
        ("trait plan is one of vip, gold", "basic")
    ]
    json.dumps(rows)


def test_an_explanation_never_shows_a_protected_value() -> None:
    segments = compiled(known=TraitCondition(Filter(("email",), (Comparison("is", "blind:2a2a"),))))

    rows = segments.explain("known", {}, someone({"email": "blind:2b2b"}), now=NINE)

    assert "blind" not in json.dumps(rows)
    assert rows[0]["found"] == "a protected value"


@pytest.mark.parametrize(
    ("condition", "word"),
    [
        (SegmentCondition("buyr"), 'Did you mean "buyer"'),
        (SegmentCondition("only"), "only -> only"),
        (bought(1, within=0), "a window is longer than nothing"),
        (bought(20_000), "more than 10000"),
        (bought("x"), "is not a number"),  # type: ignore[arg-type]
        (
            EventCondition(EventMatch("A"), not_followed_by=FollowedBy(EventMatch("B"), 0)),
            "not longer than nothing",
        ),
    ],
)
def test_what_cannot_be_compiled_is_refused_by_name(condition: Condition, word: str) -> None:
    with pytest.raises(CampaignError, match='segment "only": ') as caught:
        compiled(buyer=bought(1), only=condition)

    assert word in str(caught.value)
