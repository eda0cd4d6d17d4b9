"""Links in messages: GET asks, POST acts, a token does only what it was made for."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from engine.core.errors import StoreError
from engine.store.database import Database
from tests.engine.test_unsubscribe import a_message, a_profile, withdrawn
from tests.engine.web_harness import App, an_app

ONE_CLICK: dict[str, Any] = {"content": b"List-Unsubscribe=One-Click"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}
PARTS = (
    b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'
)


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Iterator[App]:
    with an_app(database, tmp_path, destination="https://shop.example/cart?a=1") as made:
        with database.write() as connection:
            a_profile(connection, 1)
            a_message(connection, 7, profile=1, status="sent")
        yield made


def test_get_asks_and_changes_nothing(app: App) -> None:
    path = f"/u/{app.token('unsubscribe', 7)}"

    pages = [app.client.get(path) for _ in range(3)] + [app.client.head(path)]

    assert [page.status_code for page in pages] == [200] * 4
    assert '<form method="post">' in pages[0].text
    assert "offers" in pages[0].text
    assert withdrawn(app.database, 1) is None
    assert app.rows("SELECT count(*) FROM event") == [(0,)]


@pytest.mark.parametrize(
    ("content", "headers", "topics"),
    [
        (b"List-Unsubscribe=One-Click", FORM, '["offers"]'),
        (PARTS, MULTIPART, '["offers"]'),
        (b"", {}, '["offers"]'),
        (b"scope=topic", FORM, '["offers"]'),
        (b"scope=all", FORM, '["*"]'),
        (b"&" * 150, FORM, '["offers"]'),
    ],
    ids=["form", "multipart", "empty", "topic button", "all button", "nonsense"],
)
def test_post_acts_at_once_without_cookie_login_or_redirect(
    app: App, content: bytes, headers: dict[str, str], topics: str
) -> None:
    path = f"/u/{app.token('unsubscribe', 7)}"

    answer = app.client.post(path, content=content, headers=headers)

    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert withdrawn(app.database, 1) == topics
    assert app.rows("SELECT name FROM event") == [("Message Unsubscribed",)]


def test_post_twice_is_fine(app: App) -> None:
    path = f"/u/{app.token('unsubscribe', 7)}"

    answers = [app.client.post(path, **ONE_CLICK) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert app.rows("SELECT count(*) FROM consent_change") == [(1,)]


def test_an_opt_out_works_when_events_are_refused(app: App) -> None:
    app.client.app.state.traffic._waiting = lambda: 10**9  # type: ignore[attr-defined]
    refused = app.post("/v1/track", {"userId": "u1", "event": "A"})

    answer = app.client.post(f"/u/{app.token('unsubscribe', 7)}", **ONE_CLICK)

    assert refused.status_code == 503
    assert answer.status_code == 200
    assert withdrawn(app.database, 1) == '["offers"]'


def test_an_opt_out_that_could_not_be_committed_is_never_acknowledged(app: App) -> None:
    def broken(_change: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(StoreError("the database was lost"))
        return future

    app.services.write = broken

    answer = app.client.post(f"/u/{app.token('unsubscribe', 7)}", **ONE_CLICK)

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert withdrawn(app.database, 1) is None


@pytest.mark.parametrize("kind", ["click", "open", "preferences"])
def test_a_token_of_another_kind_cannot_unsubscribe(app: App, kind: Any) -> None:
    answer = app.client.post(f"/u/{app.token(kind, 7)}", **ONE_CLICK)

    assert answer.status_code == 404
    assert withdrawn(app.database, 1) is None


def test_a_changed_token_does_nothing(app: App) -> None:
    token = app.token("unsubscribe", 7)

    for place in range(len(token)):
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        assert app.client.post(f"/u/{changed}", **ONE_CLICK).status_code == 404

    assert withdrawn(app.database, 1) is None


def test_a_click_leads_to_the_looked_up_destination_and_is_noted(app: App) -> None:
    headers = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}

    answer = app.client.get(f"/t/c/{app.token('click', 7)}", headers=headers)

    assert answer.status_code == 302
    assert answer.headers["location"] == "https://shop.example/cart?a=1"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert app.rows("SELECT message_id, link, sign FROM link_click") == [(7, 0, "")]


@pytest.mark.parametrize("path", ["/t/c/x?url=https://evil.example", "/t/c/" + "A" * 39])
def test_a_bad_click_token_leads_nowhere(app: App, path: str) -> None:
    answer = app.client.get(path)

    assert answer.status_code == 404
    assert "location" not in answer.headers


def test_a_link_that_the_message_does_not_have_leads_nowhere(app: App) -> None:
    answer = app.client.get(f"/t/c/{app.token('click', 7, index=9)}")

    assert answer.status_code == 404


def test_an_open_is_a_pixel_and_a_privacy_relay_is_not_a_reader(app: App) -> None:
    path = f"/t/o/{app.token('open', 7)}.gif"

    by_relay = app.client.get(path, headers={"User-Agent": "Mozilla/5.0"})
    relayed = app.rows("SELECT status, opened_at FROM delivery")
    by_person = app.client.get(path, headers={"User-Agent": "Mozilla/5.0 (iPhone) Mail/16"})

    assert len(by_relay.content) == 43
    assert by_relay.headers["content-type"] == "image/gif"
    assert relayed == [("delivered", None)]
    assert by_person.status_code == 200
    assert app.rows("SELECT status FROM delivery") == [("opened",)]


def test_a_pixel_is_given_even_for_a_bad_token_and_nothing_is_noted(app: App) -> None:
    answer = app.client.get("/t/o/nonsense")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/gif"
    assert app.rows("SELECT count(*) FROM event") == [(0,)]
