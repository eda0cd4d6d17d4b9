"""The web addresses that a template writes out: of its pictures and of its links.

Only what is the same for everybody: an address whose host is computed is known when it is sent.
Mixed scripts: Unicode UTS #39, "Highly Restrictive" (https://www.unicode.org/reports/tr39/).
"""

import re
import socket
import unicodedata
from collections.abc import Iterator
from html import unescape
from ipaddress import ip_address
from typing import Final, Literal
from urllib.parse import urlsplit

from msgspec import Struct

from channels.egress import is_public

_ADDRESS: Final = re.compile(
    r"\b(?P<name>href|src|srcset|background|background-url|poster|action)\s*=\s*"
    r"(?P<quote>[\"'])(?P<value>[^\"']*)(?P=quote)"
    r"|(?P<css>url)\(\s*[\"']?(?P<sheet>[^\"')]*)",
    re.IGNORECASE,
)
_SCHEME: Final = re.compile(r"(?:https?:)?//", re.IGNORECASE)


class WebAddress(Struct, frozen=True):
    """`host` as written; `offset` (characters) is where the address begins in the text."""

    kind: Literal["picture", "link"]
    url: str
    host: str
    offset: int


def addresses_in(page: str) -> Iterator[WebAddress]:
    """Every address of a page (HTML or MJML) with a host that is written out."""
    for found in _ADDRESS.finditer(page):
        name = (found["name"] or "").lower()
        kind: Literal["picture", "link"] = "link" if name in ("href", "action") else "picture"
        start = found.start("sheet" if found["css"] else "value")
        values = [found["sheet"] if found["css"] else found["value"]]
        if name == "srcset":
            values = [each.strip().split(" ")[0] for each in values[0].split(",")]
        for value in values:
            url = unescape(value.strip())
            host = host_of(url)
            if host:
                yield WebAddress(kind, url, host, start)


def host_of(url: str) -> str:
    """The host of a web address, "" where there is none or an expression makes it."""
    if _SCHEME.match(url) is None:
        return ""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return "" if "{" in host or "%}" in host else host


def is_private(host: str) -> bool:
    """Whether a host is inside a network: a local name, or an address that is not public.

    Mail programs read addresses as old C libraries do: 127.1 and 2130706433 are ours too.
    """
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return not is_public(str(ip_address(name)))
    except ValueError:
        pass
    if re.fullmatch(r"[0-9a-fx.]+", name) is None:
        return False
    try:
        return not is_public(socket.inet_ntoa(socket.inet_aton(name)))
    except OSError:
        return False


# --- names that look like others ----------------------------------------------------------------

_TOGETHER: Final = (
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
)
"""Scripts that one language writes in one word."""

_LATIN_ALIKE: Final = frozenset("асеорхуѕіјԁһԛԝӏονρ")
"""Letters of Cyrillic and Greek that nobody tells from Latin ones."""


def disguise_of(host: str) -> str:
    """Why a host may be taken for another one, or "".

    >>> disguise_of("shop.example"), disguise_of("bücher.example"), disguise_of("почта.рф")
    ('', '', '')
    >>> disguise_of("pаypal.example")
    '"pаypal" mixes letters of CYRILLIC and LATIN (xn--pypal-4ve)'
    """
    for written in host.split("."):
        label = _decoded(written)
        scripts = {script for letter in label if (script := _script(letter))}
        if len(scripts) > 1 and not any(scripts <= each for each in _TOGETHER):
            return f'"{label}" mixes letters of {" and ".join(sorted(scripts))} ({_encoded(label)})'
        letters = {letter for letter in label if letter.isalpha()}
        if letters and letters <= _LATIN_ALIKE:
            return f'"{label}" looks like Latin letters and is not ({_encoded(label)})'
    return ""


def _decoded(label: str) -> str:
    try:
        is_ascii_form = label.lower().startswith("xn--")
        return label.encode("ascii").decode("idna") if is_ascii_form else label.lower()
    except UnicodeError:
        return label


def _encoded(label: str) -> str:
    try:
        return label.encode("idna").decode("ascii")
    except UnicodeError:
        return "not a name of the web"


def _script(letter: str) -> str:
    """The script of a letter by the first word of its Unicode name; "" for digits and signs."""
    if not letter.isalpha():
        return ""
    return unicodedata.name(letter, "UNKNOWN").split(" ")[0].split("-")[0]
