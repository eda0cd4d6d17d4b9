"""Mailgun: the fields of its pages, its documented answers, its events."""

import hashlib
import hmac
import json
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Final

from msgspec import structs

from channels.base import Accepted, Ambiguous, RefusedBy, Throttled
from channels.callbacks import Callback
from channels.calls import Answer, Call
from channels.email.told import hashed
from engine.core.model.instants import SECOND
from tests.channels.email_cases import HEADERS, MESSAGE, SENDER
from tests.channels.vendor_cases import NOW, Answered, Told, VendorCases

KEY: Final = "key-0p6mqbf74lb20gzq9f4dhpn9rg3zyk26"
NAME: Final = "m7.5b0dd4a8-2f6e-5c0e-9f5e-3a1f5f0f2b11@mail.shop.example"
FIELDS: Final = {
    "to": "ada@example.com",
    "o:tracking": "no",
    "o:tracking-opens": "no",
    "o:tracking-clicks": "no",
    "v:message": "7",
    "v:campaign": "win_back",
    "v:step": "remind",
}
"""https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages"""


def check_call(call: Call) -> None:
    """The fields of its page, read as a server would, and the mail inside."""
    assert (call.method, call.url) == (
        "POST", "https://api.mailgun.net/v3/mail.shop.example/messages.mime",
    )  # fmt: skip
    assert call.headers["Authorization"] == "Basic YXBpOmtleS10ZXN0LWFwaQ=="
    head = f"Content-Type: {call.headers['Content-Type']}\r\n\r\n".encode()
    form = message_from_bytes(head + call.body, policy=policy.HTTP)
    assert not form.defects
    found: dict[str, str] = {}
    files: dict[str, bytes] = {}
    for part in form.get_payload():
        name = part.get_param("name", header="content-disposition")
        if part.get_filename():
            files[name] = part.get_payload(decode=True)
        else:
            found[name] = part.get_payload(decode=True).decode()
    assert found == FIELDS
    assert list(files) == ["message"]
    _check_mail(files["message"])


