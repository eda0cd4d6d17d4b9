"""`experiment programme`, `interactions` and `size`, on what a real shop played."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.core.clocktime import iso
from engine.core.model.instants import DAY
from engine.store import migrate
from engine.store.database import Database
from tests.engine.commanding import Antiphon
from tests.engine.commanding import antiphon as antiphon
from tests.engine.commanding import shop as shop
from tests.engine.publishing import FILES, SETTINGS, Published

CAMPAIGN = """\
campaign: {name}
trigger: {{event: {event}}}
topic: offers
holdout: 50%
goal: {{metric: ordered-7d}}
journey:
  - delay: 30m
    id: settle
  - send: {{channel: email, template: soft}}
    id: remind
"""
FILES_HERE = {
    **FILES,
    "antiphon.yaml": SETTINGS + "global_holdout: {share: 20%}\ncurrency: EUR\n",
    "campaigns/cart.yaml": CAMPAIGN.format(name="cart", event="Product Added"),
    "campaigns/welcome.yaml": CAMPAIGN.format(name="welcome", event="Product Viewed"),
    "metrics/ordered.yaml": "metric: ordered-7d\nevent: Order Completed\nwithin: 7d\n",
    "metrics/revenue.yaml": "metric: revenue\nevent: Order Completed\nmeasure: sum\n"
    "value: properties.revenue\nover: period\n",
}
N_PEOPLE = 60


class Played:
    """Sixty people under a global holdout, two campaigns, and the orders of the weeks after."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        self.house = Published(url)
        self.house.apply(FILES_HERE)
        rng = random.Random(1)
        for i in range(N_PEOPLE):
            self.house.identify(f"u{i}")
            self.house.track(f"u{i}", "Product Added", cart=f"c{i}")
            self.house.track(f"u{i}", "Product Viewed")
            if i % 4 == 3:
                self.house.settle(until=self.house.now + DAY)
                self.house.drain()
        for day in range(14):
            for i in range(N_PEOPLE):
                if rng.random() < 0.08:
                    revenue = round(rng.uniform(5, 90), 2)
                    self.house.track(f"u{i}", "Order Completed", revenue=revenue, day=day)
            self.house.settle(until=self.house.now + DAY)
        self.at = ("--as-of", iso(self.house.now))


