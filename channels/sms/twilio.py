"""Text messages through Twilio's Messaging API.

Pure. https://www.twilio.com/docs/messaging/api/message-resource
It gives us no field for our own id, so that stands in the address of the status callback, which
its signature covers.
"""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlencode, urlsplit, urlunsplit

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
    Scope,
    Throttled,
)
from channels.callbacks import Callback, Echo, Reply, same
from channels.calls import Answer, Call
from channels.delivery import BounceClass, DeliveryEvent, EventKind
from channels.settings import check_filled, read_settings
from channels.sms.outgoing import choose_sender, refusal, seconds_left, with_query
from channels.sms.reports import (
    event_hash,
    mask_numbers,
    message_id,
    opted_out,
    read_object,
    receipt_by_status,
)
from channels.sms.senders import read_senders
from channels.sms.settings import SmsSettings, open_vendor
from engine.core.errors import Forged, Unreadable, UsageError
from engine.core.model.instants import Instant

API: Final = "https://api.twilio.com"
VALIDITY_SECONDS_MAX: Final = 36_000
OPTED_OUT: Final = 21610

CAPABILITIES: Final = Capabilities(
    reports=frozenset({"queued", "sent", "delivered", "undelivered", "failed", "opened",
                       "rejected", "unsubscribed", "inbound"}),
    webhook="signed",
    receives=True,
    expires=True,
    docs="https://www.twilio.com/docs/messaging/api/message-resource",
)  # fmt: skip

WORDS: Final[Mapping[str, EventKind]] = {
    "accepted": "queued", "scheduled": "queued", "queued": "queued", "sending": "queued",
    "sent": "sent", "delivered": "delivered", "read": "opened", "undelivered": "undelivered",
    "failed": "failed", "canceled": "rejected", "received": "inbound",
}  # fmt: skip
"""https://www.twilio.com/docs/messaging/api/message-resource#message-status-values"""

REFUSALS: Final[Mapping[int, tuple[Scope, BounceClass | None]]] = {
    21211: ("recipient", "hard"), 21214: ("recipient", "hard"), 21217: ("recipient", "hard"),
    21614: ("recipient", "hard"), 21610: ("recipient", None), 21408: ("recipient", "block"),
    21612: ("recipient", "undetermined"), 21602: ("message", None), 21617: ("message", None),
    21212: ("config", None), 21603: ("config", None), 21606: ("config", None),
    21659: ("config", None), 21660: ("config", None), 30034: ("config", None),
    20003: ("config", None), 20005: ("account", None), 30002: ("account", None),
}  # fmt: skip
"""https://www.twilio.com/docs/api/errors; an unknown 21xxx is about the message: codes move."""

BUSY: Final = frozenset({20429, 21611})

FAILURES: Final[Mapping[str, BounceClass]] = {
    "30003": "soft", "30005": "hard", "30006": "hard", "30001": "soft", "30008": "soft",
    "30004": "block", "30007": "block", "30032": "block", "30034": "block", "30019": "message",
    "21614": "hard", "21211": "hard",
}  # fmt: skip
"""https://www.twilio.com/docs/messaging/guides/debugging-tools#error-codes"""


class TwilioSettings(SmsSettings, frozen=True):
    """The channel's map in antiphon.yaml.

    Args:
        account_sid: AC and 32 hex digits.
        auth_token: It authorises calls, unless an API key does, and proves callbacks.
        auth_token_old: The one before, whose callbacks are believed while Twilio changes over.
        api_key: The SID of an API key (SK…) that authorises calls instead of the token.
        api_secret: Its secret.
        from_: A number, a short code, a name, or a list of them: a person always sees the same.
        messaging_service: MG and 32 hex digits; it chooses the sender where there is no `from`.
        callback_url: Where reports go; set by the engine. Empty: none are asked for.
        opt_out_text: Words by country that marketing texts end with.
        base_url: Another host: a region, or a gateway of one's own.
        connections: Calls at once.
    """

    account_sid: str
    auth_token: str
    auth_token_old: str = ""
    api_key: str = ""
    api_secret: str = ""
    messaging_service: str = ""


