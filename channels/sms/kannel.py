"""Text messages through a Kannel gateway of one's own, to whatever carriers it is bound to.

Pure. https://www.kannel.org/userguide.shtml (chapter "Setting up a SMS Gateway", 1.4.5)
Kannel gives a message no id and signs nothing: our id and a secret of ours stand in the address
that it calls with a report (`dlr-url`). What people answer comes by an `sms-service` with
`get-url = "https://…/webhooks/CHANNEL?token=TOKEN&from=%p&to=%P&text=%a&id=%I&at=%T"`, and with
`max-messages = 0`: otherwise Kannel sends what it is answered, a refusal too, back as a text.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from channels.base import (
    Accepted,
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
from channels.callbacks import Callback, Echo, check_token
from channels.calls import Answer, Call
from channels.delivery import BounceClass, DeliveryEvent, EventKind
from channels.receipts import retry_after_seconds
from channels.settings import check_filled, read_settings
from channels.sms.outgoing import choose_sender, refusal, seconds_left, with_query
from channels.sms.reports import (
    event_hash,
    instant_of,
    mask_numbers,
    message_id,
    receipt_by_status,
    unix_instant,
    with_plus,
)
from channels.sms.senders import read_senders
from channels.sms.settings import SmsSettings, open_vendor
from channels.sms.text import measure
from engine.core.errors import Forged, Unreadable, UsageError
from engine.core.model.instants import Instant

TAKEN: Final = ("0: Accepted for delivery", "3: Queued for later delivery")
DLR_MASK: Final = 1 + 2 + 4 + 8 + 16
VALIDITY_MINUTES_MAX: Final = 7 * 24 * 60

CAPABILITIES: Final = Capabilities(
    reports=frozenset({"queued", "sent", "delivered", "undelivered", "rejected", "inbound"}),
    webhook="token",
    receives=True,
    expires=True,
    docs="https://www.kannel.org/userguide.shtml",
)

WORDS: Final[Mapping[str, EventKind]] = {
    "1": "delivered", "2": "undelivered", "4": "queued", "8": "sent", "16": "rejected",
    "34": "undelivered", "66": "unknown",
}  # fmt: skip
"""Bits of a report: delivered to the phone, not delivered to it, queued on the SMSC, delivered to
the SMSC, refused by it; 34 is 2 and expired, 66 is 2 and unknown."""

NACKS: Final[Mapping[str, BounceClass]] = {
    "11": "hard", "20": "soft", "88": "soft", "8": "soft", "69": "message", "1": "message",
}  # fmt: skip
"""SMPP 3.4 table 5-2, as Kannel writes a refusal of the carrier: NACK/11/Invalid Dest Addr."""

STATES: Final[Mapping[str, BounceClass]] = {
    "EXPIRED": "soft",
    "DELETED": "soft",
    "REJECTD": "block",
}
"""SMPP 3.4 appendix B, in a report's text: `stat:UNDELIV err:001`."""

# Kannel fills these in when it calls: report, time, the carrier's id and its words.
_REPORT: Final = "type=%d&at=%T&to=%p&carrier_id=%F&words=%A"
_SAFE: Final = re.compile(r"[A-Za-z0-9._~-]+")
_NACK: Final = re.compile(r"NACK/(?:0x)?(\w+)")
_STATE: Final = re.compile(r"stat:(\w+)")
_ERROR: Final = re.compile(r"err:(\w+)")


class KannelSettings(SmsSettings, frozen=True):
    """The channel's map in antiphon.yaml.

    Args:
        base_url: Where the smsbox listens: `http://smsbox.internal:13013`.
        username: Of a `sendsms-user` in Kannel's configuration.
        password: Its password.
        smsc: The binding that messages take, where Kannel has several.
        webhook_token: A secret of ours: it stands in the address of reports, and
            in the `get-url` of the `sms-service` for what people answer. Letters, digits and
            `. _ ~ -`: Kannel reads `%` itself.
        from_: A number, a short code, a name, or a list of them: a person always sees the same.
        callback_url: Where reports go; set by the engine. Empty: none are asked for.
        opt_out_text: Words by country that marketing texts end with.
        connections: Calls at once.
    """

    username: str
    password: str
    smsc: str = ""
    webhook_token: str = ""


