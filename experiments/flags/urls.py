"""URLs of a visitor: variations forced in the query, and targeting by pattern.

Browsers ask for most of this; a server meets it when a client sends its URL to be evaluated.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qs, parse_qsl, urljoin, urlsplit

_ANY = "_____"  # Stands for * while a pattern is parsed as a URL: a star is no host.


class UrlPattern(NamedTuple):
    """One target.

    Attributes:
        kind: "simple" (parts with *) or "regex"; any other matches nothing.
        include: Whether a match lets in, or keeps out.
    """

    kind: str
    pattern: str
    include: bool


def forced_by_query(key: str, url: str, n_variations: int) -> int | None:
    """The variation that `?key=index` asks for; None if it asks for none that exists."""
    if key not in url or "?" not in url:
        return None
    try:
        found = parse_qs(urlsplit(url).query).get(key)
    except ValueError:  # A malformed host, as in "https://[::1/".
        return None
    if not found or not found[0].isascii() or not found[0].isdigit() or len(found[0]) > 9:
        return None
    index = int(found[0])
    return index if index < n_variations else None


def is_targeted(url: str, patterns: Sequence[UrlPattern]) -> bool:
    """Whether a URL is let in: no pattern that excludes matches, and one that includes does.

    Where nothing includes, everything not excluded is in; without patterns nothing is.
    """
    if not patterns:
        return False
    if any(not each.include and _matches(url, each) for each in patterns):
        return False
    including = [each for each in patterns if each.include]
    return not including or any(_matches(url, each) for each in including)


def matches_regex(url: str, pattern: str) -> bool:
    """The older targeting: a regular expression found in the URL, or in its path and query.

    A pattern that cannot be compiled keeps nobody out.
    """
    if not url:
        return False
    try:
        search = re.compile(pattern).search
    except (re.error, RecursionError, OverflowError):
        return True
    path = re.sub(r"^[^/]*/", "/", re.sub(r"^https?://", "", url))
    return bool(search(url) or search(path))


def _matches(url: str, target: UrlPattern) -> bool:
    try:
        actual = urlsplit(urljoin("https://_", url))
        if target.kind == "simple":
            return _matches_parts(actual, target.pattern)
        if target.kind == "regex":
            search = re.compile(target.pattern).search
            href = actual._replace(path=actual.path or "/").geturl()
            after_origin = href[len(f"{actual.scheme}://{actual.netloc}") :]
            return bool(search(href) or search(after_origin))
    except (ValueError, re.error, RecursionError, OverflowError):
        return False
    return False


def _matches_parts(actual: SplitResult, pattern: str) -> bool:
    with_scheme = re.sub(r"^([^:/?]*)\.", r"https://\1.", pattern, count=1)
    expected = urlsplit(urljoin(f"https://{_ANY}", with_scheme.replace("*", _ANY)))
    pairs = [
        (actual.netloc.lower(), expected.netloc.lower(), False),
        (actual.path or "/", expected.path or "/", True),
    ]
    if expected.fragment:
        pairs.append((actual.fragment, expected.fragment, False))
    asked = dict(reversed(parse_qsl(actual.query, keep_blank_values=True)))
    for name, value in parse_qsl(expected.query, keep_blank_values=True):
        pairs.append((asked.get(name, ""), value, False))
    return all(_matches_part(*pair) for pair in pairs)


def _matches_part(actual: str, pattern: str, is_path: bool) -> bool:
    if is_path:  # A slash at either end is optional.
        pattern = re.sub(r"(^/|/$)", "", pattern)
    text = ".*".join(re.escape(piece) for piece in pattern.split(_ANY))
    if is_path:
        text = f"/?{text}/?"
    return re.fullmatch(text, actual, re.IGNORECASE) is not None
