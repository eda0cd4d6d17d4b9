"""What every vendor's reports on text messages have in common: ids, numbers, times, opt-outs.

Pure. A vendor's module says what its words mean; here is only how they are read.
"""

import hashlib
import re
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from channels.base import Ambiguous, Receipt
from channels.callbacks import opted_out as opted_out
from channels.calls import Answer
from channels.receipts import receipt_of
from engine.core.errors import Unreadable
from engine.core.model.instants import SECOND, Instant

_NUMBER: Final = re.compile(r"\+?\d[\d ().-]{5,}\d")
_SHORT_CODE_DIGITS: Final = 8
_MESSAGE_ID: Final = re.compile(r"\d{1,19}")


def message_id(text: object) -> int | None:
    """Our message's id as a vendor gives it back; None for what is none of ours."""
    if not isinstance(text, str) or not _MESSAGE_ID.fullmatch(text):
        return None
    found = int(text)
    return found if found < 2**63 else None


def with_plus(number: object) -> str | None:
    """A number as we keep it: many vendors leave out the +. Short codes and names stay.

    >>> with_plus("447700900000"), with_plus("+447700900000"), with_plus("20123")
    ('+447700900000', '+447700900000', '20123')
    """
    text = str(number).strip() if isinstance(number, str | int) else ""
    if text.isdigit() and len(text) > _SHORT_CODE_DIGITS and not text.startswith("0"):
        return f"+{text}"
    return text or None


def event_hash(*parts: object) -> str:
    """The id of an event whose vendor gives it none: what makes it that event, hashed.

    It is one-way, so that a number may be among the parts.
    """
    return hashlib.sha256("\0".join(str(part) for part in parts).encode()).hexdigest()[:32]


def instant_of(text: object, *, otherwise: Instant) -> Instant:
    """An instant from ISO 8601 or `YYYY-MM-DD hh:mm:ss`, UTC where no zone is given."""
    if not isinstance(text, str):
        return otherwise
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        return otherwise
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * SECOND)


def unix_instant(seconds: object, *, otherwise: Instant) -> Instant:
    """An instant from seconds since 1970 as text or number."""
    try:
        return round(float(str(seconds)) * SECOND) if seconds is not None else otherwise
    except (ValueError, OverflowError):
        return otherwise


def read_object(body: bytes) -> dict[str, Any]:
    """A callback's body as a JSON object.

    Raises:
        Unreadable: It is none.
    """
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unreadable("the body is not JSON") from None
    if not isinstance(found, dict):
        raise Unreadable("the body is no JSON object")
    return found


def receipt_by_status(answer: Answer, *, now: Instant) -> Receipt:
    """What the status of an answer decides, with its words masked; in doubt where it is 2xx and
    says nothing that we know."""
    masked = msgspec.structs.replace(answer, body=mask_numbers(answer.text).encode())
    words = "its answer does not say whether it took the message"
    return receipt_of(masked, now=now) or Ambiguous(words)


def mask_numbers(text: str) -> str:
    """A vendor's words with every phone number replaced, on one line, at most 300 characters.

    >>> mask_numbers("The 'To' number +1 500 555 0001 is not valid (21211)")
    "The 'To' number <number> is not valid (21211)"
    """
    return _NUMBER.sub("<number>", " ".join(text.split()))[:300]
