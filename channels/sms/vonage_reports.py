"""What Vonage tells of a text message later, by either of its APIs, and how it proves it is Vonage.

Pure. https://developer.vonage.com/en/messaging/sms/guides/delivery-receipts
and https://developer.vonage.com/en/getting-started/concepts/webhooks#decoding-signed-webhooks
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from channels.callbacks import Callback, check_age, check_token, same
from channels.delivery import BounceClass, DeliveryEvent, EventKind
from channels.sms.bearer import check_hash, read_bearer
from channels.sms.reports import (
    event_hash,
    instant_of,
    mask_numbers,
    message_id,
    opted_out,
    read_object,
    unix_instant,
    with_plus,
)
from engine.core.errors import Forged, Unreadable
from engine.core.model.instants import Instant

Method = Literal["md5hash", "md5", "sha1", "sha256", "sha512"]

WORDS: Final[Mapping[str, EventKind]] = {
    "accepted": "sent", "buffered": "deferred", "delivered": "delivered",
    "expired": "undelivered", "failed": "failed", "rejected": "rejected", "unknown": "unknown",
    "submitted": "sent", "undeliverable": "undelivered",
}  # fmt: skip
"""The first seven are the SMS API's; the Messages API shares two of them and adds the rest."""

FAILURES: Final[Mapping[str, BounceClass]] = {
    "1": "undetermined", "2": "soft", "3": "hard", "4": "block", "5": "soft", "6": "block",
    "7": "soft", "8": "soft", "10": "message", "11": "undetermined", "12": "undetermined",
    "13": "block", "14": "block", "15": "soft", "99": "undetermined",
    "1000": "soft", "1050": "block", "1170": "hard", "1180": "soft", "1190": "hard",
    "1260": "undetermined",
}  # fmt: skip
"""`err-code` of the SMS API, and `error.title` of the Messages API from 1000 on."""

OPTED_OUT: Final = "9"
"""https://developer.vonage.com/en/opt-out-assist/guides/messaging-opted-out-numbers"""
_SAID_NO: Final = re.compile(r"opted[ -]out|requested not to receive", re.IGNORECASE)


# --- is it Vonage's -----------------------------------------------------------------------------


def check_proof(
    callback: Callback,
    fields: Mapping[str, Any],
    *,
    secrets: Sequence[str],
    method: Method,
    token: str,
    now: Instant,
) -> None:
    """Ask for one of three proofs: a signed token, signed parameters, or our own secret.

    Raises:
        Forged: None of those the settings know holds.
    """
    kind, _, bearer = callback.headers.get("authorization", "").partition(" ")
    known = [secret for secret in secrets if secret]
    if known and kind.lower() == "bearer" and bearer.count(".") == 2:
        _check_bearer(bearer.strip(), callback, secrets=known, now=now)
    elif known and "sig" in fields:
        _check_parameters(fields, secrets=known, method=method, now=now)
    elif token:
        check_token(callback, token)
    elif known:
        raise Forged("the callback is not signed: turn on signed webhooks at Vonage")
    else:
        raise Forged("sms.vonage: fill signature_secret or webhook_token to take callbacks")


def _check_bearer(token: str, callback: Callback, *, secrets: Sequence[str], now: Instant) -> None:
    claims = read_bearer(token, secrets=secrets)
    if callback.body:
        check_hash(claims, "payload_hash", callback.body)
    elif callback.query:
        # It signs no address: one token seen would vouch for whatever is written there.
        raise Forged("the callback's token covers no query: choose POST-JSON at Vonage")
    check_age(unix_instant(claims.get("iat"), otherwise=0), now=now)


def _check_parameters(
    fields: Mapping[str, Any], *, secrets: Sequence[str], method: Method, now: Instant
) -> None:
    """The older scheme: https://developer.vonage.com/en/getting-started/concepts/signing-messages"""
    text = "".join(
        f"&{name}={re.sub('[&=]', '_', str(value))}"
        for name, value in sorted(fields.items())
        if name != "sig"
    )
    offered = str(fields["sig"]).lower()
    fits = [same(offered, _seal(text, secret, method)) for secret in secrets]
    if not any(fits):
        raise Forged("the sig of the callback does not hold: is signature_method the account's?")
    check_age(unix_instant(fields.get("timestamp"), otherwise=0), now=now)


