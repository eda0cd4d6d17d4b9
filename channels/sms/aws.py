"""Text messages through AWS End User Messaging (the API called pinpoint-sms-voice-v2).

Pure. https://docs.aws.amazon.com/pinpoint/latest/apireference_smsvoicev2/API_SendTextMessage.html
What becomes of them comes through SNS: an event destination of the configuration set, and the
two-way channel of the number.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from msgspec import field

from channels.aws_sigv4 import AwsKeys, signed
from channels.aws_sns import Notification, SnsReader
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
from channels.callbacks import Callback, Echo
from channels.calls import Answer, Call, Question, json_call
from channels.delivery import BounceClass, DeliveryEvent, EventKind
from channels.settings import check_filled, read_settings
from channels.sms.outgoing import choose_sender, refusal, seconds_left
from channels.sms.reports import mask_numbers, message_id, read_object, receipt_by_status, with_plus
from channels.sms.senders import sender_kind
from channels.sms.settings import SmsSettings, open_vendor
from engine.core.errors import UsageError
from engine.core.model.instants import SECOND, Instant

TARGET: Final = "PinpointSMSVoiceV2.SendTextMessage"
TTL_SECONDS: Final = (5, 259_200)
_IDENTITY: Final = re.compile(r"[A-Za-z0-9_:/+-]{1,256}")

CAPABILITIES: Final = Capabilities(
    reports=frozenset({"queued", "sent", "delivered", "undelivered", "failed", "rejected",
                       "inbound"}),
    webhook="signed",
    receives=True,
    expires=True,
    docs="https://docs.aws.amazon.com/sms-voice/latest/userguide/",
)  # fmt: skip

WORDS: Final[Mapping[str, EventKind]] = {
    "TEXT_QUEUED": "queued", "TEXT_PENDING": "sent", "TEXT_SENT": "sent",
    "TEXT_SUCCESSFUL": "sent", "TEXT_DELIVERED": "delivered", "TEXT_INVALID": "undelivered",
    "TEXT_INVALID_MESSAGE": "failed", "TEXT_UNREACHABLE": "undelivered",
    "TEXT_CARRIER_UNREACHABLE": "undelivered", "TEXT_TTL_EXPIRED": "undelivered",
    "TEXT_BLOCKED": "rejected", "TEXT_CARRIER_BLOCKED": "rejected", "TEXT_SPAM": "rejected",
    "TEXT_PROTECT_BLOCKED": "rejected", "TEXT_UNKNOWN": "unknown",
}  # fmt: skip
"""https://docs.aws.amazon.com/sms-voice/latest/userguide/configuration-sets-event-types.html
SUCCESSFUL is the carrier's acceptance: some countries never tell more."""

FAILURES: Final[Mapping[str, BounceClass]] = {
    "TEXT_INVALID": "hard", "TEXT_INVALID_MESSAGE": "message", "TEXT_UNREACHABLE": "soft",
    "TEXT_CARRIER_UNREACHABLE": "soft", "TEXT_TTL_EXPIRED": "soft", "TEXT_BLOCKED": "block",
    "TEXT_CARRIER_BLOCKED": "block", "TEXT_SPAM": "block", "TEXT_PROTECT_BLOCKED": "block",
}  # fmt: skip

ERRORS: Final[Mapping[str, Scope]] = {
    "ServiceQuotaExceededException": "account", "AccessDeniedException": "config",
    "ResourceNotFoundException": "config", "ConflictException": "config",
}  # fmt: skip
"""Their error type: whose fault, unless its reason is below; a ValidationException is the
message's."""

