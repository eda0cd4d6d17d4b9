"""`experiment caps`: what each limit was worth, against sums made by hand from the rows."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from channels.delivery import DeliveryEvent
from engine.core.clocktime import iso
from engine.core.model.instants import DAY, HOUR, Instant
from tests.engine.commanding import Antiphon
from tests.engine.commanding import antiphon as antiphon
from tests.engine.commanding import shop as shop
from tests.engine.publishing import Published
from tests.engine.test_caps_tried import TRIED, exposures
from tests.rig.stage import an_event

N_PEOPLE = 420
FILES = {
    **TRIED,
    "segments/gold.yaml": "segment: gold\nwhen: {trait: {plan: gold}}\n",
    "segments/late.yaml": 'segment: late\nwhen: {local_time: {from: "20:00", to: "23:00"}}\n',
    "metrics/revenue.yaml": "metric: revenue-7d\nevent: Order Completed\nmeasure: sum\n"
    "value: properties.revenue\nwithin: 7d\n",
}
FILES["antiphon.yaml"] += "currency: EUR\n"
WORTH = ("--unsubscribe-cost", "5", "--send-cost", "0.5")


@dataclass
class Played:
    house: Published
    began: Instant

    @property
    def at(self) -> tuple[str, str]:
        return "--as-of", iso(self.house.now)


@pytest.fixture
def played(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    """Gold customers buy for every message they may get; the others leave."""
    house = Published(database_url)
    house.apply(FILES)
    consent = {"email": {"offers": True}}
    people = [f"u{number}" for number in range(1, N_PEOPLE + 1)]
    house.send(
        *(
            {
                "type": "identify",
                "userId": user,
                "traits": {
                    "email": f"{user}@example.com",
                    "consent": consent,
                    "plan": "gold" if number % 2 else "free",
                },
            }
            for number, user in enumerate(people, start=1)
        )
    )
    house.settle(until=house.now + HOUR)
    began = house.now
    for _ in range(4):
        house.send(*(an_event(user, "Page") for user in people))
        house.settle(until=house.now + HOUR)
        house.drain()
    for _ in range(9):  # a drain is one batch
        house.drain()
    rng = np.random.default_rng(7)
    drawn = {it: int(name[4:]) for it, (name, _, _) in exposures(house).items()}
    users = dict(house.rows("SELECT id, external_id FROM profile"))
    house.send(
        *(
            an_event(users[it], "Order Completed", revenue=float(10 * limit))
            for it, limit in sorted(drawn.items())
            if int(users[it][1:]) % 2 and rng.random() < 0.8
        )
    )
    house.settle()
    first: dict[int, int] = {}
    for message, profile in house.rows(
        "SELECT id, profile_id FROM message WHERE status = 'sent' ORDER BY id"
    ):
        first.setdefault(profile, message)
    for profile, message in first.items():
        if int(users[profile][1:]) % 2 == 0 and rng.random() < 0.1 * drawn[profile]:
            house.report(DeliveryEvent("unsubscribed", message, f"gone {message}", house.now))
    house.settle(until=house.now + 8 * DAY)
    monkeypatch.setenv("ANTIPHON_DATABASE_URL", database_url)
    yield Played(house, began)
    house.close()


def by_hand(played: Played) -> dict[int, dict[str, Any]]:
    """What came of each person, read from the rows one by one."""
    house = played.house
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    users = dict(house.rows("SELECT id, external_id FROM profile"))
    for profile, (variant, _, _) in exposures(house).items():
        is_gold = int(users[profile][1:]) % 2 == 1
        found[profile] = {"limit": int(variant[4:]), "gold": is_gold}
        found[profile] |= {"revenue": 0.0, "sends": 0, "gone": False}
    for profile, name in house.rows("SELECT profile_id, name FROM event"):
        if name == "Order Completed":
            found[profile]["revenue"] += 10.0 * found[profile]["limit"]
        found[profile]["gone"] |= name == "Message Unsubscribed"
    for (profile,) in house.rows("SELECT profile_id FROM message WHERE status = 'sent'"):
        found[profile]["sends"] += 1
    return found


def test_each_limits_worth_is_what_the_rows_add_up_to(
    played: Played, shop: Path, antiphon: Antiphon
) -> None:
    said = antiphon(
        "experiment", "caps", "how-often", shop, "--metric", "revenue-7d", *WORTH,
        "--by", "gold", *played.at, "--json",
    )  # fmt: skip
    told = said.json()

    people = by_hand(played)
    assert (told["n"], told["n_waiting"], told["today"]) == (N_PEOPLE, 0, 2)
    assert set(told["segments"]) == {"gold", "the others"}
    for segment, is_gold in (("gold", True), ("the others", False)):
        net: dict[int, list[float]] = defaultdict(list)
        inside = [it for it in people.values() if it["gold"] is is_gold]
        for it in inside:
            net[it["limit"]].append(it["revenue"] - 5 * it["gone"] - 0.5 * it["sends"])
        for point in told["segments"][segment]["limits"]:
            own = [it for it in inside if it["limit"] == point["limit"]]
            assert point["n"] == len(own)
            for key, column in (
                ("outcome", "revenue"), ("unsubscribed", "gone"), ("sends", "sends"),
            ):  # fmt: skip
                assert point[key] == pytest.approx(np.mean([it[column] for it in own]), abs=1e-9)
            if point["limit"] > 1:
                test = stats.ttest_ind(net[point["limit"]], net[1], equal_var=False)
                interval = test.confidence_interval(0.95)
                difference = np.mean(net[point["limit"]]) - np.mean(net[1])
                assert point["gain"]["estimate"] == pytest.approx(difference, abs=1e-9)
                assert point["gain"]["low"] == pytest.approx(interval.low, abs=1e-6)
                assert point["gain"]["high"] == pytest.approx(interval.high, abs=1e-6)


def test_more_leave_with_more_messages_so_todays_cap_stays_and_it_says_why(
    played: Played, shop: Path, antiphon: Antiphon
) -> None:
    ask = ("experiment", "caps", "how-often", shop, "--metric", "revenue-7d", *WORTH, *played.at)
    text = antiphon(*ask)
    told = antiphon(*ask, "--json").json()

    assert text.code == 0, text.error
    assert told["choice"]["way"] == "today"
    assert told["choice"]["guardrails"]["one"]["word"] != "safe"
    assert "how-often: at most 1, 2, 4, drawn by lot; today's is 2" in text.out
    assert "Today's cap of 2 stays" in text.out
    assert "unsubscribed" in text.out


def test_a_rise_that_is_tolerated_lets_the_better_limit_through(
    played: Played, shop: Path, antiphon: Antiphon
) -> None:
    told = antiphon(
        "experiment", "caps", "how-often", shop, "--metric", "revenue-7d", "--margin", "60%",
        *played.at, "--json",
    ).json()  # fmt: skip

    assert told["choice"]["way"] in ("one", "by_segment")
    assert set(told["choice"]["limits"].values()) == {4}


def test_before_the_window_is_over_nobody_counts(
    played: Played, shop: Path, antiphon: Antiphon
) -> None:
    said = antiphon(
        "experiment", "caps", "how-often", shop, "--metric", "revenue-7d",
        "--as-of", iso(played.began + 6 * DAY),
    )  # fmt: skip

    assert said.code == 2
    assert "0 people drew 1 (50 are needed)" in said.error


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ((), "is no money: say what one of it is worth, as --value 12"),
        (("--metric", "revenu-7d"), 'Did you mean "revenue-7d"?'),
        (("--metric", "revenue-7d", "--margin", "0"), "--margin 0"),
        (("--metric", "revenue-7d", "--margin", "much"), '"much" is not a share'),
        (("--metric", "revenue-7d", "--send-cost", "-1"), "worth of send is -1.0"),
        (("--metric", "revenue-7d", "--value", "nan"), "worth of outcome is nan"),
        (("--metric", "revenue-7d", "--by", "golden"), 'no segment "golden"'),
        (("--metric", "revenue-7d", "--by", "late"), "it asks for the time of day"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(
    database_url: str,
    shop: Path,
    antiphon: Antiphon,
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[str, ...],
    words: str,
) -> None:
    house = Published(database_url)
    house.apply(FILES)
    house.close()
    monkeypatch.setenv("ANTIPHON_DATABASE_URL", database_url)

    said = antiphon("experiment", "caps", "how-often", shop, *more)

    assert said.code == 2
    assert words in said.error


def test_another_experiment_is_no_cap(
    database_url: str, shop: Path, antiphon: Antiphon, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = Published(database_url)
    goal = TRIED["campaigns/news.yaml"] + "holdout: 50%\ngoal: {metric: ordered-7d}\n"
    house.apply({**FILES, "campaigns/news.yaml": goal})
    house.close()
    monkeypatch.setenv("ANTIPHON_DATABASE_URL", database_url)

    said = antiphon("experiment", "caps", "news", shop)

    assert said.code == 2
    assert '"holdout:news" is no cap that tries limits. There is: how-often' in said.error
