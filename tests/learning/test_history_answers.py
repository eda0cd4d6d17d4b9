"""Labels, purchases, likings, items and hours, each rule by an example."""

import numpy as np
import pytest

from campaigns.models import (
    ItemEvent,
    Learning,
    Purchases,
    Rating,
    RecommenderModel,
    Signal,
    Target,
)
from engine.core.model.conditions import Comparison, Filter
from engine.core.model.instants import DAY, MINUTE
from engine.learning.refusals import Refused
from engine.store.database import Database
from engine.store.events import OWN
from tests.learning.logged import BEGIN, Log, day, event, order, refund

AS_OF = day(40)
HOUR = 60 * MINUTE


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 0, 1]),
        ({"is_negated": True}, [0, 1, 0]),
        ({"measure": "count"}, [2, 0, 1]),
        ({"measure": "sum", "value": "properties.revenue"}, [12.5, 0, 40]),
        ({"where": (Filter(("properties", "revenue"), (Comparison("gt", 20),)),)}, [0, 0, 1]),
    ],
)
def test_a_label_is_what_happened_from_the_instant_on_until_the_span_ends(
    database: Database, options: dict[str, object], expected: list[float]
) -> None:
    # The span is [10, 20): its first instant counts, its last does not, and late news do.
    log = Log(database)
    log.people(1, 2, 3)
    log.happened(
        order(1, day(10) - 1, 100), order(1, day(10), 5), order(1, day(19.9), 7.5, told=day(30)),
        order(2, day(20), 100), order(2, day(12), 100, told=AS_OF), order(3, day(15), 40),
        event(3, "Page Viewed", day(15)),
    )  # fmt: skip
    target = Target("Order Completed", 10 * DAY, **options)  # type: ignore[arg-type]

    with log.history(AS_OF) as history:
        ids, found = history.labels(target, starts=day(10))
        some, theirs = history.labels(target, starts=day(10), among=[3, 9])

    assert ids.tolist() == [1, 2, 3]
    assert found.tolist() == expected
    assert (some.tolist(), theirs.tolist()) == ([3], expected[2:])


def test_what_follows_is_refused_while_nobody_can_know_it(sqlite_database: Database) -> None:
    log = Log(sqlite_database)
    log.people(1)

    with log.history(AS_OF) as history, pytest.raises(Refused, match="not known yet"):
        history.labels(Target("Order Completed", 10 * DAY), starts=day(30) + 1)


def test_purchases_are_occasions_less_what_was_returned_of_them(database: Database) -> None:
    log = Log(database)
    log.people(1, 2)
    log.happened(
        refund(1, day(0.5), 99), order(1, day(1.1), 10), order(1, day(1.2), 5), order(1, day(9), 7),
        refund(1, day(8), 4), refund(1, day(9.5), 20), order(2, day(3), 0),
    )  # fmt: skip

    with log.history(AS_OF) as history:
        found = history.purchases()

    assert found.ids.tolist() == [1, 1, 2]
    assert found.times.tolist() == [day(1.1), day(9), day(3)]
    assert found.amounts.tolist() == [11, -13, 0]


def test_an_item_is_one_however_its_id_is_written(database: Database) -> None:
    log = Log(database)
    log.people(1)
    ids = [7, "7", 7.0, " 7 ", "07", 7.5, True, None, "", [7], {"a": 1}]
    log.happened(
        *(event(1, "Product Viewed", day(n + 1), {"product_id": it}) for n, it in enumerate(ids))
    )

    with log.history(AS_OF) as history:
        found = history.interactions((Signal("Product Viewed", 1),))

    assert found.items.tolist() == ["7", "7", "7", "7", "07", "7.5"]
    assert found.times.tolist() == [day(n + 1) for n in range(6)]


