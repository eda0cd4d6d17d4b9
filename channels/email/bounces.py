"""What a mail server's refusal means, as a table: for our own SMTP and for what vendors report.

Enhanced codes (RFC 3463) decide where a server gives one; bare codes are vaguer than they look.
"""

import re
from typing import Final, Literal

from msgspec import structs

from channels.base import Receipt, RefusedBy, Throttled
from channels.calls import Answer
from channels.delivery import BounceClass

_ENHANCED: Final = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")

HARD: Final = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.4.4", "5.2.1"})
"""No such user or domain, or the mailbox is disabled: suppress at once."""

VAGUE: Final = frozenset({"5.1.0", "5.0.0"})
"""Hard only if the words say that there is no such user."""

MESSAGE: Final = frozenset({"5.3.4", "5.2.3"})
"""Too large; with 5.6.x (content, encoding) our own fault."""

BLOCK: Final = frozenset({"5.4.5", "5.4.6"})
"""Loops; with 5.7.x (policy) never a reason to suppress the person."""

_ADDRESS: Final = re.compile(r"(?<![^\s<>()@])[^\s<>()@]++@[^\s<>()@]+")
"""Only where a word begins: tried at each letter, 100 kB without an @ would take minutes."""

_NO_USER: Final = re.compile(
    r"user unknown|unknown user|no such|does not exist|doesn't exist|unknown recipient"
    r"|recipient not found|invalid recipient|mailbox not found",
    re.IGNORECASE,
)


def enhanced_code(text: str) -> str | None:
    """The first enhanced status code in an answer, such as "5.1.1"."""
    found = _ENHANCED.search(text)
    return found.group() if found else None


def bounce_class(code: int, text: str) -> BounceClass:
    """What a permanent refusal says about the address."""
    status = enhanced_code(text)
    if status is None:
        # 552 and 554 without a code are quotas and policies as often as dead addresses.
        if code in (552, 554):
            return "block"
        return "hard" if code in (550, 551, 553) and _NO_USER.search(text) else "undetermined"
    if status in HARD or (status in VAGUE and _NO_USER.search(text)):
        return "hard"
    if status in MESSAGE or status.startswith("5.6."):
        return "message"
    if status in BLOCK or status.startswith("5.7."):
        return "block"
    if status == "5.2.2" or status.startswith("4."):
        return "soft"
    return "undetermined"


def reported_class(status: str, text: str) -> BounceClass:
    """What somebody else's report of a bounce says: its status, or the server's own words.

    Args:
        status: "5.1.1", as the report gives it; "" and x.0.0 say too little, then `text` decides.
        text: What the server said, with or without its code in front.
    """
    reply = re.match(r"\s*([45]\d\d)\b", text)
    code = int(reply[1]) if reply else 550
    if status.startswith("4") if status else code < 500:
        return "soft"  # it was tried until the sending server gave up
    is_vague = not status or status.endswith(".0.0")
    return bounce_class(code, text if is_vague else f"{status} {text}")


def receipt_of_reply(code: int, text: str) -> Receipt:
    """The receipt of a negative answer to RCPT or DATA: 4xx is later, 5xx is never.

    The text is kept with addresses masked, so that it may be stored and shown.
    """
    shown = mask_addresses(text)
    if code < 500:
        return Throttled(None, f"{code} {shown}", _busy(code, text))
    if code in (530, 535, 538):
        return RefusedBy("config", str(code), shown)
    kind = bounce_class(code, text)
    name = enhanced_code(text) or str(code)
    return RefusedBy("message" if kind == "message" else "recipient", name, shown, kind)


def _busy(code: int, text: str) -> Literal["account", "domain", "recipient"]:
    """Whom a "not now" is about. 421 is said before the connection is closed: to us."""
    subject = (enhanced_code(text) or "").split(".")[1:2]
    if code == 421 or not subject:
        return "account"
    if subject in (["4"], ["7"]):
        return "domain"  # their host does not answer, or their policy slows us down
    return "recipient" if subject in (["1"], ["2"]) else "account"


def mask_addresses(text: str) -> str:
    """The text with every e-mail address replaced, on one line, at most 300 characters."""
    return _ADDRESS.sub("<address>", " ".join(text.split()))[:300]


def masked(answer: Answer) -> Answer:
    """A vendor's answer with every e-mail address replaced, to be stored and shown."""
    return structs.replace(answer, body=mask_addresses(answer.text).encode())
