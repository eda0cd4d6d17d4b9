"""The webhook step's calls: one HTTP request to an address that a campaign names.

Our request is rendered before it gets here (`engine.sending.webhooks`). A repeat bears the same
`Idempotency-Key`, so a receiver that honours it acts once. 2xx is success; 408, 429 and 5xx
are tried again; any other answer is final, and is about this call alone: it never pauses the lane.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from channels.base import (
    Accepted,
    Ambiguous,
    Capabilities,
    Channel,
    Clock,
    NotSent,
    OutMessage,
    Provider,
    Random,
    Receipt,
    RefusedBy,
    Throttled,
)
from channels.callbacks import Callback, Echo
from channels.calls import Answer, Call
from channels.egress import EgressRules
from channels.receipts import receipt_of
from channels.transport import exchange, open_client
from engine.core.errors import Unreadable
from engine.core.model.instants import SECOND

REPLY_BYTES_MAX: Final = 32_768
REPLY_DEPTH_MAX: Final = 32
KEY_HOURS: Final = 24
"""We promise receivers no repeat after this long; no call is made for longer than an hour."""

PUBLIC: Final = EgressRules(schemes=("https",), ports=(443, 8443))
LOCAL: Final = EgressRules(schemes=("https", "http"), ports=None, allow_loopback=True)
"""For tests and gateways on this machine, where the operator has said so."""

_encode: Final = msgspec.json.Encoder().encode


class Webhooks:
    """Calls what steps ask for.

    Args:
        rules: What may be reached.
    """

    name = "webhook.http"
    channel: Channel = "webhook"
    capabilities = Capabilities(idempotency_hours=KEY_HOURS)

    def __init__(self, *, rules: EgressRules, now: Clock) -> None:
        self._client = open_client(rules=rules)
        self._now = now

    async def deliver(self, message: OutMessage) -> Receipt:
        answer = await exchange(self._client, _call(message))
        receipt = receipt_of(answer, now=self._now()) if isinstance(answer, Answer) else answer
        match receipt:
            case RefusedBy(_, code, text):
                # It says nothing of other calls: a wrong path is no fault of the lane.
                return RefusedBy("message", code, text)
            case Accepted() | Throttled() | NotSent() | Ambiguous():
                return receipt
        assert isinstance(answer, Answer)
        code = f"http {answer.status}"
        if not message.data["wants_reply"]:
            return Accepted(code)
        try:
            return Accepted(code, reply=read_reply(answer.body))
        except ValueError as error:
            return RefusedBy("message", code, str(error))

    async def close(self) -> None:
        await self._client.aclose()

    async def read_callback(self, callback: Callback) -> Echo:
        raise Unreadable("webhook.http: a step's webhook reports nothing later")


def _call(message: OutMessage) -> Call:
    data = message.data
    headers = {**message.headers, "Idempotency-Key": message.idempotency_key}
    body = b""
    if data["body"] is not None:
        body = _encode(data["body"])
        headers["Content-Type"] = "application/json"
    seconds = data["timeout"] / SECOND
    return Call(message.to, data["method"], headers, body, timeout_seconds=seconds)


def read_reply(body: bytes) -> str:
    """The answer's JSON as we keep it.

    Raises:
        ValueError: It is too large, no JSON, or nested too deep to be read later.
    """
    if len(body) > REPLY_BYTES_MAX:
        raise ValueError(
            f"its answer has {len(body):,} bytes; at most {REPLY_BYTES_MAX:,} are kept"
        )
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ValueError("its answer is not JSON") from None
    if _depth(value) > REPLY_DEPTH_MAX:
        raise ValueError(f"its answer is nested more than {REPLY_DEPTH_MAX} deep")
    try:
        return _encode(value).decode()
    except (ValueError, UnicodeError):
        raise ValueError("its answer holds text or numbers that cannot be kept") from None


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> Provider:
    """The calls of webhook steps; `settings` are ours: {"local": whether this machine is open}."""
    return Webhooks(rules=LOCAL if settings.get("local") else PUBLIC, now=now)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _depth(value: Any) -> int:
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        each, depth = waiting.pop()
        deepest = max(deepest, depth)
        inner = each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        waiting.extend((one, depth + 1) for one in inner)
    return deepest
