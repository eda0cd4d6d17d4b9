"""Postmark: the fields of its pages, its error codes, its events."""

from typing import Any, Final

import msgspec
from msgspec import structs

from channels.base import Accepted, Ambiguous, RefusedBy, Throttled
from channels.callbacks import Callback
from channels.calls import Answer, Call
from engine.core.model.instants import SECOND
from tests.channels.email_cases import HEADERS, MESSAGE, SENDER
from tests.channels.published import check_fields, json_of, texts
from tests.channels.vendor_cases import NOW, Answered, Told, VendorCases

TOKEN: Final = "test-webhook-token"
MESSAGE_ID: Final = "b7bc2f4a-e38e-4336-af7d-e6c392c2f817"
FIELDS: Final = {
    "!From": str,
    "!To": str,
    "ReplyTo": str,
    "!Subject": str,
    "HtmlBody": str,
    "TextBody": str,
    "Headers": [{"!Name": str, "!Value": str}],
    "Tag": str,
    "Metadata": dict,
    "MessageStream": str,
    "TrackOpens": bool,
    "TrackLinks": str,
}
"""https://postmarkapp.com/developer/api/email-api#send-a-single-email"""


def check_call(call: Call) -> None:
    """What its page allows, and what we promise of every message."""
    body = json_of(call)
    assert call.url == "https://api.postmarkapp.com/email"
    assert call.headers["X-Postmark-Server-Token"] == "test-server-token"
    assert call.headers["Accept"] == "application/json"
    check_fields(body, FIELDS)
    texts(body["Metadata"])
    assert body["Metadata"]["message"] == "7"
    assert all(len(name) <= 20 and len(value) <= 80 for name, value in body["Metadata"].items())
    assert {each["Name"]: each["Value"] for each in body["Headers"]} == HEADERS
    assert (body["TrackOpens"], body["TrackLinks"]) == (False, "None")
    assert body["MessageStream"] == "broadcast"
    assert body["From"] == '"Läden & Söhne" <hello@shop.example>'


def signed(body: bytes) -> Callback:
    """A callback to the address that the operator gave: https://x:TOKEN@host/…"""
    headers = {
        "content-type": "application/json",
        "authorization": "Basic eDp0ZXN0LXdlYmhvb2stdG9rZW4=",
    }
    return Callback("https://us.example/webhooks/email", headers, body)


def telling(record: str, **more: Any) -> Callback:
    """One event, as each of theirs comes alone."""
    told = {
        "RecordType": record,
        "MessageID": MESSAGE_ID,
        "ServerID": 23,
        "MessageStream": "outbound",
        "Metadata": {"message": "7", "campaign": "win_back"},
        "Tag": "win_back",
        **more,
    }
    return signed(msgspec.json.encode(told))


def bounce(number: int, kind: str, details: str = "Test bounce details") -> Callback:
    """https://postmarkapp.com/developer/webhooks/bounce-webhook"""
    return telling(
        "SpamComplaint" if kind == "SpamComplaint" else "Bounce",
        ID=number,
        Type=kind,
        TypeCode=1,
        Email="ada@example.com",
        BouncedAt="2026-03-02T09:59:55.1234567Z",
        Details=details,
        Inactive=True,
    )


def seen(record: str, time: str, **more: Any) -> Callback:
    """An event of the other pages, which know no ID."""
    return telling(record, Recipient="ada@example.com", **{time: "2026-03-02T09:59:55Z"}, **more)


def forge(callback: Callback) -> Callback:
    """One letter of the token changed."""
    wrong = {**callback.headers, "authorization": "Basic eDp0ZXN0LXdlYmhvb2stdG9rZU4="}
    return structs.replace(callback, headers=wrong)


def error(status: int, code: int, text: str) -> Answer:
    """https://postmarkapp.com/developer/api/overview#error-codes"""
    return Answer(status, {}, msgspec.json.encode({"ErrorCode": code, "Message": text}))


def expected(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "message": 7,
        "provider_id": MESSAGE_ID,
        "recipient": "ada@example.com",
        "at": NOW - 5 * SECOND,
        **more,
    }


