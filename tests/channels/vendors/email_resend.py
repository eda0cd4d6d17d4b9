"""Resend: its published description, its documented errors, its events."""

import re
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import structs
from standardwebhooks import Webhook

from channels.base import Accepted, Ambiguous, RefusedBy, Throttled
from channels.callbacks import Callback
from channels.calls import Answer, Call
from channels.email.told import hashed
from engine.core.model.instants import SECOND
from tests.channels.email_cases import HEADERS, MESSAGE, SENDER
from tests.channels.published import check_fields, check_published, json_of, texts
from tests.channels.vendor_cases import NOW, Answered, Told, VendorCases

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NAME: Final = "56761188-7520-42d8-8898-ff6fc54ce618"
FIELDS: Final = {
    "!from": str,
    "!to": list,
    "!subject": str,
    "reply_to": str,
    "html": str,
    "text": str,
    "headers": dict,
    "tags": [{"!name": str, "!value": str}],
}
"""https://resend.com/docs/api-reference/emails/send-email"""


def check_call(call: Call) -> None:
    """What the description allows, and what we promise of every message."""
    body = json_of(call)
    assert call.url == "https://api.resend.com/emails"
    assert call.headers["Authorization"] == "Bearer re_test_api_key"
    assert len(call.headers["Idempotency-Key"]) <= 256
    check_fields(body, FIELDS)
    check_published(call, "resend_emails", host="https://api.resend.com")
    texts(body["headers"])
    assert body["headers"] == HEADERS
    assert {"name": "message", "value": "7"} in body["tags"]
    assert all(
        re.fullmatch(r"[A-Za-z0-9_-]{1,256}", text) for tag in body["tags"] for text in tag.values()
    )


def signed(body: bytes, *, at: int = NOW) -> Callback:
    """A callback signed by the reference library."""
    id = f"msg_{hashed(body)}"
    time = datetime.fromtimestamp(at // SECOND, UTC)
    signature = Webhook(SECRET).sign(id, time, body.decode("utf-8", "surrogateescape"))
    headers = {
        "content-type": "application/json",
        "svix-id": id,
        "svix-timestamp": str(at // SECOND),
        "svix-signature": f"v1,AAAA {signature}",
    }
    return Callback("https://us.example/webhooks/email", headers, body)


def telling(kind: str, **data: Any) -> Callback:
    """https://resend.com/docs/webhooks/emails/bounced and its sisters."""
    told = {
        "type": kind,
        "created_at": "2026-03-02T09:59:55.000Z",
        "data": {
            "created_at": "2026-03-02T09:59:50.126Z",
            "email_id": NAME,
            "from": "Shop <hello@shop.example>",
            "to": ["ada@example.com"],
            "subject": "Sending this example",
            "tags": {"message": "7", "campaign": "win_back"},
            **data,
        },
    }
    return signed(msgspec.json.encode(told))


def bounced(kind: str, sub_type: str, message: str) -> Callback:
    return telling("email.bounced", bounce={"type": kind, "subType": sub_type, "message": message})


def forge(callback: Callback) -> Callback:
    """Another person's address, the signature as it was."""
    return structs.replace(callback, body=callback.body.replace(b"ada@", b"eve@"))


def error(status: int, name: str, message: str, **headers: str) -> Answer:
    """https://resend.com/docs/api-reference/errors"""
    told = {"statusCode": status, "name": name, "message": message}
    return Answer(status, headers, msgspec.json.encode(told))


def expected(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "message": 7,
        "provider_id": NAME,
        "recipient": "ada@example.com",
        "at": NOW - 5 * SECOND,
        **more,
    }


CASES: Final = VendorCases(
    provider="email.resend",
    settings={**SENDER, "api_key": "re_test_api_key", "webhook_secret": SECRET},
    message=MESSAGE,
    check_call=check_call,
    accepted=Answered("sent", Answer(200, {}, msgspec.json.encode({"id": NAME})), Accepted(NAME)),
    answered=(
        Answered(
            "a field it does not take",
            error(422, "validation_error", "Invalid `to` field: ada@example.com"),
            RefusedBy("message", "validation_error", "Invalid `to` field: <address>"),
        ),
        Answered(
            "a domain nobody verified",
            error(403, "validation_error", "The shop.example domain is not verified."),
            RefusedBy("config", "validation_error", "The shop.example domain is not verified."),
        ),
        Answered("no key", error(401, "missing_api_key", "Missing API key"), RefusedBy),
        Answered(
            "a key that is none", error(403, "invalid_api_key", "API key is invalid"),
            RefusedBy("config", "invalid_api_key", "API key is invalid"),
        ),
        Answered(
            "a key that came with another mail",
            error(409, "invalid_idempotent_request", "Same key, other body"),
            RefusedBy("message", "invalid_idempotent_request", "Same key, other body"),
        ),
        Answered(
            "the first call is still under way",
            error(409, "concurrent_idempotent_requests", "In progress"),
            Ambiguous("concurrent_idempotent_requests: In progress"),
        ),
        Answered(
            "too fast",
            error(429, "rate_limit_exceeded", "Too many requests.", **{"retry-after": "1"}),
            Throttled(1.0, "Too many requests."),
        ),
        Answered(
            "too many today",
            error(429, "daily_quota_exceeded", "You have reached your daily email quota."),
            Throttled(3_600.0, "You have reached your daily email quota."),
        ),
        Answered("a fault of theirs", error(500, "application_error", "oops"), Ambiguous),
    ),
    told=(
        Told("scheduled", telling("email.scheduled"), [expected("queued")]),
        Told("sent", telling("email.sent"), [expected("sent")]),
        Told(
            "arrived; its tags are a list",
            telling("email.delivered", tags=[{"name": "message", "value": "7"}]),
            [expected("delivered")],
        ),
        Told("waiting", telling("email.delivery_delayed"), [expected("deferred")]),
        Told(
            "no such mailbox",
            bounced("Permanent", "General", "550 5.1.1 <ada@example.com> unknown"),
            [expected("bounced", bounce_class="hard", code="5.1.1",
                      reason="550 5.1.1 <<address>> unknown")],
        ),
        Told("a full mailbox", bounced("Transient", "MailboxFull", ""),
             [expected("bounced", bounce_class="soft")]),
        Told("on their list, told as a bounce", bounced("Permanent", "Suppressed", ""),
             [expected("rejected", bounce_class=None)]),
        Told("on their list", telling("email.suppressed", suppressed={"message": "on the list"}),
             [expected("rejected", reason="on the list")]),
        Told("failed", telling("email.failed", failed={"reason": "reached_daily_quota"}),
             [expected("failed", reason="reached_daily_quota")]),
        Told("read", telling("email.opened"), [expected("opened")]),
        Told(
            "clicked",
            telling("email.clicked", click={"link": "https://resend.com",
                                            "timestamp": "2026-03-02T09:59:54.000Z"}),
            [expected("clicked", url="https://resend.com", at=NOW - 6 * SECOND)],
        ),
        Told("a complaint", telling("email.complained"), [expected("complained")]),
    ),
    forge=forge,
    unknown=telling("contact.updated"),
    sign=lambda body: signed(body.decode("utf-8", "replace").encode()),
)  # fmt: skip
