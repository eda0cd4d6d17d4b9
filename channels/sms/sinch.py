"""Text messages through Sinch's SMS API (XMS).

Pure. https://developers.sinch.com/docs/sms/api-reference/sms/
"""

import hmac
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

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
)
from channels.callbacks import Callback, Echo, check_age, check_token, same
from channels.calls import Answer, Call, json_call
from channels.delivery import BounceClass, DeliveryEvent, EventKind
from channels.settings import check_filled, read_settings
from channels.sms.outgoing import choose_sender, refusal, seconds_left, with_token
from channels.sms.reports import (
    event_hash,
    instant_of,
    mask_numbers,
    message_id,
    read_object,
    receipt_by_status,
    unix_instant,
    with_plus,
)
from channels.sms.senders import read_senders
from channels.sms.settings import SmsSettings, open_vendor
from engine.core.errors import Forged, UsageError
from engine.core.model.instants import NEVER, SECOND, Instant

EXPIRY_SECONDS: Final = (60, 3 * 24 * 3600)

CAPABILITIES: Final = Capabilities(
    reports=frozenset({"queued", "sent", "delivered", "undelivered", "failed", "rejected",
                       "inbound"}),
    webhook="signed",
    receives=True,
    expires=True,
    batch_max=1_000,
    docs="https://developers.sinch.com/docs/sms/api-reference/sms/",
)  # fmt: skip

WORDS: Final[Mapping[str, EventKind]] = {
    "queued": "queued", "dispatched": "sent", "delivered": "delivered", "failed": "failed",
    "expired": "undelivered", "rejected": "rejected", "aborted": "failed", "cancelled": "failed",
    "deleted": "undelivered", "unknown": "unknown",
}  # fmt: skip
"""https://developers.sinch.com/docs/sms/api-reference/sms/tag/Delivery-reports/"""

FAILURES: Final[Mapping[int, BounceClass]] = {
    402: "undetermined", 403: "undetermined", 404: "soft", 405: "message", 406: "soft",
    407: "message", 408: "block", 410: "message", 411: "message", 412: "block", 413: "block",
    414: "message", 417: "soft", 418: "message",
}  # fmt: skip
"""Codes of Sinch's own, on the same page; below 400 they are the carrier's, which differ."""

FAULTS: Final[Mapping[str, BounceClass | None]] = {"forbidden_number": "block"}


class SinchSettings(SmsSettings, frozen=True):
    """The channel's map in antiphon.yaml.

    Args:
        service_plan_id: Of the account.
        api_token: Authorises calls.
        region: `us`, `eu`, `au`, `br` or `ca`: where the service plan was made.
        webhook_secret: Proves callbacks, where the account has signed ones.
        webhook_secret_old: The one before, believed while it changes.
        webhook_token: A secret of ours in the address of callbacks, for an account that signs
            none.
        from_: A number, a short code, a name, or a list of them: a person always sees the same.
        callback_url: Where reports go; set by the engine. Empty: none are asked for.
        opt_out_text: Words by country that marketing texts end with.
        base_url: Another host, or a gateway of one's own.
        connections: Calls at once.
    """

    service_plan_id: str
    api_token: str
    region: Literal["us", "eu", "au", "br", "ca"] = "us"
    webhook_secret: str = ""
    webhook_secret_old: str = ""
    webhook_token: str = ""


