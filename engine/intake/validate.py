"""The limits of the tracking API: one verdict on a value, whichever way it came in.

Every check raises `InvalidEvent` naming the field. What the JSON reader refuses by itself (broken
syntax, bad UTF-8) is not asked again; what it lets through (integers beyond 2^53, NUL, depth) is
looked for in the bytes first, which costs a fifth of a walk through the values.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from engine.core.clocktime import parse_instant, zone_info
from engine.core.errors import InvalidEvent
from engine.core.model.instants import DAY, Instant
from engine.intake.declared import Field


class Limits(Struct, frozen=True):
    """How much one call may bring: bytes of JSON, items."""

    event_bytes_max: int = 32_768
    batch_bytes_max: int = 512_000
    batch_events_max: int = 2_500


DEPTH_MAX: Final = 32
INTEGER_MAX: Final = 2**53
NAME_CHARACTERS_MAX: Final = 199
ID_CHARACTERS_MAX: Final = 255
MESSAGE_ID_CHARACTERS_MAX: Final = 100
EMAIL_CHARACTERS_MAX: Final = 254
FUTURE_MAX: Final = DAY
EARLIEST: Final[Instant] = 946_684_800_000_000
"""2000-01-01T00:00Z: older events are broken clocks."""
SHOWN_CHARACTERS_MAX: Final = 40

_ONLY_DIGITS: Final = bytes(48 if 48 <= code <= 57 else 32 for code in range(256))
_LONG_NUMBER: Final = b"0" * 16
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_EMAIL: Final = re.compile(
    r"[^\s@\x00-\x1f\x7f<>()\[\],;:\\\"]+@[^\s@\x00-\x1f<>\"]+\.[^\s@.\"<>]+"
)
_PHONE: Final = re.compile(r"\+?[0-9][0-9 ().\-/]{3,22}[0-9]")


def check_json(raw: bytes, value: Any, *, field: str) -> None:
    """Check a decoded value that a strict reader made from `raw`, by its bytes where possible."""
    if (
        raw.count(b"{") + raw.count(b"[") <= DEPTH_MAX
        and _LONG_NUMBER not in raw.translate(_ONLY_DIGITS)
        and b"\\u0000" not in raw
    ):
        return
    check_value(value, field=field)


def check_value(value: Any, *, field: str, depth: int = 1) -> None:
    """Walk through a decoded value.

    Raises:
        InvalidEvent: For a number that is not finite or beyond 2^53, NUL or half a surrogate pair
            in a text or key, or more than 32 levels.
    """
    match value:
        case str():
            _check_text(value, field=field)
        case bool() | None:
            return
        case int():
            if not -INTEGER_MAX <= value <= INTEGER_MAX:
                raise InvalidEvent(
                    f"{field}: an integer beyond 2^53 loses digits in JSON; send it as a text",
                    field=field,
                )
        case float():
            if not math.isfinite(value):
                raise InvalidEvent(
                    f"{field}: found {value}, only finite numbers are allowed", field=field
                )
        case dict() | list():
            _check_depth(depth, field=field)
            if isinstance(value, dict):
                for key, inner in value.items():
                    _check_text(key, field=field)
                    check_value(inner, field=f"{field}.{key[:60]}", depth=depth + 1)
            else:
                for place, inner in enumerate(value):
                    check_value(inner, field=f"{field}.{place}", depth=depth + 1)
        case _:
            raise InvalidEvent(f"{field}: a value of JSON was expected", field=field)


def _check_depth(depth: int, *, field: str) -> None:
    if depth > DEPTH_MAX:
        where = ".".join(field.split(".")[:3])
        raise InvalidEvent(
            f"{where}: nested more than {DEPTH_MAX} levels deep; flatten it", field=where
        )


def _check_text(text: str, *, field: str) -> None:
    if text.isascii() and "\0" not in text:
        return
    if "\0" in text:
        raise InvalidEvent(f"{field}: holds a NUL character; remove it", field=field)
    if _SURROGATE.search(text):
        raise InvalidEvent(
            f"{field}: holds half a surrogate pair, which is no character; encode it as UTF-8",
            field=field,
        )


def check_name(value: Any, *, field: str) -> str:
    """A name of an event, page or group: text of 1 to 199 characters."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidEvent(f"{field}: a text that is not empty is required", field=field)
    if len(value) > NAME_CHARACTERS_MAX:
        raise InvalidEvent(
            f"{field}: {len(value):,} characters; at most {NAME_CHARACTERS_MAX} are allowed",
            field=field,
        )
    _check_text(value, field=field)
    return value


