"""Resend: one call a message, with an idempotency key; its callbacks are Standard Webhooks.

API: https://resend.com/docs/api-reference/emails/send-email
Callbacks: https://resend.com/docs/dashboard/webhooks/introduction
Its open and click tracking belongs to a domain there: switch both off, ours are in the mail.
"""

import re
from collections.abc import Mapping
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
from channels.callbacks import Callback, Echo
from channels.calls import Answer, Call, json_call
from channels.delivery import BounceClass, DeliveryEvent, EventKind
from channels.email.bounces import enhanced_code, mask_addresses, masked
from channels.email.headers import Refusal, Sender, head_of
from channels.email.sender import EmailSettings, sender_of
from channels.email.ses_events import BOUNCES, SUPPRESSED
from channels.email.told import at_iso, events_in, our_id
from channels.http_provider import GATEWAY, PUBLIC, HttpProvider
from channels.receipts import receipt_of, retry_after_seconds
from channels.settings import check_filled, read_settings
from channels.standard_webhooks import check_signature, read_secret
from engine.core.errors import Forged, UsageError
from engine.core.model.instants import Instant

WORDS: Final[Mapping[str, EventKind]] = {
    "email.scheduled": "queued",
    "email.sent": "sent",
    "email.delivered": "delivered",
    "email.delivery_delayed": "deferred",
    "email.bounced": "bounced",
    "email.suppressed": "rejected",
    "email.failed": "failed",
    "email.opened": "opened",
    "email.clicked": "clicked",
    "email.complained": "complained",
}
"""Their word: our word. https://resend.com/docs/webhooks/event-types"""

ERRORS: Final[Mapping[str, Scope]] = {
    "validation_error": "message",
    "missing_required_field": "message",
    "invalid_parameter": "message",
    "invalid_from_address": "message",
    "invalid_attachment": "message",
    "invalid_idempotency_key": "message",
    "invalid_idempotent_request": "message",
    "missing_api_key": "config",
    "restricted_api_key": "config",
    "invalid_api_key": "config",
    "invalid_access": "config",
    "invalid_region": "config",
    "not_found": "config",
    "method_not_allowed": "config",
}
"""Their error: whose fault. https://resend.com/docs/api-reference/errors"""

QUOTA_SECONDS: Final = 3_600.0
"""A daily or monthly quota is asked again so often."""

CAPABILITIES: Final = Capabilities(
    idempotency_hours=24,
    reports=frozenset(WORDS.values()),
    webhook="signed",
    batch_max=100,
    bytes_max=40 * 1024 * 1024,
    docs="https://resend.com/docs/api-reference/emails/send-email",
)


class ResendSettings(EmailSettings, frozen=True, kw_only=True):
    """The channel's map in antiphon.yaml.

    Args:
        api_key: re_…
        webhook_secret: The webhook's signing secret, whsec_…; without it no callback is believed.
        webhook_secret_old: The one before it, while they change.
        base_url: Another host than Resend's.
    """

    api_key: str
    webhook_secret: str = ""
    webhook_secret_old: str = ""
    base_url: str = "https://api.resend.com"


