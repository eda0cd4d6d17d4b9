"""`POST /v1/campaigns/{name}/trigger`: once per key, for people we know, into the journey."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from engine.core.model.instants import DAY
from engine.store.database import Database
from tests.engine.shop_stage import SECRET, Shop
from tests.engine.web_harness import App, an_app

RECEIPT = """\
campaign: receipt
trigger: {api: true}
topic: orders
journey:
  - send: {channel: email, template: receipt}
    id: mail
"""
TEMPLATE = "---\nsubject: Order\n---\n<p>{{ event.order_id }}</p>"
PATH = "/v1/campaigns/receipt/trigger"
CALL = {"userId": "u1", "properties": {"order_id": "o1"}}


@pytest.fixture
def shop(database: Database) -> Shop:
    made = Shop(
        database,
        {"campaigns/receipt.yaml": RECEIPT, "templates/email/receipt.html": TEMPLATE},
    )
    made.identify("u1")
    made.settle()
    return made


@pytest.fixture
def app(shop: Shop, tmp_path: Path) -> Iterator[App]:
    environ = {"ANTIPHON_SECRET_KEY": SECRET}
    program = shop.playbook.program
    with an_app(shop.database, tmp_path, program=program, environ=environ) as made:
        yield made


def settle(shop: Shop) -> None:
    """The web app dates what it accepts by the real clock: play as of a later one."""
    shop.now += 3_000 * DAY
    shop.settle()


def test_a_call_becomes_the_persons_mail(shop: Shop, app: App) -> None:
    answer = app.post(PATH, CALL)
    settle(shop)
    shop.drain("email")

    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "status": "accepted",
        "campaign": "receipt",
        "trigger": answer.json()["trigger"],
    }
    assert [call.to for call in shop.email.calls] == ["u1@example.com"]
    assert "o1" in shop.email.calls[0].html


def test_the_same_key_and_body_get_the_first_answer_and_start_nothing_more(
    shop: Shop, app: App
) -> None:
    first, again = (app.post(PATH, CALL, headers={"Idempotency-Key": "k1"}) for _ in range(2))
    settle(shop)

    assert again.status_code == first.status_code == 200
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert len(shop.own_events("Campaign Triggered")) == 1
    assert len(shop.messages("email")) == 1


def test_many_calls_with_one_key_at_once_are_one_call(shop: Shop, app: App) -> None:
    def call(_: int) -> tuple[int, str]:
        answer = app.post(PATH, CALL, headers={"Idempotency-Key": "k1"})
        return answer.status_code, answer.json()["trigger"]

    with ThreadPoolExecutor(8) as threads:
        answers = set(threads.map(call, range(24)))

    assert len(answers) == 1
    assert len(shop.own_events("Campaign Triggered")) == 1


def test_the_same_body_in_another_order_is_the_same_body(app: App) -> None:
    key = {"Idempotency-Key": "k1"}
    first = app.post(PATH, CALL, headers=key)

    again = app.post(PATH, dict(reversed(CALL.items())), headers=key)

    assert again.json() == first.json()


def test_the_same_key_with_another_body_is_refused(shop: Shop, app: App) -> None:
    app.post(PATH, CALL, headers={"Idempotency-Key": "k1"})

    other = {"userId": "u1", "properties": {"order_id": "o2"}}
    answer = app.post(PATH, other, headers={"Idempotency-Key": "k1"})

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert "another body" in answer.json()["detail"]
    assert len(shop.own_events("Campaign Triggered")) == 1


def test_a_key_belongs_to_its_campaign_and_calls_without_one_are_all_new(
    shop: Shop, app: App
) -> None:
    answers = [app.post(PATH, CALL).json()["trigger"] for _ in range(3)]
    settle(shop)

    assert len(set(answers)) == 3
    assert len(shop.messages("email")) == 3


def test_a_replay_is_answered_also_when_the_campaign_is_gone(shop: Shop, app: App) -> None:
    first = app.post(PATH, CALL, headers={"Idempotency-Key": "k1"})
    app.services.program = lambda: None

    again = app.post(PATH, CALL, headers={"Idempotency-Key": "k1"})
    new = app.post(PATH, CALL, headers={"Idempotency-Key": "k2"})

    assert (again.status_code, again.json()) == (200, first.json())
    assert new.status_code == 503


def test_an_unknown_person_is_refused_unless_the_call_says_who_they_are(
    shop: Shop, app: App
) -> None:
    unknown = {"userId": "u9", "properties": {"order_id": "o1"}}
    named = {**unknown, "context": {"traits": {"email": "u9@example.com"}}}

    refused = app.post(PATH, unknown, headers={"Idempotency-Key": "k1"})
    accepted = app.post(PATH, named, headers={"Idempotency-Key": "k1"})
    settle(shop)

    assert refused.status_code == 404
    assert refused.json()["code"] == "unknown_person"
    assert refused.json()["field"] == "userId"
    assert accepted.status_code == 200  # a refusal does not use up the key
    assert len(shop.messages("email")) == 1


BAD: list[tuple[Any, str, int, str]] = [
    ([], PATH, 400, "the body must be an object"),
    ({"properties": {}}, PATH, 400, "userId or anonymousId is required"),
    ({**CALL, "properties": []}, PATH, 400, "properties: an object is required"),
    ({**CALL, "prperties": {}}, PATH, 400, "prperties: is not known here; allowed are userId"),
    ({**CALL, "userId": 7.5}, PATH, 400, "userId"),
    (CALL, "/v1/campaigns/recipt/trigger", 404, 'There is no campaign "recipt".'),
    (CALL, "/v1/campaigns/nudge/trigger", 409, "is not started by the API"),
]


@pytest.mark.parametrize(("body", "path", "status", "says"), BAD)
def test_a_wrong_call_is_told_what_is_wrong(
    app: App, body: Any, path: str, status: int, says: str
) -> None:
    answer = app.post(path, body)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert says in answer.json()["detail"]


def test_what_is_no_json_and_what_is_too_large_are_refused(app: App) -> None:
    from tests.engine.web_harness import basic

    headers = basic(app.server_key)
    broken = app.client.post(PATH, content=b"{", headers=headers)
    large = app.client.post(PATH, content=b" " * 60_000, headers=headers)
    long_key = app.post(PATH, CALL, headers={"Idempotency-Key": "k" * 256})

    assert [each.status_code for each in (broken, large, long_key)] == [400, 413, 400]


def test_a_browser_key_starts_no_campaign(app: App) -> None:
    assert app.post(PATH, CALL, key=app.browser_key).status_code == 403
    assert app.client.post(PATH, json=CALL).status_code == 401


def test_an_event_of_that_name_from_a_tracking_call_starts_nothing(shop: Shop, app: App) -> None:
    forged = {"campaign": "receipt", "properties": {"order_id": "o1"}}
    app.post("/v1/track", {"userId": "u1", "event": "Campaign Triggered", "properties": forged})
    settle(shop)

    assert shop.messages("email") == []