class Sinch:
    """The translation."""

    name = "sms.sinch"
    channel: Channel = "sms"
    capabilities = CAPABILITIES

    def __init__(self, settings: SinchSettings, *, senders: tuple[str, ...]) -> None:
        self.settings = settings
        self.senders = senders
        base = settings.base_url or f"https://{settings.region}.sms.api.sinch.com"
        plan = quote(settings.service_plan_id, safe="")
        self._url = f"{base.rstrip('/')}/xms/v1/{plan}/batches"

    def call(self, message: OutMessage, *, now: Instant) -> Call | Receipt:
        sender = choose_sender(message, self.senders)
        refused = refusal(message, sender=sender)
        if refused is not None:
            return refused
        body: dict[str, Any] = {
            "type": "mt_text",
            "from": sender,
            "to": [message.to],
            "body": message.text,
            "client_reference": message.metadata.get("message", ""),
            "delivery_report": "none",
        }
        if self.settings.callback_url:
            body["delivery_report"] = "per_recipient"
            body["callback_url"] = with_token(
                self.settings.callback_url, self.settings.webhook_token
            )
        if message.expires_at < NEVER:
            least, most = EXPIRY_SECONDS
            seconds = seconds_left(message, now=now, least=least, most=most) or least
            at = datetime.fromtimestamp(now // SECOND + seconds, UTC)
            body["expire_at"] = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        headers = {"Authorization": f"Bearer {self.settings.api_token}"}
        return json_call(self._url, body, headers=headers)

    def receipt(self, answer: Answer, *, now: Instant) -> Receipt:
        told = answer.json()
        if answer.is_ok and isinstance(told.get("id"), str) and told["id"]:
            return Accepted(told["id"])
        by_status = receipt_by_status(answer, now=now)
        code = told.get("code")
        if not isinstance(by_status, RefusedBy) or not isinstance(code, str):
            return by_status
        code = mask_numbers(code)
        words = mask_numbers(str(told.get("text", "")))
        if code in FAULTS:
            return RefusedBy("recipient", code, words, FAULTS[code])
        if code == "unknown_sender":
            return RefusedBy("config", code, words)
        return RefusedBy(by_status.scope, code, words)

    def read_callback(self, callback: Callback, *, now: Instant) -> Echo:
        self._check(callback, now)
        told = read_object(callback.body)
        kind = str(told.get("type", ""))
        if kind == "mo_text":
            return Echo([_inbound(told, now)])
        if kind == "delivery_report_sms":
            # The summary of a batch says which recipients are in which state.
            return Echo([
                _report({**told, **state, "recipient": number, "at": None}, now)
                for state in told.get("statuses", [])
                for number in state.get("recipients") or [None]
            ])  # fmt: skip
        return Echo([_report(told, now)])

    def _check(self, callback: Callback, now: Instant) -> None:
        secrets = [it for it in (self.settings.webhook_secret, self.settings.webhook_secret_old)
                   if it]  # fmt: skip
        if secrets:
            check_signature(callback, secrets=secrets, now=now)
        elif self.settings.webhook_token:
            check_token(callback, self.settings.webhook_token)
        else:
            raise Forged("sms.sinch: fill webhook_secret or webhook_token to take callbacks")


def check_signature(callback: Callback, *, secrets: list[str], now: Instant) -> None:
    """Ask for the signature over body, nonce and time.

    Raises:
        Forged: It does not hold, or is too old.
    Source: https://developers.sinch.com/docs/conversation/callbacks/#validating-callbacks
    """
    name = "x-sinch-webhook-signature"
    offered, nonce, at = (
        callback.headers.get(name + end, "") for end in ("", "-nonce", "-timestamp")
    )
    signed = callback.body + f".{nonce}.{at}".encode()
    fits = [
        same(offered, b64encode(hmac.digest(it.encode(), signed, "sha256")).decode())
        for it in secrets
    ]
    if not any(fits):
        raise Forged("the signature of the callback does not hold")
    check_age(unix_instant(at, otherwise=0), now=now)


def _report(told: Mapping[str, Any], now: Instant) -> DeliveryEvent:
    status, batch, number = (str(told.get(it) or "") for it in ("status", "batch_id", "recipient"))
    code = told.get("code")
    kind = WORDS.get(status.lower(), "unknown")
    bounce: BounceClass | None = None
    if kind in ("undelivered", "failed", "rejected"):
        bounce = FAILURES.get(code if isinstance(code, int) else 0, "undetermined")
    return DeliveryEvent(
        kind,
        message_id(told.get("client_reference")),
        event_hash(batch, number, status, code),
        instant_of(told.get("at"), otherwise=now),
        recipient=with_plus(number),
        bounce_class=bounce,
        raw=dict(told),
        provider_id=batch,
        code=str(code) if isinstance(code, int) and code else "",
    )


def _inbound(told: Mapping[str, Any], now: Instant) -> DeliveryEvent:
    return DeliveryEvent(
        "inbound",
        None,
        event_hash(told.get("id"), "inbound"),
        instant_of(told.get("received_at"), otherwise=now),
        recipient=with_plus(told.get("from")),
        raw=dict(told),
        text=str(told.get("body", "")),
    )


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> Provider:
    """Sinch for text messages.

    Raises:
        UsageError: The settings cannot be used.
    """
    parsed = read_settings(SinchSettings, settings, channel=channel)
    check_filled(parsed, "service_plan_id", "api_token", channel=channel)
    senders = read_senders(parsed.from_, channel=channel)
    if not senders:
        raise UsageError(f"channels.{channel}: give `from`: Sinch chooses no sender itself")
    return open_vendor(Sinch(parsed, senders=senders), parsed, now=now)