class Kannel:
    """The translation."""

    name = "sms.kannel"
    channel: Channel = "sms"
    capabilities = CAPABILITIES

    def __init__(self, settings: KannelSettings, *, senders: tuple[str, ...]) -> None:
        self.settings = settings
        self.senders = senders
        self._url = settings.base_url.rstrip("/") + "/cgi-bin/sendsms"

    def call(self, message: OutMessage, *, now: Instant) -> Call | Receipt:
        sender = choose_sender(message, self.senders)
        refused = refusal(message, sender=sender)
        if refused is not None:
            return refused
        own = self.settings
        headers = {
            "Content-Type": "text/plain; charset=UTF-8",
            "X-Kannel-Username": own.username,
            "X-Kannel-Password": own.password,
            "X-Kannel-To": message.to,
            "X-Kannel-Coding": "2" if measure(message.text).encoding == "ucs2" else "0",
        }
        headers |= {"X-Kannel-From": sender} if sender else {}
        headers |= {"X-Kannel-SMSC": own.smsc} if own.smsc else {}
        if own.callback_url and own.webhook_token:
            headers["X-Kannel-DLR-Mask"] = str(DLR_MASK)
            headers["X-Kannel-DLR-URL"] = self._report_url(message)
        seconds = seconds_left(message, now=now, least=60, most=VALIDITY_MINUTES_MAX * 60)
        if seconds is not None:
            headers["X-Kannel-Validity"] = str(seconds // 60)
        # The text is the body: it would stand in the logs of every hop as part of an address.
        return Call(self._url, headers=headers, body=message.text.encode())

    def receipt(self, answer: Answer, *, now: Instant) -> Receipt:
        words = mask_numbers(answer.text)
        if answer.status == 202 and words in TAKEN:
            return Accepted(words)  # it names no message; reports carry our id
        if answer.status == 503 and words.startswith("Temporal"):
            # "Temporal failure, try again later.": it refused to take it, so nothing was sent.
            return Throttled(retry_after_seconds(answer.headers, now=now), words)
        if answer.status == 404 and "routable" in words:
            return RefusedBy("recipient", "not_routable", words, "undetermined")
        return receipt_by_status(answer, now=now)

    def read_callback(self, callback: Callback, *, now: Instant) -> Echo:
        if not self.settings.webhook_token:
            raise Forged("sms.kannel signs nothing: fill webhook_token to take its callbacks")
        check_token(callback, self.settings.webhook_token)
        if callback.body:
            raise Unreadable("sms.kannel: its calls have no body")
        fields = {name: value for name, value in callback.query if name != "token"}
        # Kannel sends whatever we answer as a text message: the reply is empty.
        if "type" in fields:
            return Echo([_report(fields, now)])
        if "text" in fields and "from" in fields:
            return Echo([_inbound(fields, now)])
        raise Unreadable("sms.kannel: it is no report (type) and no answer (from, text)")

    def _report_url(self, message: OutMessage) -> str:
        url = with_query(
            self.settings.callback_url,
            token=self.settings.webhook_token,
            message=message.metadata.get("message", ""),
        )
        return f"{url}&{_REPORT}"


def _report(fields: Mapping[str, str], now: Instant) -> DeliveryEvent:
    kind, words = WORDS.get(fields["type"], "unknown"), fields.get("words", "")
    nack, state, error = (
        found.group(1) if found else ""
        for found in (it.search(words) for it in (_NACK, _STATE, _ERROR))
    )
    bounce: BounceClass | None = None
    if kind in ("undelivered", "rejected"):
        expired: BounceClass = "soft" if fields["type"] == "34" else "undetermined"
        bounce = NACKS.get(nack) or STATES.get(state) or expired
    return DeliveryEvent(
        kind,
        message_id(fields.get("message")),
        # A report that Kannel repeats is the same address once more.
        event_hash(*(fields.get(name, "") for name in ("message", "type", "carrier_id", "at"))),
        unix_instant(fields.get("at"), otherwise=now),
        recipient=with_plus(fields.get("to")),
        reason=mask_numbers(words),
        bounce_class=bounce,
        raw=dict(fields),
        code=f"NACK/{nack}" if nack else error,
    )


def _inbound(fields: Mapping[str, str], now: Instant) -> DeliveryEvent:
    """What a person wrote, as the `get-url` that the docs show gives it."""
    at = fields.get("at")
    return DeliveryEvent(
        "inbound",
        None,
        event_hash(*(fields.get(name, "") for name in ("id", "from", "text", "at"))),
        unix_instant(at, otherwise=instant_of(at, otherwise=now)),
        recipient=with_plus(fields["from"]),
        raw=dict(fields),
        text=fields["text"],
    )


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> Provider:
    """Kannel for text messages.

    Raises:
        UsageError: The settings cannot be used.
    """
    parsed = read_settings(KannelSettings, settings, channel=channel)
    check_filled(parsed, "base_url", "username", "password", channel=channel)
    token = parsed.webhook_token
    if token and not _SAFE.fullmatch(token):
        words = "may hold letters, digits and . _ ~ - alone: Kannel reads % itself"
        raise UsageError(f"channels.{channel}.webhook_token {words}")
    if "%" in parsed.callback_url:
        raise UsageError(f"channels.{channel}: the public address may hold no %: Kannel reads it")
    senders = read_senders(parsed.from_, channel=channel)
    return open_vendor(Kannel(parsed, senders=senders), parsed, now=now)
