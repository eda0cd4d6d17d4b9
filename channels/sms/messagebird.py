"""Text messages through MessageBird's REST API, or through Bird, the platform that follows it.

Pure. https://developers.messagebird.com/api/sms-messaging/ and
https://docs.bird.com/api/channels-api/supported-channels/programmable-sms/sending-sms-messages
Read next: `messagebird_proof`, how it signs.
"""

from collections.abc import Mapping
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
    Scope,
)
from channels.callbacks import Callback, Echo
from channels.calls import Answer, Call, json_call
from channels.delivery import BounceClass, DeliveryEvent, EventKind
from channels.settings import check_filled, read_settings
from channels.sms.messagebird_proof import check_proof
from channels.sms.outgoing import choose_sender, refusal, seconds_left
from channels.sms.reports import (
    event_hash,
    instant_of,
    mask_numbers,
    message_id,
    opted_out,
    read_object,
    receipt_by_status,
    with_plus,
)
from channels.sms.senders import read_senders
from channels.sms.settings import SmsSettings, open_vendor
from engine.core.errors import Forged, Unreadable, UsageError
from engine.core.model.instants import Instant

LEGACY: Final = "https://rest.messagebird.com"
BIRD: Final = "https://api.bird.com"
VALIDITY_SECONDS: Final = (60, 604_800)

CAPABILITIES: Final = Capabilities(
    reports=frozenset({"queued", "sent", "deferred", "delivered", "undelivered", "failed",
                       "rejected", "unsubscribed", "inbound"}),
    webhook="signed",
    receives=True,
    expires=True,
    batch_max=50,
    docs="https://developers.messagebird.com/api/sms-messaging/",
)  # fmt: skip

WORDS: Final[Mapping[str, EventKind]] = {
    "scheduled": "queued", "sent": "sent", "buffered": "deferred", "delivered": "delivered",
    "expired": "undelivered", "delivery_failed": "failed",
    "accepted": "queued", "processing": "queued", "rejected": "rejected",
    "sending_failed": "failed",
}  # fmt: skip
"""The first six are the REST API's, the others Bird's, which shares some."""

FAULTS: Final[Mapping[int, Scope]] = {2: "config", 9: "message", 10: "message", 20: "config",
                                      21: "message", 25: "account"}  # fmt: skip
"""`errors[].code`: https://developers.messagebird.com/api/#api-errors"""

FAILURES: Final[Mapping[str, BounceClass]] = {
    "1": "hard", "5": "hard", "9": "hard", "12": "hard", "6": "soft", "27": "soft", "31": "soft",
    "32": "soft", "34": "soft", "11": "block", "13": "block", "101": "block", "104": "block",
    "105": "block",
}  # fmt: skip
"""`statusErrorCode`, at Bird `failure.source.code`; up to 34 they are those of 3GPP TS 29.002
section 17.6.6: 1 unknown, 5 unidentified, 9 illegal subscriber, 12 illegal equipment, 6 and 27
absent, 31 and 32 busy, 34 system failure, 11 and 13 barred."""

OPTED_OUT: Final = "103"


class MessageBirdSettings(SmsSettings, frozen=True):
    """The channel's map in antiphon.yaml.

    Args:
        access_key: Authorises calls.
        api: `rest`, or `bird` for the newer platform.
        workspace: At Bird: its id.
        channel: At Bird: the id of the SMS channel, which knows its sender.
        signing_key: Proves callbacks.
        signing_key_old: The one before, believed while it changes.
        from_: A number, a short code, a name, or a list of them: a person always sees the same.
        callback_url: Where reports go; set by the engine. Empty: none are asked for.
        opt_out_text: Words by country that marketing texts end with.
        base_url: Another host, or a gateway of one's own.
        connections: Calls at once.
    """

    access_key: str
    api: Literal["rest", "bird"] = "rest"
    workspace: str = ""
    channel: str = ""
    signing_key: str = ""
    signing_key_old: str = ""


