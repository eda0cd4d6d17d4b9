"""Vonage's SMS API, as its documentation shows it. The Messages API: `test_vonage`.

Answers: https://developer.vonage.com/en/messaging/sms/guides/troubleshooting-sms
Receipts: https://developer.vonage.com/en/messaging/sms/guides/delivery-receipts
"""

import hashlib
import hmac
import json
import re
from base64 import urlsafe_b64encode
from typing import Any, Final
from urllib.parse import parse_qs

from msgspec import structs

from channels.base import Accepted, Ambiguous, OutMessage, RefusedBy, Throttled
from channels.callbacks import Callback
from channels.calls import Answer, Call
from tests.channels.published import check_published
from tests.channels.vendor_cases import NOW, Answered, Told, VendorCases

KEY, SECRET, SIGNING = "abcd1234", "an-api-secret-123", "a-signature-secret-for-tests"
US, PHONE, SENDER = "https://us.example/webhooks/sms", "+4915112345678", "Shop"
SECONDS: Final = NOW // 1_000_000

FIELDS: Final = {"api_key", "api_secret", "from", "to", "text", "type", "client-ref", "callback",
                 "ttl"}  # fmt: skip


def check_call(call: Call) -> None:
    assert call.url == "https://rest.nexmo.com/sms/json"
    form = parse_qs(call.body.decode(), strict_parsing=True)
    assert set(form) == FIELDS
    assert re.fullmatch(r"\d{7,15}", form["to"][0])
    assert form["type"] == ["unicode"]
    assert form["ttl"] == ["3600000"]
    assert form["client-ref"] == ["7"]
    assert KEY not in call.url
    check_published(call, "vonage_sms", host="https://rest.nexmo.com")


def token(body: bytes, *, at: int = SECONDS, secret: str = SIGNING, **claims: Any) -> str:
    """https://developer.vonage.com/en/getting-started/concepts/webhooks: HS256."""
    whole = {"iss": "Vonage", "iat": at, "jti": "c5ba8f24", "api_key": KEY,
             "payload_hash": hashlib.sha256(body).hexdigest(), **claims}  # fmt: skip
    head, middle = (urlsafe_b64encode(json.dumps(it).encode()).rstrip(b"=")
                    for it in ({"typ": "JWT", "alg": "HS256"}, whole))  # fmt: skip
    seal = urlsafe_b64encode(hmac.digest(secret.encode(), head + b"." + middle, "sha256"))
    return (head + b"." + middle + b"." + seal.rstrip(b"=")).decode()


def signed(body: bytes) -> Callback:
    headers = {"authorization": f"Bearer {token(body)}", "content-type": "application/json"}
    return Callback(US, headers, body)


def with_sig(fields: dict[str, str]) -> Callback:
    """The older scheme of the SMS API, HMAC-SHA256 over the parameters in order."""
    whole = {**fields, "timestamp": str(SECONDS), "nonce": "ec11dd3e"}
    text = "".join(f"&{name}={re.sub('[&=]', '_', value)}" for name, value in sorted(whole.items()))
    whole["sig"] = hmac.new(SIGNING.encode(), text.encode(), "sha256").hexdigest().upper()
    return Callback(US, {"content-type": "application/json"}, json.dumps(whole).encode())


def receipt(status: str, code: str = "0", **more: str) -> dict[str, str]:
    return {"msisdn": "4915112345678", "to": SENDER, "network-code": "26201",
            "messageId": "0A0000001234567B", "price": "0.03330000", "status": status,
            "scts": "2603021000", "err-code": code, "api-key": KEY, "client-ref": "7",
            "message-timestamp": "2026-03-02 10:00:00", **more}  # fmt: skip


def told(status: str, code: str = "0") -> Callback:
    return signed(json.dumps(receipt(status, code)).encode())


def forge(callback: Callback) -> Callback:
    return structs.replace(callback, body=callback.body.replace(b"49151", b"49152", 1))


def part(status: str, words: str) -> Answer:
    body = {"message-count": "1", "messages": [{"status": status, "error-text": words}]}
    return Answer(200, {}, json.dumps(body).encode())


