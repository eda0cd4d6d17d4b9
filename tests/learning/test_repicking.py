"""What was picked hours ago is looked at again when its message is made; both databases."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from engine.core.model.instants import HOUR
from engine.learning.picking import Picker
from engine.learning.refreshing import Learner, refresh
from engine.steady import elapsed
from engine.ticking.tick import Ticker
from tests.engine.publishing import CART, FILES, Published
from tests.learning.shopping import CATALOG, MODELS, a_shop

JOURNEY = """\
journey:
  - recommend: {model: also-bought, n: 2, if_fewer: skip}
    id: pick
  - delay: 3h
    id: settle
  - send: {channel: email, template: soft}
    id: remind
"""
SHOP = {
    **FILES,
    "models/also-bought.yaml": MODELS["models/also-bought.yaml"],
    "catalog/goods.csv": CATALOG,
    "campaigns/cart.yaml": CART.split("journey:")[0] + JOURNEY,
    "templates/email/soft.txt": "---\nsubject: For you\n---\n"
    "{% picks 2 as it %}{{ it.id }}, {% endpicks %}{{ unsubscribe_url }}\n",
}


@pytest.fixture
def shop(database_url: str) -> Iterator[Published]:
    """A trained shop in which one has put something into the cart; the message is queued."""
    opened = a_shop(database_url, n=40, files=SHOP)
    process = opened.process
    learner = Learner(process.database, process.playbook, process.write, elapsed)
    done = refresh(learner, "also-bought", as_of=opened.now, now=opened.now)
    assert done.status == "champion", done.verdict
    process.ticker = Ticker(
        process.database, vault=process.vault, log=process.log, owner="picking",
        picks=Picker().pick,
    )  # fmt: skip
    opened.identify("u1")
    opened.track("u1", "Product Added", cart="c1", product_id="tea0")
    opened.settle(until=opened.now + 4 * HOUR)
    yield opened
    opened.close()


def context(shop: Published) -> dict[str, Any]:
    (row,) = shop.rows("SELECT context FROM message WHERE template = 'soft'")
    found: dict[str, Any] = json.loads(row[0])
    return found


def picks(shop: Published) -> list[str]:
    return [row["id"] for row in context(shop)["picks"]]


def test_what_can_still_be_had_is_shown_as_it_was_picked(shop: Published) -> None:
    before = picks(shop)

    shop.drain()

    (sent,) = shop.email.calls
    assert sent.text.startswith(", ".join(before))
    assert picks(shop) == before


def test_what_sold_out_meanwhile_gives_way_to_a_spare(shop: Published) -> None:
    first, second = picks(shop)
    spares = [row["id"] for row in context(shop)["_picks"]["picks"]["spares"]]
    sold = "\n".join(
        line.replace(",true", ",false") if line.startswith(f"{first},") else line
        for line in CATALOG.splitlines()
    )
    shop.apply({**SHOP, "catalog/goods.csv": sold + "\n"})

    shop.drain()

    (sent,) = shop.email.calls
    assert sent.text.startswith(f"{second}, {spares[0]}, ")
    assert picks(shop) == [second, spares[0]], "its links are looked up in what was sent"


def test_what_was_bought_meanwhile_is_not_offered_again(shop: Published) -> None:
    first, second = picks(shop)
    shop.track("u1", "Order Completed", revenue=5, products=[{"product_id": first}])

    shop.drain()

    assert first not in picks(shop)
    assert second in picks(shop)


def test_who_refused_profiling_meanwhile_is_shown_what_everybody_is(shop: Published) -> None:
    before = context(shop)["picks"]
    assert all(row["reason"].startswith("because you ") for row in before)
    shop.identify("u1", profiling=False)
    shop.settle()

    shop.drain()

    (sent,) = shop.email.calls
    shown = context(shop)["picks"]
    assert [(row["source"], row["reason"]) for row in shown] == [("popular", "")] * 2
    assert sent.text.startswith(f"{shown[0]['id']}, {shown[1]['id']}, ")


def test_a_message_of_which_too_few_are_left_is_dropped_with_its_words(shop: Published) -> None:
    header, *rows = CATALOG.splitlines()
    few = "\n".join([header, *(row.replace(",true", ",false") for row in rows[1:]), rows[0]])
    shop.apply({**SHOP, "catalog/goods.csv": few + "\n"})

    shop.drain()

    assert shop.email.calls == []
    assert shop.messages("soft") == [
        ("dropped", "fewer than 2 picks of also-bought can still be had")
    ]


def test_a_price_that_changed_while_the_message_waited_is_the_new_one(shop: Published) -> None:
    first, second = picks(shop)
    prices = {row["id"]: row["price"] for row in context(shop)["picks"]}
    dearer = CATALOG.replace(f",{prices[first]},", ",77.5,")
    assert dearer != CATALOG
    shop.apply({**SHOP, "catalog/goods.csv": dearer})

    shop.drain()

    shown = context(shop)["picks"]
    assert [row["id"] for row in shown] == [first, second]
    assert shown[0]["price"] == 77.5
    assert shown[0]["run"], "what the pick says of itself is kept"


def test_a_message_that_shows_no_picks_is_sent_though_none_is_left(shop: Published) -> None:
    header, *rows = CATALOG.splitlines()
    none = "\n".join([header, *(row.replace(",true", ",false") for row in rows)])
    plain = "---\nsubject: For you\n---\nThank you. {{ unsubscribe_url }}\n"
    shop.apply({**SHOP, "catalog/goods.csv": none + "\n", "templates/email/soft.txt": plain})

    shop.drain()

    (sent,) = shop.email.calls
    assert sent.text.startswith("Thank you.")


def test_a_recommender_that_breaks_fails_its_messages_and_holds_up_no_others(
    shop: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise ValueError("its arrays do not fit")

    monkeypatch.setattr(Picker, "still", breaks)

    shop.drain()

    assert shop.messages("soft") == [
        ("failed", "its picks cannot be looked at: ValueError: its arrays do not fit")
    ]
    assert shop.email.calls == []
