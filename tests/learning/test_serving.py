"""What answers now: before any training, with a changed catalog, filled up; both databases."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.commands.recommend import _lines, _moved
from engine.core.model.effects import PickAsk
from engine.core.model.instants import HOUR, ProfileId
from engine.learning.picking import Picker, Shown
from engine.learning.refreshing import Learner, Refreshed, refresh
from engine.steady import elapsed
from engine.ticking.tick import Ticker
from tests.engine.publishing import CART, FILES, Published
from tests.learning.shopping import CATALOG, a_shop

MODEL = (
    "recommender: also-bought\nkind: hybrid\nitems: goods\n"
    "events: {Product Viewed: 1, Order Completed: 5}\nexclude: {purchased: ever, deny: recalled}\n"
    "fallback: [category_popular, popular, new, editorial]\neditorial: best\n"
)
BEST = "id,title,url\n" + "".join(
    f"{it},Best {it},https://x.test/{it}\n"
    for it in ("lamp0", "book0", "elsewhere", "tea0", "cup0", "lamp1", "book1", "lamp2")
)
SHOP = {
    **FILES,
    "models/also-bought.yaml": MODEL,
    "catalog/goods.csv": CATALOG,
    "catalog/best.csv": BEST,
    "lists/recalled.csv": "item\nlamp1\n",
    "campaigns/cart.yaml": CART.split("journey:")[0]
    + "journey:\n  - recommend: {model: also-bought, n: 2, if_fewer: fill}\n    id: pick\n"
    "  - send: {channel: email, template: soft}\n    id: remind\n",
    "templates/email/soft.txt": "---\nsubject: For you\n---\n"
    '{% picks 40 if_fewer="fill" fallback="best" as it %}{{ it.id }} {% endpicks %}|'
    "{{ unsubscribe_url }}\n",
}


@pytest.fixture
def shop(database_url: str) -> Iterator[Published]:
    opened = a_shop(database_url, n=40, files=SHOP)
    yield opened
    opened.close()


def train(shop: Published) -> Refreshed:
    process = shop.process
    learner = Learner(process.database, process.playbook, process.write, elapsed)
    return refresh(learner, "also-bought", as_of=shop.now, now=shop.now)


def ask(shop: Published, picker: Picker, user: str = "u1", n: int = 40, **more: Any) -> Shown:
    process = shop.process
    ((profile,),) = shop.rows(f"SELECT id FROM profile WHERE external_id = '{user}'")
    asked = PickAsk(ProfileId(profile), "also-bought", n, 0, (), more.get("items", ()), shop.now)
    with process.database.read() as connection:
        return picker.shown(connection, process.playbook, asked)


def ids(found: Shown) -> list[str]:
    return [str(row["id"]) for row in found.rows]


def bought(shop: Published, user: str = "u1") -> set[str]:
    rows = shop.rows(
        "SELECT e.properties FROM event e JOIN profile p ON p.id = e.profile_id "
        f"WHERE p.external_id = '{user}' AND e.name = 'Order Completed'"
    )
    return {it["product_id"] for (row,) in rows for it in json.loads(row)["products"]}


def test_before_the_first_training_the_chain_answers_from_the_latest_events(
    shop: Published,
) -> None:
    shop.identify("u901")
    shop.settle()

    found = ask(shop, Picker(), "u901", n=4)
    known = ask(shop, Picker(), "u1")

    assert found.run == known.run == 0
    assert {row["source"] for row in found.rows} == {"popular"}
    assert known.rows[0]["source"] == "category_popular"
    assert not set(ids(known)) & bought(shop)
    assert "lamp1" not in ids(known)


def test_who_may_not_be_profiled_teaches_nobody_before_the_first_training(
    database_url: str,
) -> None:
    stage = Published(database_url)
    stage.apply(SHOP)
    stage.identify("u902", profiling=False)
    stage.identify("u903")
    stage.track("u902", "Product Viewed", product_id="tea3")
    stage.track("u903", "Product Viewed", product_id="cup3")
    stage.identify("u904")
    stage.now += HOUR
    stage.settle()

    found = [(it["id"], it["source"]) for it in ask(stage, Picker(), "u904").rows]

    stage.close()
    popular = [it for it, source in found if source == "popular"]
    assert popular == ["cup3"]
    assert found[-1][1] == "editorial"


def test_an_empty_log_leaves_what_was_chosen_by_hand(database_url: str) -> None:
    stage = Published(database_url)
    stage.apply(SHOP)
    stage.identify("u904")
    stage.settle()

    found = ask(stage, Picker(), "u904")

    stage.close()
    assert {row["source"] for row in found.rows} == {"editorial"}
    assert ids(found) == ["lamp0", "book0", "tea0", "cup0", "book1", "lamp2"]


def test_a_new_product_is_shown_and_a_gone_one_hidden_from_the_release_on(shop: Published) -> None:
    assert train(shop).status == "champion"
    picker = Picker()
    before = ids(ask(shop, picker))
    gone, sold = before[0], before[1]
    rows = [
        line.replace(",true", ",false") if line.startswith(f"{sold},") else line
        for line in CATALOG.splitlines()
        if not line.startswith(f"{gone},")
    ]
    like = rows[1].split(",")
    liked = sorted(bought(shop))[0]
    new = f"brand-new,{liked[:-1].title()} 9,https://x.test/n,3,{liked[:-1]},true"
    assert len(like) == 6

    shop.apply({**SHOP, "catalog/goods.csv": "\n".join([*rows, new]) + "\n"})
    after = ask(shop, picker)

    assert not {gone, sold} & set(ids(after))
    (row,) = [it for it in after.rows if it["id"] == "brand-new"]
    assert row["source"] == "hybrid"
    assert row["reason"].startswith("because you ")
    assert after.run == 1, "nothing was trained"
    assert "brand-new" not in before


def test_variety_asked_for_in_the_file_holds_from_the_release_on(shop: Published) -> None:
    train(shop)
    picker = Picker()
    before = ids(ask(shop, picker, n=8))

    shop.apply({**SHOP, "models/also-bought.yaml": f"{MODEL}diversity: 0.9\n"})

    after = ids(ask(shop, picker, n=8))
    assert after != before
    assert after[0] == before[0], "the best stays the best"


def test_explaining_shows_what_variety_moved_from_where_to_where() -> None:
    def listed(*items: str) -> Shown:
        return Shown([{"id": it} for it in items], 1, False, True, {})

    moved = _moved(listed("a", "c", "d"), listed("a", "b", "c"))

    assert moved == {"c": (3, 2), "d": (None, 3), "b": (2, None)}
    lines = _lines("u1", "m", _said(listed("a", "c", "d")), moved, is_explained=True)
    assert [it.strip() for it in lines if "variety" in it] == [
        "moved for variety: c from 3 to 2",
        "moved for variety: d onto the list, 3",
        "moved for variety: b off the list, where it would be 2",
    ]


def _said(found: Shown) -> Shown:
    return found._replace(rows=[{**row, "source": "popular", "reason": ""} for row in found.rows])


def shown_in_the_message(shop: Published, picker: Picker) -> list[str]:
    process = shop.process
    process.ticker = Ticker(
        process.database, vault=process.vault, log=process.log, owner="picking", picks=picker.pick
    )
    shop.identify("u1")
    shop.track("u1", "Product Added", cart="c1", product_id="book1")
    shop.settle(until=shop.now + HOUR)
    shop.drain()
    (sent,) = shop.email.calls
    return str(sent.text.split("|")[0]).split()


@pytest.mark.parametrize("is_trained", [True, False])
def test_what_fills_picks_up_is_excluded_as_picks_are(shop: Published, is_trained: bool) -> None:
    if is_trained:
        assert train(shop).status == "champion"
    header, *rows = CATALOG.splitlines()
    sold = [it.replace(",true", ",false") if it.startswith("lamp2,") else it for it in rows]
    shop.apply({**SHOP, "catalog/goods.csv": "\n".join([header, *sold]) + "\n"})

    shown = shown_in_the_message(shop, Picker())

    assert len(set(shown)) == len(shown)
    assert "elsewhere" in shown, "of the feed alone: that it is in no catalog hides it not"
    hidden = {"lamp1": "recalled", "lamp2": "sold out", "book1": "what it is about"}
    assert not set(shown) & hidden.keys()
    assert not set(shown) & bought(shop)
    (row,) = shop.rows("SELECT context FROM message WHERE template = 'soft'")
    note = json.loads(row[0])["_picks"]["picks"]
    assert set(hidden) <= set(note["hidden"]["best"]), "so that its links are found again"


ANY = [line.split(",")[0] for line in CATALOG.splitlines()[1:]]


def test_no_excluded_item_comes_from_any_source_or_feed(shop: Published) -> None:
    segment = "segments/fans.yaml"
    files = {
        **SHOP,
        segment: "segment: fans\nwhen: {event: Order Completed, count: {gte: 1}}\n",
    }
    process = shop.process

    @settings(max_examples=25, deadline=None)
    @given(
        kind=st.sampled_from(["collaborative", "content", "hybrid", "popular"]),
        fallback=st.lists(
            st.sampled_from(["category_popular", "popular", "new", "editorial"]), min_size=1,
            unique=True,
        ),
        deny=st.sets(st.sampled_from(ANY), min_size=1),
        sold=st.sets(st.sampled_from(ANY)),
        user=st.sampled_from(["u1", "u2", "u3"]),
        most=st.sampled_from([None, 9.0]),
    )  # fmt: skip
    def holds(
        kind: str, fallback: list[str], deny: set[str], sold: set[str], user: str,
        most: float | None,
    ) -> None:  # fmt: skip
        header, *rows = CATALOG.splitlines()
        listed = [it.replace(",true", ",false") if it.split(",")[0] in sold else it for it in rows]
        price = "" if most is None else f", price: {{lte: {most}}}"
        lines = [
            "recommender: also-bought", f"kind: {kind}", "items: goods",
            f"exclude: {{purchased: ever, deny: recalled{price}}}",
            f"fallback: [{', '.join(fallback)}]",
            *(["editorial: best"] if "editorial" in fallback else []),
        ]  # fmt: skip
        shop.apply({
            **files,
            "models/also-bought.yaml": "\n".join(lines) + "\n",
            "catalog/goods.csv": "\n".join([header, *listed]) + "\n",
            "lists/recalled.csv": "\n".join(["item", *sorted(deny)]) + "\n",
        })  # fmt: skip
        playbook = shop.process.playbook
        prices = {it.split(",")[0]: float(it.split(",")[3]) for it in rows}
        dear = {it for it, price in prices.items() if most is not None and price > most}
        forbidden = deny | sold | dear | bought(shop, user) | {"cup1"}

        found = ask(shop, picker, user, items=("cup1",))
        ((profile,),) = shop.rows(f"SELECT id FROM profile WHERE external_id = '{user}'")
        asked = PickAsk(ProfileId(profile), "also-bought", 4, 0, (), ("cup1",), shop.now)
        with process.database.read() as connection:
            hidden = set(picker.hidden(connection, playbook, asked, "best"))
        fills = {str(row["id"]) for row in playbook.feeds["best"].in_stock()} - hidden

        assert not set(ids(found)) & forbidden
        assert not fills & forbidden

    for is_trained in (False, True):
        picker = Picker()
        if is_trained:
            shop.apply(SHOP)
            assert train(shop).status == "champion"
        holds()


def test_a_segment_that_is_empty_refuses_its_link_alone_and_says_so(shop: Published) -> None:
    model = MODEL.replace("[category_popular,", "[segment_popular,") + "segment: nobody\n"
    segment = "segment: nobody\nwhen: {event: Order Completed, count: {gte: 1000}}\n"
    shop.apply({**SHOP, "models/also-bought.yaml": model, "segments/nobody.yaml": segment})

    done = train(shop)

    assert done.status == "champion"
    assert any("segment_popular answers nobody: nobody is in the segment" in it
               for it in done.notes)  # fmt: skip
