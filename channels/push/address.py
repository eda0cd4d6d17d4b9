"""The address of a push message: one text that names one device or browser.

An FCM token, `fid:` and a Firebase installation id, the hexadecimal token of an iPhone, or the JSON
of a browser's subscription. A person has one; lists of devices are not known here. No error repeats
the address: it may be logged.
"""

import re
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from typing import Final
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from msgspec import Struct

ADDRESS_CHARS_MAX: Final = 4_096
"""FCM names no length; none was seen beyond 400. A subscription has under 1,000."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9_:%.\-]{20,4096}")
_FID: Final = re.compile(r"[c-f][A-Za-z0-9_-]{21}")
"""17 bytes in base64url without the last two bits; the first four bits are 0111."""

_APNS: Final = re.compile(r"(?:[0-9a-fA-F]{2}){32,100}")
"""32 bytes today. Apple: "device tokens are of variable length. Do not hardcode their size."."""


class FcmTarget(Struct, frozen=True):
    """`kind` is the field of FCM's message: `fid`, or `token` until Google ends it."""

    kind: str
    value: str


class Subscription(Struct, frozen=True):
    """A browser's PushSubscription: where to post, and the keys only that browser can open."""

    endpoint: str
    p256dh: bytes
    auth: bytes

    @property
    def origin(self) -> str:
        """Scheme, host and port of the push service: what a VAPID token is made for."""
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def host(self) -> str:
        """The push service's host, in small letters."""
        return urlsplit(self.endpoint).hostname or ""


def fcm_target(text: str) -> FcmTarget:
    """The token or installation id.

    >>> fcm_target("fid:cAbCdEfGhIjKlMnOpQrStU").kind
    'fid'

    Raises:
        ValueError: It is neither.
    """
    text = _bounded(text)
    if text.startswith("fid:"):
        if not _FID.fullmatch(text[4:]):
            raise ValueError("a Firebase installation id has 22 letters, digits, - or _")
        return FcmTarget("fid", text[4:])
    if not _TOKEN.fullmatch(text):
        raise ValueError(_not("an FCM token: letters, digits, and : - _", text))
    return FcmTarget("token", text)


def apns_token(text: str) -> str:
    """The device token in small letters.

    Raises:
        ValueError: It is not the hexadecimal form of at least 32 bytes.
    """
    text = _bounded(text).replace(" ", "").strip("<>")  # as older apps printed theirs
    if not _APNS.fullmatch(text):
        raise ValueError(_not("an APNs device token: 64 or more hexadecimal digits", text))
    return text.lower()


def subscription(text: str) -> Subscription:
    """What `JSON.stringify(await registration.pushManager.subscribe(…))` gave.

    Raises:
        ValueError: It is not that, or its keys are none.
    """
    text = _bounded(text)
    try:
        found = msgspec.json.decode(text.encode(), type=_Written)
    except msgspec.DecodeError:
        raise ValueError(
            'the push address is not a subscription: {"endpoint": …, "keys": {"p256dh": …, '
            '"auth": …}}'
            if text.startswith("{")
            else _not("a subscription", text)
        ) from None
    try:
        parts = urlsplit(found.endpoint)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if not parts.hostname or parts.username is not None or not found.endpoint.isascii():
        raise ValueError("the subscription's endpoint is not a URL")
    if port == {"https": 443, "http": 80}.get(parts.scheme):
        found.endpoint = parts._replace(netloc=parts.hostname).geturl()
    p256dh, auth = _bytes(found.keys.p256dh, "p256dh"), _bytes(found.keys.auth, "auth")
    if len(auth) != 16:
        raise ValueError(f"the subscription's auth has {len(auth)} bytes; it must have 16")
    try:
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), p256dh)
    except ValueError:
        raise ValueError("the subscription's p256dh is not a point of P-256") from None
    if len(p256dh) != 65:
        raise ValueError("the subscription's p256dh is not in the long form of 65 bytes")
    return Subscription(found.endpoint, p256dh, auth)


def mask_tokens(text: str) -> str:
    """A vendor's words without what could be an address: URLs, and runs of 20 letters and digits.

    >>> mask_tokens("no such token: cAbCdEfGhIjKlMnOpQrStU:APA91b (https://x.example/a)")
    'no such token: <address> (<address>'
    """
    return _LIKE_ADDRESS.sub("<address>", " ".join(text.split()))[:300]


_LIKE_ADDRESS: Final = re.compile(r"https?://\S+|\{\S*|[A-Za-z0-9_:%.\-]{20,}")


class _Keys(Struct):
    p256dh: str
    auth: str


class _Written(Struct):
    """As browsers write it; `expirationTime` and whatever else they add is not needed."""

    endpoint: str
    keys: _Keys


def _bounded(text: str) -> str:
    text = text.strip()
    if len(text) > ADDRESS_CHARS_MAX:
        raise ValueError(f"a push address has at most {ADDRESS_CHARS_MAX:,} characters")
    return text


def _not(wanted: str, text: str) -> str:
    if text.startswith("{"):
        found = "it is JSON, and so at best the subscription of a browser"
    elif text.startswith("fid:"):
        found = "it is a Firebase installation id"
    elif _APNS.fullmatch(text):
        found = "it looks like the token of an iPhone"
    else:
        found = f"it has {len(text)} characters"
    return f"the push address is not {wanted}; {found}"


def _bytes(text: str, name: str) -> bytes:
    """Base64, of either alphabet, padded or not: browsers and libraries differ."""
    plain = text.strip().rstrip("=").replace("+", "-").replace("/", "_")
    try:
        if not re.fullmatch(r"[A-Za-z0-9_-]*", plain):
            raise ValueError
        return urlsafe_b64decode(plain + "=" * (-len(plain) % 4))
    except (Base64Error, ValueError):
        raise ValueError(f"the subscription's {name} is not base64") from None
