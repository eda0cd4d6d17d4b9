"""Mailgun: the whole mail in one form; its callbacks are signed, but not their bodies.

API: https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages
Callbacks: https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
It has no idempotency keys. Its tracking is off: ours is in the mail.
"""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

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
from channels.callbacks import AGE_SECONDS_MAX, Callback, Echo, opted_out, same
from channels.calls import Answer, Call
from channels.delivery import BounceClass, DeliveryEvent, EventKind
from channels.email.bounces import enhanced_code, mask_addresses, masked, reported_class
from channels.email.headers import Refusal, Sender, address_of
from channels.email.mime import build_email
from channels.email.sender import EmailSettings, sender_of
from channels.email.told import at_seconds, events_in, hashed, our_id
from channels.http_provider import GATEWAY, PUBLIC, HttpProvider
from channels.receipts import receipt_of, retry_after_seconds
from channels.settings import check_filled, read_settings
from engine.core.errors import Forged
from engine.core.model.instants import SECOND, Instant

WORDS: Final[Mapping[str, EventKind]] = {
    "accepted": "queued",
    "delivered": "delivered",
    "temporary": "deferred",
    "failed": "bounced",
    "rejected": "rejected",
    "opened": "opened",
    "clicked": "clicked",
    "complained": "complained",
    "unsubscribed": "unsubscribed",
}
"""Their word: our word; `temporary` is the severity of a `failed`."""

OPTED_OUT: Final = frozenset({"suppress-unsubscribe", "suppress-complaint"})
"""Why Mailgun drops a mail to somebody who has said no there, perhaps long before us."""

RETRY_SECONDS: Final = 9 * 3_600
"""Mailgun calls again for 8 hours, with the signature and the time of its first call: to believe
the usual 5 minutes only would lose whatever came while we were away.
https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-retries"""
TOKENS_MAX: Final = 100_000
"""Then the oldest are forgotten early; some 25 MB."""

CAPABILITIES: Final = Capabilities(
    reports=frozenset(WORDS.values()),
    webhook="signed",
    batch_max=1_000,
    bytes_max=25 * 1024 * 1024,
    docs="https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages",
)


class MailgunSettings(EmailSettings, frozen=True, kw_only=True):
    """The channel's map in antiphon.yaml. `domain` is the sending domain at Mailgun.

    Args:
        api_key: A sending key of the domain, or the account's.
        webhook_key: The HTTP webhook signing key; without it no callback is believed.
        webhook_key_old: The one before it, while they change.
        sandbox: Mailgun takes every message and delivers none.
        base_url: `https://api.eu.mailgun.net` for domains in the EU.
    """

    api_key: str
    webhook_key: str = ""
    webhook_key_old: str = ""
    sandbox: bool = False
    base_url: str = "https://api.mailgun.net"


class Mailgun:
    """Our messages in Mailgun's words, and Mailgun's events in ours."""

    name = "email.mailgun"
    channel: Channel = "email"
    capabilities = CAPABILITIES

    def __init__(self, settings: MailgunSettings, sender: Sender) -> None:
        self.settings = settings
        self.sender = sender
        self.tokens = _Tokens()

    # --- out ------------------------------------------------------------------------------------

    def call(self, message: OutMessage, *, now: Instant) -> Call | Receipt:
        try:
            raw = build_email(message, sender=self.sender, at=now)
            to = address_of(message.to)
        except Refusal as error:
            return RefusedBy("message", "compose", str(error))
        fields = {
            "to": to,
            "o:tracking": "no",
            "o:tracking-opens": "no",
            "o:tracking-clicks": "no",
            **{f"v:{name}": value for name, value in message.metadata.items()},
            "v:message": str(message.id),
        }
        if self.settings.sandbox:
            fields["o:testmode"] = "yes"
        boundary = f"=_antiphon_form_{message.id}"
        user = b64encode(f"api:{self.settings.api_key}".encode()).decode()
        domain = quote(self.sender.domain, safe="")
        return Call(
            f"{self.settings.base_url.rstrip('/')}/v3/{domain}/messages.mime",
            headers={
                "Authorization": f"Basic {user}",
                "Content-Type": f'multipart/form-data; boundary="{boundary}"',
            },
            body=_form(fields, raw, boundary),
        )

    def receipt(self, answer: Answer, *, now: Instant) -> Receipt:
        found = answer.json()
        if answer.is_ok:
            name = found.get("id")
            if isinstance(name, str) and name.strip("<>"):
                return Accepted(name.strip("<>"))
            return Ambiguous("its answer names no message")
        text = mask_addresses(str(found.get("message") or answer.text))
        if answer.status == 429:
            return Throttled(retry_after_seconds(answer.headers, now=now), text)
        if answer.status == 402 or "not allowed to send" in text:
            return RefusedBy("account", f"http {answer.status}", text)
        if answer.status == 400 and text.startswith("to parameter"):
            return RefusedBy("recipient", "http 400", text)
        return receipt_of(masked(answer), now=now) or Ambiguous("its answer cannot be read")

    # --- back -----------------------------------------------------------------------------------

    def read_callback(self, callback: Callback, *, now: Instant) -> Echo:
        keys = [key for key in (self.settings.webhook_key, self.settings.webhook_key_old) if key]
        if not keys:
            raise Forged("set webhook_key: without it no callback of Mailgun's is believed")
        [told] = events_in(callback)
        proof = told.get("signature")
        if not isinstance(proof, dict):
            raise Forged("the callback has no signature")
        at, token, given = (
            str(proof.get(name) or "") for name in ("timestamp", "token", "signature")
        )
        signed = f"{at}{token}".encode("utf-8", "surrogatepass")
        if not any(same(given, hmac.digest(key.encode(), signed, "sha256").hex()) for key in keys):
            raise Forged("the callback is not signed with the channel's webhook_key")
        _check_age(at_seconds(at), now=now)
        event = _event(told["event-data"])
        # The body is not signed: whoever saw one callback could put words of their own into it.
        self.tokens.take(token, msgspec.json.encode(told["event-data"], order="sorted"), now=now)
        is_wish = event.raw.get("reason") in OPTED_OUT
        return Echo(opted_out(event) if is_wish else [event])


