"""The pages a person sees: what they show, what they hide, who may open them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.core.model.campaigns import Campaign, Program
from engine.core.model.conditions import Filter as TraitFilter
from engine.core.model.conditions import TraitCondition
from engine.store import bulk
from engine.store.database import Database
from tests.engine.test_unsubscribe import NOW, a_message
from tests.engine.web_harness import PAGE_TOKEN, App, an_app

PROGRAM = Program(
    release=3,
    zone="UTC",
    campaigns={
        "cart": Campaign("cart", "v1", trigger=None, steps={}, first=None, title="Cart reminder")  # type: ignore[arg-type]
    },
    segments={"big-spenders": TraitCondition(TraitFilter(("plan",), ()))},
)


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Iterator[App]:
    with an_app(database, tmp_path, program=PROGRAM, is_open=True) as made:
        made.post(
            "/v1/identify",
            {"userId": "<b>ada</b>", "traits": {"email": "ada@example.com", "plan": "<i>pro</i>"}},
        )
        made.post("/v1/track", {"userId": "<b>ada</b>", "event": "Product <script>"})
        yield made


def someone(app: App) -> int:
    return int(app.rows("SELECT max(id) FROM profile")[0][0])


def test_home_lists_campaigns_segments_messages_with_reasons_and_reports(
    app: App, tmp_path: Path
) -> None:
    profile = someone(app)
    with app.database.write() as connection:
        a_message(connection, 7, profile=profile, status="sent")
        a_message(connection, 8, profile=profile, status="dropped", reason="no email address")
        bulk.insert(
            connection, "membership", ("segment", "profile_id", "since"),
            [("big-spenders", profile, NOW)],
        )  # fmt: skip
    (tmp_path / ".antiphon" / "reports").mkdir()
    (tmp_path / ".antiphon" / "reports" / "cart-test.html").write_text("<h1>A report</h1>")

    page = app.client.get("/")

    assert page.status_code == 200, page.text
    for shown in ("Cart reminder", "big-spenders", "100.0 %", "no email address", "Cart test"):
        assert shown in page.text
    assert app.client.get("/reports/cart-test.html").text == "<h1>A report</h1>"


def test_home_says_what_an_operator_holds_and_why(app: App) -> None:
    with app.database.write() as connection:
        connection.execute(
            "INSERT INTO operation (noun, name, state, why, at) "
            "VALUES ('campaign', 'cart', ?, '', 1)",
            ('{"held": "draining", "why": "<b>no stock</b>", "since": 1}',),
        )

    page = app.client.get("/")

    assert "by an operator: &lt;b&gt;no stock&lt;/b&gt;" in page.text


def test_pages_load_nothing_run_nothing_and_escape_what_people_wrote(app: App) -> None:
    with app.database.write() as connection:
        a_message(connection, 7, profile=someone(app), reason="<img src=x>")

    pages = [
        app.client.get(path)
        for path in ("/", "/messages", "/messages/7", "/profiles?id=%3Cb%3Eada%3C%2Fb%3E")
    ]

    for page in pages:
        assert page.status_code == 200, page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "<script" not in page.text
        assert "<b>" not in page.text
        assert "<img" not in page.text
        assert "://" not in page.text
    assert "&lt;b&gt;ada&lt;/b&gt;" in pages[0].text
    assert "Product &lt;script&gt;" in pages[3].text


def test_personal_data_is_never_on_a_page_nor_in_the_api(app: App) -> None:
    page = app.client.get("/profiles?id=%3Cb%3Eada%3C%2Fb%3E")
    api = app.client.get(
        "/v1/profiles/%3Cb%3Eada%3C%2Fb%3E", headers={"Authorization": f"Bearer {app.server_key}"}
    )

    assert page.status_code == api.status_code == 200
    for text in (page.text, api.text):
        assert "ada@example.com" not in text
        assert "sealed:" not in text


def test_a_message_tells_its_whole_story_in_order(app: App) -> None:
    with app.database.write() as connection:
        a_message(connection, 7, profile=someone(app), status="sent", enrollment_id=5)
        bulk.insert(
            connection,
            "enrollment",
            ("id", "profile_id", "campaign", "version", "key", "status", "entered_at", "step",
             "step_at", "due_at", "visit", "trigger_seq", "trigger", "variants", "held_by",
             "message", "reason"),
            [(5, someone(app), "cart", "v1", "", "active", NOW - 60_000_000, "send", NOW, NOW, 1,
              2, "{}", '{"test":"b"}', "", None, "")],
        )  # fmt: skip
        bulk.insert(
            connection,
            "exposure",
            ("experiment", "phase", "profile_id", "variant", "at", "probability", "campaign",
             "enrollment_id", "would_allow"),
            [("test", 1, someone(app), "b", NOW - 1, 0.5, "cart", 5, "{}")],
        )  # fmt: skip
        bulk.insert(
            connection,
            "attempt",
            ("message_id", "number", "provider", "started_at", "finished_at", "outcome",
             "provider_id", "detail", "body_digest"),
            [(7, 1, "sandbox", NOW + 1, NOW + 2, "accepted", "sb-1", "", "")],
        )  # fmt: skip
        bulk.insert(
            connection, "delivery", ("message_id", "status", "at", "opened_at", "clicked_at"),
            [(7, "opened", NOW + 5, NOW + 5, None)],
        )  # fmt: skip

    text = app.client.get("/messages/7").text

    told = (
        "Entered cart",
        "Assigned in test, phase 1",
        "Every gate allowed it",
        "through sandbox",
        "Opened",
    )
    places = [text.index(word) for word in told]
    assert places == sorted(places)


def test_without_the_token_a_page_says_where_the_way_in_is(
    database: Database, tmp_path: Path
) -> None:
    with an_app(database, tmp_path) as app:
        shut = app.client.get("/")
        wrong = app.client.get("/?token=guess")
        opened = app.client.get(f"/messages?token={PAGE_TOKEN}&campaign=cart")
        inside = app.client.get(opened.headers["location"])

    assert shut.status_code == wrong.status_code == 401
    assert "antiphon serve" in shut.text
    assert opened.status_code == 303
    assert opened.headers["location"] == "/messages?campaign=cart"
    assert "HttpOnly" in opened.headers["set-cookie"]
    assert inside.status_code == 200


@pytest.mark.parametrize("name", ["../secret", "..%2Fsecret", "%2Fetc%2Fpasswd", "secret", "."])
def test_only_listed_reports_can_be_opened(app: App, tmp_path: Path, name: str) -> None:
    (tmp_path / ".antiphon" / "reports").mkdir()

    answer = app.client.get(f"/reports/{name}")

    assert answer.status_code == 404


@pytest.mark.parametrize("path", ["/messages/99", "/profiles?id=nobody", "/profiles", "/nothing"])
def test_what_is_not_there_is_404(app: App, path: str) -> None:
    assert app.client.get(path).status_code == 404
