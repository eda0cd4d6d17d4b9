"""Caps that try several limits, from the files to the report, on both databases."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.core.clocktime import iso
from engine.core.model.instants import DAY, HOUR
from tests.engine.commanding import Antiphon
from tests.engine.commanding import antiphon as antiphon
from tests.engine.commanding import shop as shop
from tests.engine.publishing import FILES, SETTINGS, Published, written
from tests.rig.stage import an_event

N_PEOPLE = 90
NEWS = """\
campaign: news
trigger: {event: Page}
reentry: {when: after_exit}
topic: offers
when_capped: drop
journey:
  - send: {channel: email, template: soft}
    id: write
"""
PLAN = """\
experiment: how-often
title: How many emails a week
metrics: {primary: ordered-7d, guardrails: [unsubscribed-7d]}
"""
TRIAL = "caps: [{name: how-often, channel: email, max: {try: [1, 2, 4]}, per: 7d}]\n"
TRIED = {
    **FILES,
    "antiphon.yaml": SETTINGS + TRIAL,
    "campaigns/news.yaml": NEWS,
    "experiments/how_often.yaml": PLAN,
    "metrics/ordered.yaml": "metric: ordered-7d\nevent: Order Completed\nwithin: 7d\n",
    "metrics/unsubscribed.yaml": "metric: unsubscribed-7d\nevent: Message Unsubscribed\n"
    "measure: happened\nwithin: 7d\nbetter: lower\n",
}


@pytest.fixture
def house(database_url: str) -> Iterator[Published]:
    opened = Published(database_url)
    opened.apply(TRIED)
    yield opened
    opened.close()


def pages(house: Published, n: int = 6, n_people: int = N_PEOPLE) -> None:
    """Everybody looks at so many pages, an hour apart; each page would bring an email."""
    people = [f"u{number}" for number in range(1, n_people + 1)]
    consent = {"email": {"offers": True}}
    house.send(
        *(
            {
                "type": "identify",
                "userId": user,
                "traits": {"email": f"{user}@example.com", "consent": consent},
            }
            for user in people
        )
    )
    for _ in range(n):
        house.send(*(an_event(user, "Page") for user in people))
        house.settle(until=house.now + HOUR)
        house.drain()


def exposures(house: Published) -> dict[int, tuple[str, int, int]]:
    rows = house.rows(
        "SELECT profile_id, variant, phase, at FROM exposure WHERE experiment = 'how-often'"
    )
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


def sent(house: Published) -> Counter[int]:
    rows = house.rows("SELECT profile_id FROM message WHERE status = 'sent'")
    return Counter(row[0] for row in rows)


def test_each_is_exposed_once_gets_as_many_as_drawn_and_reads_why_no_more(
    house: Published,
) -> None:
    began = house.now
    pages(house)

    drawn, got = exposures(house), sent(house)
    assert len(drawn) == N_PEOPLE
    assert {at for _, _, at in drawn.values()} == {began}
    assert min(Counter(variant for variant, _, _ in drawn.values()).values()) > N_PEOPLE / 6
    for profile, (variant, _, _) in drawn.items():
        assert got[profile] == int(variant.removeprefix("max-")), variant
    told = "in 7 days (how-often tries 1, 2, 4)"
    dropped = house.rows("SELECT profile_id, reason FROM message WHERE status = 'dropped'")
    for profile, why in dropped:
        limit = int(drawn[profile][0].removeprefix("max-"))
        assert why.startswith(f"cap: {limit} {'email' if limit == 1 else 'emails'} {told}")


def test_a_restart_in_the_middle_changes_nobodys_limit(house: Published) -> None:
    pages(house, n=1)
    before = exposures(house)
    house.restart()

    pages(house, n=5)

    assert exposures(house) == before
    got = sent(house)
    assert all(got[it] == int(variant[4:]) for it, (variant, _, _) in before.items())


def test_the_plan_shows_it_as_a_cap_and_says_what_opens_a_phase(house: Published) -> None:
    whole = house.words({**TRIED, "antiphon.yaml": SETTINGS + TRIAL.replace("4]", "3]")})
    other = house.words(
        {**TRIED, "antiphon.yaml": SETTINGS + TRIAL.replace("[{n", "[{max: 9, per: 1d}, {n", 1)}
    )
    longer = house.words({**TRIED, "antiphon.yaml": SETTINGS + TRIAL.replace("7d", "14d")})
    del_plan = {name: it for name, it in TRIED.items() if name != "experiments/how_often.yaml"}
    gone = house.words({**del_plan, "antiphon.yaml": SETTINGS})

    assert '~ cap "how-often"\n    variant "max-3" is new' in whole
    assert "a new phase opens: only profiles never exposed will see it" in whole
    assert 'cap "how-often"' not in other
    assert "what the cap counts changed: its channel, topic or window" in longer
    assert '- cap "how-often"' in gone


def orders(house: Published) -> None:
    """Of every third person an order."""
    house.send(
        *(
            an_event(f"u{number}", "Order Completed", revenue=10)
            for number in range(1, N_PEOPLE + 1, 3)
        )
    )
    house.settle(until=house.now + 8 * DAY)


@pytest.fixture
def asked(
    house: Published, database_url: str, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> Published:
    pages(house)
    orders(house)
    monkeypatch.setenv("ANTIPHON_DATABASE_URL", database_url)
    return house


def test_the_report_compares_each_limit_with_the_middle_one(
    asked: Published, shop: Path, antiphon: Antiphon
) -> None:
    at = ("--as-of", iso(asked.now))
    told = antiphon("experiment", "report", "how-often", shop, *at, "--json").json()
    text = antiphon("experiment", "report", "how-often", shop, *at).out
    listed = antiphon("experiment", "list", shop, "--json").json()["experiments"]

    (row,) = [it for it in listed if it["name"] == "how-often"]
    drawn = Counter(variant for variant, _, _ in exposures(asked).values())
    assert (row["kind"], row["exposed"]) == ("cap", dict(drawn))
    assert told["control"] == "max-2"
    orders_of: Counter[str] = Counter()
    for profile, (variant, _, _) in exposures(asked).items():
        orders_of[variant] += profile in buyers(asked)
    shares = {it: f"{orders_of[it] / n:.2%}".replace("%", " %") for it, n in drawn.items()}
    for variant in ("max-1", "max-4"):
        line = next(it for it in text.splitlines() if it.startswith("ordered-7d") and variant in it)
        assert shares["max-2"] in line
        assert shares[variant] in line
    assert "What a limit does it does by every message after the exposure" in text
    assert "Other campaigns" not in text


def buyers(house: Published) -> set[int]:
    return {
        row[0] for row in house.rows("SELECT profile_id FROM event WHERE name = 'Order Completed'")
    }


def test_explain_says_what_was_drawn_and_what_kept_a_message_back(
    asked: Published, shop: Path, antiphon: Antiphon
) -> None:
    (message, profile), *_ = asked.rows(
        "SELECT id, profile_id FROM message WHERE status = 'dropped' ORDER BY id"
    )

    said = antiphon("explain", message, shop).out

    variant = exposures(asked)[profile][0]
    limit = int(variant.removeprefix("max-"))
    many = "email" if limit == 1 else "emails"
    assert f"dropped, because cap: {limit} {many} in 7 days (how-often tries 1, 2, 4)" in said
    assert f"Assigned in how-often, phase 1: {variant}, with probability 0.333" in said


def test_once_concluded_everybody_has_the_winners_limit_and_nobody_else_is_exposed(
    asked: Published, shop: Path, antiphon: Antiphon
) -> None:
    before = exposures(asked)
    done = antiphon("experiment", "conclude", "how-often", shop, "--winner", "max-4")
    assert done.code == 0, done.error
    assert "experiments/how_often.yaml" in done.out
    asked.reload()
    already = sent(asked)

    pages(asked, n=5, n_people=N_PEOPLE + 5)

    assert exposures(asked) == before
    assert {now - already[it] for it, now in sent(asked).items()} == {4}


FORCED = """\
test: whoever draws one email a week gets one
force: {how-often: max-VARIANT}
given:
  profile: {id: u1, traits: {email: u1@example.com}, consent: {email: {offers: true}}}
  events:
    - {at: "2026-03-02T10:00:00Z", event: Page}
    - {at: "2026-03-02T11:00:00Z", event: Page}
    - {at: "2026-03-02T12:00:00Z", event: Page}
expect:
"""


@pytest.mark.parametrize("limit", [1, 2])
def test_a_test_of_the_workspace_may_force_a_limit(
    tmp_path: Path, antiphon: Antiphon, limit: int
) -> None:
    sends = [
        f'  - {{at: "2026-03-02T1{hour}:00:00Z", send: {{channel: email, template: soft}}}}'
        for hour in range(limit)
    ]
    text = FORCED.replace("VARIANT", str(limit)) + "\n".join(
        [*sends, '  - {nothing_until: "2026-03-03T10:00:00Z"}\n']
    )
    folder = written(tmp_path / "tried", {**TRIED, "tests/forced.yaml": text})

    said = antiphon("test", folder)

    assert said.code == 0, said.out + said.error
