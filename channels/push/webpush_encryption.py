"""Web Push's encryption: a message that only one browser can open (RFC 8291 over RFC 8188).

Pure: the sender's key and the salt come from outside, new for every message, or two messages to
one browser would share their keystream.
"""

from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

RECORD_BYTES: Final = 4_096
"""One record is all there is: push services need take no more (RFC 8030, 7.2)."""

PLAINTEXT_BYTES_MAX: Final = 3_993
"""4,096 - 86 of header (salt 16, record size 4, length 1, key 65) - 1 delimiter - 16 of tag."""

_LAST_RECORD: Final = b"\x02"


def encrypt(
    plaintext: bytes, *, p256dh: bytes, auth: bytes, sender: EllipticCurvePrivateKey, salt: bytes
) -> bytes:
    """The body of a Web Push request, `Content-Encoding: aes128gcm`.

    Args:
        p256dh, auth: The browser's public key (65 bytes) and its secret (16).
        sender: A key made for this message alone.
        salt: 16 random bytes.
    Raises:
        ValueError: The text is larger than a push service must take, or the key is no point.
    """
    if len(plaintext) > PLAINTEXT_BYTES_MAX:
        raise ValueError(
            f"the push has {len(plaintext):,} bytes; at most {PLAINTEXT_BYTES_MAX:,} can be sent"
        )
    assert len(salt) == 16
    receiver = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), p256dh)
    sender_point = point(sender.public_key())
    shared = sender.exchange(ECDH(), receiver)
    info = b"WebPush: info\x00" + p256dh + sender_point
    secret = _derive(shared, salt=auth, info=info, length=32)
    key = _derive(secret, salt=salt, info=b"Content-Encoding: aes128gcm\x00", length=16)
    nonce = _derive(secret, salt=salt, info=b"Content-Encoding: nonce\x00", length=12)
    header = salt + RECORD_BYTES.to_bytes(4, "big") + bytes([len(sender_point)]) + sender_point
    return header + AESGCM(key).encrypt(nonce, plaintext + _LAST_RECORD, None)


def point(key: EllipticCurvePublicKey) -> bytes:
    """A public key in the long form of 65 bytes."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _derive(secret: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(secret)
