"""Bodies that were genuine once: bytes lost, values of other types, fields gone, nesting."""

import json
import random
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

GARBAGE: Final = (
    b"", b" ", b"[]", b"{}", b"null", b"true", b"7", b'"x"', b"[null]", b"[[]]", b"[1, 2]",
    b"<html>", b"\xff\xfe\x00", b"a=b&c", b"{" * 5_000, b"[" * 1_000_000,
    b'{"a":' * 3_000 + b"1" + b"}" * 3_000, b"=&=&=", b"x" * 70_000,
)  # fmt: skip
"""What has never been any vendor's callback, nor any's answer."""

_ODD: Final[tuple[Any, ...]] = (
    None, True, 0, -1, 2**70, 1e300, "", "x", "\0", "2026-99-99", "🎻" * 50, [], {}, [None],
    {"a": {"b": []}}, [[[]]],
)  # fmt: skip


def spoilt(body: bytes, rng: random.Random) -> bytes:
    """A genuine body with one to three faults, of its bytes or of its values."""
    for _ in range(rng.randint(1, 3)):
        body = _spoilt_values(body, rng) if rng.random() < 0.7 else _spoilt_bytes(body, rng)
    return body


def _spoilt_bytes(body: bytes, rng: random.Random) -> bytes:
    at = rng.randint(0, len(body))
    upto = min(len(body), at + rng.randint(0, 8))
    match rng.randint(0, 3):
        case 0:
            return body[:at]
        case 1:
            return body[:at] + body[upto:]
        case 2:
            return body[:at] + rng.randbytes(rng.randint(1, 4)) + body[upto:]
        case _:
            return body[:at] + body[at:upto] * 3 + body[upto:]


def _spoilt_values(body: bytes, rng: random.Random) -> bytes:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return _spoilt_form(body, rng)
    places = list(_places(value))
    if not places:
        return json.dumps(rng.choice(_ODD)).encode()
    holder, key = rng.choice(places)
    if rng.random() < 0.3:
        del holder[key]
    else:
        holder[key] = rng.choice(_ODD)
    return json.dumps(value).encode()


def _spoilt_form(body: bytes, rng: random.Random) -> bytes:
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True)
    except ValueError:
        return _spoilt_bytes(body, rng)
    if not pairs:
        return _spoilt_bytes(body, rng)
    at = rng.randrange(len(pairs))
    if rng.random() < 0.4:
        del pairs[at]
    else:
        pairs[at] = (pairs[at][0], str(rng.choice(_ODD)))
    return urlencode(pairs).encode()


def _places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        each = waiting.pop()
        keys = (
            list(each)
            if isinstance(each, dict)
            else range(len(each))
            if isinstance(each, list)
            else ()
        )
        for key in keys:
            found.append((each, key))
            waiting.append(each[key])
    return found
