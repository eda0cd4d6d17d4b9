"""Picks through the whole engine: asked in the tick, kept with the person, shown in the message."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from campaigns.load import load_bundle
from channels.content.feeds import Feed
from engine.cli import main
from engine.core.model.effects import PickAsk
from engine.core.model.instants import HOUR, ProfileId
from engine.release.playbook import Playbook
from engine.simulation.standing_in import stand_in
from engine.simulation.trials import run_trials
from engine.store.connection import Connection
from engine.ticking.tick import Ticker
from tests.engine.publishing import CART, FILES, Published, written

JOURNEY = """\
journey:
  - recommend: {model: liked, n: 2, exclude: [purchased], if_fewer: skip}
    id: pick
  - delay: 30m
    id: settle
  - send: {channel: email, template: soft}
    id: remind
"""
SHOP = {
    **FILES,
    "models/liked.yaml": "recommender: liked\nitems: products\n",
    "models/hour.yaml": "send_time: their-hour\nexplore: 1%\n",
    "catalog/products.csv": "id,title,url,price\npot,Pot,https://shop.example/pot,9.50\n"
    "cup,Cup,https://shop.example/cup,4\ntin,Tin,https://shop.example/tin,3\n",
    "campaigns/cart.yaml": CART.split("journey:")[0] + JOURNEY,
    "templates/email/soft.txt": "---\nsubject: For you\n---\n"
    "{% picks 2 as it %}{{ it.title }}, {% endpicks %}{{ unsubscribe_url }}\n",
}


class Model:
    """Answers with these titles, and remembers who asked what."""

    def __init__(self, *titles: str) -> None:
        self.titles = titles
        self.asked: list[PickAsk] = []

    def __call__(
        self, connection: Connection, playbook: Playbook, ask: PickAsk
    ) -> list[dict[str, Any]]:
        assert connection.execute("SELECT count(*) FROM profile"), "it may read the store"
        assert "liked" in playbook.workspace.models
        self.asked.append(ask)
        rows = [{"id": it.lower(), "title": it, "source": "liked"} for it in self.titles]
        return rows[: ask.n + ask.n_spare]


@pytest.fixture
def house(database_url: str) -> Iterator[Published]:
    opened = Published(database_url)
    opened.apply(SHOP)
    yield opened
    opened.close()


def asking(house: Published, model: Model) -> None:
    process = house.process
    process.ticker = Ticker(
        process.database, vault=process.vault, log=process.log, owner="picking", picks=model
    )


def test_what_was_picked_is_kept_through_a_wait_and_a_restart_and_shown(house: Published) -> None:
    model = Model("Pot", "Cup", "Tin")
    asking(house, model)
    house.identify("u1")
    house.track("u1", "Product Added", cart="c1", product_id="tea")
    house.settle()

    house.restart()
    house.settle(until=house.now + HOUR)
    house.drain()

    (sent,) = house.email.calls
    assert sent.text.startswith("Pot, Cup, ")
    assert [(ask.model, ask.n, ask.exclude, ask.items) for ask in model.asked] == [
        ("liked", 2, ("purchased",), ("tea",))
    ]
    (row,) = house.rows("SELECT context FROM message WHERE template = 'soft'")
    context = json.loads(row[0])
    assert [it["id"] for it in context["picks"]] == ["pot", "cup"]
    assert [it["id"] for it in context["_picks"]["picks"]["spares"]] == ["tin"]
    assert context["_picks"]["picks"]["model"] == "liked"


def test_too_few_leave_a_row_that_says_so_and_nobody_is_written_to(house: Published) -> None:
    asking(house, Model("Pot"))
    house.identify("u1")
    house.track("u1", "Product Added", cart="c1")

    house.settle(until=house.now + HOUR)
    house.drain()

    assert house.email.calls == []
    assert house.messages("soft") == [("dropped", "fewer than 2 picks of liked")]
    assert house.rows("SELECT status, reason FROM enrollment") == [("done", "finished")]


def test_an_engine_without_recommenders_picks_nothing(house: Published) -> None:
    house.identify("u1")
    house.track("u1", "Product Added", cart="c1")

    house.settle(until=house.now + HOUR)

    assert house.messages("soft") == [("dropped", "fewer than 2 picks of liked")]


def test_a_person_is_loaded_with_their_hour(house: Published) -> None:
    assert house.process.playbook.models == ("their-hour",)
    assert house.process.playbook.segments.news.models == (), "no condition is asked anew"


# --- tests/*.yaml --------------------------------------------------------------------------------

TRIAL = """\
test: a cart gets what goes with it
given:
  profile: {id: ann, traits: {email: a@example.com}, consent: {email: {offers: true}}}
  events: [{at: 2026-03-02T10:00Z, event: Product Added, properties: {cart: c1}}]
  picks: {PICKS}
