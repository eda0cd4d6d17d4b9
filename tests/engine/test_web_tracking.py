"""The tracking API: every kind of call, every bad input, on both databases."""

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from engine.core.errors import CommitUnknown, Overloaded, StoreError
from engine.store.database import Database
from tests.engine.web_harness import App, an_app, basic

TRACK = {"userId": "u1", "event": "Product Added", "messageId": "m1", "properties": {"value": 40}}


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Iterator[App]:
    with an_app(database, tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("kind", "body", "name"),
    [
        ("track", TRACK, "Product Added"),
        ("identify", {"userId": "u1", "traits": {"plan": "pro"}}, "Profile Identified"),
        ("page", {"anonymousId": "a1", "name": "Home"}, "Page Viewed"),
        ("screen", {"anonymousId": "a1", "name": "Cart"}, "Screen Viewed"),
        ("group", {"userId": "u1", "groupId": "g1"}, "Group Joined"),
        ("alias", {"userId": "u1", "previousId": "u0"}, "Profile Aliased"),
    ],
)
def test_every_kind_of_call_is_durable_when_it_is_answered(
    app: App, kind: str, body: dict[str, Any], name: str
) -> None:
    answer = app.post(f"/v1/{kind}", body)

    assert answer.status_code == 200, answer.text
    assert answer.json() == {"success": True, "status": "accepted"}
    assert name in {row[0] for row in app.rows("SELECT name FROM event")}


def test_the_same_message_again_is_a_duplicate_and_has_no_second_effect(app: App) -> None:
    app.post("/v1/track", TRACK)

    again = app.post("/v1/track", TRACK)

    assert again.json() == {"success": True, "status": "duplicate"}
    assert app.rows("SELECT count(*) FROM event") == [(1,)]


def test_a_browser_key_cannot_use_up_the_message_ids_of_the_server(app: App) -> None:
    app.post("/v1/track", TRACK, key=app.browser_key)

    answer = app.post("/v1/track", TRACK)

    assert answer.json()["status"] == "accepted"


def test_a_batch_answers_item_by_item_and_one_bad_item_harms_no_other(app: App) -> None:
    batch = [
        {"type": "track", "userId": "u1", "event": "A", "messageId": "1"},
        {"type": "track", "userId": "u1", "messageId": "2"},
        {"type": "track", "userId": "u1", "event": "A", "messageId": "1"},
        {"type": "dance", "userId": "u1"},
        {"type": "identify", "userId": "u1", "traits": {}},
    ]

    answer = app.post("/v1/batch", {"batch": batch})

    body = answer.json()
    assert answer.status_code == 200
    assert [it["status"] for it in body["results"]] == [
        "accepted", "rejected", "duplicate", "rejected", "accepted",
    ]  # fmt: skip
    assert (body["accepted"], body["duplicates"], body["rejected"]) == (2, 1, 2)
    assert body["results"][1]["field"] == "event"
    assert body["results"][3]["field"] == "type"


def test_what_a_browser_may_not_say_is_dropped_and_named(app: App) -> None:
    body = {
        "userId": "u1",
        "traits": {"email": "ada@example.com", "plan": "pro"},
        "context": {"consent": {"email": {"offers": True}}},
    }

    answer = app.post("/v1/identify", body, key=app.browser_key)

    assert answer.json()["status"] == "accepted"
    assert set(answer.json()["ignored"]) == {"traits.email", "context.consent"}
    assert app.rows("SELECT count(*) FROM consent_change") == [(0,)]


def test_gzip_is_unpacked_and_text_plain_is_json(app: App) -> None:
    packed = gzip.compress(json.dumps({"batch": [{"type": "track", **TRACK}]}).encode())
    headers = {**basic(app.server_key), "Content-Encoding": "gzip"}
    plain = json.dumps({**TRACK, "messageId": "m2", "writeKey": app.browser_key})

    as_gzip = app.client.post("/v1/batch", content=packed, headers=headers)
    as_text = app.client.post("/v1/track", content=plain, headers={"Content-Type": "text/plain"})

    assert as_gzip.json()["accepted"] == 1
    assert as_text.json() == {"success": True, "status": "accepted"}


def test_a_page_of_any_origin_may_call_and_reads_the_answer(app: App) -> None:
    asked = app.client.options(
        "/v1/track",
        headers={"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"},
    )

    answer = app.post("/v1/track", TRACK, headers={"Origin": "https://shop.example"})
    refused = app.post("/v1/track", {}, headers={"Origin": "https://shop.example"})

    assert asked.status_code == 204
    assert "content-type" in asked.headers["access-control-allow-headers"]
    assert answer.headers["access-control-allow-origin"] == "*"
    assert refused.headers["access-control-allow-origin"] == "*"
    assert "set-cookie" not in answer.headers


