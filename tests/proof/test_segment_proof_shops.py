"""The three readings on shops as they are: two real ones where their files are, one made always.

The files are found by ANTIPHON_TEST_DATA, or in ../shared/data beside the repository.
"""

import csv
import gzip
import os
import random
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from engine.core.model.conditions import (
    AggregateCondition,
    All,
    Comparison,
    Condition,
    EventCondition,
    EventMatch,
    Filter,
    FollowedBy,
    MomentCondition,
    Not,
    Operator,
    SegmentCondition,
    SequenceCondition,
    SequenceStep,
    SessionCondition,
    Window,
)
from engine.core.model.instants import DAY, HOUR, MINUTE, SECOND, ProfileId
from engine.core.model.people import Event, Profile
from engine.segment_sql.lake import Lake
from tests.proof.asking import Streamed, compiled, inside, pour, selected
from tests.proof.oracle import Oracle
from tests.proof.people import LISTS, Someone

GAP = 30 * MINUTE


class Fact(NamedTuple):
    """Something that someone did."""

    at: int
    name: str
    properties: dict[str, Any]


Shoppers = Mapping[str, list[Fact]]


def opened(name: str) -> Any:
    folder = os.environ.get("ANTIPHON_TEST_DATA")
    root = Path(folder) if folder else Path(__file__).parents[3] / "shared" / "data"
    if not (root / name).is_file():
        pytest.skip(f"{name} is not here; set ANTIPHON_TEST_DATA to the folder that holds it")
    return gzip.open(root / name, "rt", encoding="utf-8", errors="replace")


def visitors() -> Shoppers:
    """424 people of a marketplace, who mostly look."""
    names = {"pv": "Viewed", "fav": "Liked", "cart": "Added", "buy": "Ordered"}
    people: dict[str, list[Fact]] = defaultdict(list)
    with opened("taobao_events.csv.gz") as lines:
        for row in csv.DictReader(lines):
            at = int(row["ts"]) * SECOND
            properties = {"category": int(row["category"]), "amount": int(row["category"]) / 100}
            people[row["user"]].append(Fact(at, names[row["behavior"]], properties))
    return people


def buyers() -> Shoppers:
    """Customers of a gift shop: each line of an invoice is an event, a cancelled one too."""
    people: dict[str, list[Fact]] = defaultdict(list)
    with opened("online_retail.csv.gz") as lines:
        for row in csv.DictReader(lines):
            if not row["CustomerID"] or hash_of(row["CustomerID"]) % 40:
                continue
            at = datetime.fromisoformat(row["InvoiceDate"]).replace(tzinfo=UTC)
            amount = int(row["Quantity"]) * float(row["UnitPrice"])
            name = "Returned" if row["InvoiceNo"].startswith("C") else "Ordered"
            properties = {"amount": round(amount, 2), "category": row["StockCode"]}
            people[row["CustomerID"]].append(Fact(int(at.timestamp()) * SECOND, name, properties))
    return people


