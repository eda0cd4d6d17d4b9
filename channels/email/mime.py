"""One message -> the bytes that go over SMTP.

Written by hand rather than with `email.message`: the standard library builds 970 such messages a
second, less than a renderer makes. What it writes is checked by parsing it with the standard
library. Refuses CR, LF, NUL and control characters in every header.
Sources: RFC 5322, 2045-2047, 8058 (one-click), 2919 (List-Id).
"""

import binascii
import re
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Final

from msgspec import Struct

from channels.addresses import normal_email
from channels.base import OutMessage
from engine.core.errors import Refused
from engine.core.model import SECOND, Instant


class Sender(Struct, frozen=True):
    """Who we are on the wire.

    Args:
        domain: Right-hand side of Message-ID.
        from_, reply_to: Used where the message names none: `Shop <hello@shop.example>`.
        list_id: List-Id of marketing mail, such as `offers.shop.example`; "" derives it from the
            topic and domain.
        feedback: SenderId of Feedback-ID, 5 to 15 characters and always the same; "" omits it.
        unsubscribe_mailbox: Address for the mailto form of List-Unsubscribe; "" omits it.
    """

    domain: str
    from_: str = ""
    reply_to: str = ""
    list_id: str = ""
    feedback: str = ""
    unsubscribe_mailbox: str = ""


class Refusal(Refused):
    """The message cannot be written as an e-mail."""


def build_email(message: OutMessage, *, sender: Sender, at: Instant) -> bytes:
    """The message as bytes with CRLF line ends: multipart/alternative where it has both parts.

    Raises:
        Refusal: A header holds a control character, an address is none, or both parts are empty.
    """
    headers = _headers(message, sender, at)
    if message.text and message.html:
        # "=_" cannot appear in quoted-printable, so no body can contain the boundary.
        boundary = f"=_antiphon_{message.id}"
        body = (
            b"--" + boundary.encode() + b"\r\n" + _part("plain", message.text)
            + b"\r\n--" + boundary.encode() + b"\r\n" + _part("html", message.html)
            + b"\r\n--" + boundary.encode() + b"--\r\n"
        )  # fmt: skip
        kind = f'Content-Type: multipart/alternative; boundary="{boundary}"\r\n\r\n'
        return headers + kind.encode() + body
    if not message.text and not message.html:
        raise Refusal("the e-mail has neither a text nor an HTML part")
    part = _part("plain", message.text) if message.text else _part("html", message.html)
    return headers + part + b"\r\n"


def _part(kind: str, text: str) -> bytes:
    head = (
        f"Content-Type: text/{kind}; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    # b2a_qp breaks long lines with the first line end it meets, so it meets one kind only.
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return head.encode() + binascii.b2a_qp(lines.encode()).replace(b"\n", b"\r\n")


def message_id(message: OutMessage, *, domain: str) -> str:
    """Our id inside angle brackets; `id_in` reads it back from a bounce."""
    key = re.sub(r"[^A-Za-z0-9-]", "", message.idempotency_key)[:40] or "0"
    return f"<m{message.id}.{key}@{domain}>"


def id_in(header: str) -> int | None:
    """The message id in a Message-ID of ours, else None."""
    found = re.search(r"<m(\d{1,19})\.[^@>]*@", header)
    return int(found[1]) if found else None


# --- headers ------------------------------------------------------------------------------------


def _headers(message: OutMessage, sender: Sender, at: Instant) -> bytes:
    from_ = message.from_ or sender.from_
    if not from_:
        raise Refusal("the e-mail has no sender: set `from` in the template or for the channel")
    lines = [
        f"Date: {_date(at // SECOND)}",
        f"From: {_mailbox_header(from_)}",
        f"To: {address_of(message.to)}",
        f"Message-ID: {message_id(message, domain=sender.domain)}",
        f"Subject: {_text_header(message.subject, len('Subject: '))}",
        "MIME-Version: 1.0",
    ]
    reply_to = message.reply_to or sender.reply_to
    if reply_to:
        lines.append(f"Reply-To: {_mailbox_header(reply_to)}")
    lines += _list_headers(message, sender) if message.unsubscribe_url else [_AUTOMATIC]
    if sender.feedback:
        lines.append(f"Feedback-ID: {_feedback(message, sender.feedback)}")
    for name, value in message.headers.items():
        if not _NAME.fullmatch(name) or name.lower() in _OURS:
            raise Refusal(f'"{name}" is not a header that a message may set')
        lines.append(f"{name}: {_text_header(value, len(name) + 2)}")
    text = "\r\n".join(lines)
    if _CONTROL.search(text):
        raise Refusal("a header holds a line break or another control character")
    return text.encode() + b"\r\n"


_AUTOMATIC: Final = "Auto-Submitted: auto-generated"
_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,76}")
_OURS: Final = frozenset({
    "date", "from", "to", "cc", "bcc", "message-id", "subject", "mime-version", "reply-to",
    "sender", "list-unsubscribe", "list-unsubscribe-post", "list-id", "feedback-id",
    "content-type", "content-transfer-encoding",
})  # fmt: skip
# Every value was checked; this is the last look, at the whole block: a line break only before a
# header name or the space of a fold.
_CONTROL: Final = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n|\r\n(?! |[A-Za-z0-9-]+: )"
)


