"""The return path of one message: a bounce says by the address it comes to what has bounced.

Pure. The address is signed, so that nobody can have a person suppressed by inventing a bounce.
"""

import hmac
import re
from base64 import b32encode
from collections.abc import Sequence
from typing import Final

PATHS_MAX: Final = 50
"""More return paths than this are no honest mail."""
_ANYWHERE: Final = re.compile(rb"bounce\+\d{1,19}=[A-Za-z2-7]{10}@[A-Za-z0-9.-]{1,253}")
_LOCAL: Final = re.compile(r"bounce\+(\d{1,19})=([a-z2-7]{10})@(.+)", re.IGNORECASE | re.ASCII)


def return_path(message: int, *, domain: str, secret: str) -> str:
    """`bounce+ID=SIGNATURE@DOMAIN`; the part before the @ has at most 37 characters.

    >>> return_path(7, domain="b.shop.example", secret="test")
    'bounce+7=zj3nekbmxg@b.shop.example'
    """
    return f"bounce+{message}={_signature(message, domain, secret)}@{domain}"


def message_in(address: str, *, domain: str, secrets: Sequence[str]) -> int | None:
    """The message whose return path this is; None where it is none of ours or was forged.

    Args:
        secrets: The present one, and those before it for as long as bounces may come.
    """
    found = _LOCAL.fullmatch(address.strip().strip("<>"))
    if not found or found[3].lower() != domain.lower() or int(found[1]) >= 2**63:
        return None
    # Mail servers may change the case of an address on its way.
    offered = found[2].lower()
    is_ours = [
        hmac.compare_digest(offered, _signature(int(found[1]), domain, secret))
        for secret in secrets
        if secret
    ]
    return int(found[1]) if any(is_ours) else None


def messages_in_mail(raw: bytes, *, domain: str, secrets: Sequence[str]) -> list[int]:
    """The messages whose return path stands anywhere in a mail, in order.

    A bounce is addressed to it, a complaint encloses the mail that bore it: wherever it stands, its
    signature proves that whoever wrote this had our mail in hand.
    """
    found: dict[int, None] = {}
    for each in _ANYWHERE.findall(raw)[:PATHS_MAX]:
        message = message_in(each.decode("ascii"), domain=domain, secrets=secrets)
        if message is not None:
            found[message] = None
    return list(found)


def _signature(message: int, domain: str, secret: str) -> str:
    told = f"return path {message} {domain.lower()}".encode()
    return b32encode(hmac.digest(secret.encode(), told, "sha256"))[:10].decode().lower()
