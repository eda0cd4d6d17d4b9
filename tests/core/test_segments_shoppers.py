"""The laws again on shoppers as they are: a real shop's events, and a generator of their shape.

Events come in order, late by seconds to hours, or from a clock that runs fast; at each of many
instants every segment must say what the oracle says of all events so far, and keep its word
until its `until`.
"""

import csv
import gzip
import os
import random
from collections import defaultdict
from pathlib import Path

import msgspec
import pytest

from engine.core.features.kinds import Features
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
from engine.core.segments import Segments, compile_segments
from tests.core.build import someone
from tests.core.segments_oracle import Oracle

NAMES = {
    "pv": "Product Viewed",
    "fav": "Product Liked",
    "cart": "Product Added",
    "buy": "Order Completed",
}
GAP = 30 * MINUTE
# 2017-11-25T00:00 in China, where the shop is: the first instant of the data's window.
BEGIN = 1_511_539_200 * SECOND

Row = tuple[int, str, int]
"""(at, event name, category) of one event."""


def several(name: str, n: int, within: int, *, operator: str = "gte") -> EventCondition:
    return EventCondition(
        EventMatch(name),
        (Comparison(operator, n),),  # type: ignore[arg-type]
        Window(within=within),
    )


DEFINITIONS: dict[str, Condition] = {
    "browsing": several("Product Viewed", 5, HOUR),
    "quiet": several("Product Viewed", 2, 6 * HOUR, operator="lt"),
    "exactly-three": several("Product Viewed", 3, 2 * HOUR, operator="is"),
    "buyer": EventCondition(EventMatch("Order Completed")),
    "twice": EventCondition(EventMatch("Order Completed"), (Comparison("gte", 2),)),
    "left-cart": EventCondition(
        EventMatch("Product Added"),
        window=Window(within=4 * HOUR),
        not_followed_by=FollowedBy(EventMatch("Order Completed"), 30 * MINUTE),
    ),
    "left-two-carts": EventCondition(
        EventMatch("Product Added"),
        (Comparison("between", (2, 3)),),
        Window(within=2 * DAY),
        FollowedBy(EventMatch("Order Completed"), 2 * HOUR),
    ),
    "odd-category": EventCondition(
        EventMatch(
            "Product Viewed", (Filter(("properties", "category"), (Comparison("lt", 500_000),)),)
        ),
        (Comparison("gte", 2),),
        Window(within=DAY),
    ),
    "second-day": EventCondition(
        EventMatch("Product Viewed"),
        (Comparison("gte", 3),),
        Window(since=BEGIN + DAY, until=BEGIN + 2 * DAY),
    ),
    "long-visit": SessionCondition((Comparison("gte", 20 * MINUTE),), window=Window(within=DAY)),
    "short-visit": SessionCondition(
        (Comparison("lt", MINUTE),), (Comparison("gte", 2),), Window(within=DAY)
    ),
    "member": TraitCondition(Filter(("joined",), (Comparison("within_last", 3 * DAY),))),
    "about-to-buy": All((
        SegmentCondition("browsing"),
        SegmentCondition("long-visit"),
        SegmentCondition("left-cart"),
    )),
    "worth-a-word": AnyOf((
        SegmentCondition("about-to-buy"),
        All((
            Not(SegmentCondition("buyer")),
            SegmentCondition("quiet"),
            SegmentCondition("member"),
        )),
    )),
}  # fmt: skip
TRAITS = {"joined": "2017-11-26T12:00+08:00"}


def real_shoppers() -> dict[str, list[Row]]:
    folder = os.environ.get("ANTIPHON_TEST_DATA")
    root = Path(folder) if folder else Path(__file__).parents[3] / "shared" / "data"
    path = root / "taobao_events.csv.gz"
    if not path.is_file():
        pytest.skip("taobao_events.csv.gz is not here; set ANTIPHON_TEST_DATA to its folder")
    shoppers: dict[str, list[Row]] = defaultdict(list)
    with gzip.open(path, "rt") as lines:
        for row in csv.DictReader(lines):
            shoppers[row["user"]].append(
                (int(row["ts"]) * SECOND, NAMES[row["behavior"]], int(row["category"]))
            )
    return shoppers


