"""What holds for a text message whatever vendor takes it: who it is from, and why it cannot go.

Pure. What a vendor would answer by a failure days later, or never, is refused before it leaves.
"""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from channels.addresses import deaf_kind, is_e164, phone_country
from channels.base import OutMessage, RefusedBy
from channels.sms.senders import NO_NAMES, pick_sender, sender_kind
from channels.sms.text import CHARS_MAX
from engine.core.model.instants import NEVER, SECOND, Instant

_UNSENDABLE: Final = re.compile(r"[\0\ud800-\udfff]")


def choose_sender(message: OutMessage, senders: Sequence[str]) -> str:
    """The message's own sender, else the one of the channel's that this person always sees."""
    return message.from_ or pick_sender(senders, to=message.to)


def refusal(message: OutMessage, *, sender: str) -> RefusedBy | None:
    """Why a message goes to no vendor at all; None for nearly all of them.

    Args:
        sender: As chosen; "" where the vendor picks one itself.
    """
    if not is_e164(message.to):
        # No bounce: with the person's country it may yet be read.
        return RefusedBy("recipient", "not_e164", "a number is + and 7 to 15 digits")
    if not message.text.strip():
        return RefusedBy("message", "empty", "the text is empty")
    if _UNSENDABLE.search(message.text):
        words = "the text holds a NUL character, or half a character: a lone surrogate"
        return RefusedBy("message", "control_character", words)
    if len(message.text) > CHARS_MAX:
        found = len(message.text)
        words = f"the text has {found:,} characters; at most {CHARS_MAX:,} go in one message"
        return RefusedBy("message", "too_long", words)
    kind = deaf_kind(message.to)
    if kind is not None:
        return RefusedBy("recipient", "deaf_number", f"{kind} cannot receive text messages", "hard")
    return _sender_refusal(message.to, sender)


def _sender_refusal(to: str, sender: str) -> RefusedBy | None:
    if not sender:
        return None
    try:
        kind = sender_kind(sender)
    except ValueError as error:
        return RefusedBy("message", "bad_sender", str(error))
    country = phone_country(to)
    if kind == "name" and country in NO_NAMES:
        # About this message alone: the same name may well do for people elsewhere.
        words = f'carriers in {country} take no name such as "{sender}" as a sender: use a number'
        return RefusedBy("message", "name_as_sender", words)
    return None


def seconds_left(message: OutMessage, *, now: Instant, least: int, most: int) -> int | None:
    """How long a vendor may keep trying, within what it takes; None: as long as it likes."""
    if message.expires_at >= NEVER:
        return None
    return int(min(max((message.expires_at - now) // SECOND, least), most))


def with_query(url: str, **parameters: str) -> str:
    """An address with more parameters; the ones it has are left as they are.

    >>> with_query("https://a.example/webhooks/sms?token=x", message="7")
    'https://a.example/webhooks/sms?token=x&message=7'
    """
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"


def with_token(url: str, token: str) -> str:
    """The address of reports with our own secret, where an account signs none."""
    return with_query(url, token=token) if url and token else url