def test_an_order_likes_each_of_its_lines_and_a_return_takes_the_latest_back(
    database: Database,
) -> None:
    log = Log(database)
    log.people(1, 2)
    log.happened(
        order(1, day(1), 5, ("a", "X"), ("b", "X")), order(1, day(2), 5, ("a", "X")),
        refund(1, day(3), 5, "a"), order(1, day(4), 5, ("a", "X")),
        refund(2, day(1), 5, "c"), order(2, day(2), 5, ("c", "X")),
        event(2, "Order Completed", day(3), {"product_id": "single"}),
        event(1, "Product Viewed", day(1), {"product_id": "a"}),
        event(1, "Product Viewed", day(1), {"product_id": "a"}, flags=OWN),
        event(1, "Product Viewed", day(1), {"product_id": "a"},
              context={"device": {"type": "bot"}}),
    )  # fmt: skip
    signals = (Signal("Product Viewed", 1), Signal("Order Completed", 5))

    with log.history(AS_OF) as history:
        found = history.interactions(signals)

    rows = zip(found.user_ids, found.items, found.weights, found.times, strict=True)
    # Of 1's three purchases of "a" one was given back: the latest before the return is gone.
    assert sorted((int(u), str(i), float(w), int(t)) for u, i, w, t in rows) == sorted([
        (1, "a", 1.0, day(1)), (1, "a", 5.0, day(1)), (1, "b", 5.0, day(1)), (1, "a", 5.0, day(4)),
        (2, "c", 5.0, day(2)), (2, "single", 5.0, day(3)),
    ])  # fmt: skip


def test_stars_outside_of_the_scale_are_none(database: Database) -> None:
    log = Log(database)
    log.people(1)
    stars = [5, 0.5, 6, "4", 1]
    log.happened(
        *(event(1, "Rated", day(n), {"film": f"f{n}", "stars": it}) for n, it in enumerate(stars))
    )

    with log.history(AS_OF) as history:
        found = history.interactions(Rating("Rated", "properties.stars", "properties.film"))

    assert found.items.tolist() == ["f0", "f4"]
    assert found.weights.tolist() == [5, 1]


def test_every_line_of_an_order_tells_of_its_item(database: Database) -> None:
    log = Log(database)
    log.people(1)
    lines: list[dict[str, object]] = [
        {"product_id": "a", "title": "Tea", "price": 3},
        {"product_id": 7, "title": "Pot"},
        {"title": "nothing"},
    ]
    log.happened(
        event(1, "Order Completed", day(1), {"products": lines, "shop": "north"}),
        event(1, "Order Completed", day(2), {"products": [{"product_id": "a", "price": 4}]}),
        event(1, "Order Completed", day(3), {"products": "none"}),
    )
    each = "properties.products.*"
    paths = (
        ("id", f"{each}.product_id"), ("title", f"{each}.title"), ("price", f"{each}.price"),
        ("shop", "properties.shop"),
    )  # fmt: skip

    with log.history(AS_OF) as history:
        found = history.items(RecommenderModel("x", items=ItemEvent("Order Completed", paths)))

    assert found.rows == {
        "a": {"id": "a", "title": "Tea", "price": 4, "shop": "north"},
        "7": {"id": "7", "title": "Pot", "shop": "north"},
    }
    assert found.first_seen == {"a": day(1), "7": day(1)}


def test_an_item_is_what_the_last_event_said_of_each_attribute(database: Database) -> None:
    log = Log(database)
    log.people(1)
    told: list[dict[str, object]] = [
        {"product_id": 1, "title": "Old", "category": "Shoes", "price": 5},
        {"product_id": "1", "title": "New", "price": None},
        {"product_id": "2", "title": "Pills", "category": "Health"},
        {"title": "nothing"},
    ]
    log.happened(*(event(1, "Product Viewed", day(n), it) for n, it in enumerate(told)))
    paths = tuple(
        (name, f"properties.{path}")
        for name, path in (("id", "product_id"), ("title", "title"), ("category", "category"),
                           ("price", "price"))
    )  # fmt: skip
    model = RecommenderModel("x", items=ItemEvent("Product Viewed", paths))

    with log.history(AS_OF, learning=Learning(sensitive=("Health",))) as history:
        found = history.items(model)
        listed = history.items(
            RecommenderModel("y", catalog="shop"),
            [{"id": " 5 ", "title": "A"}, {"id": 6, "category": "Health"}],
        )

    assert found.rows == {"1": {"id": "1", "title": "New", "category": "Shoes", "price": 5}}
    assert found.first_seen == {"1": day(0)}
    assert listed.rows == {"5": {"id": "5", "title": "A"}}


