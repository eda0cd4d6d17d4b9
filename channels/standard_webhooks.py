"""Standard Webhooks (Svix): one scheme that many vendors sign their callbacks by.

Pure. Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence

from channels.callbacks import Callback, check_age, same
from engine.core.errors import Forged
from engine.core.model.instants import SECOND, Instant


def read_secret(text: str) -> bytes:
    """The key in `whsec_…`.

    Raises:
        ValueError: It is no base64. The message does not hold it.
    """
    try:
        key = b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise ValueError("the secret is whsec_ and base64")
    return key


def check_signature(callback: Callback, *, keys: Sequence[bytes], now: Instant) -> str:
    """The id of a callback that one of the keys signed; every repeat has the same.

    Raises:
        Forged: None did, or too long ago.
    """
    named = callback.headers
    id, at, signatures = (
        named.get(f"webhook-{name}") or named.get(f"svix-{name}", "")
        for name in ("id", "timestamp", "signature")
    )
    told = f"{id}.{at}.".encode("utf-8", "surrogatepass") + callback.body
    expected = [b64encode(hmac.digest(key, told, "sha256")).decode() for key in keys]
    offered = [text for kind, _, text in (it.partition(",") for it in signatures.split())
               if kind == "v1"]  # fmt: skip
    # Without an id its repeats would be news.
    if not id or not any(same(one, other) for one in offered for other in expected):
        raise Forged("the callback is not signed with the channel's webhook_secret")
    if not (at.isascii() and at.isdigit() and len(at) < 12):
        raise Forged("the callback's timestamp is none")
    check_age(int(at) * SECOND, now=now)
    return id
