"""Apple Push Notification service, over HTTP/2 with a token of our own.

https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from msgspec import Struct

from channels.base import (
    Accepted,
    Ambiguous,
    Capabilities,
    Channel,
    Clock,
    OutMessage,
    Random,
    Receipt,
    RefusedBy,
    Throttled,
)
from channels.callbacks import Callback, Echo
from channels.calls import Answer, Call
from channels.http_provider import GATEWAY, PUBLIC, HttpProvider
from channels.push.address import apns_token
from channels.push.content import Push, apns_collapse_id, read_push
from channels.push.provider_token import ec_key, signed
from channels.receipts import receipt_of, retry_after_seconds
from channels.settings import check_filled, read_settings
from engine.core.errors import Unreadable
from engine.core.model.instants import MINUTE, SECOND, Instant

HOSTS: Final = {
    "production": "https://api.push.apple.com",
    "sandbox": "https://api.sandbox.push.apple.com",
}
PAYLOAD_BYTES_MAX: Final = 4_096
TOKEN_AGE_MAX: Final = 50 * MINUTE
TOKEN_AGE_MIN: Final = 20 * MINUTE
"""Apple takes no token older than an hour, and no new one within 20 minutes of the last."""

CAPABILITIES: Final = Capabilities(
    expires=True,
    bytes_max=PAYLOAD_BYTES_MAX,
    docs="https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns",
)

Fault = Literal["hard", "undetermined", "message", "config", "throttled"]
REASONS: Final[Mapping[str, Fault]] = {
    "Unregistered": "hard",
    "ExpiredToken": "hard",
    # A wrong `environment` or `topic` looks like this for everybody: no token dies of it at once.
    "BadDeviceToken": "undetermined",
    "DeviceTokenNotForTopic": "undetermined",
    "MissingDeviceToken": "undetermined",
    "BadCollapseId": "message",
    "BadExpirationDate": "message",
    "BadMessageId": "message",
    "BadPriority": "message",
    "DuplicateHeaders": "message",
    "InvalidPushType": "message",
    "PayloadEmpty": "message",
    "PayloadTooLarge": "message",
    "BadTopic": "config",
    "MissingTopic": "config",
    "TopicDisallowed": "config",
    "BadCertificate": "config",
    "BadCertificateEnvironment": "config",
    "InvalidProviderToken": "config",
    "MissingProviderToken": "config",
    "UnrelatedKeyIdInToken": "config",
    "BadEnvironmentKeyIdInToken": "config",
    "Forbidden": "config",
    "BadPath": "config",
    "MethodNotAllowed": "config",
    "TooManyProviderTokenUpdates": "throttled",
    "TooManyRequests": "throttled",
    "IdleTimeout": "throttled",
    "Shutdown": "throttled",
    "ServiceUnavailable": "throttled",
}
"""https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns"""

_REASON: Final = re.compile(r"[A-Za-z]{1,60}")


class ApnsSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The channel's map in antiphon.yaml.

    Args:
        key: The signing key, the text of Apple's .p8 file: `${file:AuthKey.p8}`.
        key_id: Its name, 10 characters.
        team_id: The team's, 10 characters.
        topic: The app's bundle id.
        environment: `production`, or `sandbox` for apps that Xcode installed.
        base_url: Another host than Apple's, such as https://api.push.apple.com:2197.
        ca_file: Certificates to trust instead of the usual ones, for that host.
    """

    key: str
    key_id: str
    team_id: str
    topic: str
    environment: Literal["production", "sandbox"] = "production"
    base_url: str = ""
    ca_file: str | None = None

    def __repr__(self) -> str:
        return "ApnsSettings(…)"  # there are secrets in it


