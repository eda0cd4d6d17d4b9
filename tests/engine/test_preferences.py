"""The preference centre: what people choose stands at once, in the ledger and for the gates."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.consent.unsubscribe import WITHDRAWN, withdraw
from engine.core.model.campaigns import Program, Topic
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.events import EventLog
from engine.web.preference_words import WORDS, language_of, version
from tests.engine.shop_stage import Shop
from tests.engine.test_unsubscribe import NOW, a_message, a_profile, address_of, withdrawn
from tests.engine.web_harness import App, an_app

TOPICS = {
    "offers": Topic("offers", "Offers", titles={"de": "Angebote"}),
    "news": Topic("news", "News"),
    "orders": Topic("orders", "Orders", is_transactional=True),
}
SMS = bytes(range(16))
BOTH = {"email": address_of(1).hex(), "sms": SMS.hex()}


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Iterator[App]:
    program = Program(release=1, zone="UTC", campaigns={}, topics=TOPICS)
    with an_app(database, tmp_path, program=program) as made:
        with database.write() as connection:
            a_profile(
                connection, 1, addresses=json.dumps(BOTH), traits='{"locale": "de-AT"}',
                consent='{"email": {"offers": true, "news": true}, "sms": {"offers": true}}',
            )  # fmt: skip
            a_message(connection, 7, profile=1, status="sent")
        yield made


def path_of(app: App, message: int = 7) -> str:
    return f"/preferences/{app.token('preferences', message)}"


def save(app: App, *on: str, do: str = "save", message: int = 7) -> Any:
    seen = ["email:offers", "sms:offers", "email:news", "sms:news"]
    body = {"seen": seen, "on": list(on), "do": do}
    return app.client.post(path_of(app, message), data=body)


def ledger(app: App) -> list[tuple[Any, ...]]:
    return app.rows("SELECT channel, topic, granted, source FROM consent_change ORDER BY id")


def ticked(page: Any) -> set[str]:
    lines = page.text.splitlines()
    boxes = [line for line in lines if 'type="checkbox"' in line and " checked" in line]
    return {line.partition('name="on" value="')[2].partition('"')[0] for line in boxes}


def test_get_shows_what_is_on_in_the_readers_language_and_changes_nothing(app: App) -> None:
    pages = [app.client.get(path_of(app)) for _ in range(3)] + [app.client.head(path_of(app))]

    assert [page.status_code for page in pages] == [200] * 4
    assert '<html lang="de">' in pages[0].text
    assert "Angebote" in pages[0].text
    assert "Orders" not in pages[0].text
    assert ticked(pages[0]) == {"email:offers", "email:news", "sms:offers"}
    assert "set-cookie" not in pages[0].headers
    assert "<script" not in pages[0].text
    assert app.rows("SELECT count(*) FROM event") == [(0,)]
    assert withdrawn(app.database, 1) is None


def test_what_is_saved_stands_at_once_and_is_in_the_ledger_with_the_words_that_were_read(
    app: App,
) -> None:
    page = save(app, "email:news", "sms:news")

    assert page.status_code == 200
    assert WORDS["de"].saved in page.text
    assert ticked(page) == {"email:news", "sms:news"}
    assert ticked(app.client.get(path_of(app))) == {"email:news", "sms:news"}
    assert withdrawn(app.database, 1) == '["offers"]'
    assert sorted(ledger(app)) == [
        ("email", "offers", 0, "preference centre"),
        ("sms", "news", 1, "preference centre"),
        ("sms", "offers", 0, "preference centre"),
    ]
    assert app.rows("SELECT DISTINCT proof, text_version FROM consent_change") == [
        ("preference centre, message 7", version("de"))
    ]
    names = [row[0] for row in app.rows("SELECT name FROM event ORDER BY seq")]
    assert names == ["Message Unsubscribed", "Preferences Changed"]


def test_saving_twice_changes_nothing_more(app: App) -> None:
    first = save(app, "email:news")
    before = app.rows("SELECT count(*) FROM consent_change") + app.rows(
        "SELECT count(*) FROM event"
    )

    again = save(app, "email:news")

    assert again.text == first.text
    after = app.rows("SELECT count(*) FROM consent_change") + app.rows("SELECT count(*) FROM event")
    assert after == before


def test_stop_everything_covers_topics_to_come_and_ends_what_a_text_could_give_back(
    app: App,
) -> None:
    page = save(app, "email:offers", "email:news", do="stop")

    assert WORDS["de"].stopped in page.text
    assert ticked(page) == set()
    assert app.rows("SELECT withdrawn, stopped_at FROM contact ORDER BY channel") == [
        ('["*"]', None), ('["*"]', None)
    ]  # fmt: skip
    assert ("email", "*", 0, "preference centre") in ledger(app)


def test_a_yes_by_their_own_hand_takes_back_a_withdrawal_of_that_topic_alone(app: App) -> None:
    with app.database.write() as connection:
        a_message(connection, 8, profile=1, status="sent")
        _no(connection, 8, scope="all")
    assert ticked(app.client.get(path_of(app))) == {"sms:offers"}

    page = save(app, "email:news", "sms:offers")

    assert ticked(page) == {"email:news", "sms:offers"}
    assert withdrawn(app.database, 1) == '["offers"]'


def test_whoever_agreed_again_can_say_no_again_by_the_same_link(app: App) -> None:
    with app.database.write() as connection:
        _no(connection, 7)
    save(app, "email:offers", "email:news", "sms:offers")
    assert withdrawn(app.database, 1) == "[]"

    with app.database.write() as connection:
        _no(connection, 7)

    assert withdrawn(app.database, 1) == '["offers"]'
    assert [row[2:] for row in ledger(app) if row[:2] == ("email", "offers")] == [
        (0, "unsubscribe link"), (1, "preference centre"), (0, "unsubscribe link")
    ]  # fmt: skip


def test_what_was_taken_back_by_their_own_hand_is_withdrawn_no_longer_in_any_reading(
    app: App,
) -> None:
    standing_no = f"SELECT channel, topic FROM consent_change WHERE {WITHDRAWN} ORDER BY id"
    with app.database.write() as connection:
        _no(connection, 7, scope="all")
    after_the_link = app.rows(standing_no)
    save(app, "email:news", "sms:offers")
    after_their_yes = app.rows(standing_no)
    save(app, "sms:offers")
    after_their_no = app.rows(standing_no)

    assert after_the_link == [("email", "*")]
    assert after_their_yes == []
    assert after_their_no == [("email", "news")]


def test_an_opt_out_by_the_preference_centre_works_when_events_are_refused(app: App) -> None:
    app.client.app.state.traffic._waiting = lambda: 10**9  # type: ignore[attr-defined]
    refused = app.post("/v1/track", {"userId": "u1", "event": "A"})

    answer = save(app, do="stop")

    assert refused.status_code == 503
    assert answer.status_code == 200
    assert withdrawn(app.database, 1) == '["*"]'


def test_an_old_mailbox_may_only_stop(app: App) -> None:
    with app.database.write() as connection:
        a_message(connection, 9, profile=1, status="sent")
        connection.execute(
            "INSERT INTO attempt (message_id, number, provider, started_at, outcome, provider_id, "
            "detail, body_digest, address_hash) VALUES (9, 1, 'x', 1, 'accepted', '', '', '', ?)",
            (b"x" * 16,),
        )

    page = save(app, "email:offers", "sms:offers", "sms:news", message=9)

    assert WORDS["de"].stale in page.text
    assert 'value="sms:news" disabled' in page.text
    assert ticked(page) == {"email:offers", "sms:offers"}
    assert ledger(app) == [("email", "news", 0, "preference centre")]
    rows = app.rows("SELECT count(*) FROM contact WHERE withdrawn = '[\"news\"]'")
    assert rows == [(2,)]


@pytest.mark.parametrize(
    "body",
    [b"List-Unsubscribe=One-Click", b"", b"seen=email:offers", b"do=x", b"\xff=do", b"&" * 3000],
)
def test_a_post_without_one_of_our_buttons_changes_nothing(app: App, body: bytes) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    answer = app.client.post(path_of(app), content=body, headers=headers)

    assert answer.status_code == 200
    assert app.rows("SELECT count(*) FROM event") == [(0,)]


def test_topics_and_channels_that_are_not_offered_cannot_be_slipped_in(app: App) -> None:
    body = {"seen": ["email:orders", "web:offers", "email:*"], "on": ["email:*"], "do": "save"}

    app.client.post(path_of(app), data=body)

    assert ledger(app) == []


@pytest.mark.parametrize("kind", ["unsubscribe", "click", "open", "confirm"])
def test_a_token_made_for_something_else_opens_nothing(app: App, kind: Any) -> None:
    path = f"/preferences/{app.token(kind, 7)}"

    assert app.client.get(path).status_code == 404
    assert app.client.post(path, data={"do": "stop"}).status_code == 404
    assert ledger(app) == []


def test_nobody_is_shown_for_someone_erased(app: App) -> None:
    with app.database.write() as connection:
        connection.execute("UPDATE profile SET erased_at = 1")

    assert app.client.get(path_of(app)).status_code == 404
    assert save(app, do="stop").status_code == 404


def test_every_language_says_everything_and_a_version_follows_its_words() -> None:
    assert set(WORDS) == {"en", "de", "fr", "es", "nl", "it"}
    for words in WORDS.values():
        said = {name: getattr(words, name) for name in words.__struct_fields__}
        assert all(said.values())
        assert "{topic}" in words.confirmed
        assert "{channel}" in words.confirm_question
    assert language_of("fr_CA") == "fr"
    assert language_of("pl-PL") == "en"
    assert len({version(language) for language in WORDS}) == len(WORDS)


def test_what_was_chosen_reaches_the_gates_and_lasts_for_the_next_address(
    database: Database,
) -> None:
    campaign = {
        "campaigns/nudge.yaml": """\
            campaign: nudge
            trigger: {event: Product Added, key: properties.cart_id}
            topic: offers
            journey: [{send: {channel: email, template: remind}}]
        """
    }
    shop = Shop(database, campaign)
    shop.identify("u1")
    shop.track("u1", "Product Added", cart_id="c1")
    shop.settle()
    message = shop.rows("SELECT id FROM message")[0][0]
    shop.drain("email")
    _choose(shop, message, {("email", "offers"): False})
    shop.send({"type": "identify", "userId": "u1", "traits": {"email": "new@example.com"}})
    shop.track("u1", "Product Added", cart_id="c2")
    shop.settle()
    refused = shop.messages("email")[-1]
    # Whoever has the new address now cannot agree by the old message; by a new one they can.
    with shop.database.write() as connection:
        a_message(connection, 999, profile=shop.rows("SELECT id FROM profile")[0][0])
    _choose(shop, 999, {("email", "offers"): True})
    shop.track("u1", "Product Added", cart_id="c3")
    shop.settle()

    assert refused == ("dropped", "no consent for offers by email")
    assert shop.messages("email")[-1][0] == "queued"


def _choose(shop: Shop, message: int, wanted: dict[tuple[str, str], bool]) -> None:
    from engine.consent.choosing import choose
    from engine.consent.standing import Terms

    terms = Terms(("offers",), frozenset({"email", "sms"}))
    with shop.database.write() as connection:
        done = choose(
            connection, message=message, terms=terms, wanted=wanted, log=shop.log, now=shop.now
        )
    assert done is not None


def _no(connection: Connection, message: int, *, scope: Any = "topic") -> None:
    withdraw(connection, message=message, scope=scope, log=EventLog(), now=NOW, proof="test")