DEEP: Any = 1
for _ in range(40):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    ("content", "status", "field"),
    [
        (b"", 400, ""),
        (b"{", 400, ""),
        (b"[]", 400, ""),
        (b"\xff\xfe", 400, ""),
        (b'{"userId":"u1"}', 400, "event"),
        (b'{"event":"A"}', 400, "userId"),
        (b'{"userId":"u1","event":""}', 400, "event"),
        (b'{"userId":"u1","event":7}', 400, "event"),
        (b'{"userId":{},"event":"A"}', 400, "userId"),
        (b'{"userId":"u1","event":"A","properties":{"n":NaN}}', 400, "properties.n"),
        (b'{"userId":"u1","event":"A","properties":{"n":9007199254740993}}', 400, "properties.n"),
        (b'{"userId":"u1","event":"A","properties":{"n":"a\\u0000b"}}', 400, "properties.n"),
        (b'{"userId":"u1","event":"A","properties":{"n":"\\ud800"}}', 400, "properties.n"),
        (b'{"userId":"u1","event":"A","properties":[]}', 400, "properties"),
        (b'{"userId":"u1","event":"A","context":7}', 400, "context"),
        (b'{"userId":"u1","event":"A","timestamp":"yesterday"}', 400, "timestamp"),
        (b'{"userId":"u1","event":"A","timestamp":"2999-01-01T00:00:00Z"}', 400, "timestamp"),
        (b'{"userId":"u1","event":"A","timestamp":"1970-01-01T00:00:00Z"}', 400, "timestamp"),
        (b'{"userId":"u1","event":"A","messageId":"' + b"m" * 101 + b'"}', 400, "messageId"),
        (
            json.dumps({"userId": "u1", "event": "A", "properties": DEEP}).encode(),
            400,
            "properties.a.a",
        ),
        (
            b'{"userId":"u1","event":"A","properties":{"n":"' + b"x" * 33_000 + b'"}}',
            400,
            "properties",
        ),
        (b'{"userId":"u1","event":"' + b"x" * 60_000 + b'"}', 413, ""),
    ],
)
def test_a_bad_call_gets_one_clear_answer_that_names_the_field(
    app: App, content: bytes, status: int, field: str
) -> None:
    answer = app.client.post("/v1/track", content=content, headers=basic(app.server_key))

    problem = answer.json()
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem.get("field", "") == field
    assert len(problem["detail"]) > 10
    assert problem["success"] is False
    assert app.rows("SELECT count(*) FROM event") == [(0,)]


@pytest.mark.parametrize(
    ("content", "status", "field"),
    [
        (b"{}", 400, "batch"),
        (b'{"batch": 7}', 400, "batch"),
        (json.dumps({"batch": [{}] * 2501}).encode(), 400, "batch"),
        (b'{"batch":["' + b"x" * 512_000 + b'"]}', 413, ""),
    ],
)
def test_a_bad_envelope_is_refused_whole(app: App, content: bytes, status: int, field: str) -> None:
    answer = app.client.post("/v1/batch", content=content, headers=basic(app.server_key))

    assert answer.status_code == status, answer.text
    assert answer.json().get("field", "") == field


def test_a_body_is_refused_before_it_is_read_when_its_length_says_so(app: App) -> None:
    headers = {**basic(app.server_key), "Content-Length": "99999999"}
    announced = app.client.post("/v1/batch", content=b"x", headers=headers)

    assert announced.status_code == 413


@pytest.mark.parametrize(
    ("content", "encoding", "status"),
    [
        (b"not gzip", "gzip", 400),
        (gzip.compress(b"{}")[:-4], "gzip", 400),
        (gzip.compress(b" " * 200_000_000), "gzip", 413),
        (b"{}", "br", 415),
    ],
    ids=["not gzip", "cut short", "bomb", "brotli"],
)
def test_a_bad_encoding_is_named_and_a_bomb_never_unpacked(
    app: App, content: bytes, encoding: str, status: int
) -> None:
    headers = {**basic(app.server_key), "Content-Encoding": encoding}

    answer = app.client.post("/v1/batch", content=content, headers=headers)

    assert answer.status_code == status, answer.text


def failing(error: Exception) -> Any:
    def accept(_prepared: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(error)
        return future

    return accept


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Overloaded(retry_after_seconds=3), "overloaded"),
        (CommitUnknown(), "commit_unknown"),
        (StoreError("the disk is full"), "store"),
    ],
)
def test_what_could_not_be_committed_is_answered_503_with_retry_after(
    app: App, error: Exception, code: str
) -> None:
    app.services.accept = failing(error)

    answer = app.post("/v1/track", TRACK)

    assert answer.status_code == 503
    assert answer.json()["code"] == code
    assert int(answer.headers["retry-after"]) >= 1


def test_a_full_queue_refuses_before_anything_is_read(app: App) -> None:
    app.client.app.state.traffic._waiting = lambda: 50_000  # type: ignore[attr-defined]

    answer = app.post("/v1/track", TRACK)

    assert answer.status_code == 503
    assert answer.json()["code"] == "overloaded"
    assert answer.headers["retry-after"] == "1"


def test_a_key_beyond_its_budget_is_answered_429_and_others_go_on(
    database: Database, tmp_path: Path
) -> None:
    environ = {"ANTIPHON_KEY_EVENTS_PER_SECOND_MAX": "1"}
    with an_app(database, tmp_path, environ=environ) as app:
        batch = {"batch": [{"type": "track", "userId": "u1", "event": "A"}] * 10}

        first = app.post("/v1/batch", batch, key=app.browser_key)
        second = app.post("/v1/batch", batch, key=app.browser_key)
        other = app.post("/v1/track", TRACK, key=app.server_key)

    assert first.status_code == 200
    assert second.status_code == 429
    assert 1 <= int(second.headers["retry-after"]) <= 11
    assert other.status_code == 200


def test_no_room_on_the_disk_refuses_events(database: Database, tmp_path: Path) -> None:
    if database.dialect != "sqlite":
        pytest.skip("another machine's disk is not ours to watch")
    with an_app(database, tmp_path, environ={"ANTIPHON_FREE_BYTES_MIN": str(2**60)}) as app:
        answer = app.post("/v1/track", TRACK)

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "30"
