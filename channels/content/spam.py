"""A sample of an e-mail for SpamAssassin, and what it answers.

Pure: `antiphon lint --spam` runs the program. Expressions become words and links of the same
shape, so that the rules see the page and not our syntax.
"""

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from msgspec import Struct

from channels.base import OutMessage
from channels.content.lint import STAND_IN
from channels.content.templates import Version
from channels.email.headers import Sender
from channels.email.mime import build_email
from engine.core.model.instants import SECOND, Instant

SCORE_WARNED: Final = 2.0
"""Most filters refuse at 5; ours is one template without its sender's reputation."""

_RECEIVED: Final = (
    "Received: from mail.shop.example (mail.shop.example [193.0.6.139])\r\n"
    "\tby mx.example.com with ESMTPS id 4F1B2C3D4E; {date}\r\n"
)
"""As mail arrives: without it some rules take the page for what no server has sent."""

_MESSAGE: Final = 7_213_447_902_118
"""A number like those of real messages: filters look at Message-ID too."""

_STATEMENT: Final = re.compile(r"\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_VALUE: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_WRITTEN_LINK: Final = re.compile(r"\s*link\(\s*'(https?://[^']*)'")
_STATUS: Final = re.compile(r"^X-Spam-Status:.*?\bscore=(-?\d+(?:\.\d+)?)", re.M | re.S)
_RULE: Final = re.compile(r"^\s*(-?\d+(?:\.\d+)?) ([A-Z][A-Z0-9_]+)\s+(\S.*)$", re.M)
_TABLE: Final = "Content analysis details:"


class SpamScore(Struct, frozen=True):
    """The points, and the rules that gave any: (points, name, what it is about)."""

    points: float
    rules: tuple[tuple[float, str, str], ...]


def sample_of(version: Version, *, sender: str, at: Instant) -> bytes:
    """One language of an e-mail as it would look on the wire, to a person who does not exist.

    Args:
        sender: Used where the template names none.
    """
    texts = {name: _sample(part.page or part.source) for name, part in version.parts.items()}
    message = OutMessage(
        _MESSAGE,
        "email",
        "ada.reader@example.com",
        subject=" ".join(texts["subject"].split()),
        html=texts.get("html", ""),
        text=texts.get("text", ""),
        from_=texts.get("from") or sender,
        campaign="sample",
        topic="sample",
        idempotency_key="6a1de3ab-3c1f-5f7e-9a55-0c3c9f5d2b11",
        unsubscribe_url="https://example.com/u/sample",
    )
    mail = build_email(message, sender=Sender(domain="mail.shop.example"), at=at)
    date = format_datetime(datetime.fromtimestamp(at // SECOND, UTC))
    return _RECEIVED.format(date=date).encode() + mail


def _sample(source: str) -> str:
    return _VALUE.sub(_sample_value, _STATEMENT.sub("", source))


def _sample_value(found: re.Match[str]) -> str:
    written = _WRITTEN_LINK.match(found[1])
    if written is not None:
        return written[1]
    is_address = re.search(r"\blink\(|_url\b", found[1])
    return "https://example.com/sample" if is_address else STAND_IN


def read_score(answer: str) -> SpamScore | None:
    """What `spamassassin -t` prints, as points and rules; None if it is not that."""
    status = _STATUS.search(answer)
    if status is None:
        return None
    table = answer.rpartition(_TABLE)[2] if _TABLE in answer else ""
    rules = [(float(points), name, words.strip()) for points, name, words in _RULE.findall(table)]
    return SpamScore(
        float(status[1]), tuple(sorted((it for it in rules if it[0] > 0), reverse=True))
    )