@lru_cache(maxsize=16)
def _date(seconds: int) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC))


def _list_headers(message: OutMessage, sender: Sender) -> list[str]:
    url = message.unsubscribe_url
    if not url.startswith(("https://", "http://")) or _UNSAFE_URL.search(url):
        raise Refusal("the unsubscribe address must be an http(s) URL without spaces")
    ways = f"<{url}>"
    if sender.unsubscribe_mailbox:
        ways += f",\r\n <mailto:{sender.unsubscribe_mailbox}?subject=unsubscribe>"
    list_id = sender.list_id or f"{_word(message.topic or 'list')}.{sender.domain}"
    return [
        f"List-Unsubscribe: {ways}",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        f"List-Id: <{list_id}>",
    ]


_UNSAFE_URL: Final = re.compile(r"[^\x21-\x7e]|[<>]")


def _feedback(message: OutMessage, feedback: str) -> str:
    kind = "marketing" if message.unsubscribe_url else "transactional"
    return f"{_word(message.campaign)}:{_word(message.topic)}:{kind}:{feedback}"


def _word(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "-", text).strip("-")[:40] or "none"


def _check(text: str, name: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise Refusal(f"the {name} holds a line break or another control character")
    return text


@lru_cache(maxsize=256)
def _mailbox_header(text: str) -> str:
    """`Name <address>` or an address, the name quoted or encoded as it needs."""
    _check(text, "sender")
    name, bracket, rest = text.rpartition("<")
    if not bracket:
        return address_of(text)
    address = address_of(rest.strip().removesuffix(">"))
    name = name.strip().strip('"')
    if not name:
        return address
    if not name.isascii():
        return f"{_encoded_words(name, 8)} <{address}>"
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}" <{address}>'


def address_of(text: str) -> str:
    """The bare address, its domain in A-labels.

    Raises:
        Refusal: It is none. The message does not repeat it.
    """
    try:
        return normal_email(_check(text, "address"))
    except ValueError as error:
        raise Refusal(str(error)) from None


def _text_header(text: str, used: int) -> str:
    _check(text, "header")
    if not text.isascii() or "=?" in text:
        return _encoded_words(text, used)
    return text if used + len(text) <= 78 else _fold(text, used)


def _fold(text: str, used: int) -> str:
    """At spaces, so that lines stay under 78 where words allow."""
    lines, line = [], ""
    for word in text.split(" "):
        if line and used + len(line) + 1 + len(word) > 78:
            lines.append(line)
            line, used = word, 1
        else:
            line = f"{line} {word}" if line else word
    if any(len(line) > 900 for line in (*lines, line)):
        return _encoded_words(text, used)  # one endless word: lines may have 998 bytes
    return "\r\n ".join([*lines, line])


def _encoded_words(text: str, used: int) -> str:
    """RFC 2047, base64, cut between characters; at most 75 characters each."""
    words: list[str] = []
    room = (75 - 12 - min(used, 40)) // 4 * 3
    chunk = b""
    for character in text:
        encoded = character.encode("utf-8", "replace")
        if len(chunk) + len(encoded) > room:
            words.append(_word_of(chunk))
            chunk, room = b"", 45
        chunk += encoded
    words.append(_word_of(chunk))
    return "\r\n ".join(words)


def _word_of(chunk: bytes) -> str:
    return f"=?utf-8?b?{binascii.b2a_base64(chunk, newline=False).decode()}?="
