"""MessageBird's REST API, as its documentation shows it. Bird: `test_messagebird`.

https://developers.messagebird.com/api/sms-messaging/
"""

import hashlib
import hmac
import json
from base64 import b64encode, urlsafe_b64encode
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from msgspec import structs

from channels.base import Accepted, Ambiguous, OutMessage, RefusedBy, Throttled
from channels.callbacks import Callback
from channels.calls import Answer, Call
from tests.channels.published import check_fields, json_of
from tests.channels.vendor_cases import NOW, Answered, Told, VendorCases

US, PHONE = "https://us.example/webhooks/sms", "+4915112345678"
KEY: Final = "a-signing-key-for-tests"
ID: Final = "efa6405d518d4c0c88cce11f7db775fb"
SECONDS: Final = NOW // 1_000_000

FIELDS: Final = {
    "!recipients": [str], "!originator": str, "!body": str, "reference": str, "reportUrl": str,
    "datacoding": str, "validity": int,
}  # fmt: skip


def check_call(call: Call) -> None:
    body = json_of(call)
    assert call.url == "https://rest.messagebird.com/messages"
    assert call.headers["Authorization"] == "AccessKey test-access-key"
    check_fields(body, FIELDS)
    assert body["recipients"] == ["4915112345678"]
    assert body["reference"] == "7"
    assert body["validity"] == 3600


def with_token(callback: Callback, *, key: str = KEY, at: int = SECONDS, **more: Any) -> Callback:
    """https://developers.messagebird.com/api/#verifying-http-requests"""
    claims = {"iss": "MessageBird", "nbf": at - 1, "exp": at + 60, "jti": "59a244dc",
              "url_hash": hashlib.sha256(callback.url.encode()).hexdigest(), **more}  # fmt: skip
    if callback.body:
        claims["payload_hash"] = hashlib.sha256(callback.body).hexdigest()
    head, middle = (urlsafe_b64encode(json.dumps(it).encode()).rstrip(b"=")
                    for it in ({"alg": "HS256", "typ": "JWT"}, claims))  # fmt: skip
    seal = urlsafe_b64encode(hmac.digest(key.encode(), head + b"." + middle, "sha256"))
    token = (head + b"." + middle + b"." + seal.rstrip(b"=")).decode()
    headers = {**callback.headers, "messagebird-signature-jwt": token}
    return structs.replace(callback, headers=headers)


def with_hash(callback: Callback, *, key: str = KEY, whole: bool = False) -> Callback:
    """The older scheme: time, parameters in order (Bird: the whole address), hash of the body."""
    query = parse_qsl(urlsplit(callback.url).query, keep_blank_values=True)
    address = callback.url if whole else urlencode(sorted(query))
    signed = f"{SECONDS}\n{address}\n".encode() + hashlib.sha256(callback.body).digest()
    seal = b64encode(hmac.digest(key.encode(), signed, "sha256")).decode()
    headers = {**callback.headers, "messagebird-signature": seal,
               "messagebird-request-timestamp": str(SECONDS)}  # fmt: skip
    return structs.replace(callback, headers=headers)


def report(status: str, code: str = "", **more: str) -> Callback:
    fields = {"id": ID, "reference": "7", "recipient": "4915112345678", "status": status,
              "statusDatetime": "2026-03-02T10:00:00+00:00", "mccmnc": "26201", "ported": "0",
              **({"statusErrorCode": code} if code else {}), **more}  # fmt: skip
    return Callback(f"{US}?{urlencode(fields)}", method="GET")


def told(status: str, code: str = "") -> Callback:
    return with_token(report(status, code))


def signed(body: bytes) -> Callback:
    return with_token(Callback(US, {"content-type": "application/json"}, body))


def forge(callback: Callback) -> Callback:
    return structs.replace(
        callback,
        url=callback.url.replace("4915112345678", "4915112345670"),
        body=callback.body.replace(b"4915112345678", b"4915112345670"),
    )


def fault(status: int, code: int, words: str) -> Answer:
    body = {"errors": [{"code": code, "description": words, "parameter": None}]}
    return Answer(status, {}, json.dumps(body).encode())


ANSWER: Final = {"id": "in-1", "recipient": "447700900000", "originator": "4915112345678",
                 "body": "Stop 😀", "createdDatetime": "2026-03-02T10:00:00+00:00"}  # fmt: skip

CASES: Final = VendorCases(
    provider="sms.messagebird",
    settings={
        "access_key": "test-access-key",
        "signing_key": KEY,
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
        Answer(201, body=json.dumps({
            "id": ID, "href": f"https://rest.messagebird.com/messages/{ID}", "direction": "mt",
            "originator": "Shop", "reference": "7",
            "recipients": {"totalCount": 1, "totalSentCount": 1, "items": [
                {"recipient": 4915112345678, "status": "sent"}]},
        }).encode()),
        Accepted(ID),
    ),
    answered=(
        Answered("key", fault(401, 2, "Request not allowed (incorrect access_key)"),
                 RefusedBy("config", "2", "Request not allowed (incorrect access_key)")),
        Answered("missing", fault(422, 9, "no (correct) recipients found"),
                 RefusedBy("message", "9", "no (correct) recipients found")),
        Answered("no credit", fault(402, 25, "Not enough balance"),
                 RefusedBy("account", "25", "Not enough balance")),
        Answered("new code", fault(422, 77, "New"), RefusedBy("message", "77", "New")),
        Answered("too fast", Answer(429, {"retry-after": "1"}), Throttled(1.0, "")),
        Answered("broken", Answer(500, body=b"oops"), Ambiguous("http 500: oops")),
    ),
    told=(
        Told("planned", told("scheduled"), [{"kind": "queued", "message": 7}]),
        Told("sent", told("sent"), [{"kind": "sent", "provider_id": ID}]),
        Told("held", told("buffered"), [{"kind": "deferred", "message": 7}]),
        Told("delivered", told("delivered"), [
            {"kind": "delivered", "message": 7, "recipient": PHONE, "at": NOW}]),
        Told("no such phone", told("delivery_failed", "1"), [
            {"kind": "failed", "bounce_class": "hard", "code": "1"}]),
        Told("away", told("delivery_failed", "27"), [{"kind": "failed", "bounce_class": "soft"}]),
        Told("too late", told("expired"), [{"kind": "undelivered", "bounce_class": "soft"}]),
        Told("refused", told("rejected", "104"), [{"kind": "rejected", "bounce_class": "block"}]),
        Told("opted out", told("delivery_failed", "103"), [
            {"kind": "failed", "bounce_class": None}, {"kind": "unsubscribed", "message": 7}]),
        Told("the older signature", with_hash(report("delivered", mccmnc="26203", id="other")), [
            {"kind": "delivered", "message": 7}]),
        Told("answer", signed(json.dumps(ANSWER).encode()), [
            {"kind": "inbound", "recipient": PHONE, "text": "Stop 😀"}]),
    ),
    forge=forge,
    unknown=told("teleported"),
    sign=signed,
)  # fmt: skip