expect:
  - {at: 2026-03-02T10:30Z, send: {channel: email, template: soft}}
  - nothing_until: 2026-03-03T00:00Z
"""


def trial(picks: str) -> Any:
    files = {**SHOP, "tests/one.yaml": TRIAL.replace("{PICKS}", picks)}
    workspace = load_bundle({name: it.encode() for name, it in files.items()}, environ={})
    (outcome,) = run_trials(workspace)
    return outcome


@pytest.mark.parametrize("picks", ["{liked: [pot, cup]}", "{liked: [pot, {id: x, title: X}]}"])
def test_a_test_gives_what_its_recommenders_answer(picks: str) -> None:
    outcome = trial(picks)

    assert outcome.passed, outcome.timeline


@pytest.mark.parametrize("picks", ["{liked: [pot]}", "{}"])
def test_a_test_that_gives_too_few_sees_why_nothing_was_sent(picks: str) -> None:
    outcome = trial(picks)

    assert outcome.missing == ("2026-03-02T10:30:00Z  email/soft",)
    dropped = "2026-03-02T10:30:00Z  dropped    email/soft: fewer than 2 picks of liked"
    assert dropped in outcome.timeline


def test_a_preview_shows_what_a_test_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = TRIAL.replace("{PICKS}", "{liked: [pot, {id: x, title: Fox}, tin]}")
    shop = written(tmp_path / "shop", {**SHOP, "tests/one.yaml": given})

    code = main(["preview", "email/soft", str(shop), "--fixture", "tests/one.yaml", "--text"])

    assert code == 0
    assert "Pot, Fox, " in capsys.readouterr().out


EVENT = {
    "type": "track", "userId": "u1", "event": "Product Added", "timestamp": "2026-03-02T10:00:00Z",
    "properties": {"cart": "c1", "product_id": "cup"},
}  # fmt: skip


@pytest.mark.parametrize("items", ["items: products\n", ""])
def test_in_a_rehearsal_without_models_the_first_products_stand_in_for_what_is_not_learnt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], items: str
) -> None:
    files = {**SHOP, "models/liked.yaml": f"recommender: liked\n{items}"}
    shop = written(tmp_path / "shop", files)
    events = tmp_path / "events.jsonl"
    person = {"type": "identify", "userId": "u1", "traits": {
        "email": "a@example.com", "consent": {"email": {"offers": True}}}}  # fmt: skip
    rows = [{**person, "timestamp": "2026-03-02T09:00:00Z"}, EVENT]
    events.write_text("".join(json.dumps(it) + "\n" for it in rows))

    given = ["simulate", str(shop), "--events", str(events), "--json"]
    code = main([*given, "--schedules", "no-models"])
    told = json.loads(capsys.readouterr().out)
    as_it_would_be = main(given)
    untaught = json.loads(capsys.readouterr().out)

    assert (code, told["sends"], told["dropped"]) == (0, 1, 0)
    # One event teaches nobody anything: live, too, there would be nothing to show.
    assert (as_it_would_be, untaught["sends"], untaught["dropped"]) == (0, 0, 1)


def test_who_stands_in_shows_what_is_in_stock_and_not_the_triggers_own() -> None:
    catalog = SHOP["catalog/products.csv"].replace("url,price", "url,in_stock")
    catalog = catalog.replace("9.50", "false").replace(",4", ",true").replace(",3", ",true")
    files = {**SHOP, "catalog/products.csv": catalog}
    workspace = load_bundle({name: it.encode() for name, it in files.items()}, environ={})
    feed = Feed("products", workspace.catalog["products"].rows)
    playbook: Any = SimpleNamespace(workspace=workspace, feeds={"products": feed})
    ask = PickAsk(ProfileId(1), "liked", 2, 2, (), ("cup",), 0)

    found = stand_in(cast(Connection, None), playbook, ask)

    assert [(it["id"], it["source"]) for it in found] == [("tin", "rehearsal")]
    assert stand_in(cast(Connection, None), playbook, replace(ask, model="their-hour")) == []


def test_a_plan_names_models_that_come_and_go(house: Published) -> None:
    changed = {name: it for name, it in SHOP.items() if name != "models/hour.yaml"}
    changed["models/who.yaml"] = "cluster: who\n"

    words = house.words(changed)

    assert '- model "their-hour"' in words
    assert '+ model "who"' in words
