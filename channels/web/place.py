"""Where a web message stands: the front matter of its template -> slot, kind and priority."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final, cast, get_args

from msgspec import Struct

from engine.core.model.gates import PlacementKind

KINDS: Final[tuple[str, ...]] = get_args(PlacementKind)
KEYS: Final = ("placement", "kind", "priority")
PRIORITY_MAX: Final = 100
PRIORITY: Final = 50
"""Of a template that says none; as that of a campaign."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Place(Struct, frozen=True):
    """A slot of a page. Of two messages for one slot the higher priority comes first."""

    placement: str
    kind: PlacementKind
    priority: int


class Misplaced(ValueError):
    """What one key of the front matter cannot be; `key` is its name."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def read_place(told: Mapping[str, Any]) -> Place:
    """The place that `placement`, `kind` and `priority` name; each may lack.

    A template that names no placement stands in the one that is called as its kind.

    >>> read_place({"kind": "banner"})
    Place(placement='banner', kind='banner', priority=50)

    Raises:
        Misplaced: A value is none of those allowed.
    """
    kind = str(told.get("kind", KINDS[0]))
    if kind not in KINDS:
        near = get_close_matches(kind, KINDS, n=1, cutoff=0.5)
        hint = f'. Did you mean "{near[0]}"?' if near else ""
        raise Misplaced("kind", f'kind is {", ".join(KINDS)}; found "{kind[:40]}"{hint}')
    name = str(told.get("placement", kind))
    if _NAME.fullmatch(name) is None:
        raise Misplaced(
            "placement",
            "placement is a name of small letters, digits, - and _, 64 at most; "
            f'found "{name[:40]}"',
        )
    return Place(name, cast(PlacementKind, kind), _priority(told.get("priority", PRIORITY)))


def _priority(told: Any) -> int:
    written = str(told)
    if not written.isascii() or not written.isdigit() or int(written[:9]) > PRIORITY_MAX:
        raise Misplaced(
            "priority", f'priority is a whole number, 0 to {PRIORITY_MAX}; found "{written[:40]}"'
        )
    return int(written)
