"""Text messages through Plivo's Message API.

Pure. https://www.plivo.com/docs/messaging/api/messages/
It gives us no field for our own id, so that stands in the address of the status callback. Messaging
callbacks bear its second signature, which covers neither the body nor the query: beside it we ask
for a token of our own in that address. The third, where one comes, covers everything.
"""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

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
)
from channels.callbacks import Callback, Echo, check_token, same
from channels.calls import Answer, Call, json_call
from channels.delivery import BounceClass, DeliveryEvent, EventKind
from channels.receipts import receipt_of
from channels.settings import check_filled, read_settings
from channels.sms.outgoing import choose_sender, refusal, with_query
from channels.sms.reports import (
    event_hash,
    instant_of,
    mask_numbers,
    message_id,
    opted_out,
    with_plus,
)
from channels.sms.senders import read_senders
from channels.sms.settings import SmsSettings, open_vendor
from engine.core.errors import Forged, Unreadable, UsageError
from engine.core.model.instants import Instant

API: Final = "https://api.plivo.com"

CAPABILITIES: Final = Capabilities(
    reports=frozenset({"queued", "sent", "delivered", "undelivered", "failed", "rejected",
                       "unsubscribed"}),
    webhook="signed",
    receives=True,
    docs="https://www.plivo.com/docs/messaging/api/messages/",
)  # fmt: skip

WORDS: Final[Mapping[str, EventKind]] = {
    "queued": "queued", "sent": "sent", "delivered": "delivered", "undelivered": "undelivered",
    "failed": "failed", "rejected": "rejected", "received": "inbound",
}  # fmt: skip
"""https://plivo.com/docs/messaging/api/message/message-status-callbacks; `read` is WhatsApp's."""

OPTED_OUT: Final = "200"

FAILURES: Final[Mapping[str, BounceClass]] = {
    "10": "message", "20": "soft", "30": "block", "40": "block", "50": "hard", "60": "block",
    "70": "hard", "80": "soft", "90": "block", "100": "block", "110": "message", "300": "soft",
    "420": "soft", "450": "block", "900": "block", "910": "block",
}  # fmt: skip
"""https://plivo.com/docs/messaging/troubleshooting/error-codes; what is our account's fault or the
carrier's policy is `block`, which never burns a number."""


class PlivoSettings(SmsSettings, frozen=True):
    """The channel's map in antiphon.yaml.

    Args:
        auth_id: The account: MA and 18 characters.
        auth_token: It authorises calls and proves callbacks.
        auth_token_old: The one before, whose callbacks are believed while Plivo changes over.
        webhook_token: A secret of your own, which callbacks bring back in their address.
        from_: A number, a short code, a name, or a list of them: a person always sees the same.
        powerpack: The UUID of a pool that chooses the sender where there is no `from`.
        callback_url: Where reports go; set by the engine. Empty: none are asked for.
        opt_out_text: Words by country that marketing texts end with.
        base_url: Another host: a gateway of one's own.
        connections: Calls at once.
    """

    auth_id: str
    auth_token: str
    auth_token_old: str = ""
    webhook_token: str = ""
    powerpack: str = ""


