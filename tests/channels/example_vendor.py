"""A vendor that nobody runs: the least that passes the contract, to prove the contract by.

`test_provider_contract.py` breaks it on purpose, one fault at a time, and each must be noticed.
"""

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from channels.base import (
    Accepted,
    Ambiguous,
    Capabilities,
    Channel,
    Clock,
    OutMessage,
    Random,
    Receipt,
    RefusedBy,
    Throttled,
)
from channels.callbacks import Callback, Echo, Reply, check_age, same
from channels.calls import Answer, Call, json_call
from channels.delivery import DeliveryEvent, EventKind
from channels.http_provider import GATEWAY, PUBLIC, HttpProvider
from channels.receipts import receipt_of
from channels.settings import check_filled, read_settings
from engine.core.errors import Forged, Unreadable
from engine.core.model.instants import SECOND, Instant
from tests.channels.vendor_cases import NOW, Answered, Told, VendorCases

WORDS: Final[Mapping[str, EventKind]] = {"arrived": "delivered", "lost": "undelivered"}
CAPABILITIES: Final = Capabilities(
    idempotency_hours=1,
    reports=frozenset(WORDS.values()),
    webhook="signed",
    docs="https://vendor.example/docs",
)


class ExampleSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The channel's map in antiphon.yaml.

    Args:
        key: The account's key.
        secret: Signs callbacks.
        base_url: Another host than the vendor's.
    """

    key: str
    secret: str = ""
    base_url: str = "https://api.vendor.example"


class Example:
    """https://vendor.example/docs"""

    name = "sms.example"
    channel: Channel = "sms"
    capabilities = CAPABILITIES

    def __init__(self, settings: ExampleSettings) -> None:
        self.settings = settings

    def call(self, message: OutMessage, *, now: Instant) -> Call | Receipt:
        if not (message.to.removeprefix("+").isdigit() and message.from_.isprintable()):
            return RefusedBy("message", "compose", "a number or a sender is none")
        body = {"to": message.to, "from": message.from_, "text": message.text}
        headers = {
            "Authorization": f"Bearer {self.settings.key}",
            "Idempotency-Key": message.idempotency_key,
        }
        return json_call(f"{self.settings.base_url}/messages", body, headers=headers)

    def receipt(self, answer: Answer, *, now: Instant) -> Receipt:
        found = answer.json()
        if answer.status == 400 and found.get("error") == "no_such_number":
            return RefusedBy("recipient", "no_such_number", "no such number", "hard")
        refusal = receipt_of(answer, now=now)
        if refusal is not None:
            return refusal
        if not isinstance(found.get("id"), str):
            return Ambiguous("its answer names no message")
        return Accepted(found["id"])

    def read_callback(self, callback: Callback, *, now: Instant) -> Echo:
        at = callback.headers.get("x-time", "")
        expected = sign(at, callback.body, self.settings.secret)
        if not same(callback.headers.get("x-signature", ""), expected):
            raise Forged("the signature is wrong")
        check_age(int(at) * SECOND, now=now)
        try:
            told = msgspec.json.decode(callback.body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Unreadable(f"sms.example: {error}") from None
        if not isinstance(told, list):
            raise Unreadable("sms.example: not a list")
        return Echo([self._event(each) for each in told], Reply())

    def _event(self, told: dict[str, Any]) -> DeliveryEvent:
        return DeliveryEvent(
            WORDS.get(told["what"], "unknown"),
            int(told["ours"]),
            str(told["event"]),
            int(told["seconds"]) * SECOND,
            provider_id=str(told["id"]),
            raw=told,
        )


def sign(at: str, body: bytes, secret: str) -> str:
    """Hex HMAC-SHA256 over time and body."""
    return hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> HttpProvider:
    """The made-up vendor on the wire."""
    read = read_settings(ExampleSettings, settings, channel=channel)
    check_filled(read, "key", channel=channel)
    return HttpProvider(Example(read), now=now, rules=GATEWAY if "base_url" in settings else PUBLIC)


# --- its cases ----------------------------------------------------------------------------------

SECRET: Final = "test-signing-secret"


def signed(body: bytes, *, at: int = NOW) -> Callback:
    """A callback as the vendor would send it."""
    seconds = str(at // SECOND)
    headers = {"x-time": seconds, "x-signature": sign(seconds, body, SECRET)}
    return Callback("https://us.example/webhooks/sms", headers, body)


def telling(what: str) -> bytes:
    """The body of a callback with one event."""
    told = {"event": f"e-{what}", "what": what, "id": "m-1", "ours": "7", "seconds": NOW // SECOND}
    return msgspec.json.encode([told])


def check_call(call: Call) -> None:
    """The field table of its documentation."""
    assert (call.method, call.url) == ("POST", "https://api.vendor.example/messages")
    assert set(msgspec.json.decode(call.body)) == {"to", "from", "text"}


def forge(callback: Callback) -> Callback:
    """One byte of the body changed."""
    return structs.replace(callback, body=callback.body.replace(b"m-1", b"m-2"))


CASES: Final = VendorCases(
    provider="sms.example",
    settings={"key": "test-key-of-ours", "secret": SECRET},
    message=OutMessage(
        7, "sms", "+4915112345678", text="Grüße 🎻", from_="Läden", idempotency_key="key-7"
    ),
    check_call=check_call,
    accepted=Answered("taken", Answer(201, body=b'{"id":"m-1"}'), Accepted("m-1")),
    answered=(
        Answered("number", Answer(400, body=b'{"error":"no_such_number"}'), RefusedBy),
        Answered("busy", Answer(429, {"retry-after": "3"}), Throttled(3.0, "")),
        Answered("key", Answer(401), RefusedBy("config", "http 401", "")),
        Answered("broken", Answer(500, body=b"oops"), Ambiguous("http 500: oops")),
    ),
    told=(
        Told("arrived", signed(telling("arrived")), [{"kind": "delivered", "message": 7}]),
        Told("lost", signed(telling("lost")), [{"kind": "undelivered", "provider_id": "m-1"}]),
    ),
    forge=forge,
    unknown=signed(telling("sung")),
    sign=signed,
)
