"""JSON Web Tokens by which a vendor signs a callback: keyed hashes and nothing else.

Pure. The algorithm is ours to choose, never the token's: `none` and public-key confusion end here.
Source: RFC 7519, RFC 7515 appendix A.1.
"""

import hashlib
import hmac
from base64 import urlsafe_b64decode
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from channels.callbacks import same
from engine.core.errors import Forged

TOKEN_BYTES_MAX: Final = 8_192
HASHES: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


def read_bearer(
    token: str, *, secrets: Sequence[str], algorithms: Collection[str] = ("HS256",)
) -> dict[str, Any]:
    """The claims of a token that one of the secrets signed.

    Args:
        algorithms: What the vendor documents, of HS256, HS384 and HS512.
    Raises:
        Forged: No secret did, or it is no token of this kind.
    """
    head, claims, seal = _parts(token)
    algorithm = head.get("alg")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise Forged(f"the callback's token is not signed by {' or '.join(algorithms)}")
    signed = token.rpartition(".")[0].encode()
    # Every secret is tried, so that the time says nothing of which one fits.
    fits = [
        hmac.compare_digest(hmac.digest(secret.encode(), signed, HASHES[algorithm]), seal)
        for secret in secrets
        if secret
    ]
    if not any(fits):
        raise Forged("the signature of the callback's token does not hold")
    return claims


def check_hash(claims: Mapping[str, Any], name: str, content: bytes) -> None:
    """Ask that a claim is the hex SHA-256 of what came.

    Raises:
        Forged: It is missing, or of something else.
    """
    claimed = claims.get(name)
    if not isinstance(claimed, str) or not same(claimed, hashlib.sha256(content).hexdigest()):
        raise Forged(f"the callback is not the one whose {name} was signed")


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    if len(token) > TOKEN_BYTES_MAX or token.count(".") != 2 or not token.isascii():
        raise Forged("the callback carries no token")
    try:
        head, body, seal = (
            urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split(".")
        )
        objects = [msgspec.json.decode(part) for part in (head, body)]
    except (ValueError, RecursionError):
        raise Forged("the callback carries no token") from None
    if not all(isinstance(it, dict) for it in objects):
        raise Forged("the callback carries no token")
    return objects[0], objects[1], seal
