"""What a web template says of its page: in which slot it stands, as what, and before which others.

The front matter of the file without a locale holds for every language that says nothing else.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import asdict

from channels.content.front_matter import FrontMatter, split_front_matter
from channels.content.partials import read_text
from channels.web.place import KEYS, Misplaced, read_place
from engine.core.errors import CampaignError

FRONT: Final = (*KEYS, "layout")
"""The keys in front of a web template."""


def place_of(
    front: FrontMatter, *, path: str, locale: str, files: Mapping[str, bytes]
) -> dict[str, Any]:
    """`placement`, `kind` and `priority` of one language's page, each with a value.

    Raises:
        CampaignError: `file:line: …`: a value is none of those allowed.
    """
    told = dict(front.values)
    fallback = path[: -len(f".{locale}.html")] + ".html" if locale else path
    if fallback != path and fallback in files:
        text = read_text(files, fallback)
        told = {**split_front_matter(text, where=fallback, allowed=FRONT).values, **told}
    try:
        return asdict(read_place(told))
    except Misplaced as error:
        line = front.lines.get(error.key, 1)
        raise CampaignError(f"{path}:{line}: {error}") from None
