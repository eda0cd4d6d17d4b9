"""What hurts delivery: warnings about a compiled template. Nothing here is an error.

Sources: Gmail's clipping (102 kB; we warn at 90), RFC 8058, GSM 03.38, Unicode UTS #39.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from channels.content.templates import CompiledTemplate, Part, Version, leaves
from channels.content.web_addresses import addresses_in, disguise_of, host_of, is_private
from channels.sms.text import measure

HTML_BYTES: Final = 90_000
CLIPPED_BYTES: Final = 102_000
SUBJECT_CHARS: Final = 70
TEXT_CHARS: Final = 20
SMS_PARTS: Final = 3
PUSH_BYTES: Final = 3_500
PUSH_BYTES_MAX: Final = 4_096

_BLOCK: Final = re.compile(r"\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_VALUE: Final = re.compile(r"\{\{.*?\}\}", re.DOTALL)
STAND_IN: Final = "Xxxxxxxx"
"""Counted for every expression: eight letters, about a first name or an amount."""


class DeliveryWarning(Struct, frozen=True):
    """One warning: `file:line`, a name for it, and what to do."""

    where: str
    rule: str
    message: str


def lint(template: CompiledTemplate, *, is_marketing: bool = True) -> list[DeliveryWarning]:
    """Warnings in the order of languages and rules; empty is good."""
    found: list[DeliveryWarning] = []
    for locale, version in template.locales.items():
        suffix = f" ({locale})" if locale else ""
        for found_at, rule, message in _RULES[template.channel](version, is_marketing):
            where = found_at or f"{template.files[0]}:1"
            found.append(DeliveryWarning(where, rule, message + suffix))
        if "html" in template.locales[""].parts and "html" not in version.parts:
            message = f"the language has no HTML part, the fallback has one{suffix}"
            found.append(DeliveryWarning(f"{template.files[0]}:1", "html-missing", message))
    return found


_Found = Iterator[tuple[str, str, str]]
"""Where ("" for the template as a whole), rule and message."""


def _email(version: Version, is_marketing: bool) -> _Found:
    page, subject = version.parts.get("html"), version.parts["subject"]
    length = len(spelled(subject.source))
    if length > SUBJECT_CHARS:
        message = f"the subject has about {length} characters; phones show {SUBJECT_CHARS} at most"
        yield _at(subject), "subject-length", message
    if subject.source.isupper():
        yield _at(subject), "subject-capitals", "a subject all in capitals looks like spam"
    if page is None:
        yield "", "no-html", "there is only a text part; clicks and opens are not counted"
    elif len(spelled(version.parts["text"].source)) < TEXT_CHARS:
        message = "there is next to no text: a page of images looks like spam"
        yield _at(page), "no-text", message
    if is_marketing and not _mentions(version, "unsubscribe_url"):
        message = "marketing mail needs {{ unsubscribe_url }} in its body; no reader sees a header"
        yield _at(page) if page else "", "no-unsubscribe", message
    if page is not None:
        yield from _page(page)
    else:
        yield from _addresses(version.parts["text"])


def _page(page: Part) -> _Found:
    if page.size > CLIPPED_BYTES:
        message = (
            f"the page has {page.size:,} bytes: Gmail cuts it near {CLIPPED_BYTES:,}, and what is "
            "below, often the way to unsubscribe, is not seen"
        )
        yield _at(page), "clipped", message
    elif page.size > HTML_BYTES:
        message = f"the page has {page.size:,} bytes; Gmail cuts near {CLIPPED_BYTES:,}"
        yield _at(page), "too-large", message
    for tag in re.finditer(r"<(?:mj-image|img)\b[^>]*>", page.source, re.IGNORECASE):
        if not re.search(r"\balt=", tag.group(), re.IGNORECASE):
            message = "the image has no alt text; decoration has an empty one"
            yield page.written.place(tag.start()), "image-alt", message
    yield from _addresses(page)


_BARE: Final = re.compile(r"https?://[^\s\"'<>]+", re.IGNORECASE)


def _addresses(part: Part) -> _Found:
    """What is wrong with the links and pictures of a page, or the links of a text."""
    is_page = bool(part.page)
    found = [(it.url, it.host, it.offset, it.kind) for it in addresses_in(part.source)]
    if not is_page:
        matches = _BARE.finditer(part.source)
        found = [(it[0], host_of(it[0]), it.start(), "link") for it in matches]
    for url, host, offset, kind in found:
        where = part.written.place(offset)
        if url.lower().startswith("http:"):
            yield where, "link-https", f"the {kind} to {host} is http, not https"
        if kind == "link" and is_private(host):
            yield where, "link-private", f"the link to {host} leads into a network of your own"
        disguise = disguise_of(host)
        if disguise:
            message = f"the {kind} to {host} may be taken for another: {disguise}"
            yield where, "link-disguised", message


def _sms(version: Version, is_marketing: bool) -> _Found:
    part = version.parts["text"]
    plain = measure(spelled(part.source), transliterate=version.transliterate)
    if plain.forced_by:
        forced = " ".join(plain.forced_by[:10])
        message = f"these characters make every part 70 instead of 160: {forced}"
        yield _at(part), "sms-encoding", message
    if len(plain.parts) > 1:
        rule = "sms-long" if len(plain.parts) > SMS_PARTS else "sms-parts"
        message = f"about {len(plain.parts)} parts ({plain.units} units): each is paid for"
        yield _at(part), rule, message
    yield from _addresses(part)
    if is_marketing and not re.search(r"\bSTOP\b|unsubscribe_url", part.source):
        message = "marketing texts say how to stop: `STOP` or a link"
        yield _at(part), "no-unsubscribe", message


def _push(version: Version, is_marketing: bool) -> _Found:
    size = len(json.dumps(_spelled_tree(version.data), ensure_ascii=False).encode())
    if size > PUSH_BYTES_MAX:
        message = f"the push has about {size:,} bytes; more than {PUSH_BYTES_MAX:,} are not sent"
        yield "", "too-large", message
    elif size > PUSH_BYTES:
        message = f"the push has about {size:,} bytes; it may have {PUSH_BYTES_MAX:,} in all"
        yield "", "too-large", message
    for part in leaves(version.data):
        yield from _addresses(part)


_REMOVED: Final = re.compile(
    r"<(?:script|style|iframe|form|input|select|textarea|object|embed|svg|link|base|meta)\b"
    r"|\son[a-z]+(?=\s*=)",
    re.IGNORECASE,
)
"""What `channels.web.placement` takes out of a page."""


def _web(version: Version, is_marketing: bool) -> _Found:
    page = version.parts["html"]
    yield from _page(page)
    for found in _REMOVED.finditer(page.source):
        what = found.group().strip().strip("<").lower()
        message = f"{what} is removed before the page is shown; keep it in the page around it"
        yield page.written.place(found.start()), "not-shown", message


def _at(part: Part) -> str:
    return part.written.place(0)


def _mentions(version: Version, name: str) -> bool:
    return any(
        name in part.source for key, part in version.parts.items() if key in ("html", "text")
    )


def spelled(source: str) -> str:
    """A text as long as a reader would see it."""
    return _VALUE.sub(STAND_IN, _BLOCK.sub("", source)).strip()


def _spelled_tree(data: Any) -> Any:
    if isinstance(data, Part):
        return spelled(data.source)
    if isinstance(data, dict):
        return {key: _spelled_tree(value) for key, value in data.items()}
    return [_spelled_tree(value) for value in data] if isinstance(data, list) else data


_RULES: Final = {"email": _email, "sms": _sms, "push": _push, "web": _web}
