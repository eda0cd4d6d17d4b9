"""Messages that are out, and genuine callbacks about them: SendGrid's (signed) and Twilio's.

Keys are made here and known to nobody's account.
"""

import base64
import hmac
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from engine.core.model.instants import NEVER
from engine.steady import present
from engine.store import bulk
from engine.store.connection import Connection
from engine.web.readers import Readers

KEY = ec.derive_private_key(20_261_123, ec.SECP256R1())
PUBLIC = base64.b64encode(
    KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()
TOKEN = "token-of-a-test-account"
URL = "https://shop.example"
NUMBER = "+4915112345678"

CHANNELS: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "email": (
        "email",
        "sendgrid",
        {"api_key": "k", "from": "Shop <shop@shop.example>", "webhook_key": PUBLIC},
    ),
    "sms": (
        "sms",
        "twilio",
        {"account_sid": "AC" + "0" * 32, "auth_token": TOKEN, "from": "+15005550006"},
    ),
    "quiet": ("email", "sandbox", {}),
}
"""Channel name -> kind, provider, settings."""

_numbers = itertools.count(1)


def readers(directory: Path) -> Readers:
    """Readers of a workspace with these channels."""
    forms = {
        name: SimpleNamespace(provider=provider, settings=settings)
        for name, (_, provider, settings) in CHANNELS.items()
    }
    workspace = SimpleNamespace(
        settings=SimpleNamespace(channels=forms),
        channel_kind=lambda name: CHANNELS[name][0],
    )
    playbook: Any = SimpleNamespace(workspace=workspace)
    return Readers(lambda: playbook, directory=directory, now=present)


def an_attempt(connection: Connection, message: int, **changes: Any) -> None:
    """An attempt at a message, accepted by SendGrid unless told otherwise."""
    row = {
        "message_id": message, "number": 1, "provider": "email.sendgrid", "started_at": 1,
        "finished_at": 2, "outcome": "accepted", "provider_id": f"sg{message}", "detail": "",
        "body_digest": "", "address_hash": message.to_bytes(16, "big"), **changes,
    }  # fmt: skip
    bulk.insert(connection, "attempt", tuple(row), [tuple(row.values())])


def a_text_to(connection: Connection, profile: int, address: bytes, **changes: Any) -> None:
    """A profile has this number, and got a text of the campaign "sale" a while ago."""
    connection.execute(
        "UPDATE profile SET addresses = ? WHERE id = ?", (f'{{"sms":"{address.hex()}"}}', profile)
    )
    bulk.insert(connection, "address_holder", ("address_hash", "profile_id"), [(address, profile)])
    enrollment = {
        "id": 1000 + profile, "profile_id": profile, "campaign": "sale", "version": "1", "key": "",
        "status": "active", "entered_at": 1, "step": None, "step_at": 1, "due_at": NEVER,
        "visit": 1, "trigger_seq": 0, "trigger": "{}", "variants": "{}", "held_by": "",
        "message": None, "reason": "",
    }  # fmt: skip
    bulk.insert(connection, "enrollment", tuple(enrollment), [tuple(enrollment.values())])


def an_event(word: str, about: int, /, **changes: Any) -> dict[str, Any]:
    """What SendGrid says of a message, with an id of its own."""
    return {
        "event": word, "email": "ada@example.com", "timestamp": present() // 1_000_000,
        "sg_event_id": f"event-{next(_numbers)}", "message": str(about),
        "sg_message_id": f"sg{about}.filter", **changes,
    }  # fmt: skip


def signed(events: Sequence[dict[str, Any]] | bytes, *, at: int | None = None) -> dict[str, Any]:
    """A request of SendGrid's event webhook, as arguments of a client's `post`."""
    body = events if isinstance(events, bytes) else msgspec.json.encode(events) + b"\r\n"
    seconds = str(present() // 1_000_000 if at is None else at)
    signature = base64.b64encode(KEY.sign(seconds.encode() + body, ec.ECDSA(SHA256()))).decode()
    return {
        "content": body,
        "headers": {
            "Content-Type": "application/json",
            "X-Twilio-Email-Event-Webhook-Timestamp": seconds,
            "X-Twilio-Email-Event-Webhook-Signature": signature,
        },
    }


def a_text(body: str, *, path: str = "/webhooks/sms", **fields: str) -> dict[str, Any]:
    """Somebody's text as Twilio posts it."""
    told = {
        "MessageSid": f"SM{next(_numbers):032}", "SmsStatus": "received", "From": NUMBER,
        "To": "+15005550006", "Body": body, **fields,
    }  # fmt: skip
    payload = URL + path + "".join(name + told[name] for name in sorted(told))
    signature = hmac.digest(TOKEN.encode(), payload.encode(), "sha1")
    return {
        "content": urlencode(told).encode(),
        "headers": {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Twilio-Signature": base64.b64encode(signature).decode(),
        },
    }