class MessageBird:
    """The translation."""

    name = "sms.messagebird"
    channel: Channel = "sms"
    capabilities = CAPABILITIES

    def __init__(self, settings: MessageBirdSettings, *, senders: tuple[str, ...]) -> None:
        self.settings = settings
        self.senders = senders
        self._is_bird = settings.api == "bird"
        base = (settings.base_url or (BIRD if self._is_bird else LEGACY)).rstrip("/")
        place = (quote(it, safe="") for it in (settings.workspace, settings.channel))
        path = "/workspaces/{}/channels/{}/messages".format(*place)
        self._url = base + (path if self._is_bird else "/messages")

    def call(self, message: OutMessage, *, now: Instant) -> Call | Receipt:
        sender = choose_sender(message, self.senders)
        refused = refusal(message, sender="" if self._is_bird else sender)
        if refused is not None:
            return refused
        headers = {"Authorization": f"AccessKey {self.settings.access_key}"}
        reference = message.metadata.get("message", "")
        if self._is_bird:
            contact = {"identifierKey": "phonenumber", "identifierValue": message.to}
            text = {"type": "text", "text": {"text": message.text}}
            bird = {"receiver": {"contacts": [contact]}, "body": text, "reference": reference}
            return json_call(self._url, bird, headers=headers)
        body: dict[str, Any] = {
            "recipients": [message.to.removeprefix("+")],
            "originator": sender,
            "body": message.text,
            "reference": reference,
            "datacoding": "auto",
        }
        body |= {"reportUrl": self.settings.callback_url} if self.settings.callback_url else {}
        least, most = VALIDITY_SECONDS
        seconds = seconds_left(message, now=now, least=least, most=most)
        body |= {"validity": seconds} if seconds is not None else {}
        return json_call(self._url, body, headers=headers)

    def receipt(self, answer: Answer, *, now: Instant) -> Receipt:
        told = answer.json()
        if answer.is_ok and isinstance(told.get("id"), str) and told["id"]:
            return Accepted(told["id"])
        by_status = receipt_by_status(answer, now=now)
        errors = told.get("errors")
        if not isinstance(by_status, RefusedBy) or not isinstance(errors, list) or not errors:
            return by_status
        code, words = errors[0].get("code"), mask_numbers(str(errors[0].get("description", "")))
        return RefusedBy(FAULTS.get(code, by_status.scope), mask_numbers(str(code)), words)

    def read_callback(self, callback: Callback, *, now: Instant) -> Echo:
        keys = [it for it in (self.settings.signing_key, self.settings.signing_key_old) if it]
        if not keys:
            raise Forged("sms.messagebird: fill signing_key to take callbacks")
        check_proof(callback, keys=keys, now=now)
        if not callback.body:
            return Echo(_of_rest(dict(callback.query), now))
        if "form" in callback.headers.get("content-type", ""):
            return Echo(_of_rest(dict(callback.form), now))
        told = read_object(callback.body)
        found = told.get("payload")
        return Echo(_of_bird(found, now) if isinstance(found, dict) else _of_rest(told, now))


def _of_rest(told: Mapping[str, Any], now: Instant) -> list[DeliveryEvent]:
    vendors_id = str(told.get("id", ""))
    if "status" not in told:
        if "originator" not in told:
            raise Unreadable("sms.messagebird: it is no report and no answer")
        return [_inbound(told, vendors_id, told["originator"],
                         told.get("body") or told.get("payload"),
                         instant_of(told.get("createdDatetime"), otherwise=now))]  # fmt: skip
    status, code = str(told["status"]), str(told.get("statusErrorCode") or "")
    return _reported(
        status,
        "" if code == "0" else code,
        told,
        vendors_id=vendors_id,
        reference=told.get("reference"),
        recipient=told.get("recipient"),
        reason=str(told.get("statusReason") or ""),
        at=instant_of(told.get("statusDatetime"), otherwise=now),
    )


def _of_bird(told: Mapping[str, Any], now: Instant) -> list[DeliveryEvent]:
    vendors_id = str(told.get("id", ""))
    if told.get("direction") == "incoming":
        text = told["body"].get("text", {}).get("text", "")
        at = instant_of(told.get("createdAt"), otherwise=now)
        sender = told["sender"]["contact"]["identifierValue"]
        return [_inbound(told, vendors_id, sender, text, at)]
    source = (told.get("failure") or {}).get("source") or {}
    contacts = (told.get("receiver") or {}).get("contacts") or [{}]
    return _reported(
        str(told.get("status", "")),
        str(source.get("code") or ""),
        told,
        vendors_id=vendors_id,
        reference=told.get("reference"),
        recipient=contacts[0].get("identifierValue"),
        reason=str(told.get("reason") or ""),
        at=instant_of(told.get("lastStatusAt"), otherwise=now),
    )


def _reported(
    status: str,
    code: str,
    told: Mapping[str, Any],
    *,
    vendors_id: str,
    reference: object,
    recipient: object,
    reason: str,
    at: Instant,
) -> list[DeliveryEvent]:
    kind, bounce = WORDS.get(status, "unknown"), None
    if kind in ("undelivered", "failed", "rejected") and code != OPTED_OUT:
        otherwise: BounceClass = "soft" if status == "expired" else "undetermined"
        bounce = FAILURES.get(code, otherwise)
    event = DeliveryEvent(
        kind,
        message_id(reference),
        event_hash(vendors_id, recipient, status, code),
        at,
        recipient=with_plus(recipient),
        reason=mask_numbers(reason),
        bounce_class=bounce,
        raw=dict(told),
        provider_id=vendors_id,
        code=code,
    )
    return list(opted_out(event)) if code == OPTED_OUT else [event]


def _inbound(
    told: Mapping[str, Any], vendors_id: str, from_: object, text: object, at: Instant
) -> DeliveryEvent:
    return DeliveryEvent(
        "inbound",
        None,
        event_hash(vendors_id, "inbound"),
        at,
        recipient=with_plus(from_),
        raw=dict(told),
        text=str(text or ""),
    )


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> Provider:
    """MessageBird for text messages.

    Raises:
        UsageError: The settings cannot be used.
    """
    parsed = read_settings(MessageBirdSettings, settings, channel=channel)
    check_filled(parsed, "access_key", channel=channel)
    senders = read_senders(parsed.from_, channel=channel)
    if parsed.api == "bird":
        check_filled(parsed, "workspace", "channel", channel=channel)
    elif not senders:
        raise UsageError(f"channels.{channel}: give `from`: MessageBird chooses no sender itself")
    return open_vendor(MessageBird(parsed, senders=senders), parsed, now=now)
