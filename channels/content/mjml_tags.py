"""Slips in MJML that its compiler passes over: a tag that is none, a tag that closes another.

mrml drops `<mj-txt>` with everything in it and takes `</mj-row>` for the end of any tag.
Source: https://documentation.mjml.io (MJML 4), the components that mrml knows.
"""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final

TAGS: Final = frozenset(
    {
        "mjml", "mj-head", "mj-body", "mj-attributes", "mj-all", "mj-class", "mj-breakpoint",
        "mj-font", "mj-preview", "mj-style", "mj-title", "mj-accordion", "mj-accordion-element",
        "mj-accordion-title", "mj-accordion-text", "mj-button", "mj-carousel", "mj-carousel-image",
        "mj-column", "mj-divider", "mj-group", "mj-hero", "mj-image", "mj-navbar",
        "mj-navbar-link", "mj-raw", "mj-section", "mj-social", "mj-social-element", "mj-spacer",
        "mj-table", "mj-text", "mj-wrapper",
    }
)  # fmt: skip

_TAG: Final = re.compile(
    r"<!--.*?-->|\{#.*?#\}"
    r"|<(?P<close>/?)(?P<name>mj-[A-Za-z0-9-]+|mjml)\b(?:[^<>\"']|\"[^\"]*\"|'[^']*')*?(?P<empty>/?)>",
    re.DOTALL,
)


_WELL_FORMED: Final = re.compile(r"(?:\s+[A-Za-z_:][\w:.-]*\s*=\s*(?:\"[^\"<]*\"|'[^'<]*'))*\s*/?>")
_OPENING: Final = re.compile(r"<(mj-[A-Za-z0-9-]+|mjml)\b")


def slips_in(source: str) -> Iterator[tuple[int, str]]:
    """Offset and message of each unknown tag, and of the first that does not end where it must."""
    opened: list[tuple[str, int]] = []
    for found in _TAG.finditer(source):
        name = found["name"]
        if name is None:
            continue
        if name not in TAGS:
            near = get_close_matches(name, TAGS, n=1)
            hint = f' Did you mean "{near[0]}"?' if near else ""
            message = f"MJML has no <{name}>: it would vanish with all that is in it.{hint}"
            yield found.start(), message
        elif not found["close"]:
            if not found["empty"]:
                opened.append((name, found.start()))
        elif opened and opened[-1][0] == name:
            opened.pop()
        elif any(name == each for each, _ in opened):
            yield opened[-1][1], f"<{opened[-1][0]}> is not closed before </{name}>."
            return
        else:
            inside = f"<{opened[-1][0]}> is open" if opened else "nothing is open"
            yield found.start(), f"</{name}> closes nothing here: {inside}."
            return
    if opened:
        yield opened[-1][1], f"<{opened[-1][0]}> is never closed."


def fault_in(source: str) -> int:
    """Where a source that mrml cannot read is at fault, as far as we can tell; else its start."""
    for opening in _OPENING.finditer(source):
        if _WELL_FORMED.match(source, opening.end()) is None:
            return opening.start()
    return next((offset for offset, _ in slips_in(source)), 0)