class Resend:
    """Our messages in Resend's words, and Resend's events in ours."""

    name = "email.resend"
    channel: Channel = "email"
    capabilities = CAPABILITIES

    def __init__(self, settings: ResendSettings, sender: Sender) -> None:
        self.settings = settings
        self.sender = sender
        self._keys = [
            read_secret(secret)
            for secret in (settings.webhook_secret, settings.webhook_secret_old)
            if secret
        ]

    # --- out ------------------------------------------------------------------------------------

    def call(self, message: OutMessage, *, now: Instant) -> Call | Receipt:
        try:
            head = head_of(message, sender=self.sender)
        except Refusal as error:
            return RefusedBy("message", "compose", str(error))
        tags = {**message.metadata, "message": str(message.id)}
        body: dict[str, Any] = {
            "from": str(head.from_),
            "to": [head.to],
            "subject": head.subject,
            "headers": head.headers,
            "tags": [
                {"name": _tag(name), "value": _tag(value)} for name, value in tags.items() if value
            ],
        }
        if head.reply_to:
            body["reply_to"] = str(head.reply_to)
        for name, text in (("html", message.html), ("text", message.text)):
            if text:
                body[name] = text
        told = {"Authorization": f"Bearer {self.settings.api_key}"}
        if message.idempotency_key:
            told["Idempotency-Key"] = message.idempotency_key
        return json_call(f"{self.settings.base_url.rstrip('/')}/emails", body, headers=told)

    def receipt(self, answer: Answer, *, now: Instant) -> Receipt:
        found = answer.json()
        if answer.is_ok:
            name = found.get("id")
            if isinstance(name, str) and name:
                return Accepted(name)
            return Ambiguous("its answer names no message")
        kind, text = str(found.get("name") or ""), mask_addresses(str(found.get("message") or ""))
        if answer.status == 429:
            wait = retry_after_seconds(answer.headers, now=now)
            return Throttled(QUOTA_SECONDS if wait is None and "quota" in kind else wait, text)
        if answer.status == 409 and kind != "invalid_idempotent_request":
            # The first call with this key is still under way: the next one learns its outcome.
            return Ambiguous(f"{kind}: {text}")
        if answer.status < 500 and kind in ERRORS:
            # 403 is about the sending domain, whatever the error is called.
            return RefusedBy("config" if answer.status == 403 else ERRORS[kind], kind, text)
        return receipt_of(masked(answer), now=now) or Ambiguous("its answer cannot be read")

    # --- back -----------------------------------------------------------------------------------

    def read_callback(self, callback: Callback, *, now: Instant) -> Echo:
        if not self._keys:
            raise Forged("set webhook_secret: without it no callback of Resend's is believed")
        id = check_signature(callback, keys=self._keys, now=now)
        return Echo([_event(told, id) for told in events_in(callback)])


def _event(told: dict[str, Any], id: str) -> DeliveryEvent:
    data = told.get("data") or {}
    kind = WORDS.get(str(told["type"]), "unknown")
    bounce, click = data.get("bounce") or {}, data.get("click") or {}
    said = next((each for each in (bounce, data.get("failed"), data.get("suppressed")) if each), {})
    reason = str(said.get("message") or said.get("reason") or "")
    found: BounceClass | None = None
    if kind == "bounced":
        if bounce.get("subType") in SUPPRESSED:
            kind = "rejected"
        else:
            # Resend sends through SES, and passes on its words.
            key = (str(bounce.get("type")), str(bounce.get("subType")))
            found = BOUNCES.get(key, "hard" if key[0] == "Permanent" else "undetermined")
    people = data.get("to")
    return DeliveryEvent(
        kind,
        our_id(_tags(data).get("message")),
        id,
        at_iso(str(click.get("timestamp") or told["created_at"])),
        recipient=str(people[0]) if people else None,
        reason=mask_addresses(reason),
        bounce_class=found,
        raw=told,
        provider_id=str(data.get("email_id") or ""),
        code=enhanced_code(reason) or "",
        url=str(click.get("link") or ""),
    )


def _tags(data: dict[str, Any]) -> dict[str, Any]:
    """Their events show tags as a map, their API as a list: both are read."""
    tags = data.get("tags") or {}
    return {it["name"]: it["value"] for it in tags} if isinstance(tags, list) else dict(tags)


def _tag(text: str) -> str:
    """ASCII letters, digits, _ and -, at most 256."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", text)[:256]


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> Provider:
    """Resend for e-mail.

    Raises:
        UsageError: The settings cannot be used.
    """
    read = read_settings(ResendSettings, settings, channel=channel)
    check_filled(read, "api_key", channel=channel)
    try:
        vendor = Resend(read, sender_of(read, channel=channel))
    except ValueError as error:
        raise UsageError(f"channels.{channel}.webhook_secret: {error}") from None
    return HttpProvider(vendor, now=now, rules=GATEWAY if "base_url" in settings else PUBLIC)
