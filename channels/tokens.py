"""Links that carry who and what without carrying anything a stranger could forge or read out.

A token is base64url of: format (1 byte), kind (1), key id (1), message id (8), index (2), then the
first 16 bytes of HMAC-SHA256 over all that. The kind is inside the MAC, so a click token cannot
unsubscribe. The destination of a click is looked up by message and index, never carried.
"""

import base64
import binascii
import hmac
import struct
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct

Kind: TypeAlias = Literal["unsubscribe", "click", "open", "preferences", "confirm", "placement"]

TRAP: Final = 0xFFFF
"""The index of the link that stands in a mail for machines to follow; no other link has it."""

_FORMAT: Final = 1
_KINDS: Final[dict[Kind, int]] = {
    "unsubscribe": 1, "click": 2, "open": 3, "preferences": 4, "confirm": 5, "placement": 6,
}  # fmt: skip
_BODY: Final = struct.Struct(">BBBqH")
_MAC_BYTES: Final = 16
_PREFIX: Final = b"antiphon token\x00"
"""Separates these MACs from any other use of the same key."""


class Token(Struct, frozen=True):
    """What a verified token says. `index` is the position of a clicked link, else 0."""

    kind: Kind
    message: int
    index: int = 0


def make_token(kind: Kind, message: int, *, index: int = 0, key: bytes, key_id: int = 1) -> str:
    """40 URL-safe characters that only the holder of `key` can make.

    Args:
        key: At least 16 secret bytes.
        key_id: 0 to 255: which key of the ring, so that keys can be rotated.
    """
    if len(key) < 16:
        raise ValueError("a token key has at least 16 bytes")
    body = _BODY.pack(_FORMAT, _KINDS[kind], key_id, message, index)
    return base64.urlsafe_b64encode(body + _mac(key, body)).rstrip(b"=").decode()


def read_token(text: str, *, kind: Kind, keys: Mapping[int, bytes]) -> Token:
    """The token, once its MAC and its kind have been verified.

    Args:
        kind: What the caller is about to do; a token made for anything else is refused.
        keys: Key id to key; old keys stay in the ring for as long as their links should work.
    Raises:
        ValueError: If it is not one of ours. The text is the same whatever was wrong.
    """
    refusal = ValueError("this link is not valid")
    if len(text) != _LENGTH or not text.isascii():
        raise refusal
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise refusal from None
    body, mac = raw[: _BODY.size], raw[_BODY.size :]
    version, number, key_id, message, index = _BODY.unpack(body)
    key = keys.get(key_id)
    # An unknown key costs one MAC too, so that timing does not tell which ids are in the ring.
    is_ours = hmac.compare_digest(mac, _mac(key or bytes(16), body))
    if not is_ours or key is None or version != _FORMAT or number != _KINDS[kind]:
        raise refusal
    # The last character of unpadded base64 has spare bits: only one spelling is accepted.
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
        raise refusal
    return Token(kind, message, index)


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, _PREFIX + body, "sha256")[:_MAC_BYTES]


_LENGTH: Final = -(-(_BODY.size + _MAC_BYTES) * 4 // 3)
