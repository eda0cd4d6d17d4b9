"""How a callback proves that it is MessageBird's: a signed token, or a keyed hash.

Pure. https://developers.messagebird.com/api/#verifying-http-requests
and https://docs.bird.com/api/notifications-api/api-reference/webhook-subscriptions/verifying-a-webhook-subscription
"""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from channels.callbacks import Callback, check_age, same
from channels.sms.bearer import HASHES, check_hash, read_bearer
from channels.sms.reports import unix_instant
from engine.core.errors import Forged
from engine.core.model.instants import SECOND, Instant

LEEWAY_SECONDS: Final = 1
"""As much as two clocks may differ where a token names its first and last second."""


def check_proof(callback: Callback, *, keys: Sequence[str], now: Instant) -> None:
    """Ask for one of the three proofs; the newer, where a callback carries two.

    Raises:
        Forged: It has none, or one that does not hold.
    """
    token = callback.headers.get("messagebird-signature-jwt", "")
    if token:
        check_token(callback, token, keys=keys, now=now)
    elif "messagebird-signature" in callback.headers:
        check_signature(callback, keys=keys, now=now)
    else:
        raise Forged("the callback is not signed by MessageBird")


def check_token(callback: Callback, token: str, *, keys: Sequence[str], now: Instant) -> None:
    """The token in `MessageBird-Signature-JWT`: it signs the address and the body.

    Raises:
        Forged: It does not hold, is of another address or body, or not of this minute.
    """
    claims = read_bearer(token, secrets=keys, algorithms=HASHES)
    if claims.get("iss") != "MessageBird":
        raise Forged("the token of the callback was not made by MessageBird")
    seconds, (first, last) = now / SECOND, (claims.get("nbf"), claims.get("exp"))
    if not isinstance(first, int | float) or not isinstance(last, int | float):
        raise Forged("the token of the callback does not say for how long it holds")
    if not first - LEEWAY_SECONDS <= seconds <= last + LEEWAY_SECONDS:
        raise Forged("the token of the callback is not of this minute: is the clock right?")
    check_hash(claims, "url_hash", callback.url.encode())
    if callback.body or "payload_hash" in claims:
        check_hash(claims, "payload_hash", callback.body)


def check_signature(callback: Callback, *, keys: Sequence[str], now: Instant) -> None:
    """The keyed hash in `MessageBird-Signature`, over time, address and body.

    The old platform signs the parameters in order, Bird the whole address.

    Raises:
        Forged: It does not hold, or is too old.
    """
    offered = callback.headers.get("messagebird-signature", "")
    at = callback.headers.get("messagebird-request-timestamp", "")
    ordered = sorted(parse_qsl(urlsplit(callback.url).query, keep_blank_values=True))
    digest = hashlib.sha256(callback.body).digest()
    fits = [
        same(offered, _seal(f"{at}\n{address}\n".encode() + digest, key))
        for key in keys
        if key
        for address in (urlencode(ordered), callback.url)
    ]
    if not any(fits):
        raise Forged("MessageBird-Signature does not hold: is ANTIPHON_PUBLIC_URL what it calls?")
    check_age(unix_instant(at, otherwise=0), now=now)


def _seal(signed: bytes, key: str) -> str:
    return b64encode(hmac.digest(key.encode(), signed, "sha256")).decode()
