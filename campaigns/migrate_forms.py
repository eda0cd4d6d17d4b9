"""`migrate:` of a campaign: which people of older versions this one takes over, and where they go.

Without it everyone finishes on the version they entered. How many stand at a step that leads
nowhere only a database knows: `antiphon plan` asks it.
"""

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from campaigns.forms import Form, Path, text_of
from campaigns.reading import Text, shorten

ANY: Final = "any"
NONE: Final = "none"
_VERSION = re.compile(r"[0-9a-f]{12}")


def _origin(value: Any) -> Text:
    text = text_of(value)
    if text not in (ANY, NONE) and not _VERSION.fullmatch(text):
        raise ValueError(
            f'"{shorten(text)}" is no version. Write any, none, or 12 of 0-9 a-f as '
            "`antiphon plan` shows them"
        )
    return text


Origin = Annotated[
    str,
    BeforeValidator(_origin),
    WithJsonSchema({"type": "string", "pattern": "^(any|none|[0-9a-f]{12})$"}),
]


class MigrateForm(Form):
    """`from` is any older version, one of them, or none: then everyone finishes where they are."""

    from_: Origin = Field(default=ANY, alias="from")
    steps: dict[Path, Path] = Field(default_factory=dict)
