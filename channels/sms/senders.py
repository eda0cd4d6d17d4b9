"""Who a text message is from: a number, a short code or a name, and always the same for a person.

Pure.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Final, Literal

from engine.core.errors import UsageError

SenderKind = Literal["number", "short code", "name"]

NAME_CHARS_MAX: Final = 11
"""3GPP TS 23.040 section 9.1.2.5: an address field has room for eleven 7-bit characters."""

_NUMBER: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_SHORT: Final = re.compile(r"[0-9]{3,8}")
_NAME: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 &+._-]{1,11}")

NO_NAMES: Final = frozenset({"US", "CA"})
"""Countries whose carriers take no name as a sender: the message would be lost without a word."""


def sender_kind(sender: str) -> SenderKind:
    """What a sender is.

    Raises:
        ValueError: It is none of the three.
    """
    if _NUMBER.fullmatch(sender):
        return "number"
    if _SHORT.fullmatch(sender):
        return "short code"
    if _NAME.fullmatch(sender):
        return "name"
    raise ValueError(
        "a sender is a number with + and country code, a short code of 3 to 8 digits, or a name "
        f"of at most {NAME_CHARS_MAX} letters, digits and spaces"
    )


def read_senders(setting: str | Sequence[str], *, channel: str) -> tuple[str, ...]:
    """The setting `from`, one sender or a list of them.

    Raises:
        UsageError: One of them is no sender.
    """
    senders = (setting,) if isinstance(setting, str) else tuple(setting)
    for sender in filter(None, senders):
        try:
            sender_kind(sender)
        except ValueError as error:
            raise UsageError(f'channels.{channel}.from: "{sender}": {error}') from None
    return tuple(filter(None, senders))


def pick_sender(senders: Sequence[str], *, to: str) -> str:
    """The sender for a person: the same every time, and the load shared evenly; "" of none.

    Rendezvous hashing: a sender that joins or leaves moves only its own share of people.

    >>> pick_sender(["+15550001", "+15550002"], to="+4915112345678")
    '+15550002'
    """
    return max(senders, key=lambda it: _weight(it, to), default="")


def _weight(sender: str, to: str) -> bytes:
    return hashlib.sha256(f"{sender}\0{to}".encode()).digest()
