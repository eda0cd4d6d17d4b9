"""SendGrid: its published description, its documented answers, its events."""

from base64 import b64encode
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import structs

from channels.base import Accepted, Ambiguous, RefusedBy, Throttled
from channels.callbacks import Callback
from channels.calls import Answer, Call
from channels.email.told import hashed
from engine.core.model.instants import SECOND
from tests.channels.email_cases import HEADERS, MESSAGE, SENDER
from tests.channels.published import check_fields, check_published, json_of, texts
from tests.channels.vendor_cases import NOW, Answered, Told, VendorCases

KEY: Final = ec.derive_private_key(20_260_302, ec.SECP256R1())
"""A test key, the same on every run."""


def public_text(key: ec.EllipticCurvePrivateKey) -> str:
    """The verification key as the settings page shows it."""
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64encode(public).decode()


PUBLIC: Final = public_text(KEY)

PARTY: Final = {"!email": str, "name": str}
SWITCH: Final = {"!enable": bool}
FIELDS: Final = {
    "!personalizations": [{"!to": [PARTY], "custom_args": dict}],
    "!from": PARTY,
    "reply_to": PARTY,
    "!subject": str,
    "!content": [{"!type": str, "!value": str}],
    "headers": dict,
    "ip_pool_name": str,
    "mail_settings": {"footer": SWITCH, "sandbox_mode": SWITCH},
    "tracking_settings": {
        "click_tracking": {"enable": bool, "enable_text": bool},
        "open_tracking": SWITCH,
        "subscription_tracking": SWITCH,
        "ganalytics": SWITCH,
    },
}
"""https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send"""


def check_call(call: Call) -> None:
    """What the description allows, and what we promise of every message."""
    body = json_of(call)
    assert call.url == "https://api.sendgrid.com/v3/mail/send"
    assert call.headers["Authorization"] == "Bearer SG.test-api-key"
    check_fields(body, FIELDS)
    check_published(call, "sendgrid_mail_send", host="https://api.sendgrid.com")
    texts(body["headers"])
    texts(body["personalizations"][0]["custom_args"])
    assert [part["type"] for part in body["content"]] == ["text/plain", "text/html"]
    assert body["personalizations"][0]["custom_args"]["message"] == "7"
    assert body["headers"] == HEADERS
    assert not any(each["enable"] for each in body["tracking_settings"].values())
    assert len(call.body) < 30 * 1024 * 1024