REASONS: Final[Mapping[str, tuple[Scope, BounceClass | None]]] = {
    "DESTINATION_PHONE_NUMBER_OPTED_OUT": ("recipient", None),
    "DESTINATION_PHONE_NUMBER_NOT_VERIFIED": ("config", None),  # the account is in the sandbox
    "DESTINATION_COUNTRY_BLOCKED_BY_PROTECT_CONFIGURATION": ("recipient", "block"),
    "DESTINATION_PHONE_NUMBER_BLOCKED_BY_PROTECT_NUMBER_OVERRIDE": ("recipient", "block"),
    "DESTINATION_COUNTRY_BLOCKED": ("recipient", "block"),
    "COUNTRY_NOT_ENABLED": ("recipient", "block"),
    "INTERNATIONAL_SENDING_NOT_SUPPORTED": ("recipient", "block"),
    "INVALID_IDENTITY_FOR_DESTINATION_COUNTRY": ("message", None),
    "PRICE_OVER_THRESHOLD": ("message", None),
    "SENDER_ID_NOT_REGISTERED": ("config", None),
    "SENDER_ID_NOT_SUPPORTED": ("message", None),
    "SENDER_ID_REQUIRES_REGISTRATION": ("config", None),
    "CHANNEL_NOT_ENABLED": ("config", None),
    "RESOURCE_NOT_ACCESSIBLE": ("config", None),
    "INVALID_ARN": ("config", None),
    "ACCOUNT_DISABLED": ("account", None),
    "INSUFFICIENT_ACCOUNT_REPUTATION": ("account", None),
}
"""`Reason`, as the API's own model lists them."""

OPTED_OUT: Final = "DESTINATION_PHONE_NUMBER_OPTED_OUT"


class AwsSmsSettings(SmsSettings, frozen=True):
    """The channel's map in antiphon.yaml.

    Args:
        region: `eu-west-1`.
        access_key_id: Of a user or role that may sms-voice:SendTextMessage.
        secret_access_key: Its secret.
        session_token: With the keys of a role.
        configuration_set: The one whose event destination is an SNS topic.
        topics: ARNs of the SNS topics whose notifications are believed.
        message_type: `PROMOTIONAL`, or `TRANSACTIONAL` for a channel that sends nothing else.
        from_: A number, a sender id, a pool (its id or ARN), or a list of them: a person always
            sees the same. Empty: AWS chooses.
        callback_url: Not used: the topic has a subscription for it.
        opt_out_text: Words by country that marketing texts end with.
        base_url: Another host than the region's.
        connections: Calls at once.
    """

    region: str
    access_key_id: str
    secret_access_key: str
    session_token: str = ""
    configuration_set: str = ""
    topics: list[str] = field(default_factory=list)
    message_type: Literal["PROMOTIONAL", "TRANSACTIONAL"] = "PROMOTIONAL"