class Apns:
    """https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns"""

    name = "push.apns"
    channel: Channel = "push"
    capabilities = CAPABILITIES

    def __init__(self, settings: ApnsSettings, key: EllipticCurvePrivateKey) -> None:
        self._settings = settings
        self._key = key
        self._token = ""
        self._token_at: Instant = 0
        self._url = (settings.base_url or HOSTS[settings.environment]).rstrip("/")

    def call(self, message: OutMessage, *, now: Instant) -> Call | Receipt:
        try:
            token = apns_token(message.to)
        except ValueError as error:
            return RefusedBy("recipient", "address", str(error))
        try:
            push = read_push(message, now=now)
        except ValueError as error:
            return RefusedBy("message", "content", str(error))
        body = payload(push)
        if len(body) > PAYLOAD_BYTES_MAX:
            found = f"the push has {len(body):,} bytes; at most {PAYLOAD_BYTES_MAX:,} are taken"
            return RefusedBy("message", "PayloadTooLarge", found)
        headers = {
            "Authorization": f"bearer {self._bearer(now)}",
            "Content-Type": "application/json",
            "apns-topic": self._settings.topic,
            "apns-push-type": "alert",
            "apns-expiration": str(now // SECOND + push.ttl_seconds if push.ttl_seconds else 0),
        }
        if message.idempotency_key:
            headers["apns-id"] = message.idempotency_key
        if push.priority:
            headers["apns-priority"] = "10" if push.priority == "high" else "5"
        if push.collapse_key:
            headers["apns-collapse-id"] = apns_collapse_id(push.collapse_key)
        return Call(f"{self._url}/3/device/{token}", headers=headers, body=body)

    def receipt(self, answer: Answer, *, now: Instant) -> Receipt:
        if answer.status == 200:
            return Accepted(answer.headers.get("apns-id") or "http 200")
        told = answer.json()
        reason = str(told.get("reason", ""))
        reason = reason if _REASON.fullmatch(reason) else ""
        if reason == "ExpiredProviderToken":
            return self._expired(now)
        text = f"Apple answered {answer.status} {reason}"
        fault = REASONS.get(reason)
        if fault is None and answer.status == 410:
            fault = "hard"
        match fault:
            case "hard":
                return RefusedBy("recipient", reason or "410", text + _since(told), "hard")
            case "undetermined":
                hint = f"; is it of {self._settings.environment} and {self._settings.topic}?"
                return RefusedBy("recipient", reason, text + hint, "undetermined")
            case "message" | "config":
                return RefusedBy(fault, reason, text)
            case "throttled":
                return Throttled(retry_after_seconds(answer.headers, now=now), text)
        bare = Answer(answer.status, answer.headers)  # its words might repeat the token
        return receipt_of(bare, now=now) or Ambiguous(text)

    def read_callback(self, callback: Callback, *, now: Instant) -> Echo:
        raise Unreadable("push.apns reports nothing later; the app tells us, by events")

    def _bearer(self, now: Instant) -> str:
        if not self._token or not 0 <= now - self._token_at < TOKEN_AGE_MAX:
            claims = {"iss": self._settings.team_id, "iat": now // SECOND}
            self._token = signed(claims, self._key, key_id=self._settings.key_id)
            self._token_at = now
        return self._token

    def _expired(self, now: Instant) -> Receipt:
        """Their clock says that our token is too old; a young one says that ours is wrong."""
        why = "Apple says our token has expired"
        if now - self._token_at < TOKEN_AGE_MIN:
            found = f"{why}, and it is new: is this machine's clock right?"
            return RefusedBy("config", "ExpiredProviderToken", found)
        self._token = ""
        return Throttled(None, f"{why}; there is a new one")


def _since(told: Mapping[str, Any]) -> str:
    """When Apple first saw that the token was gone: what registered later is another matter."""
    try:
        at = datetime.fromtimestamp(told["timestamp"] / 1_000, UTC)
    except (LookupError, TypeError, ValueError, OverflowError, OSError):
        return ""
    return f", gone since {at:%Y-%m-%dT%H:%M:%SZ}"


def payload(push: Push) -> bytes:
    """The JSON that the phone gets: Apple's `aps`, and beside it what only the app reads."""
    alert = {"title": push.title, **({"body": push.body} if push.body else {})}
    aps: dict[str, Any] = {"alert": alert}
    if push.badge is not None:
        aps["badge"] = push.badge
    if push.sound:
        aps["sound"] = push.sound
    own: dict[str, Any] = {name: value for name, value in push.data.items() if name != "aps"}
    if push.url:
        own["url"] = push.url
    if push.image:
        own["image"] = push.image
        aps["mutable-content"] = 1  # wakes the app's extension, which fetches the picture
    return msgspec.json.encode({**own, "aps": aps})


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> HttpProvider:
    """APNs as antiphon.yaml sets it up.

    Raises:
        UsageError: The settings are wrong, or the key is none.
    """
    read = read_settings(ApnsSettings, settings, channel=channel)
    check_filled(read, "key", "key_id", "team_id", "topic", channel=channel)
    key = ec_key(read.key, setting="key", channel=channel)
    return HttpProvider(
        Apns(read, key),
        now=now,
        rules=GATEWAY if read.base_url else PUBLIC,
        http2=True,
        ca_file=read.ca_file,
    )
