"""Calls of the tracking API, read: bytes in the Segment shape in, one `Call` an item out.

The fast way decodes a whole batch at once and leaves properties, context and traits as bytes. Only
when that fails (a NaN, half a surrogate pair, an unknown key) is the batch read item by item, so
that one bad item cannot take the others with it.
"""

import json
from collections.abc import Iterator
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct, field

from engine.core.errors import InvalidEvent
from engine.intake.validate import Limits, check_value

Kind: TypeAlias = Literal["track", "identify", "page", "screen", "group", "alias"]
KINDS: Final = ("track", "identify", "page", "screen", "group", "alias")

_NOTHING: Final = Raw(b"")


class Call(Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """One call as sent, unchecked. The fields from `received_at` on are accepted and not used."""

    type: Any = None
    message_id: Any = None
    user_id: Any = None
    anonymous_id: Any = None
    previous_id: Any = None
    group_id: Any = None
    event: Any = None
    name: Any = None
    category: Any = None
    timestamp: Any = None
    original_timestamp: Any = None
    sent_at: Any = None
    properties: Raw = _NOTHING
    context: Raw = _NOTHING
    traits: Raw = _NOTHING
    received_at: Raw = _NOTHING
    integrations: Raw = _NOTHING
    options: Raw = _NOTHING
    channel: Raw = _NOTHING
    version: Raw = _NOTHING
    merge: Raw = _NOTHING
    write_key: Raw = _NOTHING
    rudder_id: Raw = _NOTHING
    metadata: Raw = field(default=_NOTHING, name="_metadata")


class CarefulCall(Call):
    """A call read item by item.

    `unknown` names keys that are no part of the API; `flaws` are what is wrong with properties,
    context or traits that could not be kept as JSON, to be raised where they are needed.
    """

    unknown: list[str] = []
    flaws: dict[str, Any] = {}


class _Batch(Struct, rename="camel"):
    batch: list[Call]
    sent_at: Any = None
    context: Raw = _NOTHING


class _Key(Struct, rename="camel"):
    write_key: str = ""


_calls: Final = msgspec.json.Decoder(Call)
_batches: Final = msgspec.json.Decoder(_Batch)
_keys: Final = msgspec.json.Decoder(_Key)
_encoder: Final = msgspec.json.Encoder()
_FIELDS: Final = {it.encode_name: (it.name, it.type is Raw) for it in msgspec.structs.fields(Call)}
_USED: Final = ("properties", "context", "traits")
Read: TypeAlias = Call | InvalidEvent


def write_key_of(payload: bytes) -> str:
    """The `writeKey` of a body, for callers who send it there; "" where there is none."""
    try:
        return _keys.decode(payload).write_key
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


def read_call(payload: bytes, kind: Kind) -> list[Read]:
    """One call from its body: a list of one, so that every way in ends alike.

    Raises:
        InvalidEvent: If the body is no JSON object.
    """
    call: Call
    try:
        call = _calls.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        call = from_values(_decoded(payload))
    call.type = kind
    return [call]


def read_batch(payload: bytes, limits: Limits) -> list[Read]:
    """The items of a batch, with `sentAt` and `context` of the envelope where they have none.

    Raises:
        InvalidEvent: If the envelope is broken or over the limits; nothing is accepted then.
    """
    if len(payload) > limits.batch_bytes_max:
        raise InvalidEvent(
            f"batch: {len(payload):,} bytes; at most {limits.batch_bytes_max:,} are allowed. "
            "Send fewer events at once",
            field="batch",
        )
    try:
        envelope = _batches.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        items, sent_at, context = _one_by_one(payload)
    else:
        items, sent_at, context = list[Read](envelope.batch), envelope.sent_at, envelope.context
    if len(items) > limits.batch_events_max:
        raise InvalidEvent(
            f"batch: {len(items):,} items; at most {limits.batch_events_max:,} are allowed",
            field="batch",
        )
    if sent_at is not None or len(context):
        for item in _read_ones(items):
            if item.sent_at is None:
                item.sent_at = sent_at
            if not len(item.context):
                item.context = context
    return items


def _read_ones(items: list[Read]) -> Iterator[Call]:
    return (item for item in items if isinstance(item, Call))


def _one_by_one(payload: bytes) -> tuple[list[Read], Any, Raw]:
    envelope = _decoded(payload)
    batch = envelope.get("batch")
    if not isinstance(batch, list):
        raise InvalidEvent(
            'batch: a list is required: {"batch": [{"type": "track", …}]}', field="batch"
        )
    items: list[Read] = []
    for value in batch:
        try:
            items.append(from_values(value))
        except InvalidEvent as error:
            items.append(error)
    context = envelope.get("context")
    try:
        check_value(context, field="context")
    except InvalidEvent:
        context = None
    return items, envelope.get("sentAt"), Raw(_encoder.encode(context)) if context else _NOTHING


def from_values(value: Any) -> CarefulCall:
    """A call from decoded JSON that nobody has checked."""
    if not isinstance(value, dict):
        raise InvalidEvent("an item of a batch must be an object", field="")
    call = CarefulCall()
    for key, inner in value.items():
        known = _FIELDS.get(key)
        if known is None:
            call.unknown.append(key[:60].encode("utf-8", "replace").decode())
            continue
        name, is_raw = known
        if not is_raw:
            setattr(call, name, inner)
        elif name in _USED and inner is not None:
            try:
                check_value(inner, field=key)
            except InvalidEvent as error:
                call.flaws[name] = error
            else:
                setattr(call, name, Raw(_encoder.encode(inner)))
    return call


def _decoded(payload: bytes) -> dict[str, Any]:
    """The body by the lenient reader: NaN and half surrogates come through, to be named later."""
    try:
        value = json.loads(payload.decode(), parse_int=_integer)
    except UnicodeDecodeError as error:
        raise InvalidEvent(f"the body is not UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise InvalidEvent("the body is nested too deep") from None
    except ValueError as error:
        place = f" (byte {error.pos})" if isinstance(error, json.JSONDecodeError) else ""
        what = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise InvalidEvent(f"the body is not JSON{place}: {what}") from None
    if not isinstance(value, dict):
        raise InvalidEvent("the body must be a JSON object")
    return value


def _integer(digits: str) -> int:
    # Python refuses to read thousands of digits; any number beyond 2^53 is refused by name anyway.
    return int(digits[:40])
