"""Links through the years: keys rotate, old links live, and no GET changes a thing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from channels.tokens import Kind, make_token
from engine.core.errors import UsageError
from engine.core.model.campaigns import Program, Topic
from engine.sending.composing import Links
from engine.settings import link_key, link_ring, read_settings
from engine.store.database import Database
from engine.web import confirming, links, preferences
from tests.engine.test_unsubscribe import a_message, a_profile, withdrawn
from tests.engine.web_harness import App, an_app

OLD, NEW = "the key of last year", "the key of this year"
KINDS: dict[str, Kind] = {
    "/u/{token}": "unsubscribe",
    "/preferences/{token}": "preferences",
    "/confirm/{token}": "confirm",
}
TABLES = (
    "event", "contact", "consent_change", "consent_request", "delivery", "delivery_event",
    "message",
)  # fmt: skip


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Iterator[App]:
    program = Program(release=1, zone="UTC", campaigns={}, topics={"offers": Topic("offers")})
    environ = {"ANTIPHON_LINK_KEYS": f"3:{NEW},2:{OLD}"}
    with an_app(database, tmp_path, program=program, environ=environ) as made:
        with database.write() as connection:
            a_profile(connection, 1)
            context = '{"event": {"confirms": "email:offers"}}'
            a_message(connection, 7, profile=1, status="sent", context=context)
            connection.execute(
                "INSERT INTO consent_request (profile_id, channel, topic, asked_at, mailed_at, "
                "n_mailed) VALUES (1, 'email', 'offers', 1, 1, 1)"
            )
        yield made


def test_the_newest_key_signs_and_older_ones_and_the_secret_still_open(app: App) -> None:
    ring = link_ring(app.services.settings)
    id, key = next(iter(ring.items()))
    newest = Links("https://shop.example", key, id)
    by_newest = newest.preferences(7).removeprefix("https://shop.example")

    pages = [app.client.get(by_newest)] + [
        app.client.get(f"/preferences/{make_token('preferences', 7, key=key, key_id=id)}")
        for id, key in ring.items()
    ]

    assert list(ring) == [3, 2, 1]
    assert [page.status_code for page in pages] == [200] * 4
    assert app.client.get(f"/preferences/{app.token('preferences', 7)}").status_code == 200


def test_a_key_that_left_the_ring_and_one_of_somebody_else_open_nothing(
    app: App, tmp_path: Path
) -> None:
    gone = read_settings(tmp_path, environ={"ANTIPHON_LINK_KEYS": f"4:{OLD}"})
    foreign = read_settings(tmp_path, environ={"ANTIPHON_SECRET_KEY": "the secret of another shop"})
    tokens = [
        make_token("unsubscribe", 7, key=link_ring(gone)[4], key_id=4),
        make_token("unsubscribe", 7, key=link_key(foreign)),
        make_token("unsubscribe", 7, key=link_ring(app.services.settings)[2], key_id=3),
    ]

    answers = [app.client.post(f"/u/{token}", content=b"scope=all") for token in tokens]

    assert [answer.status_code for answer in answers] == [404] * 3
    assert withdrawn(app.database, 1) is None


@pytest.mark.parametrize(
    "text",
    ["1:" + NEW, "256:" + NEW, f"2:{NEW},2:{OLD}", "2:short", NEW, "-2:" + NEW],
)
def test_a_ring_that_cannot_be_is_refused_without_repeating_it(tmp_path: Path, text: str) -> None:
    settings = read_settings(tmp_path, environ={"ANTIPHON_LINK_KEYS": text})

    with pytest.raises(UsageError, match="ANTIPHON_LINK_KEYS: part") as refused:
        link_ring(settings)

    assert NEW not in str(refused.value)
    assert NEW not in repr(settings)


def test_no_get_and_no_head_of_what_people_can_say_changes_anything(app: App) -> None:
    paths = {route.path for module in (links, preferences, confirming) for route in module.ROUTES}
    before = {table: app.rows(f"SELECT * FROM {table}") for table in TABLES}

    for path in sorted(paths):
        filled = path.replace("{token}", app.token(KINDS[path], 7))
        for method in ("GET", "HEAD"):
            answer = app.client.request(method, filled + "?do=stop&scope=all")
            assert answer.status_code == 200
            assert "set-cookie" not in answer.headers
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["referrer-policy"] == "no-referrer"

    assert {table: app.rows(f"SELECT * FROM {table}") for table in TABLES} == before
