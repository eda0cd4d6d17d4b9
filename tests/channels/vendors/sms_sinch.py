"""Sinch, as its documentation shows it.

https://developers.sinch.com/docs/sms/api-reference/sms/tag/Batches/ and …/tag/Webhooks/
"""

import hmac
import json
from base64 import b64encode
from typing import Any, Final

import msgspec
from msgspec import structs

from channels.base import Accepted, Ambiguous, OutMessage, RefusedBy, Throttled
from channels.callbacks import Callback
from channels.calls import Answer, Call
from tests.channels.published import check_fields, json_of
from tests.channels.vendor_cases import NOW, Answered, Told, VendorCases

US, PHONE = "https://us.example/webhooks/sms", "+4915112345678"
SECRET: Final = "a-webhook-secret"
BATCH: Final = "01FC66621XXXXX119Z8PMV1QPQ"

FIELDS: Final = {
    "!to": [str], "!body": str, "from": str, "type": str, "delivery_report": str,
    "callback_url": str, "client_reference": str, "expire_at": str,
}  # fmt: skip


def check_call(call: Call) -> None:
    body = json_of(call)
    assert call.url == "https://eu.sms.api.sinch.com/xms/v1/plan-1/batches"
    assert call.headers["Authorization"] == "Bearer an-api-token"
    check_fields(body, FIELDS)
    assert body["type"] == "mt_text"
    assert body["delivery_report"] == "per_recipient"
    assert body["client_reference"] == "7"
    assert body["expire_at"] == "2026-03-02T11:00:00Z"


def signed(body: bytes) -> Callback:
    nonce, at = "01FJA8B4A7BM43YGWSG9GBV067", str(NOW // 1_000_000)
    seal = hmac.digest(SECRET.encode(), body + f".{nonce}.{at}".encode(), "sha256")
    name = "x-sinch-webhook-signature"
    headers = {name: b64encode(seal).decode(), f"{name}-nonce": nonce, f"{name}-timestamp": at,
               f"{name}-algorithm": "HmacSHA256", "content-type": "application/json"}  # fmt: skip
    return Callback(US, headers, body)


def told(status: str, code: int = 0, **more: Any) -> Callback:
    fields = {"type": "recipient_delivery_report_sms", "batch_id": BATCH, "code": code,
              "recipient": "4915112345678", "status": status, "client_reference": "7",
              "at": "2026-03-02T10:00:00.500Z", "operator": "26201", **more}  # fmt: skip
    return signed(json.dumps(fields).encode())


def forge(callback: Callback) -> Callback:
    return structs.replace(callback, body=callback.body.replace(b"4915112345678", b"4915112345670"))


def fault(status: int, code: str, words: str) -> Answer:
    return Answer(status, {}, msgspec.json.encode({"code": code, "text": words}))


CASES: Final = VendorCases(
    provider="sms.sinch",
    settings={
        "service_plan_id": "plan-1",
        "api_token": "an-api-token",
        "region": "eu",
        "webhook_secret": SECRET,
        "from": "Shop",
        "callback_url": US,
    },
    message=OutMessage(
        7, "sms", PHONE, text="Grüße 🎻 & schöne Zeit", metadata={"message": "7"},
        expires_at=NOW + 3_600_000_000,
    ),
    check_call=check_call,
    accepted=Answered(
        "created",
        Answer(201, body=json.dumps({"id": BATCH, "to": ["4915112345678"], "from": "Shop",
                                     "canceled": False, "type": "mt_text"}).encode()),
        Accepted(BATCH),
    ),
    answered=(
        Answered(
            "syntax", fault(400, "syntax_invalid_parameter_format", "to: 4915112345678 is wrong"),
            RefusedBy("message", "syntax_invalid_parameter_format", "to: <number> is wrong"),
        ),
        Answered("plan", fault(403, "forbidden", "Forbidden"),
                 RefusedBy("config", "forbidden", "Forbidden")),
        Answered("token", Answer(401), RefusedBy("config", "http 401", "")),
        Answered("blocked number", fault(403, "forbidden_number", "The number is blocked"),
                 RefusedBy("recipient", "forbidden_number", "The number is blocked", "block")),
        Answered("sender", fault(400, "unknown_sender", "Unknown sender"),
                 RefusedBy("config", "unknown_sender", "Unknown sender")),
        Answered("too fast", Answer(429, {"retry-after": "5"}), Throttled(5.0, "")),
        Answered("broken", Answer(500, body=b"oops"), Ambiguous("http 500: oops")),
    ),
    told=(
        Told("queued", told("Queued", 400), [{"kind": "queued", "message": 7}]),
        Told("dispatched", told("Dispatched", 401), [{"kind": "sent", "provider_id": BATCH}]),
        Told("delivered", told("Delivered"), [
            {"kind": "delivered", "message": 7, "recipient": PHONE, "at": NOW + 500_000}]),
        Told("failed for now", told("Failed", 404), [{"kind": "failed", "bounce_class": "soft"}]),
        Told("refused", told("Rejected", 402), [
            {"kind": "rejected", "bounce_class": "undetermined", "code": "402"}]),
        Told("our account", told("Failed", 413), [{"kind": "failed", "bounce_class": "block"}]),
        Told("too late", told("Expired", 406), [{"kind": "undelivered", "bounce_class": "soft"}]),
        Told(
            "a batch",
            signed(json.dumps({
                "type": "delivery_report_sms", "batch_id": BATCH.lower(),
                "total_message_count": 2,
                "client_reference": "7",
                "statuses": [{"code": 0, "status": "Delivered", "count": 2,
                              "recipients": ["4915112345678", "4915112345679"]}],
            }).encode()),
            [{"kind": "delivered", "recipient": PHONE, "message": 7},
             {"kind": "delivered", "recipient": "+4915112345679"}],
        ),
        Told(
            "answer",
            signed(json.dumps({
                "type": "mo_text", "id": "01FC66621VHDBN119Z8PMV1AHY", "from": "4915112345678",
                "to": "447700900000", "body": "Stop 😀", "received_at": "2026-03-02T10:00:00.000Z",
            }).encode()),
            [{"kind": "inbound", "recipient": PHONE, "text": "Stop 😀", "at": NOW}],
        ),
    ),
    forge=forge,
    unknown=told("Teleported"),
    sign=signed,
)  # fmt: skip
