"""Web Push: browsers, each through the push service its maker runs.

https://www.rfc-editor.org/rfc/rfc8030 (the request), rfc8291 (what is inside), rfc8292 (who we are)
The address comes from outside: it is called only if it lies with a push service that we know.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
)
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
)
from channels.callbacks import Callback, Echo
from channels.calls import Answer, Call
from channels.http_provider import GATEWAY, PUBLIC, HttpProvider
from channels.push.address import Subscription, subscription
from channels.push.content import Push, read_push, web_topic
from channels.push.provider_token import ec_key, signed, unpadded
from channels.push.webpush_encryption import PLAINTEXT_BYTES_MAX, encrypt, point
from channels.receipts import receipt_of
from channels.settings import check_filled, read_settings
from engine.core.errors import Unreadable, UsageError
from engine.core.model.instants import HOUR, SECOND, Instant

HOSTS: Final = (
    "fcm.googleapis.com",  # Chrome, Edge on Android, Opera, Samsung
    "push.services.mozilla.com",
    "push.apple.com",
    "notify.windows.com",
)
"""The push services of the browsers, each with all hosts under it."""

TOKEN_LASTS: Final = 12 * HOUR
TOKEN_RENEWED: Final = 11 * HOUR
"""RFC 8292 allows 24 hours; services with a clock that runs ahead refuse the whole day."""
ORIGINS_MAX: Final = 1_000

CAPABILITIES: Final = Capabilities(
    expires=True, bytes_max=PLAINTEXT_BYTES_MAX, docs="https://www.rfc-editor.org/rfc/rfc8030"
)

OTHER_KEY: Final = (
    "do not correspond to the credentials used to create the subscription",  # Chrome's, 403
    "VAPID public key mismatch",  # Mozilla's, 401 errno 109
    "VapidPkHashMismatch",  # Apple's, 400
)
"""https://mozilla-services.github.io/autopush-rs/errors.html
https://developer.apple.com/documentation/usernotifications/sending-web-push-notifications-in-web-apps-and-browsers"""

_ABOUT_US: Final = re.compile(r"unauthorized|vapid|jwt|crypto-key|authorization", re.IGNORECASE)
_SUBJECT: Final = re.compile(r"mailto:[^\s<>@]+@[^\s<>@]+|https://[^\s<>]+")
"""Apple refuses more than this; "mailto: <a@b>" and hosts of no public name above all."""

Entropy = Callable[[int], bytes]
"""Gives that many random bytes, fit for keys."""


class WebPushSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The channel's map in antiphon.yaml.

    Args:
        private_key: The VAPID key, in PEM or as its 32 bytes in base64url.
        subject: Where push services reach us: `mailto:…` or `https://…`.
        hosts: Push services that may be called, each with all hosts under it; those of Chrome,
            Firefox, Safari and Edge if it is left out.
        base_url: A gateway that is called in place of every push service.
        ca_file: Certificates to trust instead of the usual ones, for that gateway.
    """

    private_key: str
    subject: str
    hosts: tuple[str, ...] = HOSTS
    base_url: str = ""
    ca_file: str | None = None

    def __repr__(self) -> str:
        return "WebPushSettings(…)"  # there are secrets in it


class WebPush:
    """https://www.rfc-editor.org/rfc/rfc8030#section-5"""

    name = "push.webpush"
    channel: Channel = "push"
    capabilities = CAPABILITIES

    def __init__(
        self, settings: WebPushSettings, key: EllipticCurvePrivateKey, *, entropy: Entropy
    ) -> None:
        self._settings = settings
        self._key = key
        self._public = unpadded(point(key.public_key()))
        self._entropy = entropy
        self._tokens: dict[str, tuple[str, Instant]] = {}

    def call(self, message: OutMessage, *, now: Instant) -> Call | Receipt:
        try:
            browser = subscription(message.to)
            self._check_host(browser)
        except ValueError as error:
            return RefusedBy("recipient", "address", str(error))
        try:
            push = read_push(message, now=now)
            body = self._sealed(payload(push), browser)
        except ValueError as error:
            return RefusedBy("message", "content", str(error))
        headers = {
            "TTL": str(push.ttl_seconds),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "Authorization": f"vapid t={self._token(browser.origin, now)}, k={self._public}",
        }
        if push.priority:
            headers["Urgency"] = push.priority
        if push.collapse_key:
            headers["Topic"] = web_topic(push.collapse_key)
        return Call(self._url(browser), headers=headers, body=body)

    def receipt(self, answer: Answer, *, now: Instant) -> Receipt:
        # Some services repeat the endpoint in their words: only the status is kept.
        status = answer.status
        if answer.is_ok:
            # Whoever knows the whole `Location` may delete the message: its last part will do.
            name = answer.headers.get("location", "").rstrip("/").rsplit("/", 1)[-1]
            return Accepted(name[:200] or f"http {status}")
        if status in (404, 410):
            gone = f"the push service answered {status}: the browser no longer listens"
            return RefusedBy("recipient", f"http {status}", gone, "hard")
        if status == 413:
            return RefusedBy("message", "http 413", "the push service takes less than this push")
        if status in (400, 401, 403):
            return _refused(status, answer.body[:2_000].decode("utf-8", "replace"))
        bare = Answer(status, answer.headers)
        return receipt_of(bare, now=now) or Ambiguous(f"http {status}")

    def read_callback(self, callback: Callback, *, now: Instant) -> Echo:
        raise Unreadable("push.webpush reports nothing later; the page tells us, by events")

    def _check_host(self, browser: Subscription) -> None:
        host = browser.host
        if not any(host == one or host.endswith("." + one) for one in self._settings.hosts):
            raise ValueError(
                "the subscription's endpoint lies with no push service that this channel knows; "
                f"its `hosts` are {', '.join(self._settings.hosts)}"
            )
        if not browser.endpoint.startswith("https://"):
            raise ValueError("the subscription's endpoint is not https")

    def _url(self, browser: Subscription) -> str:
        if not self._settings.base_url:
            return browser.endpoint
        parts = urlsplit(browser.endpoint)
        query = f"?{parts.query}" if parts.query else ""
        return f"{self._settings.base_url.rstrip('/')}{parts.path}{query}"

    def _sealed(self, plaintext: bytes, browser: Subscription) -> bytes:
        # 16 bytes more than the curve has make every key as likely as any other.
        number = 1 + int.from_bytes(self._entropy(48), "big") % (_ORDER - 1)
        return encrypt(
            plaintext,
            p256dh=browser.p256dh,
            auth=browser.auth,
            sender=derive_private_key(number, SECP256R1()),
            salt=self._entropy(16),
        )

    def _token(self, origin: str, now: Instant) -> str:
        token, at = self._tokens.get(origin, ("", 0))
        if token and 0 <= now - at < TOKEN_RENEWED:
            return token
        claims = {
            "aud": origin,
            "exp": (now + TOKEN_LASTS) // SECOND,
            "sub": self._settings.subject,
        }
        if len(self._tokens) >= ORIGINS_MAX:
            self._tokens.clear()
        self._tokens[origin] = (signed(claims, self._key), now)
        return self._tokens[origin][0]


_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256, FIPS 186-4 D.1.2.3."""


def _refused(status: int, words: str) -> Receipt:
    """Whose fault a refusal is. One browser that listens to another key must not stop the channel,
    nor should its person be lost: they may come back with a new subscription.
    """
    code = f"http {status}"
    if any(each in words for each in OTHER_KEY):
        why = f"the push service answered {status}: the browser subscribed with another VAPID key"
        return RefusedBy("recipient", code, why, "undetermined")
    if status == 400 and not _ABOUT_US.search(words):
        return RefusedBy("message", code, "the push service answered 400: it cannot read this push")
    why = f"the push service answered {status}: it does not believe private_key or subject"
    return RefusedBy("config", code, why)


def payload(push: Push) -> bytes:
    """The JSON that the page's service worker gets."""
    told: dict[str, Any] = {"title": push.title}
    for name, value in (("body", push.body), ("url", push.url), ("image", push.image)):
        if value:
            told[name] = value
    if push.badge is not None:
        told["badge"] = push.badge
    return msgspec.json.encode({**told, "data": push.data})


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> HttpProvider:
    """Web Push as antiphon.yaml sets it up. `rng` is not used: it is not fit for keys.

    Raises:
        UsageError: The settings are wrong, or the key is none.
    """
    read = read_settings(WebPushSettings, settings, channel=channel)
    check_filled(read, "private_key", "subject", "hosts", channel=channel)
    if not _SUBJECT.fullmatch(read.subject):
        raise UsageError(f"channels.{channel}.subject is mailto:NAME@DOMAIN or https://…")
    key = ec_key(read.private_key, setting="private_key", channel=channel)
    return HttpProvider(
        WebPush(read, key, entropy=os.urandom),
        now=now,
        rules=GATEWAY if read.base_url else PUBLIC,
        ca_file=read.ca_file,
    )
