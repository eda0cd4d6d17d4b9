"""Schedules on the virtual clock: each at its instant, knowing what was known by then."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from campaigns.load import load_bundle
from campaigns.workspace import Workspace
from engine.core.clocktime import iso
from engine.core.model.instants import DAY, HOUR, MINUTE
from engine.simulation.agenda import Agenda
from engine.simulation.ran import Ran, lines
from engine.simulation.replay import Replay, applied, simulated_links, simulated_vault, throwaway
from engine.store.connection import Connection
from engine.store.database import Database
from tests.engine.commanding import Antiphon
from tests.engine.commanding import antiphon as antiphon
from tests.engine.test_bandits import WORKSPACE as BANDIT
from tests.engine.test_simulate import (
    CART,
    QUIET,
    SETTINGS,
    START,
    TEMPLATE,
    a_cart,
    a_person,
    facts_of,
)  # fmt: skip

NEWS = """\
campaign: news
trigger: {api: true}
reentry: {when: after_exit}
topic: offers
journey:
  - send: {channel: email, template: news}
    id: tell
"""
TIMES = """\
schedules:
  letter: {run: broadcast, campaign: news, audience: buyers, cron: "30 10 * * wed"}
  retention: {cron: "15 4 * * *"}
  refresh-kinds: {cron: "0 6 * * *"}
