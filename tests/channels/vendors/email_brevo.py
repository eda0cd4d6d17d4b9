"""Brevo: the fields of its pages, its documented errors, its events."""

import json
from typing import Any, Final

from msgspec import structs

from channels.base import Accepted, Ambiguous, RefusedBy, Throttled
from channels.callbacks import Callback
from channels.calls import Answer, Call
from engine.core.model.instants import SECOND
from tests.channels.email_cases import HEADERS, MESSAGE, SENDER
from tests.channels.published import check_fields, json_of, texts
from tests.channels.vendor_cases import NOW, Answered, Told, VendorCases

TOKEN: Final = "test-webhook-token"
NAME: Final = "202603021000.28129897094@smtp-relay.mailin.fr"
PARTY: Final = {"!email": str, "name": str}
FIELDS: Final = {
    "!sender": PARTY,
    "!to": [PARTY],
    "!subject": str,
    "htmlContent": str,
    "textContent": str,
    "replyTo": PARTY,
    "headers": dict,
    "tags": list,
}
"""https://developers.brevo.com/reference/sendtransacemail"""


def check_call(call: Call) -> None:
    """What its page allows, and what we promise of every message."""
    body = json_of(call)
    assert call.url == "https://api.brevo.com/v3/smtp/email"
    assert call.headers["api-key"] == "xkeysib-test"
    assert call.headers["Accept"] == "application/json"
    check_fields(body, FIELDS)
    texts(body["headers"])
    assert body["headers"] == {**HEADERS, "X-Mailin-custom": "message:7"}
    assert body["tags"] == ["win_back"]


def signed(body: bytes) -> Callback:
    """A callback with the token that the webhook was given."""
    headers = {"content-type": "application/json", "authorization": f"Bearer {TOKEN}"}
    return Callback("https://us.example/webhooks/email", headers, body)


def told(event: str, **more: Any) -> dict[str, Any]:
    """https://developers.brevo.com/docs/transactional-webhooks"""
    return {
        "id": 814119,
        "email": "ada@example.com",
        "message-id": f"<{NAME}>",
        "date": "2026-03-02 11:59:55",
        "tags": ["win_back"],
        "event": event,
        "subject": "Subject Line",
        "X-Mailin-custom": "message:7",
        "sending_ip": "127.0.0.1",
        "ts": NOW // SECOND - 5,
        "ts_event": NOW // SECOND - 5,
        "ts_epoch": NOW // 1_000 - 5_000,
        **more,
    }


def telling(*events: dict[str, Any]) -> Callback:
    """One event alone, several as a list."""
    return signed(json.dumps(events[0] if len(events) == 1 else events).encode())


def forge(callback: Callback) -> Callback:
    """One letter of the token changed."""
    wrong = {**callback.headers, "authorization": f"Bearer {TOKEN[:-1]}N"}
    return structs.replace(callback, headers=wrong)


def error(status: int, code: str, message: str, **headers: str) -> Answer:
    """https://developers.brevo.com/docs/how-it-works#error-codes"""
    return Answer(status, headers, json.dumps({"code": code, "message": message}).encode())


def expected(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "message": 7,
        "provider_id": NAME,
        "recipient": "ada@example.com",
        "at": NOW - 5 * SECOND,
        **more,
    }


NO_USER: Final = "550-5.1.1 The email account that you tried to reach does not exist."

CASES: Final = VendorCases(
    provider="email.brevo",
    settings={**SENDER, "api_key": "xkeysib-test", "webhook_token": TOKEN},
    message=MESSAGE,
    check_call=check_call,
    accepted=Answered(
        "taken", Answer(201, {}, json.dumps({"messageId": f"<{NAME}>"}).encode()), Accepted(NAME)
    ),
    answered=(
        Answered(
            "several ids",
            Answer(201, {}, json.dumps({"messageIds": [f"<{NAME}>"]}).encode()),
            Accepted(NAME),
        ),
        Answered(
            "an address it does not take",
            error(400, "invalid_parameter", "email is not valid in to"),
            RefusedBy("recipient", "invalid_parameter", "email is not valid in to"),
        ),
        Answered("no subject", error(400, "missing_parameter", "subject is missing"),
                 RefusedBy("message", "missing_parameter", "subject is missing")),
        Answered("a key that is none", error(401, "unauthorized", "Key not found"),
                 RefusedBy("config", "unauthorized", "Key not found")),
        Answered("no credits", error(402, "not_enough_credits", "Not enough credits"),
                 RefusedBy("account", "not_enough_credits", "Not enough credits")),
        Answered("an account in review", error(403, "account_under_validation", "wait"),
                 RefusedBy("account", "account_under_validation", "wait")),
        Answered(
            "too fast",
            error(429, "too_many_requests", "Rate limit", **{"x-sib-ratelimit-reset": "30"}),
            Throttled(30.0, "Rate limit"),
        ),
        Answered("a fault of theirs", Answer(500, {}, b"oops"), Ambiguous("http 500: oops")),
    ),
    told=(
        Told("taken", telling(told("request", reason="sent")), [expected("queued")]),
        Told("sent and arrived", telling(told("sent"), told("delivered")),
             [expected("sent"), expected("delivered")]),
        Told("waiting", telling(told("deferred", reason="4.2.1 later")),
             [expected("deferred", code="4.2.1")]),
        Told("no such mailbox", telling(told("hard_bounce", reason=NO_USER)),
             [expected("bounced", bounce_class="hard", code="5.1.1")]),
        Told(
            "a policy, of an event that knows the second only",
            telling(told("hard_bounce", reason="550 5.7.1 policy", ts_epoch=None,
                         ts_event=NOW // SECOND - 6)),
            [expected("bounced", bounce_class="block", at=NOW - 6 * SECOND)],
        ),
        Told(
            "a server that is down, at a time in seconds",
            telling(told("soft_bounce", reason="server is down", ts_epoch=NOW // SECOND - 4)),
            [expected("bounced", bounce_class="soft", at=NOW - 4 * SECOND)],
        ),
        Told("no address", telling(told("invalid_email")),
             [expected("bounced", bounce_class="hard")]),
        Told("never left: somebody said no at Brevo",
             telling(told("blocked", reason="blocked : due to unsubscribed user")),
             [expected("rejected"), expected("unsubscribed")]),
        Told("never left", telling(told("blocked", reason="blocked : due to blacklist user",
                                        ts_epoch=NOW // 1_000 - 7_000)),
             [expected("rejected", at=NOW - 7 * SECOND)]),
        Told("an error", telling(told("error")), [expected("failed")]),
        Told(
            "read, for the first time and by a machine",
            telling(told("unique_opened"), told("opened"), told("proxy_open")),
            [expected("opened"), expected("opened", is_machine=False),
             expected("opened", is_machine=True)],
        ),
        Told("clicked", telling(told("click", link="https://www.google.com")),
             [expected("clicked", url="https://www.google.com")]),
        Told("had enough", telling(told("spam"), told("unsubscribed")),
             [expected("complained"), expected("unsubscribed")]),
    ),
    forge=forge,
    unknown=telling(told("smoke_signal")),
    sign=signed,
)  # fmt: skip
