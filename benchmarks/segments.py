"""How fast the pure segment engine is: the reference mix, in memory, one core.

    python -m benchmarks.segments [--events 100000] [--profiles 10000]

Mix: Product Viewed 55 %, Page 20, Product Added 15, Checkout Started 5, Order Completed 5; uniform
profiles; twenty segments of every kind about events. Each event is observed, the segments it
touches are evaluated, and so is a segment whose `until` has come. Prints events/s and verdicts/s
of this process' own CPU time (the machine has other work), and the packed size of a profile's
features. Target: 50,000 events observed and evaluated a second.

Baseline on 2026-11-23, one of 2 shared cores under a load of 8, CPython 3.11.7: 50-53 thousand
events/s with 5.7 verdicts each, 0.7 million verdicts/s, 390 bytes a profile (664 at most).
"""

import argparse
import gc
import platform
import random
import time
from typing import Any

import msgspec

from engine.core.features.kinds import Features
from engine.core.model.conditions import (
    AggregateCondition,
    All,
    AnyOf,
    Comparison,
    Condition,
    EventCondition,
    EventMatch,
    Filter,
    FollowedBy,
    MomentCondition,
    Not,
    SegmentCondition,
    SequenceCondition,
    SequenceStep,
    SessionCondition,
    TraitCondition,
    Window,
)
from engine.core.model.instants import HOUR, MINUTE, NEVER, SECOND, Instant, ProfileId
from engine.core.model.people import Event, Profile
from engine.core.segments import Segments, compile_segments

MIX = {
    "Product Viewed": 55,
    "Page": 20,
    "Product Added": 15,
    "Checkout Started": 5,
    "Order Completed": 5,
}
BEGIN: Instant = 1_772_442_000 * SECOND
TARGET_EVENTS_PER_SECOND = 50_000
DAY = 24 * HOUR


def seen(name: str, n: int, within: int | None, *where: Filter) -> EventCondition:
    return EventCondition(EventMatch(name, where), (Comparison("gte", n),), Window(within=within))


def comes_to(measure: Any, path: str, test: Comparison, within: int | None) -> Condition:
    return AggregateCondition(
        EventMatch("Order Completed" if path == "price" else "Product Viewed"),
        measure,
        ("properties", path),
        (test,),
        Window(within=within),
    )


MOBILE = Filter(("context", "device", "type"), (Comparison("is", "mobile"),))
DEAR = Filter(("properties", "price"), (Comparison("gte", 50),))

SEGMENTS: dict[str, Condition] = {
    "mobile-browsers": seen("Product Viewed", 2, 2 * HOUR, MOBILE),
    "browsers": seen("Product Viewed", 5, 24 * HOUR),
    "dear-taste": seen("Product Viewed", 3, 7 * 24 * HOUR, DEAR),
    "visitors": SessionCondition((Comparison("gte", 2 * MINUTE),), window=Window(within=2 * HOUR)),
    "left-carts": EventCondition(
        EventMatch("Product Added"),
        window=Window(within=2 * HOUR),
        not_followed_by=FollowedBy(EventMatch("Order Completed"), 30 * MINUTE),
    ),
    "at-checkout": seen("Checkout Started", 1, HOUR),
    "buyers": seen("Order Completed", 1, None),
    "loyal": seen("Order Completed", 3, 90 * 24 * HOUR),
    "high-intent": All((
        SegmentCondition("mobile-browsers"),
        SegmentCondition("visitors"),
        SegmentCondition("left-carts"),
    )),
    "prospects": All((
        TraitCondition(Filter(("country",), (Comparison("in", ("DE", "AT", "CH")),))),
        Not(SegmentCondition("buyers")),
        AnyOf((SegmentCondition("browsers"), SegmentCondition("at-checkout"))),
    )),
    "big-spenders": comes_to("sum", "price", Comparison("gte", 200), None),
    "spent-lately": comes_to("sum", "price", Comparison("gte", 100), 30 * DAY),
    "dear-orders": comes_to("avg", "price", Comparison("gt", 60), None),
    "one-dear-order": comes_to("max", "price", Comparison("gte", 95), 30 * DAY),
    "explorers": comes_to("distinct", "product", Comparison("gte", 5), 7 * DAY),
    "new-buyers": MomentCondition(
        EventMatch("Order Completed"), "first", (Comparison("within_last", 30 * DAY),)
    ),
    "lapsed-buyers": Not(
        MomentCondition(
            EventMatch("Order Completed"), "last", (Comparison("within_last", 14 * DAY),)
        )
    ),
    "left-checkout": SequenceCondition(
        (
            SequenceStep(EventMatch("Product Added")),
            SequenceStep(EventMatch("Checkout Started"), HOUR),
        ),
        Window(within=DAY),
    ),
    "straight-buyers": SequenceCondition(
        (
            SequenceStep(EventMatch("Product Added")),
            SequenceStep(EventMatch("Order Completed"), 2 * HOUR, EventMatch("Page")),
        ),
        Window(within=7 * DAY),
    ),
    "winnable": All((SegmentCondition("lapsed-buyers"), SegmentCondition("big-spenders"))),
}  # fmt: skip


