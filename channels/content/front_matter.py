"""The lines between `---` at the top of a template: subject, sender and the like.

Not YAML but `key: value` a line, so that a subject may hold a colon, a hash or `{{ … }}` unquoted.
"""

from collections.abc import Sequence
from difflib import get_close_matches

from msgspec import Struct

from engine.core.errors import CampaignError


class FrontMatter(Struct, frozen=True):
    """The keys with their lines, the body and the line on which it starts."""

    values: dict[str, str]
    lines: dict[str, int]
    body: str
    body_line: int


def split_front_matter(source: str, *, where: str, allowed: Sequence[str]) -> FrontMatter:
    """Take the front matter off a template.

    Raises:
        CampaignError: A line is not `key: value`, a key is unknown or twice there, or the closing
            line is missing.
    """
    lines = source.split("\n")
    if lines[0].rstrip() != "---":
        return FrontMatter({}, {}, source, 1)
    values: dict[str, str] = {}
    found_at: dict[str, int] = {}
    for number, line in enumerate(lines[1:], start=2):
        if line.rstrip() == "---":
            return FrontMatter(values, found_at, "\n".join(lines[number:]), number + 1)
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, colon, value = line.partition(":")
        key = key.strip().replace("-", "_")
        if not colon:
            raise CampaignError(f'{where}:{number}: "{line.strip()}" is not `key: value`')
        if key not in allowed:
            near = get_close_matches(key, allowed, n=1)
            hint = f'. Did you mean "{near[0]}"?' if near else ""
            raise CampaignError(
                f'{where}:{number}: "{key}" is not a key here; these are: '
                f"{', '.join(allowed) or 'none'}{hint}"
            )
        if key in values:
            raise CampaignError(f'{where}:{number}: "{key}" is there twice')
        values[key] = _unquoted(value.strip())
        found_at[key] = number
    raise CampaignError(f"{where}:1: the front matter has no closing line `---`")


def _unquoted(value: str) -> str:
    is_quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if is_quoted and value[0] not in value[1:-1] else value
