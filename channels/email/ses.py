"""Amazon SES v2: the raw mail in one signed call; what becomes of it comes through SNS.

API: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
Events: https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
It has no idempotency keys. Its open and click tracking belongs to a configuration set: leave both
out of yours, ours are in the mail. Our metadata are its message tags.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import field

from channels.aws_sigv4 import AwsKeys, signed
from channels.aws_sns import Notification, SnsReader
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
from channels.calls import Answer, Call, Question, json_call
from channels.email.bounces import mask_addresses, masked
from channels.email.headers import Refusal, Sender, address_of
from channels.email.mime import build_email
from channels.email.sender import EmailSettings, sender_of
from channels.email.ses_events import KINDS, read_notification
from channels.http_provider import GATEWAY, PUBLIC, HttpProvider
from channels.receipts import receipt_of
from channels.settings import check_filled, read_settings
from engine.core.errors import UsageError
from engine.core.model.instants import Instant

ERRORS: Final[Mapping[str, Scope]] = {
    "BadRequestException": "message",
    "MessageRejected": "message",
    "NotFoundException": "config",
    "MailFromDomainNotVerifiedException": "config",
    "AccountSuspendedException": "account",
    "SendingPausedException": "account",
}
"""Their error type: whose fault. Any other 4xx is about our keys."""

BUSY: Final = frozenset({
    "TooManyRequestsException", "ThrottlingException", "Throttling", "LimitExceededException",
})  # fmt: skip
DAILY_QUOTA_SECONDS: Final = 3_600.0
"""The quota counts the last 24 hours, so that a little of it comes back all the time."""

CAPABILITIES: Final = Capabilities(
    reports=KINDS,
    webhook="signed",
    batch_max=50,
    bytes_max=40 * 1024 * 1024,
    docs="https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html",
)


class SesSettings(EmailSettings, frozen=True, kw_only=True):
    """The channel's map in antiphon.yaml.

    Args:
        region: `eu-west-1`.
        access_key_id, secret_access_key: Of a user or role that may ses:SendEmail.
        session_token: With the keys of a role.
        configuration_set: The one that publishes events to SNS.
        topics: ARNs of the SNS topics whose notifications are believed.
        base_url: Another host than the region's.
    """

    region: str
    access_key_id: str
    secret_access_key: str
    session_token: str = ""
    configuration_set: str = ""
    topics: list[str] = field(default_factory=list)
    base_url: str = ""


class Ses:
    """Our messages in SES' words; `ses_events` has its events in ours."""

    name = "email.ses"
    channel: Channel = "email"
    capabilities = CAPABILITIES

    def __init__(self, settings: SesSettings, sender: Sender) -> None:
        self.settings = settings
        self.sender = sender
        self.sns = SnsReader(settings.topics)
        self.keys = AwsKeys(
            settings.access_key_id, settings.secret_access_key, settings.session_token
        )
        self.base_url = settings.base_url or f"https://email.{settings.region}.amazonaws.com"

    def call(self, message: OutMessage, *, now: Instant) -> Call | Receipt:
        try:
            raw = build_email(message, sender=self.sender, at=now)
            to = address_of(message.to)
        except Refusal as error:
            return RefusedBy("message", "compose", str(error))
        if not to.isascii():
            text = "SES takes no addresses beyond ASCII before the @"
            return RefusedBy("recipient", "smtputf8", text, "undetermined")
        tags = {**message.metadata, "message": str(message.id)}
        body: dict[str, Any] = {
            "Destination": {"ToAddresses": [to]},
            "Content": {"Raw": {"Data": b64encode(raw).decode()}},
            "EmailTags": [
                {"Name": _tag(name), "Value": _tag(value)} for name, value in tags.items() if value
            ],
        }
        if self.settings.configuration_set:
            body["ConfigurationSetName"] = self.settings.configuration_set
        url = f"{self.base_url.rstrip('/')}/v2/email/outbound-emails"
        call = json_call(url, body, headers={})
        return signed(call, keys=self.keys, region=self.settings.region, service="ses", now=now)

    def receipt(self, answer: Answer, *, now: Instant) -> Receipt:
        found = answer.json()
        if answer.is_ok:
            name = found.get("MessageId")
            if isinstance(name, str) and name:
                return Accepted(name)
            return Ambiguous("its answer names no message")
        # `MessageRejected:http://internal.amazon.com/…`, or in the body as `ns#MessageRejected`.
        kind = answer.headers.get("x-amzn-errortype") or str(found.get("__type") or "")
        kind = kind.partition(":")[0].rpartition("#")[2]
        text = mask_addresses(str(found.get("message") or found.get("Message") or answer.text))
        if answer.status == 429 or (answer.status < 500 and kind in BUSY):
            return Throttled(DAILY_QUOTA_SECONDS if "daily" in text.lower() else None, text)
        if answer.status < 500 and kind in ERRORS:
            # An identity that nobody verified is told as a rejected message.
            is_ours = "not verified" in text
            return RefusedBy("config" if is_ours else ERRORS[kind], kind, text)
        if answer.status in (400, 403) and kind:
            return RefusedBy("config", kind, text)  # keys, signature, clock
        return receipt_of(masked(answer), now=now) or Ambiguous("its answer cannot be read")

    def read_callback(self, callback: Callback, *, now: Instant) -> Echo | Question[Echo]:
        def found(notification: Notification) -> Echo:
            return Echo(read_notification(notification.text, id=notification.id))

        return self.sns.read(callback, now=now, then=found)


def _tag(text: str) -> str:
    """Letters, digits, _ and -, at most 256."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", text)[:256]


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> Provider:
    """SES for e-mail.

    Raises:
        UsageError: The settings cannot be used.
    """
    read = read_settings(SesSettings, settings, channel=channel)
    check_filled(read, "region", "access_key_id", "secret_access_key", channel=channel)
    if not re.fullmatch(r"[a-z0-9-]{3,40}", read.region):
        raise UsageError(f"channels.{channel}.region is no AWS region, such as eu-west-1")
    return HttpProvider(
        Ses(read, sender_of(read, channel=channel)),
        now=now,
        rules=GATEWAY if "base_url" in settings else PUBLIC,
    )
