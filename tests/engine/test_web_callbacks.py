"""`POST /webhooks/{channel}`: what is believed, what is refused, what comes of it. Both databases.

Signatures, bodies and providers are the real ones; only the release is made by hand.
"""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from engine.core.errors import CommitUnknown, DiskFull
from engine.core.model.campaigns import Program
from engine.core.model.instants import DAY, SECOND
from engine.steady import present
from engine.store.database import Database
from engine.web.callbacks import BODY_BYTES_MAX
from tests.engine.callback_cases import (
    NUMBER,
    a_text,
    a_text_to,
    an_attempt,
    an_event,
    readers,
    signed,
)
from tests.engine.test_unsubscribe import a_message, a_profile, address_of
from tests.engine.web_harness import App, an_app

PROGRAM = Program(1, "UTC", {})


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Iterator[App]:
    """Message 7 went to profile 7's address by SendGrid, which calls it sg7."""
    with an_app(database, tmp_path, program=PROGRAM, readers=readers(tmp_path)) as made:
        with database.write() as connection:
            for number in (7, 8):
                a_profile(connection, number)
                a_message(connection, number, profile=number, status="sent", account="email")
                an_attempt(connection, number, address_hash=address_of(number))
        yield made


def delivery(app: App, message: int) -> str | None:
    rows = app.rows(f"SELECT status FROM delivery WHERE message_id = {message}")
    return rows[0][0] if rows else None


def suppressed(app: App, profile: int) -> tuple[Any, ...] | None:
    with app.database.read() as connection:
        rows = connection.execute(
            "SELECT suppressed, suppressed_by, suppressed_until FROM contact "
            "WHERE address_hash = ? AND suppressed IS NOT NULL",
            (address_of(profile),),
        )
    return rows[0] if rows else None


