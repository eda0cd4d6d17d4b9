"""SendGrid v3: one call a message, its callbacks signed with ECDSA.

API: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
Callbacks: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
It has no idempotency keys. Its own tracking and unsubscribe links are off: ours are in the mail.
"""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from channels.base import (
    Accepted,
    Ambiguous,
    Capabilities,
    Channel,
    Clock,
    OutMessage,
    Provider,
    Random,
    Receipt,
    RefusedBy,
    Throttled,
)
from channels.callbacks import Callback, Echo, check_age, opted_out
from channels.calls import Answer, Call, json_call
from channels.delivery import BounceClass, DeliveryEvent, EventKind
from channels.email.bounces import mask_addresses, masked, reported_class
from channels.email.headers import Refusal, Sender, head_of
from channels.email.sender import EmailSettings, sender_of
from channels.email.told import at_seconds, events_in, hashed, our_id
from channels.http_provider import GATEWAY, PUBLIC, HttpProvider
from channels.receipts import receipt_of, retry_after_seconds
from channels.settings import check_filled, read_settings
from engine.core.errors import Forged, UsageError
from engine.core.model.instants import SECOND, Instant

WORDS: Final[Mapping[str, EventKind]] = {
    "processed": "queued",
    "delivered": "delivered",
    "deferred": "deferred",
    "bounce": "bounced",
    "dropped": "rejected",
    "open": "opened",
    "click": "clicked",
    "spamreport": "complained",
    "unsubscribe": "unsubscribed",
    "group_unsubscribe": "unsubscribed",
    "group_resubscribe": "subscribed",
}
"""Their word: our word."""

CLASSIFICATIONS: Final[Mapping[str, BounceClass]] = {
    "Invalid Address": "hard",
    "Mailbox Unavailable": "soft",
    "Technical": "soft",
    "Content": "block",
    "Reputation": "block",
    "Frequency or Volume Too High": "block",
}
"""Their `bounce_classification`, asked where the server's own status says nothing.
https://sendgrid.com/en-us/blog/bounce-block-classifications-in-event-webhook"""

OPTED_OUT: Final = frozenset({"Unsubscribed Address", "Spam Reporting Address"})
"""Why SendGrid drops a mail to somebody who has said no there, perhaps long before us."""

CAPABILITIES: Final = Capabilities(
    reports=frozenset(WORDS.values()),
    webhook="signed",
    batch_max=1_000,
    bytes_max=30 * 1024 * 1024,
    docs="https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send",
)


class SendGridSettings(EmailSettings, frozen=True, kw_only=True):
    """The channel's map in antiphon.yaml.

    Args:
        api_key: A key with the right "Mail Send".
        webhook_key: The verification key of the signed event webhook; without it no callback is
            believed.
        webhook_key_old: The one before it, while keys change.
        ip_pool: The pool of addresses to send from; "": the account's.
        sandbox: SendGrid checks every message and sends none.
        base_url: `https://api.eu.sendgrid.com` for subusers in the EU.
    """

    api_key: str
    webhook_key: str = ""
    webhook_key_old: str = ""
    ip_pool: str = ""
    sandbox: bool = False
    base_url: str = "https://api.sendgrid.com"