ANSWER: Final = {"api-key": KEY, "msisdn": "4915112345678", "to": "447700900000",
                 "messageId": "0A0000000123ABCD1", "text": "STOP & <Danke> 😀", "type": "unicode",
                 "keyword": "STOP", "message-timestamp": "2026-03-02 10:00:00"}  # fmt: skip

CASES: Final = VendorCases(
    provider="sms.vonage",
    settings={
        "api_key": KEY,
        "api_secret": SECRET,
        "signature_secret": SIGNING,
        "from": SENDER,
        "callback_url": US,
    },
    message=OutMessage(
        7, "sms", PHONE, text="Grüße 🎻 & schöne Zeit", metadata={"message": "7"},
        expires_at=NOW + 3_600_000_000,
    ),
    check_call=check_call,
    accepted=Answered(
        "two parts",
        Answer(200, body=json.dumps({"message-count": "2", "messages": [
            {"to": "4915112345678", "message-id": "0A0000000123ABCD1", "status": "0",
             "remaining-balance": "3.14", "message-price": "0.0333", "network": "26201"},
            {"to": "4915112345678", "message-id": "0A0000000123ABCD2", "status": "0"},
        ]}).encode()),
        Accepted("0A0000000123ABCD1"),
    ),
    answered=(
        Answered("throttled", part("1", "Throughput Rate Exceeded"),
                 Throttled(None, "Throughput Rate Exceeded")),
        Answered("parameters", part("3", "Invalid value for parameter: to"),
                 RefusedBy("message", "3", "Invalid value for parameter: to")),
        Answered("credentials", part("4", "Bad Credentials"),
                 RefusedBy("config", "4", "Bad Credentials")),
        Answered("internal", part("5", "Internal Error"), Ambiguous),
        Answered("prefix", part("6", "Unroutable message - rejected"),
                 RefusedBy("recipient", "6", "Unroutable message - rejected", "undetermined")),
        Answered("barred", part("7", "Number barred 4915112345678"),
                 RefusedBy("recipient", "7", "Number barred <number>", "block")),
        Answered("no credit", part("9", "Quota Exceeded - rejected"),
                 RefusedBy("account", "9", "Quota Exceeded - rejected")),
        Answered("too long", part("12", "Message too long"),
                 RefusedBy("message", "12", "Message too long")),
        Answered("sender", part("15", "Illegal Sender Address - rejected"),
                 RefusedBy("config", "15", "Illegal Sender Address - rejected")),
        Answered("demo account", part("29", "Non White-listed Destination - rejected"), RefusedBy),
        Answered("number gone", part("33", "Number De-activated"),
                 RefusedBy("recipient", "33", "Number De-activated", "hard")),
        Answered("new status", part("77", "?"), Ambiguous),
        Answered("one part went", Answer(200, body=json.dumps({"messages": [
            {"status": "1", "error-text": "Throttled"}, {"status": "0", "message-id": "0B"},
        ]}).encode()), Accepted("0B")),
        Answered("too fast", Answer(429, {"retry-after": "1"}), Throttled(1.0, "")),
    ),
    told=(
        Told("at the carrier", told("accepted"), [{"kind": "sent", "message": 7}]),
        Told("held", told("buffered"), [{"kind": "deferred", "message": 7}]),
        Told("delivered", told("delivered"), [
            {"kind": "delivered", "message": 7, "recipient": PHONE, "at": NOW, "code": "",
             "provider_id": "0A0000001234567B"}]),
        Told("expired", told("expired", "2"), [{"kind": "undelivered", "bounce_class": "soft"}]),
        Told("gone", told("failed", "3"), [{"kind": "failed", "bounce_class": "hard"}]),
        Told("spam", told("rejected", "6"), [{"kind": "rejected", "bounce_class": "block"}]),
        Told("opted out", told("rejected", "9"), [
            {"kind": "rejected", "bounce_class": None, "code": "9"},
            {"kind": "unsubscribed", "message": 7, "recipient": PHONE}]),
        Told("new code", told("failed", "123"), [
            {"kind": "failed", "bounce_class": "undetermined"}]),
        Told("answer", signed(json.dumps(ANSWER).encode()), [
            {"kind": "inbound", "recipient": PHONE, "text": "STOP & <Danke> 😀"}]),
    ),
    forge=forge,
    unknown=told("teleported"),
    sign=signed,
)  # fmt: skip