def _check_mail(raw: bytes) -> None:
    mail = message_from_bytes(raw, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    assert not mail.defects
    assert {name: mail[name] for name in HEADERS} == HEADERS
    assert mail["Message-ID"] == f"<{NAME}>"
    assert mail["Subject"] == MESSAGE.subject
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


def signed(event: Any, *, at: int = NOW) -> Callback:
    """A callback with a token of its own; only time and token are signed."""
    token = hashlib.sha256(json.dumps(event).encode()).hexdigest()[:50]
    seconds = str(at // SECOND)
    signature = hmac.new(KEY.encode(), f"{seconds}{token}".encode(), "sha256").hexdigest()
    told = {
        "signature": {"timestamp": seconds, "token": token, "signature": signature},
        "event-data": event,
    }
    headers = {"content-type": "application/json"}
    return Callback("https://us.example/webhooks/email", headers, json.dumps(told).encode())


def sign(body: bytes) -> Callback:
    """Whatever body, signed; of a callback its event, of anything else the text."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = body.decode("utf-8", "replace")
    return signed(found.get("event-data") if isinstance(found, dict) else found)


def telling(event: str, **more: Any) -> Callback:
    """https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-structure"""
    return signed({
        "event": event,
        "id": hashed(event, json.dumps(more))[:22],
        "timestamp": NOW / SECOND - 5.5,
        "log-level": "info",
        "recipient": "ada@example.com",
        "recipient-domain": "example.com",
        "message": {"headers": {"message-id": NAME}, "size": 111},
        "user-variables": {"message": "7", "campaign": "win_back"},
        **more,
    })  # fmt: skip


def failed(severity: str, reason: str, **status: Any) -> Callback:
    return telling("failed", **{"severity": severity, "reason": reason, "delivery-status": status})


def forge(callback: Callback) -> Callback:
    """Another token, the signature as it was."""
    told = json.loads(callback.body)
    told["signature"]["token"] = "f" * 50
    return structs.replace(callback, body=json.dumps(told).encode())


def error(status: int, message: str) -> Answer:
    """https://documentation.mailgun.com/docs/mailgun/api-reference/api-responses"""
    return Answer(status, {}, json.dumps({"message": message}).encode())


def expected(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": kind, "message": 7, "provider_id": NAME, "recipient": "ada@example.com",
        "at": NOW - 11 * SECOND // 2, **more,
    }  # fmt: skip


CASES: Final = VendorCases(
    provider="email.mailgun",
    settings={**SENDER, "api_key": "key-test-api", "webhook_key": KEY},
    message=MESSAGE,
    check_call=check_call,
    accepted=Answered(
        "queued",
        Answer(200, {}, json.dumps({"id": f"<{NAME}>", "message": "Queued. Thank you."}).encode()),
        Accepted(NAME),
    ),
    answered=(
        Answered(
            "an address it does not take",
            error(400, "to parameter is not a valid address. please check documentation"),
            RefusedBy(
                "recipient", "http 400",
                "to parameter is not a valid address. please check documentation",
            ),
        ),
        Answered("a mail it does not take", error(400, "message is too large"), RefusedBy),
        Answered("a key that is none", Answer(401, {}, b"Forbidden"),
                 RefusedBy("config", "http 401", "Forbidden")),
        Answered(
            "a domain that may not send",
            error(403, "Domain shop.example is not allowed to send: The domain is unverified"),
            RefusedBy(
                "account", "http 403",
                "Domain shop.example is not allowed to send: The domain is unverified",
            ),
        ),
        Answered("a domain that is none", error(404, "Domain not found: x"), RefusedBy),
        Answered("too large", Answer(413, {}, b"Request Entity Too Large"), RefusedBy),
        Answered("too fast", Answer(429, {"retry-after": "2"}, b'{"message":"Too many"}'),
                 Throttled(2.0, "Too many")),
        Answered("a fault of theirs", Answer(500, {}, b"oops"), Ambiguous("http 500: oops")),
    ),
    told=(
        Told("taken", telling("accepted"), [expected("queued")]),
        Told("arrived", telling("delivered", **{"delivery-status": {"code": 250, "message": "OK"}}),
             [expected("delivered", reason="OK", code="250")]),
        Told(
            "waiting",
            failed("temporary", "generic", code=452, message="4.2.2 over quota",
                   **{"enhanced-code": "4.2.2"}),
            [expected("deferred", code="4.2.2", bounce_class=None)],
        ),
        Told(
            "no such mailbox",
            failed("permanent", "bounce", code=550, message="No Such User Here",
                   **{"enhanced-code": ""}),
            [expected("bounced", bounce_class="hard", code="550")],
        ),
        Told("blocked", failed("permanent", "espblock", code=554, message="5.7.1 blocked"),
             [expected("bounced", bounce_class="block", code="5.7.1")]),
        Told(
            "never left: on a list of theirs",
            failed("permanent", "suppress-bounce", code=605, message="",
                   description="Not delivering to previously bounced address"),
            [expected("rejected", reason="Not delivering to previously bounced address")],
        ),
        Told(
            "never left: somebody said no at Mailgun",
            failed("permanent", "suppress-unsubscribe", code=606, message=""),
            [expected("rejected"), expected("unsubscribed")],
        ),
        Told("rejected", telling("rejected", reject={"reason": "Sandbox"}), [expected("rejected")]),
        Told("read", telling("opened", **{"client-info": {"bot": ""}}),
             [expected("opened", is_machine=False)]),
        Told("read by a machine", telling("opened", **{"client-info": {"bot": "apple"}}),
             [expected("opened", is_machine=True)]),
        Told("clicked", telling("clicked", url="https://shop.example/"),
             [expected("clicked", url="https://shop.example/")]),
        Told("a complaint", telling("complained"), [expected("complained")]),
        Told("had enough", telling("unsubscribed"), [expected("unsubscribed")]),
    ),
    forge=forge,
    unknown=telling("stored"),
    sign=sign,
)  # fmt: skip