def made() -> Shoppers:
    """People of the same shape: visits of a heavy-tailed number of events over nine days."""
    rng = random.Random(9)
    people: dict[str, list[Fact]] = {}
    for number in range(25):
        facts: list[Fact] = []
        for _ in range(rng.randint(1, 10)):
            at = 1_511_539_200 * SECOND + rng.randrange(9 * DAY // SECOND) * SECOND
            for _ in range(min(40, int(rng.paretovariate(0.9)))):
                at += int(rng.expovariate(1 / 90)) * SECOND
                name = rng.choices(["Viewed", "Added", "Ordered", "Returned"], [90, 5, 4, 1])[0]
                amount = rng.choice([0.1, 19.99, 5, -3.5, 1234.56])
                facts.append(Fact(at, name, {"category": rng.randrange(9), "amount": amount}))
        people[str(number)] = facts
    return people


def hash_of(text: str) -> int:
    return sum(text.encode())


def compared(operator: Operator, operand: Any) -> tuple[Comparison, ...]:
    return (Comparison(operator, operand),)


def worth(measure: Any, operator: Operator, operand: Any, within: int | None) -> Condition:
    path = ("properties", "category" if measure == "distinct" else "amount")
    return AggregateCondition(
        EventMatch("Ordered"), measure, path, compared(operator, operand), Window(within=within)
    )


SEGMENTS: dict[str, Condition] = {
    "keen": EventCondition(EventMatch("Viewed"), compared("gte", 5), Window(within=HOUR)),
    "regular": EventCondition(EventMatch("Ordered"), compared("gte", 20), Window(within=60 * DAY)),
    "left-something": EventCondition(
        EventMatch("Added"),
        window=Window(within=4 * HOUR),
        not_followed_by=FollowedBy(EventMatch("Ordered"), 30 * MINUTE),
    ),
    "kept-it": EventCondition(
        EventMatch("Ordered", (Filter(("properties", "amount"), compared("gt", 15)),)),
        window=Window(within=90 * DAY),
        not_followed_by=FollowedBy(EventMatch("Returned"), 14 * DAY),
    ),
    "spender": worth("sum", "gte", 300, 30 * DAY),
    "small-orders": worth("avg", "lt", 20, None),
    "one-big": worth("max", "gt", 100, 90 * DAY),
    "curious": worth("distinct", "gte", 10, 30 * DAY),
    "came-back": SequenceCondition(
        (
            SequenceStep(EventMatch("Viewed")),
            SequenceStep(EventMatch("Added"), gap=HOUR, without=EventMatch("Ordered")),
            SequenceStep(EventMatch("Ordered"), gap=DAY),
        ),
        Window(within=3 * DAY),
    ),
    "new": MomentCondition(EventMatch("Ordered"), "first", compared("within_last", 5 * DAY)),
    "long-visit": SessionCondition(compared("gte", 20 * MINUTE), window=Window(within=5 * DAY)),
    "worth-a-word": All((Not(SegmentCondition("keen")), SegmentCondition("spender"))),
}  # fmt: skip


def delivered(facts: list[Fact], rng: random.Random) -> list[Event]:
    """As accepted: mostly at once, some up to four hours late, some from the next hours."""
    drafts = []
    for number, fact in enumerate(facts):
        late = rng.choice([0] * 6 + [rng.randrange(4 * HOUR), -rng.randrange(2 * HOUR)])
        drafts.append((fact.at + late, number, fact))
    return [
        Event(seq, fact.name, fact.at, accepted, fact.properties)
        for seq, (accepted, _, fact) in enumerate(sorted(drafts), 1)
    ]


@pytest.mark.parametrize("shop", [visitors, buyers, made])
def test_stream_sql_and_book_agree_on_the_people_of_a_shop(shop: Any, lake: Lake) -> None:
    rng = random.Random(2017)
    shoppers = shop()
    chosen = rng.sample(sorted(shoppers), min(25, len(shoppers)))
    engine, oracle = compiled(SEGMENTS, gap=GAP), Oracle(SEGMENTS, gap=GAP, lists=LISTS)
    waiting = {who: delivered(shoppers[who], rng) for who in chosen}
    people = [
        Streamed(Profile(ProfileId(number), "UTC", external_id=who), engine)
        for number, who in enumerate(chosen, 1)
    ]
    times = sorted(event.accepted_at for events in waiting.values() for event in events)
    n_inside = dict.fromkeys(SEGMENTS, 0)

    for share in (0.3, 0.6, 1.0):
        border = times[int(share * (len(times) - 1))]
        for it in people:
            events = waiting[it.profile.external_id]
            while events and events[0].accepted_at <= border:
                it.take(events.pop(0))
            it.restart()
        instants = [border, border + rng.randrange(2 * HOUR), border + rng.randrange(20 * DAY)]
        pour(lake, [Someone(it.profile, it.events) for it in people], begin=0)
        for name, condition in SEGMENTS.items():
            book = {
                (now, it.profile.id)
                for now in instants for it in people
                if oracle.holds(condition, it.profile, it.events, now)
            }  # fmt: skip
            assert inside(people, name, instants) == book, f"stream, {name}"
            assert selected(lake, SEGMENTS, name, instants, gap=GAP) == book, f"SQL, {name}"
            n_inside[name] += len(book)

    # Segments that nobody ever is in, or everybody always, would prove little.
    telling = [name for name, n in n_inside.items() if 0 < n < 9 * len(people)]
    assert len(telling) >= 6, n_inside