def metric(app: App, name: str, **labels: str) -> int:
    text = app.client.get("/metrics").text
    shown = ",".join(f'{key}="{value}"' for key, value in labels.items())
    found = [
        int(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith(f"{name}{{{shown}}} ")
    ]
    return sum(found)


# --- believed -----------------------------------------------------------------------------------


def test_a_signed_callback_is_committed_answered_and_counted(app: App) -> None:
    events = [an_event("delivered", 7), an_event("bounce", 8, type="bounce", status="5.1.1")]

    answer = app.client.post("/webhooks/email", **signed(events))

    assert (answer.status_code, answer.content) == (200, b"")
    assert [delivery(app, 7), delivery(app, 8)] == ["delivered", "bounced"]
    assert suppressed(app, 8) == ("hard bounce", "email.sendgrid", None)
    names = app.rows("SELECT name FROM event ORDER BY profile_id")
    assert names == [("Message Delivered",), ("Message Bounced",)]
    assert metric(app, "antiphon_callbacks_total", channel="email", outcome="taken") == 1
    assert metric(app, "antiphon_callback_events_total", channel="email", event="bounced") == 1


def test_the_same_callback_ten_times_has_one_effect(app: App) -> None:
    request = signed([an_event("click", 7, url="https://shop.example/cart")])

    answers = [app.client.post("/webhooks/email", **request) for _ in range(10)]

    assert [it.status_code for it in answers] == [200] * 10
    assert app.rows("SELECT count(*) FROM event") == [(1,)]
    assert metric(app, "antiphon_callback_events_total", channel="email", event="repeated") == 9


def test_one_that_says_nothing_of_ours_is_answered_too(app: App) -> None:
    answer = app.client.post("/webhooks/email", **signed([]))

    assert answer.status_code == 200


def test_a_kind_that_nobody_knows_is_kept_without_the_address_and_counted(app: App) -> None:
    event = an_event("teleported", 7, raw_field="to ada@example.com <b@c.example>\0")

    answer = app.client.post("/webhooks/email", **signed([event]))

    assert answer.status_code == 200
    ((kind, message, body),) = app.rows("SELECT kind, message_id, body FROM stray_report")
    assert (kind, message) == ("unknown", 7)
    assert "teleported" in body
    assert "@" not in body
    assert metric(app, "antiphon_callback_events_total", channel="email", event="stray") == 1
    assert delivery(app, 7) is None


def test_a_no_at_the_provider_is_a_no_to_us(app: App) -> None:
    answer = app.client.post("/webhooks/email", **signed([an_event("unsubscribe", 7)]))

    assert answer.status_code == 200
    with app.database.read() as connection:
        withdrawn = connection.execute(
            "SELECT withdrawn FROM contact WHERE address_hash = ?", (address_of(7),)
        )
    assert withdrawn == [('["*"]',)]
    assert app.rows("SELECT granted, source, proof FROM consent_change") == [
        (0, "provider", "email.sendgrid told us")
    ]
    assert app.rows("SELECT name FROM event") == [("Message Unsubscribed",)]


# --- refused ------------------------------------------------------------------------------------


def test_one_changed_byte_is_forged_and_changes_nothing(app: App) -> None:
    request = signed([an_event("spamreport", 7)])
    request["content"] = request["content"].replace(b'"7"', b'"8"')

    answer = app.client.post("/webhooks/email", **request)

    assert answer.status_code == 403
    assert answer.json()["code"] == "forged"
    assert app.rows("SELECT count(*) FROM delivery_event") == [(0,)]
    assert suppressed(app, 8) is None
    assert metric(app, "antiphon_callbacks_total", channel="email", outcome="forged") == 1


def test_one_that_is_replayed_a_year_later_is_refused_by_its_age(app: App) -> None:
    year_ago = (present() - 365 * DAY) // SECOND

    answer = app.client.post("/webhooks/email", **signed([an_event("delivered", 7)], at=year_ago))

    assert answer.status_code == 403
    assert delivery(app, 7) is None


def test_an_event_told_again_after_a_year_under_a_new_signature_is_a_repeat(app: App) -> None:
    event = an_event("click", 7)
    app.client.post("/webhooks/email", **signed([event]))
    with app.database.write() as connection:
        connection.execute("UPDATE delivery_event SET at = at - ?", (365 * DAY,))

    answer = app.client.post("/webhooks/email", **signed([event]))

    assert answer.status_code == 200
    assert app.rows("SELECT count(*) FROM event") == [(1,)]


@pytest.mark.parametrize("changes", [
    {"sg_message_id": "another-accounts.filter"},  # a staging system's message 7
    {"message": "999"},
    {"message": "-1", "sg_message_id": "another-accounts.filter"},
    {"message": str(2**80), "sg_message_id": "another-accounts.filter"},
    {"message": None, "sg_message_id": "x" * 3_000},
])  # fmt: skip
def test_a_callback_for_another_accounts_message_is_counted_and_never_suppresses(
    app: App, changes: dict[str, Any]
) -> None:
    event = an_event("spamreport", 7, **changes)

    answer = app.client.post("/webhooks/email", **signed([event]))

    assert answer.status_code == 200
    assert app.rows("SELECT count(*) FROM delivery") == [(0,)]
    assert [suppressed(app, 7), suppressed(app, 8)] == [None, None]
    counted = [
        metric(app, "antiphon_callback_events_total", channel="email", event=name)
        for name in ("foreign", "stray")
    ]
    assert sum(counted) == 1


def test_another_channel_may_not_speak_of_this_ones_messages(app: App) -> None:
    told = a_text("", SmsStatus="delivered", MessageStatus="delivered", MessageSid="sg7")

    answer = app.client.post("/webhooks/sms", **told)

    assert answer.status_code == 200
    assert delivery(app, 7) is None


@pytest.mark.parametrize("n_bytes", [BODY_BYTES_MAX + 1, 10_000_000])
@pytest.mark.parametrize("is_told", [True, False], ids=["length told", "length untold"])
def test_a_body_over_a_megabyte_is_refused_unread(app: App, n_bytes: int, is_told: bool) -> None:
    request = signed(b"[" + b" " * n_bytes)
    if not is_told:
        content = request["content"]
        request["content"] = (content[i : i + 65_536] for i in range(0, len(content), 65_536))

    answer = app.client.post("/webhooks/email", **request)

    assert answer.status_code == 413


@pytest.mark.parametrize(
    "body", [b"", b"null", b"7", b"[7]", b"{", b'[{"event":', b"\xff\xfe", b"[" * 100_000]
)
def test_a_signed_body_of_nonsense_is_unreadable(app: App, body: bytes) -> None:
    answer = app.client.post("/webhooks/email", **signed(body))

    assert answer.status_code in (200, 400), answer.text
    assert app.rows("SELECT count(*) FROM delivery_event") == [(0,)]


@pytest.mark.parametrize("kind", ["text/plain", "", "multipart/form-data", "application/x-json"])
def test_the_content_type_decides_nothing_where_the_body_is_signed(app: App, kind: str) -> None:
    request = signed([an_event("delivered", 7)])
    request["headers"]["Content-Type"] = kind

    answer = app.client.post("/webhooks/email", **request)

    assert answer.status_code == 200
    assert delivery(app, 7) == "delivered"


@pytest.mark.parametrize(
    "path", ["none", "quiet", "Email", "email%2fx", "a..b", "%00", "a" * 5_000]
)
def test_an_unknown_channel_is_404_and_no_metric_grows_by_its_name(app: App, path: str) -> None:
    answer = app.client.post(f"/webhooks/{path}", **signed([]))

    assert answer.status_code == 404
    assert "aaaa" not in app.client.get("/metrics").text
    assert metric(app, "antiphon_callbacks_total", channel=path, outcome="no channel") == 0


@pytest.mark.parametrize(
    ("method", "status"), [("GET", 403), ("HEAD", 405), ("PUT", 405), ("DELETE", 405)]
)
def test_other_methods_change_nothing(app: App, method: str, status: int) -> None:
    answer = app.client.request(method, "/webhooks/email")

    assert answer.status_code == status


def test_the_host_header_has_no_say_in_what_was_signed(app: App) -> None:
    told = a_text("hello")
    told["headers"] |= {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}

    answer = app.client.post("/webhooks/sms", **told)

    assert answer.status_code == 200


def test_the_query_is_signed_as_it_came(app: App) -> None:
    path = "/webhooks/sms?message=7&b=%2Fx%20y&a="

    right = app.client.post(path, **a_text("hello", path=path))
    wrong = app.client.post(path + "&c=1", **a_text("hello", path=path))

    assert (right.status_code, wrong.status_code) == (200, 403)


# --- not now ------------------------------------------------------------------------------------


def failing(error: Exception, *, times: int, honest: Any) -> Any:
    left = [times]

    def write(change: Any) -> Future[Any]:
        if not left[0]:
            return honest(change)
        left[0] -= 1
        future: Future[Any] = Future()
        future.set_exception(error)
        return future

    return write


def test_what_cannot_be_committed_is_asked_for_again(app: App) -> None:
    request = signed([an_event("delivered", 7)])
    app.services.write = failing(CommitUnknown(), times=1, honest=app.services.write)

    answers = [app.client.post("/webhooks/email", **request) for _ in range(2)]

    assert [it.status_code for it in answers] == [503, 200]
    assert int(answers[0].headers["Retry-After"]) >= 1
    assert delivery(app, 7) == "delivered"
    assert metric(app, "antiphon_callbacks_total", channel="email", outcome="later") == 1


def test_on_a_full_disk_only_what_may_be_a_no_takes_the_reserve(app: App) -> None:
    asked = []
    app.services.make_room = lambda: bool(asked.append(1)) or True  # type: ignore[func-returns-value]
    honest = app.services.write

    app.services.write = failing(DiskFull(), times=1, honest=honest)
    delivered = app.client.post("/webhooks/email", **signed([an_event("delivered", 7)]))
    n_asked = len(asked)
    app.services.write = failing(DiskFull(), times=1, honest=honest)
    complained = app.client.post("/webhooks/email", **signed([an_event("spamreport", 8)]))

    assert (delivered.status_code, n_asked) == (503, 0)
    assert (complained.status_code, len(asked)) == (200, 1)
    assert suppressed(app, 8) == ("complaint", "email.sendgrid", None)


def test_callbacks_are_taken_while_events_are_refused(app: App) -> None:
    app.client.app.state.traffic._waiting = lambda: 10**9  # type: ignore[attr-defined]
    refused = app.post("/v1/track", {"userId": "u1", "event": "A"})

    answer = app.client.post("/webhooks/email", **signed([an_event("delivered", 7)]))

    assert (refused.status_code, answer.status_code) == (503, 200)


# --- texts --------------------------------------------------------------------------------------


def test_stop_by_text_withdraws_for_everyone_with_that_number_and_start_gives_it_back(
    app: App,
) -> None:
    key = app.services.address_hash("sms", NUMBER)
    with app.database.write() as connection:
        for profile in (7, 8):
            a_text_to(connection, profile, key)

    stopped = app.client.post("/webhooks/sms", **a_text("STOP"))
    after_stop = app.rows("SELECT withdrawn, stopped_at IS NOT NULL FROM contact")
    started = app.client.post("/webhooks/sms", **a_text("Start"))
    after_start = app.rows("SELECT withdrawn, stopped_at FROM contact")

    assert [stopped.status_code, started.status_code] == [200, 200]
    assert stopped.headers["content-type"].startswith("text/xml")
    assert [(w, bool(s)) for w, s in after_stop] == [('["*"]', True)]
    assert after_start == [("[]", None)]
    ledger = app.rows(
        "SELECT profile_id, channel, topic, granted, source, proof FROM consent_change ORDER BY id"
    )
    assert ledger == [
        (7, "sms", "*", 0, "text message", "text: STOP"),
        (8, "sms", "*", 0, "text message", "text: STOP"),
        (7, "sms", "*", 1, "text message", "text: Start"),
        (8, "sms", "*", 1, "text message", "text: Start"),
    ]
    names = sorted(row[0] for row in app.rows("SELECT name FROM event"))
    assert names == ["Message Replied"] * 4 + ["Message Unsubscribed"] * 2


def test_a_text_of_an_unknown_number_is_counted_and_its_stop_is_kept(app: App) -> None:
    answer = app.client.post("/webhooks/sms", **a_text("stop"))

    assert answer.status_code == 200
    assert app.rows("SELECT withdrawn FROM contact") == [('["*"]',)]
    assert app.rows("SELECT count(*) FROM event") == [(0,)]
    counted = metric(
        app, "antiphon_callback_events_total", channel="sms", event="text: unknown number"
    )
    assert counted == 1