def made_shoppers(rng: random.Random) -> dict[str, list[Row]]:
    """Visits of a heavy-tailed number of events over nine days, as the real file has them."""
    shoppers: dict[str, list[Row]] = {}
    for user in range(40):
        rows: list[Row] = []
        for _ in range(rng.randint(1, 12)):
            at = BEGIN + rng.randrange(9 * DAY // SECOND) * SECOND
            for _ in range(min(60, int(rng.paretovariate(0.9)))):
                at += int(rng.expovariate(1 / 90)) * SECOND
                name = rng.choices(list(NAMES.values()), [90, 3, 5, 2])[0]
                rows.append((at, name, rng.choice([1, 499_999, 500_000, 4_000_000])))
        shoppers[str(user)] = rows
    return shoppers


def delivered(rows: list[Row], rng: random.Random) -> list[Event]:
    """As accepted: mostly at once, some up to four hours late, some from the next hours."""
    drafts = []
    for at, name, category in rows:
        late = rng.choice([0] * 6 + [rng.randrange(4 * HOUR), -rng.randrange(2 * HOUR)])
        drafts.append((at + late, at, name, category))
    drafts.sort()
    return [
        Event(seq, name, at, accepted, {"category": category})
        for seq, (accepted, at, name, category) in enumerate(drafts, 1)
    ]


def check(
    segments: Segments, oracle: Oracle, events: list[Event], rng: random.Random, *, n_probes: int
) -> int:
    """Deliver all events; at some of them compare now, before each until, and at it."""
    features: Features = {}
    probed = set(rng.sample(range(len(events)), min(n_probes, len(events)))) | {len(events) - 1}
    n_compared = 0
    for index, event in enumerate(events):
        segments.observe(features, event)
        if index not in probed:
            continue
        features = msgspec.msgpack.decode(msgspec.msgpack.encode(features))
        so_far = events[: index + 1]
        now = event.accepted_at + rng.choice([0, 0, rng.randrange(2 * HOUR)])
        for name, condition in DEFINITIONS.items():
            holds, until = segments.evaluate(name, features, someone(TRAITS), now=now)
            assert until > now
            assert holds is oracle.holds(condition, so_far, TRAITS, now), (name, now)
            last = until - 1 if until < NEVER else now + 30 * DAY
            for probe in (rng.randrange(now, last + 1), last):
                assert holds is oracle.holds(condition, so_far, TRAITS, probe), (name, now, probe)
            if until < NEVER:
                again = segments.evaluate(name, features, someone(TRAITS), now=until)[0]
                assert again is oracle.holds(condition, so_far, TRAITS, until), (name, until)
            n_compared += 1
    return n_compared


def test_real_shoppers_are_in_exactly_the_segments_that_all_their_events_say() -> None:
    rng = random.Random(2017)
    shoppers = real_shoppers()
    segments = compile_segments(DEFINITIONS, session_gap=GAP)
    oracle = Oracle(DEFINITIONS, session_gap=GAP)

    compared = sum(
        check(segments, oracle, delivered(shoppers[user], rng), rng, n_probes=4)
        for user in rng.sample(sorted(shoppers), 60)
    )

    assert compared > 3_000


def test_made_shoppers_are_in_exactly_the_segments_that_all_their_events_say() -> None:
    rng = random.Random(25)
    segments = compile_segments(DEFINITIONS, session_gap=GAP)
    oracle = Oracle(DEFINITIONS, session_gap=GAP)

    compared = sum(
        check(segments, oracle, delivered(rows, rng), rng, n_probes=5)
        for rows in made_shoppers(rng).values()
    )

    assert compared > 1_500
