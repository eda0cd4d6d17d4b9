"""Mail that comes back to us: bounces, complaints of feedback loops, automatic answers.

Pure: the bytes of one mail -> delivery events. Nobody can prove who sent a bounce: it is believed
only about the message whose signed return path (`verp`) it came to, which the caller says.
Sources: RFC 3464 (delivery status), RFC 3463 (codes), RFC 5965 (feedback reports), RFC 3834
(automatic answers).
"""

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC
from email import message_from_bytes, policy
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any, Final

from channels.delivery import DeliveryEvent, EventKind
from channels.email.bounces import mask_addresses, reported_class
from engine.core.errors import Unreadable
from engine.core.model.instants import SECOND, Instant

MAIL_BYTES_MAX: Final = 5_000_000
PARTS_MAX: Final = 100
BOUNDARIES_MAX: Final = 20
"""More than these no report has, with the mail that it encloses; mail bombs do."""
_BOUNDARY: Final = re.compile(rb"\bboundary[*0-9]*\s*=", re.IGNORECASE)

ACTIONS: Final[dict[str, EventKind]] = {
    "failed": "bounced",
    "delayed": "deferred",
    "delivered": "delivered",
    "relayed": "sent",
    "expanded": "sent",
}
"""RFC 3464, 2.3.3: their word: our word. `relayed` went to where nothing more is reported."""

FEEDBACK: Final[dict[str, EventKind]] = {
    "abuse": "complained",
    "fraud": "complained",
    "virus": "complained",
    "opt-out": "unsubscribed",
    "opt-out-list": "unsubscribed",
    "not-spam": "unknown",
    "other": "unknown",
}
"""RFC 5965, 7.3; `opt-out` by RFC 6430 and its practice."""


def read_returned(raw: bytes, *, message: int | None, now: Instant) -> list[DeliveryEvent]:
    """What one returned mail says, in our words.

    Args:
        message: The message whose signed return path it came to, None if it came anywhere else.
    Raises:
        Unreadable: It is too large, or no mail at all.
    """
    if len(raw) > MAIL_BYTES_MAX:
        raise Unreadable(f"the mail has {len(raw):,} bytes; at most {MAIL_BYTES_MAX:,} are read")
    # The parser compares each line with every boundary around it, and calls itself for each.
    if len(_BOUNDARY.findall(raw)) > BOUNDARIES_MAX:
        raise Unreadable(f"the mail has more than {BOUNDARIES_MAX} boundaries: no report is such")
    try:
        mail = message_from_bytes(raw, policy=policy.compat32)
        parts = [part for _, part in zip(range(PARTS_MAX), mail.walk(), strict=False)]
    except RecursionError:
        raise Unreadable("the mail is nested too deep") from None
    if not mail.keys():
        raise Unreadable("this is no mail: it has no headers")
    at = _sent_at(mail, now=now)
    for part in parts:
        match part.get_content_type():
            case "message/delivery-status":
                return list(_status(part, message, raw, at))
            case "message/feedback-report":
                return [_complaint(part, message, raw, at)]
    if _is_automatic(mail):
        return [_event("autoresponded", message, raw, at, reason="an automatic answer")]
    return [_event("unknown", message, raw, at, reason="neither a bounce nor a complaint")]


# --- bounces ------------------------------------------------------------------------------------


def _status(
    report: Message, message: int | None, raw: bytes, at: Instant
) -> Iterator[DeliveryEvent]:
    """One event a recipient; the first block of a report is about the mail as a whole."""
    blocks = report.get_payload()
    if not isinstance(blocks, list):
        return
    for block in blocks:
        if not isinstance(block, Message) or "Action" not in block:
            continue
        action = _word(block["Action"]).lower()
        status = _word(block.get("Status", ""))
        diagnostic = _diagnostic(block)
        kind = ACTIONS.get(action, "unknown")
        found = reported_class(status, diagnostic) if kind == "bounced" else None
        yield _event(
            kind, message, raw, at,
            recipient=_address(block.get("Final-Recipient") or block.get("Original-Recipient")),
            code=status, bounce_class=found, reason=mask_addresses(diagnostic or status)[:500],
        )  # fmt: skip


def _diagnostic(block: Message) -> str:
    """`smtp; 550 5.1.1 no such user` without its type, on one line."""
    text = _word(block.get("Diagnostic-Code", ""))
    return text.partition(";")[2].strip() if ";" in text else text


# --- complaints and answers ---------------------------------------------------------------------


def _complaint(report: Message, message: int | None, raw: bytes, at: Instant) -> DeliveryEvent:
    """The fields of a feedback report are a mail of their own without a body."""
    payload = report.get_payload()
    inner = payload[0] if isinstance(payload, list) and payload else None
    fields = inner if isinstance(inner, Message) else message_from_bytes(_text(report))
    kind = FEEDBACK.get(_word(fields.get("Feedback-Type", "")).lower(), "unknown")
    recipient = _address(fields.get("Original-Rcpt-To"))
    return _event(kind, message, raw, at, recipient=recipient, reason="a feedback loop's report")


def _is_automatic(mail: Message) -> bool:
    said = _word(mail.get("Auto-Submitted", "no")).lower()
    return (
        (said != "no" and said != "")
        or "X-Autoreply" in mail
        or "X-Autorespond" in mail
        or _word(mail.get("Precedence", "")).lower() in ("bulk", "auto_reply", "junk")
    )


# --- parts --------------------------------------------------------------------------------------


def _event(
    kind: EventKind, message: int | None, raw: bytes, at: Instant, **more: Any
) -> DeliveryEvent:
    recipient = more.get("recipient")
    digest = hashlib.sha256(b"\0".join((kind.encode(), str(recipient).encode(), raw)))
    return DeliveryEvent(kind, message, digest.hexdigest()[:32], at, **more)


def _sent_at(mail: Message, *, now: Instant) -> Instant:
    """The mail's date, never later than now: it is the sender's clock."""
    try:
        date = parsedate_to_datetime(_word(mail.get("Date", "")))
    except (ValueError, OverflowError):
        return now
    return min(now, int(date.replace(tzinfo=date.tzinfo or UTC).timestamp()) * SECOND)


def _address(field: Any) -> str | None:
    """`rfc822; ada@example.com` -> the address."""
    text = _word(field or "").rpartition(";")[2].strip().strip("<>")
    return text if "@" in text else None


def _word(value: Any) -> str:
    """A header as one line of text."""
    return " ".join(str(value).split())


def _text(part: Message) -> bytes:
    found = part.get_payload(decode=True)
    return found if isinstance(found, bytes) else str(part.get_payload()).encode()
