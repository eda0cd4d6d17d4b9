"""What a template may cost. Jinja's sandbox keeps secrets in; these bounds keep time and memory in.

The 3.1 sandbox stops `__class__` but not `'a' * 20000000`, `'%20000000d' | format(1)`, nested
loops or a text doubled a hundred times: templates come from people we do not control.
"""

from typing import Final

from engine.core.errors import AntiphonError

SOURCE_CHARS: Final = 256 * 1024
"""Of one template file; also bounds how many nodes it can have."""

NODES: Final = 20_000
DEPTH: Final = 60
LOOP_DEPTH: Final = 4
OUTPUT_CHARS: Final = 1024 * 1024
"""Of one rendered part. Gmail clips an e-mail at 102 kB, so this is never the author's wish."""

TEXT_CHARS: Final = 8 * 1024
"""Of a text put together by `~` or `+`: bounds doubling."""

LOOP_WORK: Final = 100_000
"""Rows times the nodes of the loop's body, over all loops of one rendering: well under 0.5 s."""

NUMBER_MAX: Final = 2**63
"""Beyond it arithmetic is refused: bounds repeated squaring."""


class RenderError(AntiphonError):
    """The template cannot be rendered with these values."""


class TooCostly(RenderError):
    """The template wants more time or memory than a message may take."""


class TooFew(RenderError):
    """A block has fewer products than it needs, and says that the message is not worth it."""


class MissingValue(RenderError, LookupError):
    """A value that the template needs is missing; `path` names it."""

    def __init__(self, path: str) -> None:
        super().__init__(f"missing value: {path}")
        self.path = path
