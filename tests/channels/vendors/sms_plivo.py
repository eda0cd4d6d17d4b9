"""Plivo: answers of https://www.plivo.com/docs/messaging/api/response, callbacks of
https://plivo.com/docs/messaging/api/message/message-status-callbacks, signed with a test token."""

from typing import Final
from urllib.parse import urlencode

import msgspec
from msgspec import structs

from channels.base import Accepted, Ambiguous, OutMessage, RefusedBy, Throttled
from channels.callbacks import Callback
from channels.calls import Answer, Call
from channels.sms.plivo import seal
from tests.channels.vendor_cases import Answered, Told, VendorCases

TOKEN: Final = "plivo-auth-token-of-tests"
URL: Final = "https://us.example/webhooks/sms?message=7&token=our-own-webhook-secret"
UUID: Final = "db3ce55a-7f1d-11e1-8ea7-1231380bc196"
AT: Final = {"DeliveryReportTime": "2026-03-02 09:59:58.250000"}
FIELDS: Final = {"src", "dst", "text", "type", "url", "method", "powerpack_uuid"}
"""Of plivo-python's `messages.create`, those that this product uses."""


def signed(body: bytes) -> Callback:
    """As Plivo signs callbacks of messages: the address without its query, and a nonce."""
    nonce = "12345678901234567890"
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "x-plivo-signature-v2": seal(URL.partition("?")[0] + nonce, TOKEN),
        "x-plivo-signature-v2-nonce": nonce,
    }
    return Callback(URL, headers, body)


def status(word: str, **fields: str) -> Callback:
    """A status callback with the fields that the page lists."""
    told = {
        "MessageUUID": UUID, "To": "4915112345678", "From": "4915199999999", "Type": "sms",
        "Status": word, "Units": "1", "ErrorCode": "000", "Sequence": "1",
        "MessageTime": "2026-03-02 09:59:57.000000", **fields,
    }  # fmt: skip
    return signed(urlencode(told).encode())


def inbound(text: str) -> Callback:
    """What a person wrote, as the page on incoming messages shows it."""
    told = {"MessageUUID": UUID, "From": "4915112345678", "To": "4915199999999", "Type": "sms",
            "Text": text}  # fmt: skip
    return signed(urlencode(told).encode())


def forge(callback: Callback) -> Callback:
    """One character of the nonce, which is signed, changed."""
    headers = {**callback.headers, "x-plivo-signature-v2-nonce": "12345678901234567891"}
    return structs.replace(callback, headers=headers)


def check_call(call: Call) -> None:
    """POST /v1/Account/{auth_id}/Message/ with JSON and Basic authorization."""
    body = msgspec.json.decode(call.body)
    assert (call.method, call.url) == (
        "POST",
        "https://api.plivo.com/v1/Account/MATESTACCOUNT0000000/Message/",
    )
    assert call.headers["Content-Type"] == "application/json"
    assert call.headers["Authorization"].startswith("Basic ")
    assert set(body) <= FIELDS
    assert ("src" in body) != ("powerpack_uuid" in body)
    assert all(isinstance(value, str) for value in body.values())
    assert body["dst"] == "+4915112345678"
    assert body["url"] == URL


def answer(status: int, **told: object) -> Answer:
    """An answer with the api_id that each of them has."""
    body = {"api_id": "db342550-7f1d-11e1-8ea7-1231380bc196", **told}
    return Answer(status, {"content-type": "application/json"}, msgspec.json.encode(body))


CASES: Final = VendorCases(
    provider="sms.plivo",
    settings={
        "auth_id": "MATESTACCOUNT0000000",
        "auth_token": TOKEN,
        "webhook_token": "our-own-webhook-secret",
        "from": "+4915199999999",
        "callback_url": "https://us.example/webhooks/sms",
    },
    message=OutMessage(
        7,
        "sms",
        "+4915112345678",
        text="Grüße, Ihr Korb wartet 🎻 — мир",
        idempotency_key="9d7f0b5e-0001-5000-8000-000000000007",
        metadata={"message": "7", "campaign": "abandoned-cart"},
    ),
    check_call=check_call,
    accepted=Answered(
        "queued",
        answer(202, message="message(s) queued", message_uuid=[UUID]),
        Accepted(UUID),
    ),
    answered=(
        Answered(
            "invalid number",
            answer(202, message="message(s) queued", message_uuid=[], invalid_number=["491511"]),
            RefusedBy("recipient", "invalid_number", "not a number to Plivo", "hard"),
        ),
        Answered(
            "parameter",
            answer(400, error="src parameter not present"),
            RefusedBy("message", "http 400", "src parameter not present"),
        ),
        Answered(
            "credentials",
            Answer(401, body=b"Could not verify your access level for that URL."),
            RefusedBy("config", "http 401", "Could not verify your access level for that URL."),
        ),
        Answered(
            "credit",
            answer(402, error="insufficient credit"),
            RefusedBy("account", "http 402", "insufficient credit"),
        ),
        Answered(
            "path", answer(404, error="not found"), RefusedBy("config", "http 404", "not found")
        ),
        Answered("too many", answer(429, error="rate limit exceeded"), Throttled),
        Answered("server error", answer(500, error="internal"), Ambiguous),
        Answered("no uuid", answer(202, message="message(s) queued"), Ambiguous),
    ),
    told=(
        Told(
            "queued",
            status("queued", QueuedTime="2026-03-02 09:59:57.500000"),
            [{"kind": "queued", "message": 7, "at": 1_772_445_597_500_000}],
        ),
        Told(
            "sent",
            status("sent", SentTime="2026-03-02 09:59:58.000000"),
            [{"kind": "sent", "provider_id": UUID, "at": 1_772_445_598_000_000}],
        ),
        Told(
            "delivered",
            status("delivered", **AT),
            [
                {
                    "kind": "delivered",
                    "message": 7,
                    "provider_id": UUID,
                    "recipient": "+4915112345678",
                    "at": 1_772_445_598_250_000,
                    "code": "",
                }
            ],
        ),
        Told(
            "no such number",
            status("undelivered", ErrorCode="50", **AT),
            [{"kind": "undelivered", "code": "50", "bounce_class": "hard"}],
        ),
        Told(
            "off for now",
            status("undelivered", ErrorCode="080", **AT),
            [{"kind": "undelivered", "code": "80", "bounce_class": "soft"}],
        ),
        Told(
            "spam filter",
            status("failed", ErrorCode="30"),
            [{"kind": "failed", "code": "30", "bounce_class": "block"}],
        ),
        Told(
            "a code nobody knows",
            status("failed", ErrorCode="4711"),
            [{"kind": "failed", "code": "4711", "bounce_class": "undetermined"}],
        ),
        Told(
            "stopped",
            status("failed", ErrorCode="200"),
            [
                {"kind": "failed", "code": "200", "bounce_class": None},
                {"kind": "unsubscribed", "message": 7, "recipient": "+4915112345678"},
            ],
        ),
        Told("rejected", status("rejected"), [{"kind": "rejected", "bounce_class": None}]),
        Told(
            "an answer",
            inbound("STOPP bitte 🎻"),
            [{"kind": "inbound", "recipient": "+4915112345678", "text": "STOPP bitte 🎻"}],
        ),
    ),
    forge=forge,
    unknown=status("read"),
    sign=signed,
)