class Plivo:
    """The translation."""

    name = "sms.plivo"
    channel: Channel = "sms"
    capabilities = CAPABILITIES

    def __init__(self, settings: PlivoSettings, *, senders: tuple[str, ...]) -> None:
        self.settings = settings
        self.senders = senders
        base = (settings.base_url or API).rstrip("/")
        self._url = f"{base}/v1/Account/{quote(settings.auth_id, safe='')}/Message/"
        secret = f"{settings.auth_id}:{settings.auth_token}".encode()
        self._basic = "Basic " + b64encode(secret).decode()

    def call(self, message: OutMessage, *, now: Instant) -> Call | Receipt:
        sender = choose_sender(message, self.senders)
        refused = refusal(message, sender=sender)
        if refused is not None:
            return refused
        # One sender or one pool: Plivo refuses a request that names both.
        body = {"src": sender} if sender else {"powerpack_uuid": self.settings.powerpack}
        body |= {"dst": message.to, "text": message.text, "type": "sms"}
        if self.settings.callback_url:
            ours = {"message": message.metadata.get("message", "")}
            if self.settings.webhook_token:
                ours["token"] = self.settings.webhook_token
            body |= {"url": with_query(self.settings.callback_url, **ours), "method": "POST"}
        return json_call(self._url, body, headers={"Authorization": self._basic})

    def receipt(self, answer: Answer, *, now: Instant) -> Receipt:
        told = answer.json()
        if answer.is_ok:
            uuids = told.get("message_uuid")
            if isinstance(uuids, list) and uuids and isinstance(uuids[0], str):
                return Accepted(uuids[0])
            if told.get("invalid_number"):
                return RefusedBy("recipient", "invalid_number", "not a number to Plivo", "hard")
            return Ambiguous("its answer has no message_uuid")
        words = mask_numbers(str(told.get("error", answer.text)))
        match receipt_of(answer, now=now):
            case RefusedBy(_, code) if answer.status == 402:
                return RefusedBy("account", code, words)
            case RefusedBy(scope, code):
                return RefusedBy(scope, code, words)
            case decided:
                return decided or Ambiguous("its answer has no meaning")

    def read_callback(self, callback: Callback, *, now: Instant) -> Echo:
        self._check(callback)
        fields = dict(callback.form)
        uuid, status = fields.get("MessageUUID", ""), fields.get("Status", "")
        if not uuid:
            raise Unreadable("the body has no MessageUUID")
        code = fields.get("ErrorCode", "").lstrip("0")
        if status == "received" or (not status and "Text" in fields):
            return Echo([_inbound(fields, uuid, now)])
        kind = WORDS.get(status, "unknown")
        has_failed = kind in ("undelivered", "failed") and code != OPTED_OUT
        event = DeliveryEvent(
            kind,
            message_id(dict(callback.query).get("message")),
            event_hash(uuid, status, code),
            instant_of(fields.get(_TIMES.get(status, "")), otherwise=now),
            recipient=with_plus(fields.get("To")),
            bounce_class=FAILURES.get(code, "undetermined") if has_failed else None,
            raw=fields,
            provider_id=uuid,
            code=code,
        )
        return Echo(opted_out(event) if code == OPTED_OUT else [event])

    def _check(self, callback: Callback) -> None:
        """Raises Forged unless one of the tokens has signed it."""
        tokens = [it for it in (self.settings.auth_token, self.settings.auth_token_old) if it]
        offered = callback.headers.get("x-plivo-signature-v3", "")
        # An empty one is none: it must not lend the older signature what only this one proves.
        if signs_body := bool(offered):
            nonce = callback.headers.get("x-plivo-signature-v3-nonce", "")
            signed = f"{spelled(callback)}.{nonce}"
        else:
            nonce = callback.headers.get("x-plivo-signature-v2-nonce", "")
            offered = callback.headers.get("x-plivo-signature-v2", "")
            signed = f"{callback.url.partition('?')[0]}{nonce}"
        seals = [seal(signed, token) for token in tokens]
        fits = [same(each.strip(), it) for each in offered.split(",") for it in seals]
        if not any(fits):
            raise Forged("X-Plivo-Signature does not hold: is ANTIPHON_PUBLIC_URL what it calls?")
        if signs_body:
            return
        if not self.settings.webhook_token:
            raise Forged("Plivo's signature does not cover the body: fill channels.webhook_token")
        check_token(callback, self.settings.webhook_token)


_TIMES: Final = {
    "queued": "QueuedTime", "sent": "SentTime", "delivered": "DeliveryReportTime",
    "undelivered": "DeliveryReportTime", "failed": "DeliveryReportTime",
}  # fmt: skip


def _inbound(fields: Mapping[str, str], uuid: str, now: Instant) -> DeliveryEvent:
    """What a person wrote."""
    return DeliveryEvent(
        "inbound",
        None,
        event_hash(uuid, "received"),
        now,
        recipient=with_plus(fields.get("From")),
        raw=dict(fields),
        text=fields.get("Text", ""),
    )


# --- https://www.plivo.com/docs/messaging/concepts/signature-validation --------------------------


def spelled(callback: Callback) -> str:
    """What the third signature covers, but for the nonce: address, sorted query, sorted fields."""
    parts = urlsplit(callback.url)
    query = sorted(parse_qsl(parts.query, keep_blank_values=True))
    fields = sorted(callback.form)  # a GET has none, or it was put there by somebody else
    text = f"{parts.scheme}://{parts.netloc}{parts.path}"
    if query or fields:
        text += "?" + "&".join(f"{name}={value}" for name, value in query)
    if query and fields:
        text += "."
    return text + "".join(name + value for name, value in fields)


def seal(text: str, token: str) -> str:
    """Base64 of HMAC-SHA256."""
    return b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha256).digest()).decode()


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> Provider:
    """Plivo for text messages.

    Raises:
        UsageError: The settings cannot be used.
    """
    parsed = read_settings(PlivoSettings, settings, channel=channel)
    check_filled(parsed, "auth_id", "auth_token", channel=channel)
    senders = read_senders(parsed.from_, channel=channel)
    if not senders and not parsed.powerpack:
        raise UsageError(f"channels.{channel}: give `from` or `powerpack`")
    return open_vendor(Plivo(parsed, senders=senders), parsed, now=now)
