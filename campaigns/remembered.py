"""What follows from a workspace alone, kept for the last few of them.

A plan asks the same of two workspaces many times. They are told apart by identity, since a
workspace holds dicts and so has no hash; whoever gets a result must not change it.
"""

from collections.abc import Callable
from functools import wraps
from typing import Final, TypeVar

from campaigns.workspace import Workspace

T = TypeVar("T")

REMEMBERED_MAX: Final = 4
"""The live workspace, the one being planned, and an older one or two."""


def remembered(function: Callable[[Workspace], T]) -> Callable[[Workspace], T]:
    """Have a function of a workspace answer the same one only once."""
    known: dict[int, tuple[Workspace, T]] = {}

    @wraps(function)
    def recall(workspace: Workspace) -> T:
        found = known.get(id(workspace))
        if found is None or found[0] is not workspace:
            while len(known) >= REMEMBERED_MAX:
                known.pop(next(iter(known)), None)
            found = known[id(workspace)] = (workspace, function(workspace))
        return found[1]

    return recall