class SendGrid:
    """Our messages in SendGrid's words, and SendGrid's events in ours."""

    name = "email.sendgrid"
    channel: Channel = "email"
    capabilities = CAPABILITIES

    def __init__(self, settings: SendGridSettings, sender: Sender) -> None:
        self.settings = settings
        self.sender = sender
        self.keys = [
            _public_key(key, self.channel)
            for key in (settings.webhook_key, settings.webhook_key_old)
            if key
        ]

    # --- out ------------------------------------------------------------------------------------

    def call(self, message: OutMessage, *, now: Instant) -> Call | Receipt:
        try:
            head = head_of(message, sender=self.sender)
        except Refusal as error:
            return RefusedBy("message", "compose", str(error))
        # Custom arguments come back flat in every event, so ours must not meet a name of theirs.
        # They stand with the person: the published description wants text at the top level.
        person = {
            "to": [{"email": head.to}],
            "custom_args": {**message.metadata, "message": str(message.id)},
        }
        parts = (("text/plain", message.text), ("text/html", message.html))  # in this order
        body: dict[str, Any] = {
            "personalizations": [person],
            "from": head.from_.fields,
            "subject": head.subject,
            "content": [{"type": kind, "value": text} for kind, text in parts if text],
            "headers": head.headers,
            "tracking_settings": {
                "click_tracking": {"enable": False, "enable_text": False},
                "open_tracking": {"enable": False},
                "subscription_tracking": {"enable": False},
                "ganalytics": {"enable": False},
            },
            "mail_settings": {
                "footer": {"enable": False},
                "sandbox_mode": {"enable": self.settings.sandbox},
            },
        }
        if head.reply_to:
            body["reply_to"] = head.reply_to.fields
        if self.settings.ip_pool:
            body["ip_pool_name"] = self.settings.ip_pool
        url = f"{self.settings.base_url.rstrip('/')}/v3/mail/send"
        return json_call(url, body, headers={"Authorization": f"Bearer {self.settings.api_key}"})

    def receipt(self, answer: Answer, *, now: Instant) -> Receipt:
        if answer.status == 202:
            # A relay's "accepted" has no such header: then nobody knows.
            name = answer.headers.get("x-message-id")
            return Accepted(name) if name else Ambiguous("accepted without an X-Message-Id")
        if answer.status == 200 and self.settings.sandbox:
            return Accepted("sandbox")
        if answer.is_ok:
            return Ambiguous(f"http {answer.status} is no answer of SendGrid's")
        if answer.status == 429:
            return Throttled(_wait_seconds(answer, now=now), "rate limit")
        fault = _fault(answer)
        if answer.status == 400 and fault["field"].startswith("personalizations.0.to"):
            return RefusedBy("recipient", fault["field"], fault["message"])
        if answer.status == 401 and "credits" in fault["message"].lower():
            return RefusedBy("account", "credits", fault["message"])
        return receipt_of(masked(answer), now=now) or Ambiguous("not an answer")

    # --- back -----------------------------------------------------------------------------------

    def read_callback(self, callback: Callback, *, now: Instant) -> Echo:
        """What a callback says, if it is signed, and was within five minutes."""
        at = callback.headers.get("x-twilio-email-event-webhook-timestamp", "")
        signature = callback.headers.get("x-twilio-email-event-webhook-signature", "")
        if not self.keys:
            raise Forged("set webhook_key: without it no callback of SendGrid's is believed")
        # The body ends with CRLF, and that is signed too.
        if not any(_is_signed(at.encode() + callback.body, signature, key) for key in self.keys):
            raise Forged("the callback is not signed with the channel's webhook_key")
        check_age(at_seconds(at), now=now)
        return Echo([event for told in events_in(callback) for event in _events(told)])


def _events(told: dict[str, Any]) -> Sequence[DeliveryEvent]:
    event = _event(told)
    is_wish = event.kind == "rejected" and told.get("reason") in OPTED_OUT
    return opted_out(event) if is_wish else (event,)


def _event(told: dict[str, Any]) -> DeliveryEvent:
    word, reason = str(told["event"]), str(told.get("reason") or told.get("response") or "")
    status = str(told.get("status") or "")
    at = at_seconds(told["timestamp"])
    recipient = told.get("email")
    return DeliveryEvent(
        WORDS.get(word, "unknown"),
        our_id(told.get("message")),
        str(told.get("sg_event_id") or hashed(word, recipient, at, told.get("sg_message_id"))),
        at,
        recipient=str(recipient) if recipient else None,
        reason=mask_addresses(reason),
        bounce_class=_bounce_class(told, status, reason) if word == "bounce" else None,
        is_machine=told.get("sg_machine_open") is True,
        raw=told,
        provider_id=str(told.get("sg_message_id") or "").partition(".")[0],
        code=status,
        url=str(told.get("url") or ""),
    )


def _bounce_class(told: dict[str, Any], status: str, reason: str) -> BounceClass:
    """A block is a policy, or a server that never answered: it says nothing of the address."""
    if told.get("type") == "blocked":
        return "block"
    found = reported_class(status, reason)
    if found != "undetermined":
        return found
    return CLASSIFICATIONS.get(str(told.get("bounce_classification")), "undetermined")


def _fault(answer: Answer) -> dict[str, str]:
    """The first of their errors, `message` and `field`, with addresses masked."""
    errors = answer.json().get("errors") or [{}]
    return {key: mask_addresses(str(errors[0].get(key) or "")) for key in ("message", "field")}


def _wait_seconds(answer: Answer, *, now: Instant) -> float | None:
    """Retry-After, or until the second that X-RateLimit-Reset names."""
    named = retry_after_seconds(answer.headers, now=now)
    reset = answer.headers.get("x-ratelimit-reset", "")
    if named is not None or not reset:
        return named
    return max(0.0, (at_seconds(reset) - now) / SECOND)


def _public_key(text: str, channel: Channel) -> EllipticCurvePublicKey:
    key: object
    try:
        key = load_der_public_key(b64decode(text))
    except ValueError:
        key = None
    if not isinstance(key, EllipticCurvePublicKey):
        raise UsageError(f"channels.{channel}.webhook_key is no key of SendGrid's settings page")
    return key


def _is_signed(told: bytes, signature: str, key: EllipticCurvePublicKey) -> bool:
    try:
        key.verify(b64decode(signature), told, ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> Provider:
    """SendGrid for e-mail.

    Raises:
        UsageError: The settings cannot be used.
    """
    read = read_settings(SendGridSettings, settings, channel=channel)
    check_filled(read, "api_key", channel=channel)
    return HttpProvider(
        SendGrid(read, sender_of(read, channel=channel)),
        now=now,
        rules=GATEWAY if "base_url" in settings else PUBLIC,
    )