@pytest.fixture
def played(database_url: str, shop: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    found = Played(database_url, shop)
    monkeypatch.setenv("ANTIPHON_DATABASE_URL", database_url)
    yield found
    found.house.close()


def ask(antiphon: Antiphon, played: Played, action: str, *more: str) -> Any:
    return antiphon("experiment", action, played.folder, *more, *played.at, "--json").json()


def tell(antiphon: Antiphon, played: Played, action: str, *more: str) -> str:
    said = antiphon("experiment", action, played.folder, *more, *played.at)
    assert said.code == 0, said.error
    return said.out


def test_the_programme_is_told_as_text_and_as_json(played: Played, antiphon: Antiphon) -> None:
    told = ask(antiphon, played, "programme", "--metric", "revenue")
    text = tell(antiphon, played, "programme", "--metric", "revenue")
    default = ask(antiphon, played, "programme")

    measured = told["measured"]
    assert measured["held_out_units"] + measured["treated_units"] == N_PEOPLE
    assert 5 < measured["held_out_units"] < 30
    assert {part["name"] for part in told["parts"]} == {"holdout:cart", "holdout:welcome"}
    # The two campaigns compare among those whom the global holdout let through.
    for part in told["parts"]:
        assert part["held_out_units"] + part["treated_units"] == measured["treated_units"]
    assert told["sum_of_parts"]["reading"]
    assert told["contamination"]["leaked"] == 0  # nobody who had to hear nothing was reached
    assert told["contamination"]["variants"]["treated"]["touched"] > 20
    assert "measured      " in text
    assert "sum of parts  " in text
    assert "EUR" in text
    assert default["metric"] == "ordered-7d"


def test_the_pairs_of_a_real_shop_are_crossed(played: Played, antiphon: Antiphon) -> None:
    told = ask(antiphon, played, "interactions", "--metric", "revenue")
    text = tell(antiphon, played, "interactions", "--metric", "revenue")

    (pair,) = told["pairs"]
    assert (pair["first"], pair["second"]) == ("holdout:cart", "holdout:welcome")
    assert pair["is_independent"]
    assert "corrected together" in text


SIZE = ("size", "--metric", "revenue", "--campaign", "cart")


def test_sizing_knows_when_units_come_and_doubts_its_formula(
    played: Played, antiphon: Antiphon
) -> None:
    told = ask(antiphon, played, *SIZE, "--lift", "60%")

    assert told["past"]["units"] == N_PEOPLE
    assert told["past"]["units_next_week"] > 0
    assert told["doubts"]  # sixty people who seldom buy
    assert told["simulated"]["units"] == sum(told["needed"].values())
    assert 0 < told["simulated"]["power"] <= 1
    assert told["duration"]["enrolling_days"] % 7 == 0
    assert told["duration"]["units"] >= sum(told["needed"].values())
    assert [point["day"] for point in told["curve"]] == list(range(7, 57, 7))
    assert told == ask(antiphon, played, *SIZE, "--lift", "60%")  # the same question, bit by bit


def test_sizing_by_margin_looks_and_many_arms(played: Played, antiphon: Antiphon) -> None:
    def needed(*more: str) -> int:
        return sum(ask(antiphon, played, *SIZE, "--lift", "50%", *more)["needed"].values())

    once = needed("--method", "fixed")
    looks = needed("--method", "group_sequential", "--looks", "5")
    always = needed("--method", "sequential")
    shared = needed("--method", "fixed", "--comparisons", "3")
    dunnett = needed("--method", "fixed", "--comparisons", "3", "--sharing", "dunnett")
    clustered = needed("--method", "fixed", "--design-effect", "2")
    margin = ask(antiphon, played, *SIZE, "--margin", "20%", "--method", "fixed")

    assert once < looks < always
    assert once < dunnett < shared
    assert clustered == pytest.approx(2 * once, abs=2)
    assert margin["needed"]["control"] > 0
    assert margin["simulated"] is None


def test_sizing_reads_as_sentences(played: Played, antiphon: Antiphon) -> None:
    lift = tell(antiphon, played, *SIZE, "--lift", "60%")
    margin = tell(antiphon, played, *SIZE, "--margin", "30%")

    assert "the past: 60 units" in lift
    assert "simulated on the past" in lift
    assert '"not worse by more than 30.0%" needs' in margin
    assert "rule out a loss of" in margin


def test_a_ratio_is_sized_by_its_own_variance(played: Played, antiphon: Antiphon) -> None:
    basket = (
        "metric: basket\nevent: Order Completed\nmeasure: mean_per_event\n"
        "value: properties.revenue\nover: period\n"
    )
    played.house.apply({**FILES_HERE, "metrics/basket.yaml": basket})

    told = ask(
        antiphon, played, "size", "--metric", "basket", "--campaign", "cart", "--lift", "20%"
    )

    assert 30 < told["past"]["mean"] < 65  # an order is worth 5 to 90
    assert told["needed"]["control"] > 0
    assert told["simulated"] is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((*SIZE, "--looks", "3"), "--looks"),
        ((*SIZE, "--margin", "x"), "--margin"),
        (("size", "--metric", "revenue", "--campaign", "crt"), '"cart"'),
        (("programme", "--metric", "revenu"), "ordered-7d"),
        (("interactions", "--metric", "revenu"), "ordered-7d"),
        (("programme", "--alpha", "2"), "between 0 and 1"),
    ],
)
def test_what_cannot_be_answered_is_one_clear_line(
    given: tuple[str, ...],
    expected: str,
    sqlite_url: str,
    shop: Path,
    antiphon: Antiphon,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = Published(sqlite_url)
    house.apply(FILES_HERE)
    house.close()
    monkeypatch.setenv("ANTIPHON_DATABASE_URL", sqlite_url)
    action, *more = given

    said = antiphon("experiment", action, shop, *more)

    assert said.code == 2
    assert expected in said.error


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    database = Database(url)
    migrate.upgrade(database)
    database.close()
    return url
