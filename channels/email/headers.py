"""The head of one e-mail as plain text: who, to whom, what about, and the headers that lists need.

Pure. `mime` encodes it for SMTP; the vendors' APIs take it as it is. Refuses CR, LF, NUL and every
other control character in whatever stands here.
Sources: RFC 5322, 8058 (one-click), 2919 (List-Id), 3834 (Auto-Submitted).
"""

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

from channels.addresses import normal_email
from channels.base import OutMessage
from engine.core.errors import Refused


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


class Mailbox(Struct, frozen=True):
    """An address, its domain in A-labels, and the name that is shown for it."""

    name: str
    address: str

    def __str__(self) -> str:
        """`"Name" <address>`, the name quoted and not encoded; the bare address without one."""
        if not self.name:
            return self.address
        escaped = self.name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}" <{self.address}>'

    @property
    def fields(self) -> dict[str, str]:
        """As SendGrid and Brevo write a mailbox; without the name where there is none."""
        named = {"name": self.name} if self.name else {}
        return {"email": self.address, **named}


class Head(Struct, frozen=True):
    """All that stands above the body, unencoded.

    `headers` are the list, feedback and automatic headers, then the message's own.
    """

    from_: Mailbox
    to: str
    subject: str
    reply_to: Mailbox | None
    headers: dict[str, str]


class Refusal(Refused):
    """The message cannot be written as an e-mail."""


def head_of(message: OutMessage, *, sender: Sender) -> Head:
    """The head of a message.

    Raises:
        Refusal: A header holds a control character, an address is none, there is no body, or a
            text holds half a character that nobody can encode.
    """
    from_ = message.from_ or sender.from_
    if not from_:
        raise Refusal("the e-mail has no sender: set `from` in the template or for the channel")
    if not message.text and not message.html:
        raise Refusal("the e-mail has neither a text nor an HTML part")
    try:
        message.text.encode()
        message.html.encode()
    except UnicodeEncodeError:
        raise Refusal("the e-mail holds half a character: a lone surrogate") from None
    reply_to = message.reply_to or sender.reply_to
    headers = _list_headers(message, sender) if message.unsubscribe_url else dict(_AUTOMATIC)
    if sender.feedback:
        headers["Feedback-ID"] = _feedback(message, sender.feedback)
    for name, value in message.headers.items():
        if not _NAME.fullmatch(name):
            raise Refusal(
                "that is not a header that a message may set: a name has letters, digits and -"
            )
        if name.lower() in OURS:
            raise Refusal(f'"{name}" is not a header that a message may set')
        headers[name] = _checked(value, "header")
    return Head(
        mailbox_of(from_),
        address_of(message.to),
        _checked(message.subject, "subject"),
        mailbox_of(reply_to) if reply_to else None,
        headers,
    )


OURS: Final = frozenset({
    "date", "from", "to", "cc", "bcc", "message-id", "subject", "mime-version", "reply-to",
    "sender", "list-unsubscribe", "list-unsubscribe-post", "list-id", "feedback-id",
    "content-type", "content-transfer-encoding",
})  # fmt: skip
"""Headers that a message may not set itself, in lower case."""

_AUTOMATIC: Final = {"Auto-Submitted": "auto-generated"}
_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,76}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""With those of Latin-1 (NEL is a line end) and Unicode's own line ends: vendors split at them."""


@lru_cache(maxsize=256)
def mailbox_of(text: str) -> Mailbox:
    """`Name <address>`, or a bare address.

    Raises:
        Refusal: It is neither.
    """
    name, bracket, rest = _checked(text, "sender").rpartition("<")
    if not bracket:
        return Mailbox("", address_of(text))
    return Mailbox(name.strip().strip('"'), address_of(rest.strip().removesuffix(">")))


def address_of(text: str) -> str:
    """The bare address, its domain in A-labels.

    Raises:
        Refusal: It is none. The message does not repeat it.
    """
    try:
        return normal_email(_checked(text, "address"))
    except ValueError as error:
        raise Refusal(str(error)) from None


def message_id(message: OutMessage, *, domain: str) -> str:
    """Our id inside angle brackets; `id_in` reads it back from a bounce."""
    key = re.sub(r"[^A-Za-z0-9-]", "", message.idempotency_key)[:40] or "0"
    return f"<m{message.id}.{key}@{domain}>"


def id_in(header: str) -> int | None:
    """The message id in a Message-ID of ours, else None."""
    found = re.search(r"<m([0-9]{1,19})\.[^@>]{0,60}@", header)
    return int(found[1]) if found else None


def _list_headers(message: OutMessage, sender: Sender) -> dict[str, str]:
    url = message.unsubscribe_url
    if not url.startswith(("https://", "http://")) or _UNSAFE_URL.search(url) or len(url) > 900:
        raise Refusal(
            "the unsubscribe address must be an http(s) URL without spaces, up to 900 characters"
        )
    ways = f"<{url}>"
    if sender.unsubscribe_mailbox:
        ways += f", <mailto:{sender.unsubscribe_mailbox}?subject=unsubscribe>"
    list_id = sender.list_id or f"{_word(message.topic or 'list')}.{sender.domain}"
    return {
        "List-Unsubscribe": ways,
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "List-Id": f"<{list_id}>",
    }


_UNSAFE_URL: Final = re.compile(r"[^\x21-\x7e]|[<>]")


def _feedback(message: OutMessage, feedback: str) -> str:
    kind = "marketing" if message.unsubscribe_url else "transactional"
    return f"{_word(message.campaign)}:{_word(message.topic)}:{kind}:{feedback}"


def _word(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "-", text).strip("-")[:40] or "none"


def _checked(text: str, name: str) -> str:
    if _CONTROL.search(text):
        raise Refusal(f"the {name} holds a line break or another control character")
    return text
