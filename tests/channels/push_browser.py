"""A browser's side of Web Push: a subscription, and what only it can open.

Written from RFC 8291 and RFC 8188 alone, the other way round from the code under test: the
derivations are spelled out with HMAC, and records are read one after the other.
"""

import hashlib
import hmac
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    derive_private_key,
    generate_private_key,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def from_base64url(text: str) -> bytes:
    """The bytes of unpadded base64url."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def base64url(data: bytes) -> str:
    """Unpadded base64url."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


class Browser:
    """One that has subscribed.

    Args:
        private, auth: Its keys, new ones if they are left out.
    """

    def __init__(self, endpoint: str, *, private: bytes = b"", auth: bytes = b"") -> None:
        self.endpoint = endpoint
        self.key: EllipticCurvePrivateKey = (
            derive_private_key(int.from_bytes(private, "big"), SECP256R1())
            if private
            else generate_private_key(SECP256R1())
        )
        self.auth = auth or os.urandom(16)

    @property
    def point(self) -> bytes:
        """Its public key."""
        form = PublicFormat.UncompressedPoint
        return self.key.public_key().public_bytes(Encoding.X962, form)

    @property
    def subscription(self) -> str:
        """What `JSON.stringify(subscription)` gives."""
        keys = {"p256dh": base64url(self.point), "auth": base64url(self.auth)}
        return json.dumps({"endpoint": self.endpoint, "expirationTime": None, "keys": keys})

    def opened(self, body: bytes) -> bytes:
        """The text inside the body of a push request.

        Raises:
            InvalidTag: It was not meant for this browser, or was changed.
            ValueError: Its records do not end as they should.
        """
        salt, size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
        sender, sealed = body[21 : 21 + length], body[21 + length :]
        public = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), sender)
        shared = self.key.exchange(ECDH(), public)
        info = b"WebPush: info\x00" + self.point + sender
        secret = _mac(_mac(self.auth, shared), info + b"\x01")
        return records(sealed, _mac(salt, secret), size=size)


def records(sealed: bytes, prk: bytes, *, size: int) -> bytes:
    """The text of an aes128gcm body's records (RFC 8188, 2)."""
    key = _mac(prk, b"Content-Encoding: aes128gcm\x00\x01")[:16]
    nonce = int.from_bytes(_mac(prk, b"Content-Encoding: nonce\x00\x01")[:12], "big")
    text = b""
    for number in range(0, len(sealed), size):
        own = (nonce ^ (number // size)).to_bytes(12, "big")
        plain = AESGCM(key).decrypt(own, sealed[number : number + size], None).rstrip(b"\x00")
        is_last = number + size >= len(sealed)
        if plain[-1:] != (b"\x02" if is_last else b"\x01"):
            raise ValueError("a record does not end as it should")
        text += plain[:-1]
    return text


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()