"""
FILES = {
    "antiphon.yaml": SETTINGS.replace("RATES", QUIET) + TIMES,
    "campaigns/cart.yaml": CART,
    "campaigns/news.yaml": NEWS,
    "segments/buyers.yaml": "segment: buyers\nwhen: {event: Order Completed, ever: true}\n",
    "models/kinds.yaml": "cluster: kinds\nalgorithm: rfm\n",
    "templates/email/reminder.html": TEMPLATE,
    "templates/email/news.html": TEMPLATE,
}
SIX = START + 6 * HOUR
WEDNESDAY = START + 2 * DAY + 10 * HOUR + 30 * MINUTE


def a_shop(**changed: str) -> Workspace:
    files = {**FILES, **{name.replace("__", "/") + ".yaml": text for name, text in changed.items()}}
    return load_bundle({name: text.encode() for name, text in files.items()}, environ=None)


def an_order(user: str, at: int, revenue: float) -> dict[str, Any]:
    return {
        "type": "track", "userId": user, "event": "Order Completed", "timestamp": iso(at),
        "properties": {"revenue": revenue, "order_id": f"{user}-{at}"},
    }  # fmt: skip


def a_fortnight(n: int = 60) -> list[dict[str, Any]]:
    """People, carts and orders of two weeks, in no order."""
    rng = random.Random(4)
    calls = [a_person(f"u{number}") for number in range(n)]
    for _ in range(6 * n):
        user, at = f"u{rng.randrange(n)}", START + rng.randrange(14 * DAY)
        calls.append(
            an_order(user, at, rng.randrange(5, 90)) if rng.random() < 0.6 else a_cart(user, at)
        )
    return calls


class Played:
    """One replay with its schedules, and what stands in the database at its end."""

    def __init__(
        self,
        database: Database,
        calls: list[dict[str, Any]],
        *,
        until: int,
        window: int = 12 * HOUR,
        trains: bool = True,
        workspace: Workspace | None = None,
        folder: Path | None = None,
    ) -> None:
        vault = simulated_vault()
        playbook = applied(database, workspace or a_shop(), vault=vault, at=START)
        agenda = Agenda(database, vault=vault, directory=folder, until=until, trains=trains)
        replay = Replay(
            database, playbook, vault=vault, links=simulated_links(),
            directory=folder or Path(), is_silent=True, agenda=agenda,
        )  # fmt: skip
        replay.add(facts_of(calls, replay))
        replay.run(start=START, end=until, window=window)
        replay.close()
        self.ran = agenda.ran
        with database.read() as connection:
            self.runs = _rows(connection, "SELECT as_of, data_hash, metrics, verdict "
                              "FROM model_run ORDER BY run")  # fmt: skip
            self.kept = _rows(connection, "SELECT schedule, fire_at, finished_at, engine "
                              "FROM schedule_run ORDER BY fire_at, schedule")  # fmt: skip
            self.sent = _rows(connection, "SELECT p.external_id, m.campaign, m.at FROM message m "
                              "JOIN profile p ON p.id = m.profile_id WHERE m.status = 'sent' "
                              "ORDER BY m.at, p.external_id, m.campaign")  # fmt: skip
            self.next = dict(_rows(connection, "SELECT name, next_at FROM schedule"))


def _rows(connection: Connection, statement: str) -> list[Any]:
    return [tuple(row) for row in connection.execute(statement)]


def alone(calls: list[dict[str, Any]], **options: Any) -> Played:
    with throwaway() as (database, _, _):
        return Played(database, calls, **options)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


def test_a_model_is_trained_each_morning_on_what_had_happened_by_then(database: Database) -> None:
    calls = [a_person(f"u{number}") for number in range(60)]
    calls += [an_order(f"u{number}", SIX - 1 - number * MINUTE, 20) for number in range(4)]
    # At the very instant of the first training, which must not know of them.
    calls += [an_order(f"u{number}", SIX, number) for number in range(9, 40)]

    played = Played(database, calls, until=START + 3 * DAY)

    trained = [at for name, at, *_ in played.kept if name == "refresh-kinds"]
    assert trained == [SIX, SIX + DAY, SIX + 2 * DAY]
    assert [run[0] for run in played.runs] == trained
    assert played.runs[0][3].startswith("4 people have bought; five ranks need at least 5")
    assert "4 people" not in played.runs[1][3]
    assert played.ran["refresh-kinds"].refreshed[0].status == "refused"
    assert {engine for *_, engine in played.kept} == {"embedded"}
    assert all(fire_at == finished_at for _, fire_at, finished_at, _ in played.kept)


def test_what_happens_later_changes_no_training_before() -> None:
    calls = a_fortnight()

    short = alone(calls, until=START + 6 * DAY)
    long = alone(calls, until=START + 14 * DAY)

    assert len(short.runs) == 6
    assert long.runs[:6] == short.runs
    assert len({run[1] for run in long.runs}) > 6


@pytest.mark.parametrize("window", [5 * HOUR, 3 * DAY])
def test_the_windows_length_changes_neither_training_nor_broadcast(window: int) -> None:
    calls = a_fortnight()
    expected = alone(calls, until=START + 9 * DAY)

    played = alone(calls, until=START + 9 * DAY, window=window)

    assert (played.runs, played.sent, played.kept) == (
        expected.runs, expected.sent, expected.kept,
    )  # fmt: skip


def test_a_newsletter_starts_at_its_instant_for_whoever_is_in_its_audience_then(
    database: Database,
) -> None:
    calls = [a_person("ann"), a_person("bob"), a_person("cara")]
    calls += [an_order("ann", START + HOUR, 20), an_order("bob", WEDNESDAY + MINUTE, 20)]

    played = Played(database, calls, until=START + 14 * DAY)

    assert played.sent == [
        ("ann", "news", WEDNESDAY),
        ("ann", "news", WEDNESDAY + 7 * DAY),
        ("bob", "news", WEDNESDAY + 7 * DAY),
    ]
    assert played.ran["letter"].said == [
        "started for 1 people in 1 chunks", "started for 2 people in 1 chunks",
    ]  # fmt: skip


def test_nothing_fires_at_the_end_and_what_is_next_comes_later() -> None:
    played = alone([a_person("ann")], until=SIX + DAY)

    assert [at for name, at, *_ in played.kept if name == "refresh-kinds"] == [SIX]
    assert played.next["refresh-kinds"] == SIX + DAY
    assert min(played.next.values()) >= SIX + DAY


def test_without_models_all_else_begins() -> None:
    played = alone(a_fortnight(n=10), until=START + 4 * DAY, trains=False)

    assert played.runs == []
    assert {name for name, *_ in played.kept} == {"letter", "retention"}
    assert "no model is trained" in played.ran["refresh-kinds"].why_not


def test_models_may_be_trained_less_often_than_they_say(
    shop: Path, events: Path, antiphon: Antiphon
) -> None:
    given = ("simulate", shop, "--events", events, "--until", iso(START + 10 * DAY), "--json")

    said = antiphon(*given, "--train-every", "4d").json()
    wrong = antiphon(*given, "--train-every", "often")

    told = {it["name"]: it for it in said["schedules"]}
    assert told["refresh-kinds"]["runs"] == 3
    assert told["refresh-kinds"]["last"] == iso(SIX + 8 * DAY)
    assert told["retention"]["runs"] == 10
    assert wrong.code == 2
    assert "--train-every" in wrong.error


def test_bandits_learn_at_the_first_fire_at_which_they_are_due() -> None:
    workspace = load_bundle({name: it.encode() for name, it in BANDIT.items()}, environ={})
    calls = [
        {"type": "track", "userId": f"u{n}", "event": "Signed Up", "messageId": f"s{n}",
         "timestamp": iso(START + n % 6 * DAY + n * 1_000_000), "properties": {}}
        for n in range(600)
    ]  # fmt: skip
    calls += [
        {"type": "track", "userId": f"u{n}", "event": "Order Completed", "messageId": f"o{n}",
         "timestamp": iso(START + n % 6 * DAY + 2 * HOUR), "properties": {}}
        for n in range(0, 600, 3)
    ]  # fmt: skip

    with throwaway() as (database, _, _):
        played = Played(database, calls, until=START + 7 * DAY, workspace=workspace)
        with database.read() as connection:
            since = [row[0] for row in connection.execute(
                "SELECT since FROM bandit_weights ORDER BY version")]  # fmt: skip

    asked = [at for name, at, *_ in played.kept if name == "bandit-updates"]
    assert len(since) >= 3
    assert set(since) <= set(asked)
    assert len(asked) <= 8  # not each of the 2,016 fires of every five minutes
    assert all((at - START) % DAY == 0 for at in asked)


def test_what_ran_is_told_in_words() -> None:
    empty = Ran("retention", "retention")
    never = Ran("refresh-churn", "model-refresh", why_not="no model is trained, as was asked for")

    told = list(lines([empty, never]))

    assert told == [
        "  retention      did not run: its time did not come",
        "  refresh-churn  did not run: no model is trained, as was asked for",
    ]


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    calls = sorted(a_fortnight(), key=lambda it: str(it["timestamp"]))
    path.write_text("".join(json.dumps(call) + "\n" for call in calls))
    return path


def test_the_same_seed_gives_the_same_bytes_twice(
    shop: Path, events: Path, antiphon: Antiphon
) -> None:
    given = ("simulate", shop, "--events", events, "--until", iso(START + 10 * DAY), "--json")

    first, second = antiphon(*given), antiphon(*given)

    assert first.code == 0
    assert first.out == second.out
    told = {it["name"]: it for it in first.json()["schedules"]}
    assert told["refresh-kinds"]["runs"] == 10
    assert len(told["refresh-kinds"]["model"]["promoted"]) >= 1
    assert told["letter"]["runs"] == 2


def test_two_caps_are_compared_with_their_schedules_on(
    shop: Path, events: Path, antiphon: Antiphon
) -> None:
    said = antiphon(
        "simulate", shop, "--events", events, "--until", iso(START + 10 * DAY), "--caps",
        "email 1/30d", "--schedules", "no-models", "--json",
    ).json()  # fmt: skip

    ran = [
        {it["name"]: it["runs"] for it in said[side]["schedules"]} for side in ("before", "after")
    ]
    assert ran[0] == ran[1]
    assert ran[0]["letter"] == 2
    assert said["change"]["total"]["sends"] < 0
    letters = [said[side]["by_step"]["news/tell"] for side in ("before", "after")]
    assert letters[1]["sends"] < letters[0]["sends"]


def test_a_campaign_played_alone_leaves_the_newsletter_of_another_out(
    shop: Path, events: Path, antiphon: Antiphon
) -> None:
    said = antiphon(
        "simulate", shop, "cart", "--events", events, "--schedules", "no-models", "--json"
    ).json()

    told = {it["name"]: it for it in said["schedules"]}
    assert told["letter"]["runs"] == 0
    assert told["letter"]["said"] == 'the campaign "news" is not played'


def test_without_schedules_the_answer_is_as_it_was(
    shop: Path, events: Path, antiphon: Antiphon
) -> None:
    said = antiphon("simulate", shop, "--events", events, "--schedules", "none")

    assert said.code == 0
    assert "SCHEDULES: none was to begin" in said.out
    assert "news/tell" not in said.out