class Twilio:
    """The translation."""

    name = "sms.twilio"
    channel: Channel = "sms"
    capabilities = CAPABILITIES

    def __init__(self, settings: TwilioSettings, *, senders: tuple[str, ...]) -> None:
        self.settings = settings
        self.senders = senders
        account = quote(settings.account_sid, safe="")
        base = (settings.base_url or API).rstrip("/")
        self._url = f"{base}/2010-04-01/Accounts/{account}/Messages.json"
        user, secret = settings.account_sid, settings.auth_token
        if settings.api_key:
            user, secret = settings.api_key, settings.api_secret
        self._basic = "Basic " + b64encode(f"{user}:{secret}".encode()).decode()

    def call(self, message: OutMessage, *, now: Instant) -> Call | Receipt:
        sender = choose_sender(message, self.senders)
        refused = refusal(message, sender=sender)
        if refused is not None:
            return refused
        form = {"To": message.to, "Body": message.text}
        form |= {"From": sender} if sender else {}
        if self.settings.messaging_service:
            form["MessagingServiceSid"] = self.settings.messaging_service
        if self.settings.callback_url:
            form["StatusCallback"] = with_query(
                self.settings.callback_url, message=message.metadata.get("message", "")
            )
        seconds = seconds_left(message, now=now, least=1, most=VALIDITY_SECONDS_MAX)
        if seconds is not None:
            form["ValidityPeriod"] = str(seconds)
        headers = {
            "Authorization": self._basic,
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        return Call(self._url, headers=headers, body=urlencode(form).encode())

    def receipt(self, answer: Answer, *, now: Instant) -> Receipt:
        told = answer.json()
        if answer.is_ok and isinstance(told.get("sid"), str):
            return Accepted(told["sid"])
        code = int(told.get("code") or 0)
        words = mask_numbers(str(told.get("message", answer.text)))
        by_status = receipt_by_status(answer, now=now)
        if not isinstance(by_status, RefusedBy):
            return by_status
        if code in BUSY:
            return Throttled(None, words)
        otherwise: Scope = "message" if code // 1000 == 21 else by_status.scope
        scope, bounce = REFUSALS.get(code, (otherwise, None))
        name = str(code) if code else by_status.code
        return RefusedBy(scope, name, words, bounce, is_opt_out=code == OPTED_OUT)

    def read_callback(self, callback: Callback, *, now: Instant) -> Echo:
        fields = dict(signed_fields(callback, tokens=self._tokens))
        sid = fields.get("MessageSid") or fields.get("SmsSid", "")
        if not sid:
            raise Unreadable("sms.twilio: it names no message")
        status = fields.get("MessageStatus") or fields.get("SmsStatus", "")
        if status == "received" or (not status and "Body" in fields):
            return Echo([_inbound(fields, sid, now)], Reply(200, b"<Response/>", "text/xml"))
        code = fields.get("ErrorCode", "")
        code = "" if code == "0" else code
        kind = WORDS.get(status, "unknown")
        event = DeliveryEvent(
            kind,
            message_id(dict(callback.query).get("message")),
            event_hash(sid, status, code),
            now,
            recipient=fields.get("To"),
            reason=mask_numbers(fields.get("ErrorMessage", "")),
            bounce_class=_bounce(kind, code),
            raw=fields,
            provider_id=sid,
            code=code,
        )
        return Echo(opted_out(event) if code == str(OPTED_OUT) else [event])

    @property
    def _tokens(self) -> tuple[str, str]:
        return self.settings.auth_token, self.settings.auth_token_old


def _bounce(kind: EventKind, code: str) -> BounceClass | None:
    if kind not in ("undelivered", "failed") or code == str(OPTED_OUT):
        return None
    return FAILURES.get(code, "undetermined")


def _inbound(fields: Mapping[str, str], sid: str, now: Instant) -> DeliveryEvent:
    """What a person wrote. `OptOutType` is what Advanced Opt-Out has understood and done."""
    return DeliveryEvent(
        "inbound",
        None,
        event_hash(sid, "received"),
        now,
        recipient=fields.get("From"),
        raw=dict(fields),
        code=fields.get("OptOutType", ""),
        text=fields.get("Body", ""),
    )


# --- https://www.twilio.com/docs/usage/security#validating-requests ------------------------------


def signed_fields(callback: Callback, *, tokens: Iterable[str]) -> list[tuple[str, str]]:
    """The fields of a callback that one of the tokens signed.

    Raises:
        Forged: None did, or its body is not covered by the signature.
    """
    offered = callback.headers.get("x-twilio-signature", "")
    fields, is_form = _fields(callback)
    signed = _spelled(fields) if is_form else ""
    fits = [
        same(offered, _seal(url + signed, token))
        for token in tokens
        if token
        for url in _urls(callback.url)
    ]
    if not any(fits):
        raise Forged("X-Twilio-Signature does not hold: is ANTIPHON_PUBLIC_URL what Twilio calls?")
    return fields


def _fields(callback: Callback) -> tuple[list[tuple[str, str]], bool]:
    """The fields, and whether they are signed one by one, as those of forms are."""
    if not callback.body:
        return callback.query, False  # by GET: they stand in the address, which is signed whole
    if "json" not in callback.headers.get("content-type", ""):
        return callback.form, True
    # Of a JSON body only its hash is signed, within the address.
    hashes = parse_qs(urlsplit(callback.url).query).get("bodySHA256", [""])
    if not same(hashlib.sha256(callback.body).hexdigest(), hashes[0]):
        raise Forged("the body is not the one whose bodySHA256 Twilio signed")
    return [(name, str(value)) for name, value in read_object(callback.body).items()], False


def _spelled(fields: Iterable[tuple[str, str]]) -> str:
    return "".join(name + value for name, value in sorted(set(fields)))


def _seal(text: str, token: str) -> str:
    return b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


def _urls(url: str) -> tuple[str, str]:
    """The address as it is and with its port the other way: Twilio's own services differ."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    bare = host.removesuffix(f":{parts.port}") if parts.port else host
    port = 443 if parts.scheme == "https" else 80
    other = bare if parts.port else f"{host}:{port}"
    return url, urlunsplit(parts._replace(netloc=parts.netloc.removesuffix(host) + other))


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> Provider:
    """Twilio for text messages.

    Raises:
        UsageError: The settings cannot be used.
    """
    parsed = read_settings(TwilioSettings, settings, channel=channel)
    check_filled(parsed, "account_sid", "auth_token", channel=channel)
    senders = read_senders(parsed.from_, channel=channel)
    if not senders and not parsed.messaging_service:
        raise UsageError(f"channels.{channel}: give `from` or `messaging_service`")
    if parsed.api_key:
        check_filled(parsed, "api_secret", channel=channel)
    return open_vendor(Twilio(parsed, senders=senders), parsed, now=now)
