"""Brevo: one call a message; its callbacks are unsigned, so a token of ours vouches for them.

API: https://developers.brevo.com/reference/sendtransacemail
Callbacks: https://developers.brevo.com/docs/transactional-webhooks
It has no idempotency keys. Its tracking can be switched off for an account only: do so there, ours
is in the mail.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

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
    Scope,
    Throttled,
)
from channels.callbacks import Callback, Echo, opted_out
from channels.calls import Answer, Call, json_call
from channels.delivery import BounceClass, DeliveryEvent, EventKind
from channels.email.bounces import enhanced_code, mask_addresses, masked, reported_class
from channels.email.headers import Refusal, Sender, head_of
from channels.email.sender import EmailSettings, sender_of
from channels.email.told import at_seconds, check_tokens, events_in, hashed, our_id
from channels.http_provider import GATEWAY, PUBLIC, HttpProvider
from channels.receipts import receipt_of, retry_after_seconds
from channels.settings import check_filled, read_settings
from engine.core.model.instants import Instant

WORDS: Final[Mapping[str, EventKind]] = {
    "request": "queued",
    "sent": "sent",
    "delivered": "delivered",
    "deferred": "deferred",
    "soft_bounce": "bounced",
    "hard_bounce": "bounced",
    "invalid_email": "bounced",
    "blocked": "rejected",
    "error": "failed",
    "opened": "opened",
    "unique_opened": "opened",
    "proxy_open": "opened",
    "unique_proxy_open": "opened",
    "click": "clicked",
    "spam": "complained",
    "complaint": "complained",
    "unsubscribed": "unsubscribed",
    "unsubscribe": "unsubscribed",
}
"""Their word: our word. The two openings of a kind are the first one and every one."""

BOUNCES: Final[Mapping[str, BounceClass]] = {
    "soft_bounce": "soft",
    "hard_bounce": "hard",
    "invalid_email": "hard",
}

ERRORS: Final[Mapping[str, Scope]] = {
    "invalid_parameter": "message",
    "missing_parameter": "message",
    "out_of_range": "message",
    "duplicate_parameter": "message",
    "not_enough_credits": "account",
    "account_under_validation": "account",
    "unauthorized": "config",
    "permission_denied": "config",
    "document_not_found": "config",
    "method_not_allowed": "config",
}
"""Their `code`: whose fault. https://developers.brevo.com/docs/how-it-works#error-codes"""

CAPABILITIES: Final = Capabilities(
    reports=frozenset(WORDS.values()),
    webhook="token",
    batch_max=1_000,
    docs="https://developers.brevo.com/reference/sendtransacemail",
)


class BrevoSettings(EmailSettings, frozen=True, kw_only=True):
    """The channel's map in antiphon.yaml.

    Args:
        api_key: xkeysib-…
        webhook_token: A secret of your choice: the bearer token that the webhook is given, or
            `?token=` in its address. Without it no callback is believed.
        webhook_token_old: The one before it, while they change.
        sandbox: Brevo checks every message and sends none.
        base_url: Another host than Brevo's.
    """

    api_key: str
    webhook_token: str = ""
    webhook_token_old: str = ""
    sandbox: bool = False
    base_url: str = "https://api.brevo.com"


