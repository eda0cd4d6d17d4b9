"""Clicks over HTTP and in the store: durable at once, told when it is clear whose they are."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from channels.tokens import TRAP
from engine.core.model.instants import DAY, MINUTE, SECOND
from engine.hearing.clicks import HOLD, TOLD_MAX, follow, tell
from engine.hearing.machines import Click
from engine.steady import present
from engine.store.database import Database
from engine.store.events import EventLog
from tests.engine.test_unsubscribe import NOW, a_message, a_profile
from tests.engine.web_harness import App, an_app

PHONE = {"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148"}


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Iterator[App]:
    with an_app(database, tmp_path, destination="https://shop.example/cart") as made:
        made.services.destination = lambda _message, _index: "https://shop.example/cart"
        with database.write() as connection:
            a_profile(connection, 1)
            a_message(connection, 7, profile=1, status="sent")
        yield made


def click(app: App, index: int = 0, *, message: int = 7, **more: Any) -> Any:
    path = f"/t/c/{app.token('click', message, index=index)}"
    return app.client.get(path, headers=more.get("headers", PHONE))


def told(app: App) -> list[tuple[Any, ...]]:
    """Let the clicks of the last seconds be told; (status, events that are a machine's, all)."""
    with app.database.write() as connection:
        tell(connection, log=EventLog(), now=present() + HOLD)
    status = app.rows("SELECT status, clicked_at IS NULL FROM delivery")
    events = app.rows("SELECT properties FROM event WHERE name = 'Message Clicked'")
    return [*status, (sum('"is_machine":true' in row[0] for row in events), len(events))]


def test_a_click_is_durable_before_the_redirect_and_an_event_two_seconds_later(app: App) -> None:
    answer = click(app)

    assert answer.status_code == 302
    assert app.rows("SELECT message_id, link, sign, is_told FROM link_click") == [(7, 0, "", 0)]
    assert app.rows("SELECT count(*) FROM event") == [(0,)]
    deadline = time.monotonic() + 20
    while app.rows("SELECT count(*) FROM event") == [(0,)] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert app.rows("SELECT name FROM event") == [("Message Clicked",)]
    assert app.rows("SELECT status FROM delivery") == [("clicked",)]


def test_a_scanner_that_follows_every_link_has_not_clicked(app: App) -> None:
    for index in range(4):
        assert click(app, index).status_code == 302

    assert told(app) == [("delivered", True), (4, 4)]


def test_the_hidden_link_leads_nowhere_and_tells(app: App) -> None:
    first, trapped = click(app), click(app, TRAP)

    assert first.status_code == 302
    assert trapped.status_code == 404
    assert "location" not in trapped.headers
    assert told(app) == [("delivered", True), (2, 2)]


def test_a_head_before_the_readers_own_click_does_not_hide_it(app: App) -> None:
    app.client.head(f"/t/c/{app.token('click', 7)}", headers=PHONE)
    click(app)

    assert told(app) == [("clicked", False), (1, 2)]


@pytest.mark.parametrize(
    ("method", "headers"), [("GET", {"User-Agent": "Mozilla/5.0"}), ("HEAD", PHONE)]
)
def test_an_open_by_a_relay_or_a_head_is_recorded_and_not_counted(
    app: App, method: str, headers: dict[str, str]
) -> None:
    app.client.request(method, f"/t/o/{app.token('open', 7)}.gif", headers=headers)

    assert app.rows("SELECT status, opened_at FROM delivery") == [("delivered", None)]
    assert app.rows("SELECT count(*) FROM event WHERE name = 'Message Opened'") == [(1,)]


@pytest.mark.parametrize(
    ("changes", "is_machine"),
    [({}, True), ({"lane": 0}, False), ({"channel": "sms"}, False)],
    ids=["marketing mail", "transactional mail", "text"],
)
def test_haste_gives_away_only_who_reads_a_marketing_mail(
    database: Database, changes: dict[str, Any], is_machine: bool
) -> None:
    with database.write() as connection:
        a_profile(connection, 1)
        a_message(connection, 7, profile=1, **changes)
        connection.execute(
            "INSERT INTO attempt (message_id, number, provider, started_at, finished_at, outcome, "
            "provider_id, detail, body_digest) VALUES (7, 1, 'x', ?, ?, 'accepted', '', '', '')",
            (NOW, NOW),
        )
        follow(connection, [(7, Click(0, NOW + 5 * SECOND))])
        tell(connection, log=EventLog(), now=NOW + MINUTE)
        status = connection.execute("SELECT status FROM delivery")

    assert status == [("delivered" if is_machine else "clicked",)]


def test_what_the_provider_says_of_its_arrival_counts_more_than_when_we_gave_it(
    database: Database,
) -> None:
    with database.write() as connection:
        a_profile(connection, 1)
        a_message(connection, 7, profile=1)
        connection.execute(
            "INSERT INTO attempt (message_id, number, provider, started_at, finished_at, outcome, "
            "provider_id, detail, body_digest) VALUES (7, 1, 'x', ?, ?, 'accepted', '', '', '')",
            (NOW, NOW),
        )
        connection.execute(
            "INSERT INTO delivery_event (event_hash, message_id, kind, at) "
            "VALUES (?, 7, 'delivered', ?)",
            (b"x" * 16, NOW + MINUTE),
        )
        follow(connection, [(7, Click(0, NOW + MINUTE + SECOND))])
        tell(connection, log=EventLog(), now=NOW + 2 * MINUTE)
        status = connection.execute("SELECT status FROM delivery")

    assert status == [("delivered",)]


def test_clicks_are_told_once_and_not_kept(database: Database) -> None:
    with database.write() as connection:
        a_profile(connection, 1)
        a_message(connection, 7, profile=1)
        follow(connection, [(7, Click(0, NOW)), (7, Click(0, NOW + 1))])
        early = tell(connection, log=EventLog(), now=NOW + SECOND)
        late = [tell(connection, log=EventLog(), now=NOW + DAY) for _ in range(2)]
        events = connection.execute("SELECT count(*) FROM event")
        kept = connection.execute("SELECT count(*) FROM link_click")

    assert early == NOW + HOLD
    assert late == [None, None]
    assert events == [(1,)]
    assert kept == [(0,)]


def test_many_are_told_some_at_a_time_and_all_of_them(database: Database) -> None:
    n = TOLD_MAX + 10
    with database.write() as connection:
        a_profile(connection, 1)
        a_message(connection, 7, profile=1)
        follow(connection, [(7, Click(0, NOW + it * 10 * SECOND)) for it in range(n)])
        end = NOW + n * 10 * SECOND + HOLD
        due = [tell(connection, log=EventLog(), now=end) for _ in range(2)]
        events = connection.execute("SELECT count(*) FROM event")

    assert due == [NOW + TOLD_MAX * 10 * SECOND + HOLD, None]
    assert events == [(n,)]
