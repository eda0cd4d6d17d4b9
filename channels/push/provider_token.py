"""Signed tokens (JWT) by which we prove who we are, and the keys that sign them.

Pure: time comes from outside. A key's text never stands in an error.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Any, TypeAlias

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from channels.base import Channel
from engine.core.errors import UsageError

SigningKey: TypeAlias = EllipticCurvePrivateKey | RSAPrivateKey


def signed(claims: Mapping[str, Any], key: SigningKey, *, key_id: str = "") -> str:
    """A token; RS256 with an RSA key, ES256 with one of P-256."""
    algorithm = "RS256" if isinstance(key, RSAPrivateKey) else "ES256"
    return jwt.encode(
        dict(claims), key, algorithm=algorithm, headers={"kid": key_id} if key_id else None
    )


def rsa_key(text: str, *, setting: str, channel: Channel) -> RSAPrivateKey:
    """A private RSA key in PEM.

    Raises:
        UsageError: It is none.
    """
    key = _pem(text)
    if not isinstance(key, RSAPrivateKey):
        raise UsageError(f"channels.{channel}.{setting} is not a private RSA key in PEM")
    return key


def ec_key(text: str, *, setting: str, channel: Channel) -> EllipticCurvePrivateKey:
    """A private P-256 key: PEM (Apple's .p8), or its 32 bytes in base64url (VAPID tools).

    Raises:
        UsageError: It is none.
    """
    key = _pem(text) if "-----BEGIN" in text else _raw(text)
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise UsageError(
            f"channels.{channel}.{setting} is not a private P-256 key: PEM, or its 32 bytes in "
            "base64url"
        )
    return key


def unpadded(data: bytes) -> str:
    """Base64url without `=`."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _pem(text: str) -> object:
    # A variable of the environment often has its line breaks written as \n.
    written = text.replace("\\n", "\n").strip() + "\n"
    try:
        return load_pem_private_key(written.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _raw(text: str) -> object:
    plain = text.strip().rstrip("=")
    try:
        number = int.from_bytes(urlsafe_b64decode(plain + "=" * (-len(plain) % 4)), "big")
        return derive_private_key(number, SECP256R1()) if len(plain) == 43 else None
    except (Base64Error, ValueError):
        return None