def test_the_lines_of_an_order_stand_where_the_workspace_says(database: Database) -> None:
    log = Log(database)
    log.people(1)
    log.happened(
        event(1, "Bought", day(1), {"total": 9, "basket": {"rows": [{"sku": 4, "kind": "Bags"}]}})
    )
    trade = Purchases(
        "Bought", "properties.total", "properties.basket.rows", "sku", "kind", "Returned"
    )

    with log.history(AS_OF, learning=Learning(purchases=trade)) as history:
        table = history.features(["monetary", "affinities"], zone="UTC")
        liked = history.interactions((Signal("Bought", 2),))

    assert table.numbers["monetary"].tolist() == [9]
    assert table.shares is not None
    assert table.shares.categories.tolist() == ["Bags"]
    assert liked.items.tolist() == ["4"]


def test_acts_within_a_minute_of_each_other_are_one(database: Database) -> None:
    log = Log(database)
    log.people(1, 2)
    at = BEGIN + 8 * HOUR
    second = MINUTE // 60
    log.happened(
        *(event(1, "Message Clicked", at + it * 30 * second) for it in range(4)),
        event(1, "Message Clicked", at + 90 * second + MINUTE + 1),
        event(2, "Message Clicked", at + second),
    )

    with log.history(AS_OF) as history:
        found = history.hours(("Message Clicked",), has_sessions=False, zone="UTC")

    rows = zip(found.ids, found.acts, strict=True)
    assert [tuple(map(int, row)) for row in rows] == [(1, 2), (2, 1)]


def test_hours_are_those_that_the_clocks_of_each_person_showed(database: Database) -> None:
    log = Log(database)
    log.people(1, 2)
    sunday = BEGIN + 27 * DAY  # 2026-03-29: at 01:00 UTC Berlin's clocks go from 02:00 to 03:00
    log.happened(
        event(1, "Page Viewed", BEGIN, context={"timezone": "America/New_York"}),
        event(2, "Page Viewed", sunday + 50 * MINUTE),
        event(2, "Page Viewed", sunday + 70 * MINUTE),
        event(2, "Page Viewed", sunday + 101 * MINUTE),
        event(2, "Message Clicked", sunday + 71 * MINUTE, {"is_machine": True}),
        event(2, "Message Clicked", sunday + 80 * MINUTE, {"is_machine": False}),
    )
    log.message(2, BEGIN + 8 * HOUR)
    log.message(2, BEGIN + 8 * HOUR, outcome="refused")
    log.message(2, BEGIN + 8 * HOUR, channel="webhook")

    with log.history(AS_OF) as history:
        found = history.hours(("Message Clicked",), has_sessions=True, zone="Europe/Berlin")

    rows = zip(found.ids, found.hours, found.acts, found.sends, strict=True)
    assert [tuple(map(int, row)) for row in rows] == [
        (1, 6 * 24 + 19, 1, 0),  # Sunday evening in New York
        (2, 9, 0, 1),
        (2, 6 * 24 + 1, 1, 0),  # the session begins at 01:50
        (2, 6 * 24 + 3, 1, 0),  # the click at 03:20 of the new time
    ]
    people, acts, sends = found.dense()
    assert people.tolist() == [1, 2]
    assert acts.shape == sends.shape == (2, 168)
    assert np.array_equal(acts.sum(axis=1), [1, 2])
