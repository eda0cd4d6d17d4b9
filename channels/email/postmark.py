"""Postmark: one call a message; its callbacks are unsigned, so a token of ours vouches for them.

API: https://postmarkapp.com/developer/api/email-api
Callbacks: https://postmarkapp.com/developer/webhooks/webhooks-overview
It has no idempotency keys. Marketing and transactional mail go through streams of their own.
"""

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
from channels.email.bounces import enhanced_code, mask_addresses, masked, reported_class
from channels.email.headers import Refusal, Sender, head_of
from channels.email.sender import EmailSettings, sender_of
from channels.email.told import at_iso, check_tokens, events_in, hashed, our_id
from channels.http_provider import GATEWAY, PUBLIC, HttpProvider
from channels.receipts import receipt_of
from channels.settings import check_filled, read_settings
from engine.core.model.instants import Instant

WORDS: Final[Mapping[str, EventKind]] = {
    "Delivery": "delivered",
    "Bounce": "bounced",
    "SpamComplaint": "complained",
    "Open": "opened",
    "Click": "clicked",
    "SubscriptionChange": "unsubscribed",
}
"""Their `RecordType`: our word."""

BOUNCES: Final[Mapping[str, tuple[EventKind, BounceClass | None]]] = {
    "HardBounce": ("bounced", "hard"),
    "SoftBounce": ("bounced", "soft"),
    "SpamNotification": ("bounced", "block"),
    "VirusNotification": ("bounced", "message"),
    "Unknown": ("bounced", "undetermined"),
    "Transient": ("deferred", None),
    "DnsError": ("deferred", None),
    "BadEmailAddress": ("rejected", "hard"),
    "ManuallyDeactivated": ("rejected", None),
    "Unconfirmed": ("rejected", None),
    "Blocked": ("rejected", "block"),
    "DMARCPolicy": ("rejected", "block"),
    "SMTPApiError": ("failed", None),
    "TemplateRenderingFailed": ("failed", None),
    "SpamComplaint": ("complained", None),
    "Unsubscribe": ("unsubscribed", None),
    "Subscribe": ("subscribed", None),
    "AutoResponder": ("autoresponded", None),
    "AddressChange": ("autoresponded", None),
    "ChallengeVerification": ("autoresponded", None),
    "OpenRelayTest": ("unknown", None),
    "InboundError": ("unknown", None),
}
"""The `Type` of a Bounce: https://postmarkapp.com/developer/api/bounce-api#bounce-types.
SpamNotification is a filter's judgement of the mail, not the person's."""

TIMES: Final = ("BouncedAt", "DeliveredAt", "ReceivedAt", "ChangedAt")

SUPPRESSIONS: Final[Mapping[str, EventKind]] = {
    "HardBounce": "rejected",
    "SpamComplaint": "complained",
    "ManualSuppression": "unsubscribed",
}
"""Why a SubscriptionChange stops them sending: only the last is somebody's wish."""

REFUSALS: Final[Mapping[int, tuple[Scope, BounceClass | None]]] = {
    300: ("message", None),
    400: ("config", None),
    401: ("config", None),
    402: ("message", None),
    403: ("message", None),
    405: ("account", None),
    406: ("recipient", "hard"),
    409: ("message", None),
    411: ("message", None),
    412: ("account", None),
    413: ("account", None),
}
"""Their ErrorCode: https://postmarkapp.com/developer/api/overview#error-codes. 406 is a recipient
who bounced, complained or was deactivated there."""

CAPABILITIES: Final = Capabilities(
    reports=frozenset({*WORDS.values(), *SUPPRESSIONS.values(),
                       *(kind for kind, _ in BOUNCES.values())}) - {"unknown"},
    webhook="token",
    batch_max=500,
    bytes_max=10 * 1024 * 1024,
    docs="https://postmarkapp.com/developer/api/email-api",
)  # fmt: skip


class PostmarkSettings(EmailSettings, frozen=True, kw_only=True):
    """The channel's map in antiphon.yaml.

    Args:
        server_token: The API token of a server.
        webhook_token: A secret of your choice, in the webhook's address: as the password of Basic
            auth, or as `?token=`. Without it no callback is believed.
        webhook_token_old: The one before it, while they change.
        stream: The message stream of transactional mail.
        marketing_stream: That of mail with an unsubscribe link.
        sandbox: Postmark checks every message and sends none.
        base_url: Another host than Postmark's.
    """

    server_token: str
    webhook_token: str = ""
    webhook_token_old: str = ""
    stream: str = "outbound"
    marketing_stream: str = "broadcast"
    sandbox: bool = False
    base_url: str = "https://api.postmarkapp.com"


