"""Text messages through Vonage: its SMS API, or its Messages API where the settings say so.

Pure. https://developer.vonage.com/en/api/sms and https://developer.vonage.com/en/api/messages
Read next: `vonage_reports`, what it tells later.
"""

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlencode

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
from channels.delivery import BounceClass
from channels.settings import check_filled, read_settings
from channels.sms.outgoing import choose_sender, refusal, seconds_left, with_token
from channels.sms.reports import mask_numbers, receipt_by_status
from channels.sms.senders import read_senders
from channels.sms.settings import SmsSettings, open_vendor
from channels.sms.text import measure
from channels.sms.vonage_reports import WORDS, Method, check_proof, read_events, read_fields
from engine.core.errors import UsageError
from engine.core.model.instants import Instant

__all__ = ["CAPABILITIES", "WORDS", "Vonage", "VonageSettings", "open_channel"]

SMS_API: Final = "https://rest.nexmo.com"
MESSAGES_API: Final = "https://api.nexmo.com"
TTL_SECONDS: Final = (20, 604_800)

CAPABILITIES: Final = Capabilities(
    reports=frozenset({"sent", "deferred", "delivered", "undelivered", "failed", "rejected",
                       "unsubscribed", "inbound"}),
    webhook="signed",
    receives=True,
    expires=True,
    docs="https://developer.vonage.com/en/api/sms",
)  # fmt: skip

STATUSES: Final[Mapping[str, tuple[Scope, BounceClass | None]]] = {
    "2": ("config", None), "3": ("message", None), "4": ("config", None),
    "6": ("recipient", "undetermined"), "7": ("recipient", "block"), "8": ("account", None),
    "9": ("account", None), "11": ("account", None), "12": ("message", None),
    "14": ("config", None), "15": ("config", None), "22": ("config", None),
    "23": ("config", None), "29": ("config", None), "32": ("config", None),
    "33": ("recipient", "hard"),
}  # fmt: skip
"""`messages[].status` of the SMS API, which answers HTTP 200 to everything."""

THROTTLED: Final = frozenset({"1", "10"})
"""Too fast; too many connections at once."""


class VonageSettings(SmsSettings, frozen=True):
    """The channel's map in antiphon.yaml.

    Args:
        api: `sms`, or `messages` for the Messages API.
        api_key: Of the account.
        api_secret: Its secret.
        signature_secret: Proves callbacks; of the account, in Vonage's dashboard.
        signature_secret_old: The one before, believed while Vonage changes over.
        signature_method: How the SMS API signs parameters: `sha256`, `sha512`, `sha1`, `md5`
            (keyed), or `md5hash`, as the account is set up.
        webhook_token: A secret of ours in the address of callbacks, for an account that signs
            none.
        from_: A number, a short code, a name, or a list of them: a person always sees the same.
        callback_url: Where reports go; set by the engine. Empty: where the account says.
        opt_out_text: Words by country that marketing texts end with.
        base_url: Another host: a region, or a gateway of one's own.
        connections: Calls at once.
    """

    api_key: str
    api_secret: str
    api: Literal["sms", "messages"] = "sms"
    signature_secret: str = ""
    signature_secret_old: str = ""
    signature_method: Method = "sha256"
    webhook_token: str = ""