class AwsSms:
    """The translation."""

    name = "sms.aws"
    channel: Channel = "sms"
    capabilities = CAPABILITIES

    def __init__(self, settings: AwsSmsSettings, *, senders: tuple[str, ...]) -> None:
        self.settings = settings
        self.senders = senders
        self.sns = SnsReader(settings.topics)
        self.keys = AwsKeys(
            settings.access_key_id, settings.secret_access_key, settings.session_token
        )
        base = settings.base_url or f"https://sms-voice.{settings.region}.amazonaws.com"
        self._url = base.rstrip("/") + "/"

    def call(self, message: OutMessage, *, now: Instant) -> Call | Receipt:
        sender = choose_sender(message, self.senders)
        if sender and not _IDENTITY.fullmatch(sender):
            return RefusedBy("message", "bad_sender", "the sender is no origination identity")
        refused = refusal(message, sender=sender if _is_plain(sender) else "")
        if refused is not None:
            return refused
        body: dict[str, Any] = {
            "DestinationPhoneNumber": message.to,
            "MessageBody": message.text,
            "MessageType": self.settings.message_type,
            "Context": {"message": message.metadata.get("message", "")},
        }
        body |= {"OriginationIdentity": sender} if sender else {}
        if self.settings.configuration_set:
            body["ConfigurationSetName"] = self.settings.configuration_set
        least, most = TTL_SECONDS
        seconds = seconds_left(message, now=now, least=least, most=most)
        body |= {"TimeToLive": seconds} if seconds is not None else {}
        headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": TARGET}
        call = json_call(self._url, body, headers=headers)
        return signed(
            call, keys=self.keys, region=self.settings.region, service="sms-voice", now=now
        )

    def receipt(self, answer: Answer, *, now: Instant) -> Receipt:
        told = answer.json()
        found = told.get("MessageId")
        if answer.is_ok and isinstance(found, str) and found:
            return Accepted(found)
        by_status = receipt_by_status(answer, now=now)
        kind = answer.headers.get("x-amzn-errortype") or str(told.get("__type") or "")
        kind = kind.partition(":")[0].rpartition("#")[2]
        words = mask_numbers(str(told.get("Message") or told.get("message") or ""))
        if not isinstance(by_status, RefusedBy):
            return by_status
        if kind == "ThrottlingException":
            return Throttled(None, words)
        reason = str(told.get("Reason") or "")
        if reason in REASONS:
            scope, bounce = REASONS[reason]
            return RefusedBy(scope, reason, words, bounce, is_opt_out=reason == OPTED_OUT)
        if kind == "ValidationException":
            return RefusedBy("message", mask_numbers(reason) or kind, words)
        if not kind:
            return by_status
        # Anything else is about our keys, the signature or the clock.
        return RefusedBy(ERRORS.get(kind, "config"), mask_numbers(reason or kind), words)

    def read_callback(self, callback: Callback, *, now: Instant) -> Echo | Question[Echo]:
        def found(notification: Notification) -> Echo:
            return Echo([_event(notification, now)])

        return self.sns.read(callback, now=now, then=found)


def _is_plain(sender: str) -> bool:
    """Whether it is a number or a name, and not a pool or the ARN of one."""
    try:
        sender_kind(sender)
    except ValueError:
        return False
    return not sender.startswith("pool-")


def _event(notification: Notification, now: Instant) -> DeliveryEvent:
    """https://docs.aws.amazon.com/sms-voice/latest/userguide/configuration-sets-event-format.html
    and …/two-way-sms-payload.html"""
    told = read_object(notification.text.encode())
    if "inboundMessageId" in told:
        return DeliveryEvent(
            "inbound",
            None,
            notification.id,
            now,
            recipient=with_plus(told.get("originationNumber")),
            raw=told,
            text=str(told.get("messageBody", "")),
        )
    kind, stamp = str(told.get("eventType", "")), told.get("eventTimestamp")
    found = told.get("context")
    context = found if isinstance(found, dict) else {}
    ours = WORDS.get(kind, "unknown")
    return DeliveryEvent(
        ours,
        message_id(context.get("message")),
        notification.id,
        stamp * SECOND // 1000 if isinstance(stamp, int) and 0 < stamp < 2**42 else now,
        recipient=with_plus(told.get("destinationPhoneNumber")),
        reason=mask_numbers(str(told.get("messageStatusDescription", ""))),
        bounce_class=FAILURES.get(kind),
        raw=told,
        provider_id=str(told.get("messageId", "")),
        code=kind if kind in FAILURES else "",
    )


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> Provider:
    """AWS for text messages.

    Raises:
        UsageError: The settings cannot be used.
    """
    parsed = read_settings(AwsSmsSettings, settings, channel=channel)
    check_filled(parsed, "region", "access_key_id", "secret_access_key", channel=channel)
    if not re.fullmatch(r"[a-z0-9-]{3,40}", parsed.region):
        raise UsageError(f"channels.{channel}.region is no AWS region, such as eu-west-1")
    given = [parsed.from_] if isinstance(parsed.from_, str) else parsed.from_
    senders = tuple(filter(None, given))
    if not all(_IDENTITY.fullmatch(sender) for sender in senders):
        words = "is no origination identity: a number, a sender id, a pool or an ARN"
        raise UsageError(f"channels.{channel}.from {words}")
    return open_vendor(AwsSms(parsed, senders=senders), parsed, now=now)