OK: Final = {
    "To": "ada@example.com",
    "SubmittedAt": "2026-03-02T10:00:00.0-00:00",
    "MessageID": MESSAGE_ID,
    "ErrorCode": 0,
    "Message": "OK",
}
BOUNCES: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("HardBounce", "smtp;550 5.1.1 user unknown", expected(
        "bounced", bounce_class="hard", code="5.1.1", event_id="Bounce-1",
        at=1_772_445_595_123_000)),
    ("HardBounce", "smtp;550 5.7.1 blocked by policy", expected(
        "bounced", bounce_class="block", at=1_772_445_595_123_000)),
    ("SoftBounce", "", {"kind": "bounced", "bounce_class": "soft", "code": "SoftBounce"}),
    ("SpamNotification", "", {"kind": "bounced", "bounce_class": "block"}),
    ("Transient", "", {"kind": "deferred"}),
    ("BadEmailAddress", "", {"kind": "rejected", "bounce_class": "hard"}),
    ("SMTPApiError", "", {"kind": "failed"}),
    ("AutoResponder", "", {"kind": "autoresponded"}),
    ("Subscribe", "", {"kind": "subscribed"}),
    ("SomethingNew", "", {"kind": "bounced", "bounce_class": "undetermined"}),
)  # fmt: skip

CASES: Final = VendorCases(
    provider="email.postmark",
    settings={**SENDER, "server_token": "test-server-token", "webhook_token": TOKEN},
    message=MESSAGE,
    check_call=check_call,
    accepted=Answered("sent", Answer(200, {}, msgspec.json.encode(OK)), Accepted(MESSAGE_ID)),
    answered=(
        Answered(
            "an address it does not take",
            error(422, 300, "Invalid 'To' address: 'ada@example.com'."),
            RefusedBy("recipient", "300", "Invalid 'To' address: <address>"),
        ),
        Answered(
            "a recipient who bounced before, in a 200 as of batches",
            error(200, 406, "Found inactive addresses: ada@example.com."),
            RefusedBy("recipient", "406", "Found inactive addresses: <address>", "hard"),
        ),
        Answered("no body", error(422, 300, "Provide either TextBody or HtmlBody."), RefusedBy),
        Answered(
            "a sender nobody confirmed",
            error(422, 401, "Sender signature not confirmed"),
            RefusedBy("config", "401", "Sender signature not confirmed"),
        ),
        Answered(
            "a stream that is none",
            error(422, 1235, "The 'MessageStream' provided does not exist on this server."),
            RefusedBy(
                "config", "1235", "The 'MessageStream' provided does not exist on this server."
            ),
        ),
        Answered(
            "an account in review",
            error(422, 412, "Account is Pending"),
            RefusedBy("account", "412", "Account is Pending"),
        ),
        Answered(
            "a token that is none",
            error(401, 10, "Bad or missing API token"),
            RefusedBy,
        ),
        Answered("too large", Answer(413, {}, b"Request Entity Too Large"), RefusedBy),
        Answered(
            "too many", error(429, 429, "Rate Limit Exceeded"),
            Throttled(None, "Rate Limit Exceeded"),
        ),
        Answered("a fault of theirs", Answer(500, {}, b"oops"), Ambiguous("http 500: oops")),
        Answered("under maintenance", error(503, 100, "Maintenance"), Ambiguous),
    ),
    told=(
        *(
            Told(f"{kind}: {details}", bounce(number, kind, details), [wanted])
            for number, (kind, details, wanted) in enumerate(BOUNCES, start=1)
        ),
        Told("a complaint", bounce(42, "SpamComplaint"), [{"kind": "complained", "message": 7}]),
        Told("arrived", seen("Delivery", "DeliveredAt"), [expected("delivered")]),
        Told("read", seen("Open", "ReceivedAt", FirstOpen=True), [expected("opened")]),
        Told(
            "clicked", seen("Click", "ReceivedAt", OriginalLink="https://example.com"),
            [expected("clicked", url="https://example.com")],
        ),
        Told(
            "had enough",
            seen("SubscriptionChange", "ChangedAt", SuppressSending=True,
                 SuppressionReason="ManualSuppression", Origin="Recipient"),
            [expected("unsubscribed")],
        ),
        Told(
            "stopped by Postmark after a bounce: nobody's wish",
            seen("SubscriptionChange", "ChangedAt", SuppressSending=True,
                 SuppressionReason="HardBounce"),
            [expected("rejected")],
        ),
        Told(
            "back again", seen("SubscriptionChange", "ChangedAt", SuppressSending=False),
            [expected("subscribed")],
        ),
    ),
    forge=forge,
    unknown=seen("SmokeSignal", "ReceivedAt"),
    sign=signed,
)  # fmt: skip
