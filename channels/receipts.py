"""What the status of an answer decides by itself; a vendor's own codes come before this.

Pure.
"""

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from channels.base import Ambiguous, Receipt, RefusedBy, Throttled
from channels.calls import Answer
from engine.core.model.instants import SECOND, Instant

WAIT_SECONDS_MAX: Final = 86_400.0
"""Whoever asks us to wait for longer is asked again after a day."""


def receipt_of(answer: Answer, *, now: Instant) -> Receipt | None:
    """The receipt that a status alone decides; None for 2xx."""
    status, code, text = answer.status, f"http {answer.status}", answer.text
    if answer.is_ok:
        return None
    if status == 429 or (status == 503 and "retry-after" in answer.headers):
        return Throttled(retry_after_seconds(answer.headers, now=now), text)
    if status >= 500 or status == 408:
        return Ambiguous(f"{code}: {text}")
    if status in (400, 413, 422):
        return RefusedBy("message", code, text)
    return RefusedBy("config", code, text)


def retry_after_seconds(headers: Mapping[str, str], *, now: Instant) -> float | None:
    """Retry-After as seconds from now, whether it was seconds or a date; None if neither."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return min(float(value), WAIT_SECONDS_MAX)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    seconds = at.replace(tzinfo=at.tzinfo or UTC).timestamp() - now / SECOND
    return min(max(0.0, seconds), WAIT_SECONDS_MAX)
