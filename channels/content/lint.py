"""What hurts delivery: warnings about a compiled template. Nothing here is an error.

Sources: facts of Gmail's clipping (102 kB; we warn at 90), RFC 8058, GSM 03.38.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from channels.content.templates import CompiledTemplate, Part, Version
from channels.sms.text import measure

HTML_BYTES: Final = 90_000
SUBJECT_CHARS: Final = 70
TEXT_CHARS: Final = 20
SMS_PARTS: Final = 3
PUSH_BYTES: Final = 3_500

_BLOCK: Final = re.compile(r"\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_VALUE: Final = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_STAND_IN: Final = "Xxxxxxxx"
"""Counted for every expression: eight letters, about a first name or an amount."""


class DeliveryWarning(Struct, frozen=True):
    """One warning: where, a name for it, and what to do."""

    where: str
    rule: str
    message: str


def lint(template: CompiledTemplate, *, is_marketing: bool = True) -> list[DeliveryWarning]:
    """Warnings in the order of languages and rules; empty is good."""
    found: list[DeliveryWarning] = []
    for locale, version in template.locales.items():
        suffix = f" ({locale})" if locale else ""
        for part, rule, message in _RULES[template.channel](version, is_marketing):
            where = part.where if part else template.files[0]
            found.append(DeliveryWarning(where, rule, message + suffix))
        if "html" in template.locales[""].parts and "html" not in version.parts:
            message = f"the language has no HTML part, the fallback has one{suffix}"
            found.append(DeliveryWarning(template.files[0], "html-missing", message))
    return found


_Found = Iterator[tuple[Part | None, str, str]]


def _email(version: Version, is_marketing: bool) -> _Found:
    page, subject = version.parts.get("html"), version.parts["subject"]
    length = len(_spelled(subject.source))
    if length > SUBJECT_CHARS:
        message = f"the subject has about {length} characters; phones show {SUBJECT_CHARS} at most"
        yield subject, "subject-length", message
    if subject.source.isupper():
        yield subject, "subject-capitals", "a subject all in capitals looks like spam"
    if page is None:
        yield None, "no-html", "there is only a text part; clicks and opens are not counted"
    elif len(_spelled(version.parts["text"].source)) < TEXT_CHARS:
        yield page, "no-text", "there is next to no text: a page of images looks like spam"
    if is_marketing and not _mentions(version, "unsubscribe_url"):
        message = "marketing mail needs {{ unsubscribe_url }} in its body; no reader sees a header"
        yield page, "no-unsubscribe", message
    if page is not None:
        yield from _page(page)


def _page(page: Part) -> _Found:
    size = page.size
    if size > HTML_BYTES:
        yield page, "too-large", f"the page has {size:,} bytes; Gmail cuts near 102,000"
    for tag in re.finditer(r"<(?:mj-image|img)\b[^>]*>", page.source, re.IGNORECASE):
        if not re.search(r"\balt=", tag.group(), re.IGNORECASE):
            line = page.source.count("\n", 0, tag.start()) + 1
            yield page, "image-alt", f"the image on line {line} of the body has no alt text"
    for link in re.finditer(r"\b(?:href|src)=[\"'](http://[^\"']*)", page.source, re.IGNORECASE):
        line = page.source.count("\n", 0, link.start()) + 1
        yield page, "link-https", f"the link on line {line} of the body is http, not https"


def _sms(version: Version, is_marketing: bool) -> _Found:
    part = version.parts["text"]
    plain = measure(_spelled(part.source), transliterate=version.transliterate)
    if plain.forced_by:
        forced = " ".join(plain.forced_by[:10])
        yield part, "sms-encoding", f"these characters make every part 70 instead of 160: {forced}"
    if len(plain.parts) > 1:
        rule = "sms-long" if len(plain.parts) > SMS_PARTS else "sms-parts"
        yield part, rule, f"about {len(plain.parts)} parts ({plain.units} units): each is paid for"
    if re.search(r"http://", part.source):
        yield part, "link-https", "a link is http, not https"
    if is_marketing and not re.search(r"\bSTOP\b|unsubscribe_url", part.source):
        yield part, "no-unsubscribe", "marketing texts say how to stop: `STOP` or a link"


def _push(version: Version, is_marketing: bool) -> _Found:
    size = len("".join(part.source for part in _leaves(version.data)).encode())
    if size > PUSH_BYTES:
        yield None, "too-large", f"the texts have {size:,} bytes; a push may have 4,096 in all"


def _web(version: Version, is_marketing: bool) -> _Found:
    yield from _page(version.parts["html"])


def _mentions(version: Version, name: str) -> bool:
    return any(
        name in part.source for key, part in version.parts.items() if key in ("html", "text")
    )


def _spelled(source: str) -> str:
    return _VALUE.sub(_STAND_IN, _BLOCK.sub("", source)).strip()


def _leaves(data: Any) -> list[Part]:
    if isinstance(data, Part):
        return [data]
    values = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return [leaf for value in values for leaf in _leaves(value)]


_RULES: Final = {"email": _email, "sms": _sms, "push": _push, "web": _web}
