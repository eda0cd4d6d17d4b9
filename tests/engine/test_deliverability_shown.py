"""Deliverability as people read it: the command, the page, and the engine that acts on it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.core.clocktime import iso
from engine.core.model.instants import HOUR, SECOND
from engine.release.publish import load_playbook
from engine.running import Running
from engine.settings import read_settings
from engine.steady import present
from engine.store import bulk
from engine.store.database import Database
from tests.engine.commanding import EVENTS, Antiphon
from tests.engine.commanding import antiphon as antiphon
from tests.engine.commanding import live as live
from tests.engine.commanding import shop as shop
from tests.engine.test_unsubscribe import a_message, a_profile
from tests.engine.web_harness import App, an_app


@pytest.fixture
def sent(live: Path, antiphon: Antiphon) -> Path:
    """One message of the starter, sent by its sandbox."""
    events = live / "events.jsonl"
    events.write_text("\n".join(EVENTS))
    assert antiphon("ingest", live, events, "--live").code == 0
    assert antiphon("tick", live, "--until", iso(present() + HOUR)).code == 0
    return live


def test_the_command_shows_shares_of_what_was_sent(sent: Path, antiphon: Antiphon) -> None:
    said = antiphon("deliverability", sent, "--days", "30")
    as_json = antiphon("deliverability", sent, "--by", "campaign,domain", "--days", "30", "--json")

    head, row = said.out.splitlines()
    assert head.split() == [
        "channel", "domain", "sent", "delivered", "hard", "soft", "blocked", "complaint", "opened",
        "clicked",
    ]  # fmt: skip
    assert row.split()[:3] == ["email", "other", "1"]
    (found,) = as_json.json()["rows"]
    assert (found["campaign"], found["domain"], found["sent"]) == ("cart-reminder", "other", 1)


def test_a_campaign_of_no_messages_is_an_empty_answer_and_a_misspelt_one_an_error(
    live: Path, antiphon: Antiphon
) -> None:
    empty = antiphon("deliverability", live, "--campaign", "cart-reminder")
    wrong = antiphon("deliverability", live, "--campaign", "cart-remindr")

    assert (empty.code, empty.out.startswith("nothing was sent since")) == (0, True)
    assert (wrong.code, 'Did you mean "cart-reminder"?' in wrong.error) == (2, True)


@pytest.mark.parametrize(
    ("flag", "value", "says"),
    [
        ("--by", "town", 'found "town", allowed are day, channel'),
        ("--by", "day,day", "each once"),
        ("--days", "0", "found 0, allowed are 1 to 366"),
    ],
)
def test_wrong_flags_say_what_is_allowed(
    live: Path, antiphon: Antiphon, flag: str, value: str, says: str
) -> None:
    said = antiphon("deliverability", live, flag, value)

    assert (said.code, says in said.error) == (2, True)


ATTEMPT = (
    "message_id", "number", "provider", "started_at", "finished_at", "outcome", "provider_id",
    "detail", "body_digest", "account", "domain", "bounce",
)  # fmt: skip


def a_store_of(database: Database, n: int, *, campaign: str, n_hard: int) -> None:
    """So many messages that went out an hour ago, of which some came back at once."""
    at = present() - HOUR
    with database.write() as connection:
        a_profile(connection, 1)
        for id in range(1, n + 1):
            a_message(connection, id, profile=1, campaign=campaign, status="sent")
        rows = [
            (id, 1, "email.ses", at, at, "refused" if id <= n_hard else "accepted", f"p{id}", "",
             "", "email", "gmail.com", "hard" if id <= n_hard else "")
            for id in range(1, n + 1)
        ]  # fmt: skip
        bulk.insert(connection, "attempt", ATTEMPT, rows)


@pytest.fixture
def app(sqlite_database: Database, tmp_path: Path) -> Iterator[App]:
    a_store_of(sqlite_database, 8, campaign="<b>cart</b>", n_hard=1)
    with an_app(sqlite_database, tmp_path, is_open=True) as opened:
        yield opened


def test_the_page_shows_every_split_and_escapes_names(app: App) -> None:
    page = app.client.get("/deliverability")
    none = app.client.get("/deliverability?campaign=other")

    assert page.status_code == none.status_code == 200
    for text in ("Recipient domain", "gmail.com", "email.ses", "12.50%", "&lt;b&gt;cart"):
        assert text in page.text, text
    assert "<b>cart" not in page.text
    assert none.text.count("Nothing was sent.") == 4


def test_the_page_is_as_private_as_the_others(sqlite_database: Database, tmp_path: Path) -> None:
    with an_app(sqlite_database, tmp_path) as app:
        assert app.client.get("/deliverability").status_code == 401


def running_on(folder: Path, database: Database) -> Running:
    return Running(
        read_settings(folder),
        database,
        public_url="https://shop.example",
        load=lambda it, vault: load_playbook(it, vault=vault),
        failed=lambda why: None,
    )


def test_a_running_engine_keeps_the_rates_of_the_files(live: Path, antiphon: Antiphon) -> None:
    settings = live / "antiphon.yaml"
    text = settings.read_text()
    email = (
        'email: {from: a@shop.example, rate: 7/s, domains: {gmail.com: 2/s, "*": 3/s}, '
        "backup: other}\n  other: {kind: email, from: b@shop.example}"
    )
    was = 'email: {provider: sandbox, from: "My Shop <hello@my-shop.example>"}'
    assert was in text
    settings.write_text(text.replace(was, email))
    applied = antiphon("apply", live)
    assert applied.code == 0, applied
    database = Database(read_settings(live).database_url)
    database.claim()
    running = running_on(live, database)
    running.start(every={})
    try:
        deadline = time.monotonic() + 10
        pace = running.paces.of("email")
        while not pace.domains._limits and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        running.stop()
        database.close()

    assert pace.domains._limits == {"gmail.com": (2, SECOND), "*": (3, SECOND)}
    assert pace.state("email", now=present()).rate_per_second == 7


def test_a_running_engine_pauses_a_campaign_by_itself(live: Path, antiphon: Antiphon) -> None:
    settings = live / "antiphon.yaml"
    settings.write_text(settings.read_text() + "\nlimits: {hard_bounces: 5%, of: 10}\n")
    assert antiphon("apply", live).code == 0
    database = Database(read_settings(live).database_url)
    database.claim()
    a_store_of(database, 20, campaign="cart-reminder", n_hard=2)
    running = running_on(live, database)
    running.start(every={})
    try:
        running.keep_limits()
        playbook = running.playbook
    finally:
        running.stop()
        database.close()

    assert playbook is not None
    assert playbook.program.campaigns["cart-reminder"].state == "paused"
    listed = antiphon("campaign", "list", "--dir", live)
    assert "paused automatically since" in listed.out
    assert "2 hard bounces of 20 messages: 10.00%, the limit is 5.00%" in listed.out
    assert antiphon("campaign", "resume", "cart-reminder", "--dir", live).code == 0
