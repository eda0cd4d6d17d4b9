"""`tick` and schedules: none begins unasked, what was made ahead is not made again, time stays."""

import json
from pathlib import Path

import pytest

from engine.core.clocktime import iso
from engine.core.model.instants import DAY, HOUR, MINUTE, SECOND
from engine.steady import present
from engine.store.database import Database
from tests.engine.commanding import Antiphon
from tests.engine.commanding import antiphon as antiphon
from tests.engine.test_simulate import a_cart, a_person
from tests.engine.test_simulate_schedules import FILES

TIMES = """\
schedules:
  letter: {run: broadcast, campaign: news, audience: started, every: 6h}
  retention: {every: 6h}
  bandit-updates: {paused: true}
  experiment-reports: {paused: true}
  segment-backfill: {paused: true}
  refresh-kinds: {every: 6h}
"""


@pytest.fixture
def live(
    tmp_path: Path, database_url: str, antiphon: Antiphon, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A workspace whose cart of an hour ago has been played, on either database."""
    monkeypatch.setenv("ANTIPHON_DATABASE_URL", database_url)
    folder = tmp_path / "shop"
    settings = FILES["antiphon.yaml"].partition("schedules:")[0].partition("quiet_hours")[0]
    changed = {
        "antiphon.yaml": settings + TIMES,
        "segments/started.yaml": "segment: started\nwhen: {event: Product Added, ever: true}\n",
    }
    for name, text in {**FILES, **changed}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert antiphon("apply", folder).code == 0
    ingest(folder, "ann", antiphon)
    return folder


def ingest(folder: Path, user: str, antiphon: Antiphon) -> None:
    at = present() - SECOND
    path = folder.parent / f"{user}.jsonl"
    path.write_text(f"{json.dumps(a_person(user, at))}\n{json.dumps(a_cart(user, at))}\n")
    assert antiphon("ingest", folder, path).code == 0


def rows(url: str, statement: str) -> list[tuple[object, ...]]:
    database = Database(url)
    with database.read() as connection:
        found = [tuple(row) for row in connection.execute(statement)]
    database.close()
    return found


def test_ahead_schedules_begin_only_when_asked_for(
    live: Path, database_url: str, antiphon: Antiphon
) -> None:
    now = present()

    unasked = antiphon("tick", live, "--until", iso(now + 7 * HOUR), "--json").json()
    before = rows(database_url, "SELECT count(*) FROM schedule_run")
    asked = antiphon(
        "tick", live, "--until", iso(now + DAY + 7 * HOUR), "--with-schedules", "--json"
    ).json()

    assert unasked["schedules"] == []
    assert before == [(0,)]
    told = {it["name"]: it for it in asked["schedules"]}
    assert told["refresh-kinds"]["runs"] == told["letter"]["runs"] == told["retention"]["runs"] == 4
    assert told["refresh-kinds"]["model"]["refused"] == 4
    fired = rows(database_url, "SELECT fire_at FROM schedule_run WHERE schedule = 'letter'")
    assert all(int(str(at)) % (6 * HOUR) == 0 for (at,) in fired)
    sent = rows(database_url, "SELECT at FROM message WHERE campaign = 'news' AND status = 'sent'")
    assert sorted(sent) == sorted(fired)


def test_a_run_made_ahead_is_not_made_when_its_time_comes(
    live: Path, database_url: str, antiphon: Antiphon
) -> None:
    ahead = iso(present() + 7 * HOUR)
    antiphon("tick", live, "--until", ahead, "--with-schedules")
    first = rows(database_url, "SELECT schedule, fire_at FROM schedule_run ORDER BY 1, 2")

    again = antiphon("tick", live, "--until", ahead, "--with-schedules", "--json")

    assert {name for name, _ in first} == {"letter", "refresh-kinds", "retention"}
    assert all(it["runs"] == 0 for it in again.json()["schedules"])
    assert rows(database_url, "SELECT schedule, fire_at FROM schedule_run ORDER BY 1, 2") == first


def test_what_is_due_now_begins_where_only_cron_runs(
    live: Path, database_url: str, antiphon: Antiphon
) -> None:
    antiphon("tick", live, "--with-schedules")  # from now on the table is kept
    database = Database(database_url)
    with database.write() as connection:
        due = (present() // MINUTE - 1) * MINUTE
        connection.execute(
            "UPDATE schedule SET next_at = ?, definition = replace(definition, ?, ?)",
            (due, str(6 * HOUR), str(MINUTE)),
        )
    database.close()

    said = antiphon("tick", live, "--with-schedules", "--json").json()

    told = {it["name"]: it["said"] for it in said["schedules"]}
    assert set(told) == {"letter", "refresh-kinds", "retention"}
    assert told["letter"] == "started for 1 people in 1 chunks"
    assert "nobody was known yet" in told["refresh-kinds"]  # as of the minute before
    assert said["sends"] == 1  # the newsletter's message went out in the same run


def test_a_tick_that_lies_before_an_earlier_one_says_what_waits_and_moves_nothing_back(
    live: Path, antiphon: Antiphon
) -> None:
    ahead = present() + DAY
    antiphon("tick", live, "--until", iso(ahead))
    ingest(live, "bob", antiphon)

    between = antiphon("tick", live, "--until", iso(ahead - HOUR))
    told = antiphon("tick", live, "--json").json()
    beyond = antiphon("tick", live, "--until", iso(ahead + MINUTE), "--json").json()

    assert f"played ahead, up to {iso(ahead)}" in between.out
    assert "waits for a tick beyond it" in between.out
    assert told["ahead"] == iso(ahead)
    assert told["sends"] == 0
    assert beyond["ahead"] is None
    assert beyond["sends"] == 1