class Vonage:
    """The translation."""

    name = "sms.vonage"
    channel: Channel = "sms"
    capabilities = CAPABILITIES

    def __init__(self, settings: VonageSettings, *, senders: tuple[str, ...]) -> None:
        self.settings = settings
        self.senders = senders
        self._is_messages = settings.api == "messages"
        base = settings.base_url or (MESSAGES_API if self._is_messages else SMS_API)
        self._base = base.rstrip("/")
        self._reports = with_token(settings.callback_url, settings.webhook_token)

    def call(self, message: OutMessage, *, now: Instant) -> Call | Receipt:
        sender = choose_sender(message, self.senders)
        refused = refusal(message, sender=sender)
        if refused is not None:
            return refused
        least, most = TTL_SECONDS
        seconds = seconds_left(message, now=now, least=least, most=most)
        make = self._messages_call if self._is_messages else self._sms_call
        return make(message, sender.removeprefix("+"), seconds)

    def _sms_call(self, message: OutMessage, sender: str, seconds: int | None) -> Call:
        form = {
            "api_key": self.settings.api_key,
            "api_secret": self.settings.api_secret,
            "from": sender,
            "to": message.to.removeprefix("+"),
            "text": message.text,
            "type": "unicode" if measure(message.text).encoding == "ucs2" else "text",
            "client-ref": message.metadata.get("message", ""),
        }
        form |= {"callback": self._reports} if self._reports else {}
        form |= {"ttl": str(seconds * 1000)} if seconds is not None else {}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return Call(f"{self._base}/sms/json", headers=headers, body=urlencode(form).encode())

    def _messages_call(self, message: OutMessage, sender: str, seconds: int | None) -> Call:
        body: dict[str, Any] = {
            "channel": "sms",
            "message_type": "text",
            "to": message.to.removeprefix("+"),
            "from": sender,
            "text": message.text,
            "client_ref": message.metadata.get("message", ""),
        }
        body |= {"webhook_url": self._reports} if self._reports else {}
        body |= {"ttl": seconds} if seconds is not None else {}
        pair = f"{self.settings.api_key}:{self.settings.api_secret}"
        headers = {"Authorization": "Basic " + b64encode(pair.encode()).decode()}
        return json_call(f"{self._base}/v1/messages", body, headers=headers)

    def receipt(self, answer: Answer, *, now: Instant) -> Receipt:
        read = _messages_receipt if self._is_messages else _sms_receipt
        return read(answer) or receipt_by_status(answer, now=now)

    def read_callback(self, callback: Callback, *, now: Instant) -> Echo:
        own, fields = self.settings, read_fields(callback)
        check_proof(
            callback,
            fields,
            secrets=(own.signature_secret, own.signature_secret_old),
            method=own.signature_method,
            token=own.webhook_token,
            now=now,
        )
        return Echo(read_events(fields, now=now))


def _sms_receipt(answer: Answer) -> Receipt | None:
    """By part: one that went makes the message ours no more; else the first says why."""
    parts = answer.json().get("messages") if answer.is_ok else None
    if not isinstance(parts, list) or not parts:
        return None
    taken = [part for part in parts if part.get("status") == "0"]
    if taken:
        found = taken[0].get("message-id")
        return Accepted(found) if isinstance(found, str) and found else None
    status = str(parts[0].get("status", ""))
    words = mask_numbers(str(parts[0].get("error-text", "")))
    if status in THROTTLED:
        return Throttled(None, words)
    if status not in STATUSES:
        # 5 is an error within Vonage: it may have happened after the message left it.
        return Ambiguous(f"status {status}: {words}")
    scope, bounce = STATUSES[status]
    return RefusedBy(scope, status, words, bounce)


def _messages_receipt(answer: Answer) -> Receipt | None:
    told = answer.json()
    if answer.is_ok:
        found = told.get("message_uuid")
        return Accepted(found) if isinstance(found, str) and found else None
    words = mask_numbers(f"{told.get('title', '')}: {told.get('detail', '')}")
    if answer.status == 402:
        return RefusedBy("account", "http 402", words)
    return None


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> Provider:
    """Vonage for text messages.

    Raises:
        UsageError: The settings cannot be used.
    """
    parsed = read_settings(VonageSettings, settings, channel=channel)
    check_filled(parsed, "api_key", "api_secret", channel=channel)
    senders = read_senders(parsed.from_, channel=channel)
    if not senders:
        raise UsageError(f"channels.{channel}: give `from`: Vonage chooses no sender itself")
    return open_vendor(Vonage(parsed, senders=senders), parsed, now=now)