def signed(body: bytes, *, at: int = NOW) -> Callback:
    """A callback as SendGrid signs it."""
    seconds = str(at // SECOND)
    signature = KEY.sign(seconds.encode() + body, ec.ECDSA(SHA256()))
    headers = {
        "content-type": "application/json",
        "x-twilio-email-event-webhook-timestamp": seconds,
        "x-twilio-email-event-webhook-signature": b64encode(signature).decode(),
    }
    return Callback("https://us.example/webhooks/email", headers, body)


def telling(*events: dict[str, Any]) -> Callback:
    """A batch; it ends with CRLF, as theirs do."""
    common = {
        "email": "ada@example.com",
        "timestamp": NOW // SECOND - 5,
        "smtp-id": "<14c5d75ce93.dfd.64b469@ismtpd-555>",
        "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",
        "message": "7",
        "campaign": "win_back",
    }
    told = [{**common, "sg_event_id": hashed(*each.items()), **each} for each in events]
    return signed(msgspec.json.encode(told) + b"\r\n")


def forge(callback: Callback) -> Callback:
    """Another person's address, the signature as it was."""
    return structs.replace(callback, body=callback.body.replace(b"ada@", b"eve@"))


def fault(status: int, message: str, field: str | None = None) -> Answer:
    """https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors"""
    errors = [{"message": message, "field": field, "help": None}]
    return Answer(status, {}, msgspec.json.encode({"errors": errors}))


def expected(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "message": 7,
        "provider_id": "14c5d75ce93",
        "recipient": "ada@example.com",
        "at": NOW - 5 * SECOND,
        **more,
    }


CASES: Final = VendorCases(
    provider="email.sendgrid",
    settings={**SENDER, "api_key": "SG.test-api-key", "webhook_key": PUBLIC},
    message=MESSAGE,
    check_call=check_call,
    accepted=Answered(
        "202 without a body",
        Answer(202, {"x-message-id": "14c5d75ce93"}),
        Accepted("14c5d75ce93"),
    ),
    answered=(
        Answered(
            "an address it does not take",
            fault(400, "Does not contain a valid address.", "personalizations.0.to.0.email"),
            RefusedBy(
                "recipient", "personalizations.0.to.0.email", "Does not contain a valid address."
            ),
        ),
        Answered(
            "a body it does not take",
            fault(400, "The subject is required.", "subject"),
            RefusedBy,
        ),
        Answered("too large", fault(413, "payload too large"), RefusedBy),
        Answered(
            "a key that is none",
            Answer(401, {}, b'{"errors":[{"message":"Permission denied, wrong credentials"}]}'),
            RefusedBy(
                "config", "http 401",
                '{"errors":[{"message":"Permission denied, wrong credentials"}]}',
            ),
        ),
        Answered(
            "no credits are left",
            fault(401, "Maximum credits exceeded"),
            RefusedBy("account", "credits", "Maximum credits exceeded"),
        ),
        Answered(
            "a sender nobody verified",
            fault(403, "The from address does not match a verified Sender Identity.", "from"),
            RefusedBy,
        ),
        Answered(
            "too many requests",
            Answer(429, {"x-ratelimit-reset": str(NOW // SECOND + 30)}, b'{"errors":[]}'),
            Throttled(30.0, "rate limit"),
        ),
        Answered(
            "too many, with a time of its own",
            Answer(429, {"retry-after": "3", "x-ratelimit-reset": "0"}),
            Throttled(3.0, "rate limit"),
        ),
        Answered("a fault of theirs", Answer(500, {}, b"oops"), Ambiguous("http 500: oops")),
        Answered("a relay's 202", Answer(202), Ambiguous),
        Answered("200, which only its sandbox says", Answer(200), Ambiguous),
    ),
    told=(
        Told("taken", telling({"event": "processed"}), [expected("queued")]),
        Told(
            "arrived, after waiting",
            telling(
                {"event": "deferred", "response": "400 try again later", "attempt": "5"},
                {"event": "delivered", "response": "250 OK"},
            ),
            [
                expected("deferred", reason="400 try again later"),
                expected("delivered", reason="250 OK"),
            ],
        ),
        Told(
            "no such mailbox",
            telling({
                "event": "bounce", "type": "bounce", "status": "5.0.0",
                "reason": "550 5.1.1 <ada@example.com> user unknown",
            }),
            [expected("bounced", bounce_class="hard", code="5.0.0",
                      reason="550 5.1.1 <<address>> user unknown")],
        ),
        Told(
            "a bounce that only SendGrid can class",
            telling({
                "event": "bounce", "type": "bounce", "status": "5.0.0", "reason": "500 no",
                "bounce_classification": "Invalid Address",
            }),
            [expected("bounced", bounce_class="hard")],
        ),
        Told(
            "a block, whose server was never reached",
            telling({
                "event": "bounce", "type": "blocked", "bounce_classification": "Unclassified",
                "reason": "unable to get mx info", "tls": 0,
            }),
            [expected("bounced", bounce_class="block", code="")],
        ),
        Told(
            "dropped",
            telling({"event": "dropped", "reason": "Bounced Address", "status": "5.0.0"}),
            [expected("rejected", reason="Bounced Address", bounce_class=None)],
        ),
        Told(
            "dropped, as somebody said no at SendGrid",
            telling({"event": "dropped", "reason": "Unsubscribed Address"}),
            [expected("rejected"), expected("unsubscribed")],
        ),
        Told(
            "read",
            telling(
                {"event": "open", "useragent": "Mozilla/4.0", "ip": "255.255.255.255"},
                {"event": "open", "sg_machine_open": True},
                {"event": "click", "url": "http://www.sendgrid.com/"},
            ),
            [
                expected("opened", is_machine=False),
                expected("opened", is_machine=True),
                expected("clicked", url="http://www.sendgrid.com/"),
            ],
        ),
        Told(
            "had enough",
            telling(
                {"event": "spamreport"},
                {"event": "unsubscribe"},
                {"event": "group_unsubscribe", "asm_group_id": 10},
                {"event": "group_resubscribe", "asm_group_id": 10},
            ),
            [
                expected("complained"), expected("unsubscribed"), expected("unsubscribed"),
                expected("subscribed"),
            ],
        ),
    ),
    forge=forge,
    unknown=telling({"event": "account_status_change", "type": "suspended"}),
    sign=signed,
)  # fmt: skip
