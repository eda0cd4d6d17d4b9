"""What vendors of e-mail write into their callbacks, read once: ids, times, lists of events.

Pure. A value of the wrong shape raises: `HttpProvider` says that the callback cannot be read.
"""

import contextlib
import hashlib
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from channels.callbacks import Callback, check_token
from engine.core.errors import Forged, Unreadable
from engine.core.model.instants import SECOND, Instant

_SECONDS_MAX: Final = 32_503_680_000
"""The year 3000: what lies beyond is milliseconds, or nonsense."""


def events_in(callback: Callback) -> list[dict[str, Any]]:
    """The JSON objects of a body: a list of them, or one.

    Raises:
        Unreadable: It is neither.
    """
    try:
        found = msgspec.json.decode(callback.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"the callback is not JSON: {error}") from None
    events = found if isinstance(found, list) else [found]
    if not all(isinstance(event, dict) for event in events):
        raise Unreadable("the callback is neither a JSON object nor a list of them")
    return events


def check_tokens(callback: Callback, *tokens: str) -> None:
    """Ask for one of the tokens, for vendors that sign nothing: `webhook_token` and the old one.

    Raises:
        Forged: It carries none of them, or none was chosen.
    """
    chosen = [token for token in tokens if token]
    if not chosen:
        raise Forged("set webhook_token: this vendor signs nothing, so no callback is believed")
    *others, last = chosen
    for token in others:
        with contextlib.suppress(Forged):
            check_token(callback, token)
            return
    check_token(callback, last)


def our_id(value: Any) -> int | None:
    """The message that metadata names; None where it is missing or none of ours."""
    text = str(value)
    is_id = text.isascii() and text.isdigit() and int(text) < 2**63
    return int(text) if is_id else None


def at_seconds(value: Any) -> Instant:
    """Seconds since 1970, as a number or as text, with or without a fraction.

    Raises:
        ValueError: It is none.
    """
    seconds = float(value)
    if not 0 <= seconds < _SECONDS_MAX:
        raise ValueError("the time lies outside 1970 to 3000")
    return round(seconds * 1_000) * (SECOND // 1_000)


def at_iso(text: str) -> Instant:
    """An ISO 8601 time; UTC where it names no zone.

    Raises:
        ValueError: It is none.
    """
    found = datetime.fromisoformat(text)
    return at_seconds(found.replace(tzinfo=found.tzinfo or UTC).timestamp())


def hashed(*parts: Any) -> str:
    """An event id for a vendor that gives none: of what makes two events the same."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]
