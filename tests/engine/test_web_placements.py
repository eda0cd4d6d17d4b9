"""GET /v1/placements and what visitors report, over HTTP. On both databases."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.core.model.instants import HOUR, SECOND
from engine.store.database import Database
from tests.engine.visiting import Visits, environ, proof_of
from tests.engine.web_harness import App, an_app, basic


@dataclass
class Site:
    """A shop, the app in front of it, and the key that stands in its pages."""

    visits: Visits
    app: App
    directory: Path

    def ask(self, query: str, *, key: str = "", **more: Any) -> Any:
        headers = {**basic(key or self.app.browser_key), **more.pop("headers", {})}
        return self.app.client.get(f"/v1/placements?{query}", headers=headers, **more)

    def seen(self, query: str, **more: Any) -> list[Any]:
        answer = self.ask(query, **more)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["placements"])

    def tell(self, *events: tuple[str, str]) -> Any:
        body = {"events": [{"token": token, "event": event} for token, event in events]}
        return self.app.client.post("/v1/placements/events", json=body)

    def events(self) -> list[str]:
        rows = self.visits.rows("SELECT name FROM event WHERE name LIKE 'Message %' ORDER BY seq")
        return [row[0] for row in rows]


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Iterator[Site]:
    visits = Visits(database)
    program = visits.playbook.program
    with an_app(database, tmp_path, environ=environ(), program=program) as app:
        app.services.clock = lambda: visits.now
        visits.visitor("device-1")
        visits.show("device-1", kind="anonymous")
        yield Site(visits, app, tmp_path)


# --- what is given ------------------------------------------------------------------------------


def test_a_page_gets_its_visitors_message_ready_to_show(site: Site) -> None:
    (it,) = site.seen("anonymousId=device-1")

    token, html = it.pop("token"), it.pop("html")
    assert it == {
        "id": "1", "placement": "top", "kind": "banner", "priority": 70,
        "at": "2026-03-02T12:00:00Z", "expires_at": "2026-04-01T12:00:00Z",
    }  # fmt: skip
    assert len(token) == 39
    assert html.startswith('<p>Hi Ada, <a href="https://shop.example/t/c/')


def test_a_server_key_is_told_what_the_house_calls_it(site: Site) -> None:
    (it,) = site.seen("anonymousId=device-1", key=site.app.server_key)

    names = ("campaign", "step", "variant", "topic", "template")
    assert [it[name] for name in names] == ["cart", "show", "", "offers", "promo"]


def test_only_the_slot_that_is_asked_for_is_given(site: Site) -> None:
    site.visits.show("device-1", "Order Completed", kind="anonymous")

    found = [
        [it["placement"] for it in site.seen(f"anonymousId=device-1&placement={slot}")]
        for slot in ("", "top", "in-page", "elsewhere")
    ]

    assert found == [["top", "in-page"], ["top"], ["in-page"], []]


def test_an_unchanged_answer_is_not_sent_twice(site: Site) -> None:
    first = site.ask("anonymousId=device-1")
    mark = first.headers["etag"]

    same = site.ask("anonymousId=device-1", headers={"If-None-Match": f'"x", W/{mark}'})
    site.visits.now += HOUR
    later = site.ask("anonymousId=device-1", headers={"If-None-Match": mark})
    site.visits.show("device-1", kind="anonymous")
    other = site.ask("anonymousId=device-1", headers={"If-None-Match": mark})

    assert first.headers["cache-control"] == "private, no-cache"
    assert first.headers["vary"] == "Authorization"
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", mark)
    assert later.status_code == 304
    assert other.status_code == 200
    assert other.json()["placements"][0]["id"] != first.json()["placements"][0]["id"]


def test_the_pages_of_any_origin_may_ask_and_read_why_not(site: Site) -> None:
    origin = {"Origin": "https://shop.example"}
    answers = [
        site.app.client.options(path, headers=origin)
        for path in ("/v1/placements", "/v1/placements/events")
    ]
    refused = site.app.client.get("/v1/placements?anonymousId=x", headers=origin)

    assert [it.status_code for it in answers] == [204, 204]
    assert "authorization" in answers[0].headers["access-control-allow-headers"]
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "*"


def test_without_a_release_nobody_is_shown_anything(database: Database, tmp_path: Path) -> None:
    with an_app(database, tmp_path) as app:
        answer = app.client.get("/v1/placements?anonymousId=x", headers=basic(app.browser_key))

    assert (answer.status_code, answer.json()) == (200, {"placements": []})


# --- to whom ------------------------------------------------------------------------------------


def test_a_browser_key_opens_a_user_only_with_the_proof_of_the_id(site: Site) -> None:
    visits, proof = site.visits, proof_of("ada@example.com", site.directory)
    visits.identify("ada@example.com")
    visits.show("ada@example.com", "Page Viewed")
    user, other = "userId=ada%40example.com", proof_of("eve", site.directory)

    refused = [site.ask(f"{user}{it}") for it in ("", f"&userHash={other}", "&userHash=é")]
    proved = site.seen(f"{user}&userHash={proof}")
    by_server = site.seen(user, key=site.app.server_key)

    assert [it.status_code for it in refused] == [403, 403, 403]
    assert refused[0].json()["field"] == "userHash"
    assert "antiphon keys visitor" in refused[0].json()["detail"]
    assert [it["placement"] for it in proved] == ["modal"]
    assert [it["placement"] for it in by_server] == ["modal"]


def test_a_user_id_is_no_way_around_the_proof_as_an_anonymous_id(site: Site) -> None:
    site.visits.identify("u1")
    site.visits.show("u1")

    assert site.seen("anonymousId=u1") == []
    assert site.seen("profile=u1") == [], "as 0.2 named it"
    assert len(site.seen("profile=u1", key=site.app.server_key)) == 1


def test_nobody_can_tell_an_unknown_visitor_from_one_without_messages(site: Site) -> None:
    site.visits.visitor("device-2")

    assert site.ask("anonymousId=device-2").content == site.ask("anonymousId=nobody").content


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("", 400, "anonymousId"),
        ("userId=", 400, "anonymousId"),
        (f"anonymousId={'x' * 1001}", 400, "anonymousId"),
        ("userId=%00", 400, "userId"),
        ("anonymousId=%ED%A0%80", 200, None),
        ("anonymousId=' OR 1=1 --", 200, None),
    ],
)
def test_a_strange_question_is_answered_plainly(
    site: Site, query: str, status: int, field: str | None
) -> None:
    answer = site.ask(query)

    assert answer.status_code == status, answer.text
    assert answer.json().get("field") == field


# --- what visitors do ---------------------------------------------------------------------------


def test_what_a_visitor_does_is_reported_once_and_becomes_events(site: Site) -> None:
    (it,) = site.seen("anonymousId=device-1")

    first = site.tell((it["token"], "displayed"), (it["token"], "displayed"))
    site.visits.now += HOUR
    again = site.tell((it["token"], "displayed"))
    stays = site.seen("anonymousId=device-1")
    site.tell((it["token"], "dismissed"))

    assert first.json() == {"success": True, "results": [{"status": "accepted"}] * 2}
    assert again.status_code == 200
    assert len(stays) == 1
    assert site.seen("anonymousId=device-1") == []
    assert site.events() == ["Message Displayed", "Message Dismissed"]


def test_one_event_may_come_alone_and_as_plain_text(site: Site) -> None:
    """As `navigator.sendBeacon` sends it when a page is left."""
    (it,) = site.seen("anonymousId=device-1")
    body = json.dumps({"token": it["token"], "event": "clicked"})

    answers = [
        site.app.client.post(
            "/v1/placements/events", content=body, headers={"Content-Type": "text/plain"}
        )
        for _ in range(2)
    ]
    site.visits.now += SECOND
    later = site.app.client.post("/v1/placements/events", content=body)

    assert [it.json() for it in (*answers, later)] == [{"success": True, "status": "accepted"}] * 3
    assert site.events() == ["Message Clicked"] * 2, "of two within a second one"
    assert site.seen("anonymousId=device-1") == []


@pytest.mark.parametrize("kind", ["click", "open", "unsubscribe", "preferences"])
def test_no_other_link_of_a_message_reports_for_its_visitor(site: Site, kind: str) -> None:
    answer = site.app.client.post(
        "/v1/placements/events", json={"token": site.app.token(kind, 1), "event": "dismissed"}
    )

    assert (answer.status_code, answer.json()["field"]) == (400, "token")
    assert site.events() == []


def test_a_token_of_a_page_opens_nothing_else(site: Site) -> None:
    (it,) = site.seen("anonymousId=device-1")

    answers = [site.app.client.get(f"{path}{it['token']}") for path in ("/u/", "/t/c/")]

    assert [it.status_code for it in answers] == [404, 404]


def test_of_a_batch_what_is_false_is_rejected_and_the_rest_is_taken(site: Site) -> None:
    (it,) = site.seen("anonymousId=device-1")
    forged = it["token"][:-1] + ("A" if it["token"][-1] != "A" else "B")

    answer = site.tell((forged, "dismissed"), (it["token"], "displayed"), ("", "displayed"))

    assert [each["status"] for each in answer.json()["results"]] == [
        "rejected", "accepted", "rejected",
    ]  # fmt: skip
    assert site.events() == ["Message Displayed"]


@pytest.mark.parametrize(
    "body",
    [
        "", "[]", "null", "{}", '{"events": 7}', '{"events": [7]}', '{"token": 1, "event": "x"}',
        '{"token": "x", "event": "opened"}', '{"token": "x"}', "\ud800", "[" * 5_000,
        json.dumps({"events": [{"token": "x", "event": "clicked"}] * 101}),
    ],
)  # fmt: skip
def test_a_body_that_is_none_of_ours_is_400_and_says_what_is(site: Site, body: str) -> None:
    content = body.encode("utf-8", "surrogatepass")

    answer = site.app.client.post("/v1/placements/events", content=content)

    assert answer.status_code == 400, answer.text
    assert len(answer.json()["detail"]) > 20


def test_a_body_over_the_limit_is_refused(site: Site) -> None:
    answer = site.app.client.post("/v1/placements/events", content=b" " * 40_000)

    assert answer.status_code == 413


def test_what_says_no_in_the_message_itself_hides_it_at_once(site: Site) -> None:
    site.visits.show("device-1", "Page Viewed", kind="anonymous")
    token = site.app.token("unsubscribe", 1)

    answer = site.app.client.post(f"/u/{token}", content=b"scope=topic")

    assert answer.status_code == 200
    assert [it["placement"] for it in site.seen("anonymousId=device-1")] == ["modal"]
