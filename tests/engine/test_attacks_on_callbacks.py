"""What strangers try at `POST /webhooks/{channel}`: other accounts, other bodies, too much at once.

As in `test_web_callbacks` signatures, bodies and providers are the real ones. Both databases.
"""

import asyncio
import base64
import logging
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from channels.callbacks import Callback, Echo
from engine.store.database import Database
from engine.web.callbacks import BODIES_BYTES_MAX, BODY_BYTES_MAX, Ears
from engine.web.readers import Readers
from tests.engine import callback_cases
from tests.engine.callback_cases import CHANNELS, a_text, an_attempt, an_event, readers, signed
from tests.engine.test_unsubscribe import a_message, a_profile, address_of
from tests.engine.test_web_callbacks import PROGRAM, delivery, suppressed
from tests.engine.web_harness import App, an_app

OTHER = base64.b64encode(
    ec.derive_private_key(7, ec.SECP256R1())
    .public_key()
    .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()
TOKEN = "tok-3n-of-the-query"
GATEWAY = {
    "base_url": "http://127.0.0.1:1", "username": "u", "password": "p", "webhook_token": TOKEN,
}  # fmt: skip


@pytest.fixture
def channels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Readers:
    """`email`, `letters`: two accounts of SendGrid's; `gateway` has a token in its address."""
    email = CHANNELS["email"]
    more = {
        "letters": (*email[:2], {**email[2], "webhook_key": OTHER}),
        "gateway": ("sms", "kannel", GATEWAY),
    }
    monkeypatch.setattr(callback_cases, "CHANNELS", {**CHANNELS, **more})
    return readers(tmp_path)


@pytest.fixture
def app(database: Database, tmp_path: Path, channels: Readers) -> Iterator[App]:
    """Message 7 went out by `email`, 8 by `letters`."""
    with an_app(database, tmp_path, program=PROGRAM, readers=channels) as made:
        with database.write() as connection:
            for number, account in ((7, "email"), (8, "letters")):
                a_profile(connection, number)
                a_message(connection, number, profile=number, status="sent", account=account)
                an_attempt(connection, number, address_hash=address_of(number), account=account)
        yield made


def stored(app: App) -> str:
    return str(app.rows("SELECT * FROM stray_report") + app.rows("SELECT * FROM event"))


# --- whose word it is ---------------------------------------------------------------------------


def test_what_one_account_signed_is_forged_at_the_other(app: App) -> None:
    told = signed([an_event("bounce", 8, type="bounce", status="5.1.1")])

    answer = app.client.post("/webhooks/letters", **told)

    assert answer.status_code == 403
    assert delivery(app, 8) is None
    assert suppressed(app, 8) is None


def test_an_account_that_knows_only_our_number_of_anothers_message_is_not_believed(
    app: App,
) -> None:
    told = [
        an_event("bounce", 8, type="bounce", status="5.1.1", sg_message_id=name)
        for name in ("", "sg7.filter", "made-up")
    ]

    answer = app.client.post("/webhooks/email", **signed(told))

    assert answer.status_code == 200
    assert delivery(app, 8) is None
    assert suppressed(app, 8) is None


@pytest.mark.parametrize("headers", [
    {}, {"X-Twilio-Signature": ""}, {"X-Twilio-Signature": "é"},
    {"Content-Type": "application/json"}, {"Authorization": "Basic ü"},
])  # fmt: skip
def test_nobody_stops_texts_in_anothers_name(app: App, headers: dict[str, str]) -> None:
    told = a_text("STOP")
    signature = {} if headers else {"X-Twilio-Signature": "AAAA"}
    encoded = {name: text.encode("latin-1") for name, text in {**signature, **headers}.items()}
    told["headers"] = {"Content-Type": "application/x-www-form-urlencoded", **encoded}

    answer = app.client.post("/webhooks/sms", **told)

    assert answer.status_code in (400, 403)
    assert app.rows("SELECT count(*) FROM contact WHERE withdrawn <> '[]'") == [(0,)]


def test_a_stop_that_is_played_again_after_a_start_changes_nothing(app: App) -> None:
    stop, start = a_text("STOP"), a_text("START")
    for each in (stop, start, stop, stop):
        assert app.client.post("/webhooks/sms", **each).status_code == 200

    assert app.rows("SELECT withdrawn, stopped_at FROM contact") == [("[]", None)]


# --- what is told nobody ------------------------------------------------------------------------


def test_a_token_in_the_address_stands_in_no_log_answer_count_or_row(
    app: App, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG, logger="antiphon")
    report = f"token={TOKEN}&type=99&at=1772445600&to=4915112345678&carrier_id=1&words=x&message=7"
    said = [
        app.client.get(f"/webhooks/gateway?{query}")
        for query in (report, f"token={TOKEN}x&type=1", f"token={TOKEN}", f"token={TOKEN}&at=%00")
    ]
    said.append(app.client.post(f"/webhooks/gateway?token={TOKEN}", content=b"x"))
    said.append(app.client.put(f"/webhooks/gateway?token={TOKEN}"))
    said.append(app.client.get(f"/webhooks/nobody?token={TOKEN}"))
    said.append(app.client.get(f"/nowhere?token={TOKEN}"))
    monkeypatch.setattr(Ears, "heard", _broken)
    said.append(app.client.get(f"/webhooks/gateway?{report}"))
    said.append(app.client.get("/metrics"))

    assert [it.status_code for it in said] == [200, 403, 400, 400, 400, 405, 404, 404, 503, 200]
    assert TOKEN not in " ".join(it.text for it in said)
    assert TOKEN not in caplog.text
    assert TOKEN not in stored(app)


async def _broken(_self: Ears, _what: Any) -> None:
    raise RuntimeError("the test breaks it")


# --- too much of it -----------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["9" * 400, "1e400", "-9" * 1, "9" * 30])
def test_a_signed_number_of_no_time_is_unreadable_and_not_asked_for_again(
    app: App, number: str
) -> None:
    body = f'[{{"event": "open", "message": "7", "timestamp": {number}}}]'.encode()

    answer = app.client.post("/webhooks/email", **signed(body))

    assert answer.status_code == 400


def test_a_megabyte_of_one_word_is_kept_short_and_at_once(app: App) -> None:
    fields = {f"field{number}": "a" * 1_900 for number in range(450)}
    event = an_event("teleported", 7, **fields)
    started = time.process_time()

    answer = app.client.post("/webhooks/email", **signed([event]))

    assert answer.status_code == 200
    assert time.process_time() - started < 2.0
    ((n_characters,),) = app.rows("SELECT length(body) FROM stray_report")
    assert n_characters < 20_000


def test_two_hundred_callbacks_of_a_megabyte_at_once_take_little_memory(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While each waits to be verified, as one of SNS' does for its certificate."""
    n_inside = n_most = 0

    async def slow(_self: Any, _callback: Callback) -> Echo:
        nonlocal n_inside, n_most
        n_inside += 1
        n_most = max(n_most, n_inside)
        await asyncio.sleep(2.0)
        n_inside -= 1
        return Echo()

    monkeypatch.setattr("channels.http_provider.HttpProvider.read_callback", slow)
    body = b"x" * BODY_BYTES_MAX

    async def one(number: int) -> int:
        # One after the other: the first ones are in when the next ones come.
        await asyncio.sleep(number / 1_000)
        messages = [
            {"type": "http.request", "body": body[at : at + 65_536], "more_body": at < 900_000}
            for at in range(0, BODY_BYTES_MAX, 65_536)
        ]
        statuses: list[int] = []

        async def receive() -> Any:
            await asyncio.sleep(0)
            return messages.pop(0)

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        scope = {
            "type": "http", "method": "POST", "path": "/webhooks/email", "query_string": b"",
            "raw_path": b"/webhooks/email", "headers": [(b"content-length", b"1000000")],
            "http_version": "1.1", "scheme": "http", "server": ("x", 80), "client": ("y", 1),
        }  # fmt: skip
        await app.client.app(scope, receive, send)
        return statuses[0]

    async def all_at_once() -> list[int]:
        return await asyncio.gather(*(one(number) for number in range(200)))

    tracemalloc.start()
    try:
        statuses = asyncio.run(all_at_once())
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    allowed = BODIES_BYTES_MAX // BODY_BYTES_MAX
    assert (statuses.count(200), statuses.count(503)) == (allowed, 200 - allowed)
    assert n_most == allowed
    assert most < 2.5 * BODIES_BYTES_MAX + 200 * BODY_BYTES_MAX / 4
    # The room is free again.
    assert app.client.post("/webhooks/email", **signed([])).status_code == 200