class Postmark:
    """Our messages in Postmark's words, and Postmark's events in ours."""

    name = "email.postmark"
    channel: Channel = "email"
    capabilities = CAPABILITIES

    def __init__(self, settings: PostmarkSettings, sender: Sender) -> None:
        self.settings = settings
        self.sender = sender

    # --- out ------------------------------------------------------------------------------------

    def call(self, message: OutMessage, *, now: Instant) -> Call | Receipt:
        try:
            head = head_of(message, sender=self.sender)
        except Refusal as error:
            return RefusedBy("message", "compose", str(error))
        settings, is_marketing = self.settings, bool(message.unsubscribe_url)
        body = {
            "From": str(head.from_),
            "To": head.to,
            "ReplyTo": str(head.reply_to or ""),
            "Subject": head.subject,
            "HtmlBody": message.html,
            "TextBody": message.text,
            "Headers": [{"Name": name, "Value": value} for name, value in head.headers.items()],
            "Tag": message.campaign[:1_000],
            # At most 20 characters a name and 80 a value.
            "Metadata": {
                **{name[:20]: value[:80] for name, value in message.metadata.items()},
                "message": str(message.id),
            },
            "MessageStream": settings.marketing_stream if is_marketing else settings.stream,
            "TrackOpens": False,
            "TrackLinks": "None",
        }
        sent = {name: value for name, value in body.items() if value != ""}
        token = "POSTMARK_API_TEST" if settings.sandbox else settings.server_token
        url = f"{settings.base_url.rstrip('/')}/email"
        return json_call(url, sent, headers={"X-Postmark-Server-Token": token})

    def receipt(self, answer: Answer, *, now: Instant) -> Receipt:
        found = answer.json()
        code, text = found.get("ErrorCode"), mask_addresses(str(found.get("Message") or ""))
        if answer.is_ok and code == 0 and isinstance(found.get("MessageID"), str):
            return Accepted(found["MessageID"]) if found["MessageID"] else Ambiguous("no MessageID")
        if answer.status == 429 or code == 429:
            return Throttled(None, text)
        if isinstance(code, int) and code and answer.status in (200, 422):
            return _refusal(code, text)
        # Without an ErrorCode we know, a 2xx may well have been taken.
        return receipt_of(masked(answer), now=now) or Ambiguous("its answer names no message")

    # --- back -----------------------------------------------------------------------------------

    def read_callback(self, callback: Callback, *, now: Instant) -> Echo:
        check_tokens(callback, self.settings.webhook_token, self.settings.webhook_token_old)
        return Echo([_event(told) for told in events_in(callback)])


def _refusal(code: int, text: str) -> RefusedBy:
    scope, bounce = REFUSALS.get(code, ("message", None))
    if code == 300 and "'To'" in text:
        scope = "recipient"
    elif "message stream" in text.lower() or "messagestream" in text.lower():
        scope = "config"  # of this server: the next message would fare no better
    return RefusedBy(scope, str(code), text, bounce)


def _event(told: dict[str, Any]) -> DeliveryEvent:
    record = str(told["RecordType"])
    kind, bounce = _kind(record, told)
    time = next((told[name] for name in TIMES if name in told), "")
    recipient = told.get("Recipient") or told.get("Email")
    details = str(told.get("Details") or told.get("Description") or "")
    name, url = str(told.get("MessageID") or ""), str(told.get("OriginalLink") or "")
    return DeliveryEvent(
        kind,
        our_id((told.get("Metadata") or {}).get("message")),
        # Only bounces and complaints have ids of their own.
        f"{record}-{told['ID']}"
        if told.get("ID")
        else hashed(record, kind, name, recipient, time, url),
        at_iso(str(time)),
        recipient=str(recipient) if recipient else None,
        reason=mask_addresses(details),
        bounce_class=bounce,
        raw=told,
        provider_id=name,
        code=enhanced_code(details) or str(told.get("Type") or ""),
        url=url,
    )


def _kind(record: str, told: dict[str, Any]) -> tuple[EventKind, BounceClass | None]:
    if record == "SubscriptionChange":
        if told.get("SuppressSending") is False:
            return "subscribed", None
        return SUPPRESSIONS.get(str(told.get("SuppressionReason")), "unsubscribed"), None
    if record != "Bounce":
        return WORDS.get(record, "unknown"), None
    kind, bounce = BOUNCES.get(str(told.get("Type")), ("bounced", "undetermined"))
    if bounce == "hard":
        # The server's own words may say that it was a policy: nobody's address is dead then.
        said = reported_class("", str(told.get("Details") or ""))
        return kind, said if said in ("block", "message") else bounce
    return kind, bounce


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> Provider:
    """Postmark for e-mail.

    Raises:
        UsageError: The settings cannot be used.
    """
    read = read_settings(PostmarkSettings, settings, channel=channel)
    check_filled(read, "server_token", channel=channel)
    return HttpProvider(
        Postmark(read, sender_of(read, channel=channel)),
        now=now,
        rules=GATEWAY if "base_url" in settings else PUBLIC,
    )