def make_events(n_events: int, n_profiles: int, rng: random.Random) -> list[tuple[int, Event]]:
    """(profile, event), a profile's events about ten minutes apart."""
    names = rng.choices(list(MIX), list(MIX.values()), k=n_events)
    step = 10 * MINUTE // n_profiles
    return [
        (
            rng.randrange(n_profiles),
            Event(
                seq=number,
                name=name,
                at=BEGIN + number * step,
                accepted_at=BEGIN + number * step + SECOND,
                properties={"price": rng.randrange(100), "product": f"p{rng.randrange(500)}"},
                context={"device": {"type": rng.choice(["mobile", "desktop"])}},
            ),
        )
        for number, name in enumerate(names)
    ]


SOMEONE = Profile(ProfileId(1), "UTC", traits={"country": "DE"})


def play(
    segments: Segments, events: list[tuple[int, Event]], features: list[Features]
) -> tuple[float, int]:
    """Observe and evaluate everything; (seconds, verdicts)."""
    untils: list[dict[str, Instant]] = [dict.fromkeys(SEGMENTS, NEVER) for _ in features]
    soonest = [NEVER] * len(features)
    asks = segments.asks
    n_verdicts = 0
    started = time.process_time()
    for profile, event in events:
        remembered, now = features[profile], event.accepted_at
        segments.observe(remembered, event)
        due = untils[profile]
        asked = segments.touched_by(event)
        is_due = soonest[profile] <= now
        if is_due:
            asked = {*asked, *(name for name, until in due.items() if until <= now)}
        for name in asked:
            _, until = asks[name](remembered, SOMEONE, now)
            due[name] = until
            if until < soonest[profile]:
                soonest[profile] = until
        if is_due:
            soonest[profile] = min(due.values())
        n_verdicts += len(asked)
    return time.process_time() - started, n_verdicts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--profiles", type=int, default=10_000)
    options = parser.parse_args()
    segments = compile_segments(SEGMENTS, session_gap=30 * MINUTE)
    events = make_events(options.events, options.profiles, random.Random(1))
    features: list[Features] = [{} for _ in range(options.profiles)]
    # As the engine does after its start: the garbage collector leaves the program alone.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)

    seconds, n_verdicts = play(segments, events, features)

    started = time.process_time()
    for remembered in features:
        for name in SEGMENTS:
            segments.evaluate(name, remembered, SOMEONE, now=events[-1][1].accepted_at)
    bare_seconds = time.process_time() - started
    sizes = sorted(len(msgspec.msgpack.encode(one)) for one in features)
    rate = options.events / seconds
    print(
        f"{len(SEGMENTS)} segments, {segments.n_features} features, "
        f"{options.profiles:,} profiles, {options.events:,} events; {platform.machine()}, "
        f"CPython {platform.python_version()}"
    )
    print(
        f"observe and evaluate {rate:,.0f} events/s with {n_verdicts / options.events:.1f} "
        f"verdicts each: {rate / TARGET_EVENTS_PER_SECOND:.2f} of the target"
    )
    print(f"evaluate alone {options.profiles * len(SEGMENTS) / bare_seconds:,.0f} verdicts/s")
    print(f"state {sum(sizes) / len(sizes):.0f} bytes a profile, {sizes[-1]} at most")


if __name__ == "__main__":
    main()