class Brevo:
    """Our messages in Brevo's words, and Brevo's events in ours."""

    name = "email.brevo"
    channel: Channel = "email"
    capabilities = CAPABILITIES

    def __init__(self, settings: BrevoSettings, sender: Sender) -> None:
        self.settings = settings
        self.sender = sender

    # --- out ------------------------------------------------------------------------------------

    def call(self, message: OutMessage, *, now: Instant) -> Call | Receipt:
        try:
            head = head_of(message, sender=self.sender)
        except Refusal as error:
            return RefusedBy("message", "compose", str(error))
        # The one header whose value comes back with every event.
        headers = {**head.headers, "X-Mailin-custom": f"message:{message.id}"}
        if self.settings.sandbox:
            headers["X-Sib-Sandbox"] = "drop"
        body: dict[str, Any] = {
            "sender": head.from_.fields,
            "to": [{"email": head.to}],
            "subject": head.subject,
            "headers": headers,
        }
        if head.reply_to:
            body["replyTo"] = head.reply_to.fields
        if message.campaign:
            body["tags"] = [message.campaign]
        for name, text in (("htmlContent", message.html), ("textContent", message.text)):
            if text:
                body[name] = text
        url = f"{self.settings.base_url.rstrip('/')}/v3/smtp/email"
        return json_call(url, body, headers={"api-key": self.settings.api_key})

    def receipt(self, answer: Answer, *, now: Instant) -> Receipt:
        found = answer.json()
        if answer.is_ok:
            names = [found.get("messageId"), *(found.get("messageIds") or [])]
            name = next((it.strip("<>") for it in names if isinstance(it, str)), "")
            return Accepted(name) if name else Ambiguous("its answer names no message")
        code, text = str(found.get("code") or ""), mask_addresses(str(found.get("message") or ""))
        if answer.status == 429:
            wait = retry_after_seconds(answer.headers, now=now)
            reset = answer.headers.get("x-sib-ratelimit-reset", "")  # seconds from now
            is_given = wait is None and reset.isascii() and reset.isdigit() and len(reset) < 10
            return Throttled(float(reset) if is_given else wait, text)
        if answer.status < 500 and code in ERRORS:
            is_address = code == "invalid_parameter" and "email is not valid in to" in text
            return RefusedBy("recipient" if is_address else ERRORS[code], code, text)
        if answer.status == 402:
            return RefusedBy("account", code or "http 402", text)
        return receipt_of(masked(answer), now=now) or Ambiguous("its answer cannot be read")

    # --- back -----------------------------------------------------------------------------------

    def read_callback(self, callback: Callback, *, now: Instant) -> Echo:
        check_tokens(callback, self.settings.webhook_token, self.settings.webhook_token_old)
        return Echo([event for told in events_in(callback) for event in _events(told)])


def _events(told: dict[str, Any]) -> Sequence[DeliveryEvent]:
    """`blocked : due to unsubscribed user`: somebody said no there, perhaps long before us."""
    event = _event(told)
    is_wish = event.kind == "rejected" and "unsubscribed user" in event.reason
    return opted_out(event) if is_wish else (event,)


def _event(told: dict[str, Any]) -> DeliveryEvent:
    word, recipient = str(told["event"]), told.get("email")
    reason, url = str(told.get("reason") or ""), str(told.get("link") or "")
    name = str(told.get("message-id") or "").strip("<>")
    at = _at(told)
    return DeliveryEvent(
        WORDS.get(word, "unknown"),
        _message(str(told.get("X-Mailin-custom") or "")),
        hashed(word, name, recipient, at, url),
        at,
        recipient=str(recipient) if recipient else None,
        reason=mask_addresses(reason),
        bounce_class=_bounce_class(word, reason),
        is_machine="proxy" in word,
        raw=told,
        provider_id=name,
        code=enhanced_code(reason) or "",
        url=url,
    )


def _at(told: dict[str, Any]) -> Instant:
    """`ts_epoch` is in milliseconds, though some of their examples show seconds. `date` is in the
    zone of the account: of no use."""
    exact = float(told.get("ts_epoch") or 0)
    if exact > 100_000_000_000:
        return at_seconds(exact / 1_000)
    return at_seconds(exact or told.get("ts_event") or told["ts"])


def _bounce_class(word: str, reason: str) -> BounceClass | None:
    found = BOUNCES.get(word)
    if word == "hard_bounce":
        # The server's own words may say that it was a policy: nobody's address is dead then.
        said = reported_class("", reason)
        return said if said in ("block", "message") else found
    return found


def _message(custom: str) -> int | None:
    """Our id in `message:7`, wherever it stands among `name:value|name:value`."""
    pairs = (part.partition(":") for part in custom.split("|"))
    return next((our_id(value.strip()) for name, _, value in pairs if name == "message"), None)


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> Provider:
    """Brevo for e-mail.

    Raises:
        UsageError: The settings cannot be used.
    """
    read = read_settings(BrevoSettings, settings, channel=channel)
    check_filled(read, "api_key", channel=channel)
    return HttpProvider(
        Brevo(read, sender_of(read, channel=channel)),
        now=now,
        rules=GATEWAY if "base_url" in settings else PUBLIC,
    )
