"""One message -> the bytes that go over SMTP.

Written by hand rather than with `email.message`: the standard library builds 970 such messages a
second, less than a renderer makes. What it writes is checked by parsing it with the standard
library. What it refuses, `headers` refuses.
Sources: RFC 5322, 2045-2047.
"""

import binascii
import re
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Final

from channels.base import OutMessage
from channels.email.headers import Mailbox, Refusal, Sender, head_of, message_id
from engine.core.model.instants import SECOND, Instant


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


# --- headers ------------------------------------------------------------------------------------


def _headers(message: OutMessage, sender: Sender, at: Instant) -> bytes:
    head = head_of(message, sender=sender)
    lines = [
        f"Date: {_date(at // SECOND)}",
        f"From: {_mailbox_header(head.from_)}",
        f"To: {head.to}",
        f"Message-ID: {message_id(message, domain=sender.domain)}",
        f"Subject: {_text_header(head.subject, len('Subject: '))}",
        "MIME-Version: 1.0",
    ]
    if head.reply_to is not None:
        lines.append(f"Reply-To: {_mailbox_header(head.reply_to)}")
    for name, value in head.headers.items():
        # List-Unsubscribe holds addresses, not words: folded between them and never encoded.
        is_words = name != "List-Unsubscribe"
        shown = _text_header(value, len(name) + 2) if is_words else value.replace(", ", ",\r\n ")
        lines.append(f"{name}: {shown}")
    text = "\r\n".join(lines)
    if _CONTROL.search(text):
        raise Refusal("a header holds a line break or another control character")
    return text.encode() + b"\r\n"


# Every value was checked; this is the last look, at the whole block: a line break only before a
# header name or the space of a fold.
_CONTROL: Final = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n|\r\n(?! |[A-Za-z0-9-]+: )"
)


@lru_cache(maxsize=16)
def _date(seconds: int) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC))


@lru_cache(maxsize=256)
def _mailbox_header(mailbox: Mailbox) -> str:
    """`Name <address>` or an address, the name quoted or encoded as it needs."""
    if mailbox.name.isascii():
        return str(mailbox)
    return f"{_encoded_words(mailbox.name, 8)} <{mailbox.address}>"


def _text_header(text: str, used: int) -> str:
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