def _seal(text: str, secret: str, method: Method) -> str:
    if method == "md5hash":
        return hashlib.md5((text + secret).encode(), usedforsecurity=False).hexdigest()
    return hmac.new(secret.encode(), text.encode(), method).hexdigest()


def read_fields(callback: Callback) -> dict[str, Any]:
    """What a callback says: JSON, a form or a query, as the account is set up.

    Raises:
        Unreadable: It is none of the three.
    """
    if not callback.body:
        return dict(callback.query)
    if "form" in callback.headers.get("content-type", ""):
        return dict(callback.form)
    return read_object(callback.body)


# --- what it says -------------------------------------------------------------------------------


def read_events(fields: Mapping[str, Any], *, now: Instant) -> list[DeliveryEvent]:
    """The events of one callback.

    Raises:
        Unreadable: It is neither a report nor what a person wrote.
    """
    if "message_uuid" in fields:
        return _of_messages_api(fields, now)
    if "messageId" not in fields:
        raise Unreadable("sms.vonage: it names no message")
    return _of_sms_api(fields, now)


def _of_sms_api(fields: Mapping[str, Any], now: Instant) -> list[DeliveryEvent]:
    vendors_id = _text(fields["messageId"])
    # Its own clock at the time of the push differs between repeats; UTC.
    at = instant_of(fields.get("message-timestamp"), otherwise=now)
    if "status" not in fields and "text" in fields:
        event = _inbound(fields, event_hash(vendors_id, "inbound"), at, from_=fields.get("msisdn"))
        return [event]
    status, code = _text(fields.get("status")), _text(fields.get("err-code"))
    event = DeliveryEvent(
        WORDS.get(status, "unknown"),
        message_id(fields.get("client-ref")),
        event_hash(vendors_id, status, code, _text(fields.get("scts"))),
        at,
        recipient=with_plus(fields.get("msisdn")),
        bounce_class=_bounce(WORDS.get(status, "unknown"), code),
        raw=_shown(fields),
        # We know a message by its first part: what is told of the others finds none of ours, so
        # that the first speaks for all. Our id alone would do for a stranger's on the account.
        provider_id=vendors_id,
        code="" if code == "0" else code,
    )
    return list(opted_out(event)) if code == OPTED_OUT else [event]


def _of_messages_api(fields: Mapping[str, Any], now: Instant) -> list[DeliveryEvent]:
    vendors_id = _text(fields["message_uuid"])
    at = instant_of(fields.get("timestamp"), otherwise=now)
    if "status" not in fields and "text" in fields:
        event = _inbound(fields, event_hash(vendors_id, "inbound"), at, from_=fields.get("from"))
        return [event]
    status = _text(fields.get("status"))
    found = fields.get("error")
    error = found if isinstance(found, dict) else {}
    code, detail = _text(error.get("title")), _text(error.get("detail"))
    kind = WORDS.get(status, "unknown")
    event = DeliveryEvent(
        kind,
        message_id(fields.get("client_ref")),
        event_hash(vendors_id, status, code),
        at,
        recipient=with_plus(fields.get("to")),
        reason=mask_numbers(detail),
        bounce_class=_bounce(kind, code),
        raw=_shown(fields),
        provider_id=vendors_id,
        code=code,
    )
    has_said_no = kind in ("rejected", "undelivered") and _SAID_NO.search(detail)
    return list(opted_out(event)) if has_said_no else [event]


def _inbound(
    fields: Mapping[str, Any], event_id: str, at: Instant, *, from_: object
) -> DeliveryEvent:
    return DeliveryEvent(
        "inbound",
        None,
        event_id,
        at,
        recipient=with_plus(from_),
        raw=_shown(fields),
        text=_text(fields.get("text")),
    )


def _bounce(kind: EventKind, code: str) -> BounceClass | None:
    if kind not in ("undelivered", "failed", "rejected") or code == OPTED_OUT:
        return None
    return FAILURES.get(code, "undetermined")


def _shown(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in ("sig", "api-key")}


def _text(value: object) -> str:
    return str(value) if isinstance(value, str | int) else ""