class _Tokens:
    """Which callback each token came with, for as long as its age allows a second one."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Instant, bytes]] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def take(self, token: str, body: bytes, *, now: Instant) -> None:
        """Remember a token's body.

        Raises:
            Forged: It came with another one.
        """
        digest = hashlib.sha256(body).digest()
        if self._seen.setdefault(token, (now, digest))[1] != digest:
            raise Forged("the callback's token came before, with another body")
        oldest = now - (RETRY_SECONDS + AGE_SECONDS_MAX) * SECOND
        # In the order of their arrival; the newest stays.
        while len(self._seen) > 1:
            first = next(iter(self._seen))
            if self._seen[first][0] > oldest and len(self._seen) <= TOKENS_MAX:
                return
            del self._seen[first]


def _check_age(signed_at: Instant, *, now: Instant) -> None:
    seconds = (now - signed_at) / SECOND
    if not -AGE_SECONDS_MAX <= seconds <= RETRY_SECONDS:
        raise Forged(
            f"the callback was signed {seconds:.0f} s ago; Mailgun repeats none after "
            f"{RETRY_SECONDS} s. Is this machine's clock right?"
        )


def _event(told: dict[str, Any]) -> DeliveryEvent:
    word, reason = str(told["event"]), str(told.get("reason") or "")
    status = told.get("delivery-status") or {}
    said = str(status.get("message") or status.get("description") or reason)
    recipient = told.get("recipient")
    name = str(((told.get("message") or {}).get("headers") or {}).get("message-id") or "")
    code = str(status.get("enhanced-code") or enhanced_code(said) or status.get("code") or "")
    kind = WORDS.get(word, "unknown")
    if word == "failed" and reason.startswith("suppress-"):
        kind = "rejected"  # it never left: they keep a list of their own
    elif word == "failed" and told.get("severity") == "temporary":
        kind = "deferred"
    return DeliveryEvent(
        kind,
        our_id((told.get("user-variables") or {}).get("message")),
        # Their ids are unique within a day only.
        hashed(told["id"], told["timestamp"]),
        at_seconds(told["timestamp"]),
        recipient=str(recipient) if recipient else None,
        reason=mask_addresses(said),
        bounce_class=_bounce_class(status, reason, said) if kind == "bounced" else None,
        is_machine=bool((told.get("client-info") or {}).get("bot")),
        raw=told,
        provider_id=name.strip("<>"),
        code=code,
        url=str(told.get("url") or ""),
    )


def _bounce_class(status: dict[str, Any], reason: str, said: str) -> BounceClass:
    if reason == "espblock":
        return "block"
    return reported_class(str(status.get("enhanced-code") or ""), f"{status.get('code')} {said}")


def _form(fields: Mapping[str, str], raw: bytes, boundary: str) -> bytes:
    """The fields, then the mail as a file. No line of either begins with the boundary: "=_" is in
    no quoted-printable text, and lines of headers begin with a name or a space."""
    edge = f"--{boundary}".encode()
    parts = [
        b'%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
        % (edge, name.encode(), value.encode())
        for name, value in fields.items()
    ]
    head = b'%b\r\nContent-Disposition: form-data; name="message"; filename="message.eml"\r\n'
    kind = b"Content-Type: application/octet-stream\r\n\r\n"
    return b"".join([*parts, head % edge, kind, raw, b"\r\n", edge, b"--\r\n"])


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> Provider:
    """Mailgun for e-mail.

    Raises:
        UsageError: The settings cannot be used.
    """
    read = read_settings(MailgunSettings, settings, channel=channel)
    check_filled(read, "api_key", channel=channel)
    if not read.from_:
        check_filled(read, "domain", channel=channel)
    return HttpProvider(
        Mailgun(read, sender_of(read, channel=channel)),
        now=now,
        rules=GATEWAY if "base_url" in settings else PUBLIC,
    )