def check_id(value: Any, *, field: str, characters_max: int = ID_CHARACTERS_MAX) -> str | None:
    """An id: text or an integer, None where there is none (absent, null or empty)."""
    if value is None or value == "":
        return None
    if (  # what nearly all ids are, in the fewest steps
        type(value) is str
        and len(value) <= characters_max
        and value.isascii()
        and value.isprintable()
        and value[0] != " "
    ):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > INTEGER_MAX:
            raise InvalidEvent(
                f"{field}: an integer beyond 2^53 loses digits in JSON; send it as a text",
                field=field,
            )
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise InvalidEvent(f"{field}: found {_shown(value)}, a text is required", field=field)
    if len(value) > characters_max:
        raise InvalidEvent(
            f"{field}: {len(value):,} characters; at most {characters_max} are allowed",
            field=field,
        )
    _check_text(value, field=field)
    return value


def check_instant(value: Any, *, field: str) -> Instant | None:
    """An instant of the caller's clock, None where there is none."""
    if value is None:
        return None
    try:
        if not isinstance(value, str):
            raise ValueError
        return parse_instant(value)
    except ValueError:
        raise InvalidEvent(
            f"{field}: found {_shown(value)}, a time like 2026-03-02T09:00:00Z is required",
            field=field,
        ) from None


def check_when(at: Instant, *, received_at: Instant, field: str) -> Instant:
    """An event's corrected time: not before 2000, not over a day ahead, and then at most now."""
    if at > received_at + FUTURE_MAX:
        raise InvalidEvent(
            f"{field}: lies more than 24 hours in the future; check the sender's clock",
            field=field,
        )
    if at < EARLIEST:
        raise InvalidEvent(
            f"{field}: lies before the year 2000; check the sender's clock", field=field
        )
    return min(at, received_at)


def check_declared(
    values: Mapping[str, Any], fields: Mapping[str, Field], *, field: str, are_traits: bool = False
) -> None:
    """Check values against what the workspace declares; undeclared ones are free.

    A null is no value: it unsets a trait, and does not satisfy a required property.
    """
    for name, declared in fields.items():
        value = values.get(name)
        where = f"{field}.{name}"
        if value is None:
            if declared.is_required and not are_traits:
                raise InvalidEvent(f"{where}: is required for this event", field=where)
            continue
        check_type(value, declared, field=where)


def check_type(value: Any, declared: Field, *, field: str) -> None:
    """Check one value against its declared type."""
    allowed = _ALLOWED.get(declared.type)
    if allowed is None:
        return
    if not allowed[0](value):
        # A personal value is not repeated in a message that may be logged.
        found = "a value" if declared.is_pii else _shown(value)
        raise InvalidEvent(f"{field}: found {found}, {allowed[1]} is required", field=field)
    if declared.inside and isinstance(value, dict):
        check_declared(value, declared.inside, field=field)


def is_email(value: Any) -> bool:
    """Whether a text has the shape of an e-mail address; only sending can tell more."""
    return (
        isinstance(value, str)
        and len(value) <= EMAIL_CHARACTERS_MAX
        and _EMAIL.fullmatch(value.strip()) is not None
    )


def is_phone(value: Any) -> bool:
    """Whether a text has the shape of a phone number: 5 to 24 characters, mostly digits."""
    return isinstance(value, str) and _PHONE.fullmatch(value.strip()) is not None


def is_zone(value: Any) -> bool:
    """Whether a text is an IANA time zone that this machine knows."""
    if not isinstance(value, str) or not value:
        return False
    try:
        zone_info(value)
    except (ValueError, KeyError, OSError):
        return False
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return _is_number(value) and value == int(value)


def _is_date(value: Any) -> bool:
    try:
        parse_instant(value)
    except (ValueError, TypeError):
        return False
    return True


_ALLOWED: Final[Mapping[str, tuple[Any, str]]] = {
    "string": (lambda it: isinstance(it, str), "a text"),
    "number": (_is_number, "a number"),
    "integer": (_is_integer, "a whole number"),
    "boolean": (lambda it: isinstance(it, bool), "true or false"),
    "date": (_is_date, "a date like 2026-03-02"),
    "datetime": (_is_date, "a time like 2026-03-02T09:00:00Z"),
    "email": (is_email, "an e-mail address"),
    "phone": (is_phone, "a phone number like +49151234567"),
    "timezone": (is_zone, "an IANA zone like Europe/Berlin"),
    "locale": (lambda it: isinstance(it, str) and len(it) <= 35, "a locale like de-DE"),
    "list": (lambda it: isinstance(it, list), "a list"),
    "object": (lambda it: isinstance(it, dict), "an object"),
}


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= SHOWN_CHARACTERS_MAX else text[:SHOWN_CHARACTERS_MAX] + "…"
