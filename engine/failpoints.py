"""Named places where a test may stop the world: at every boundary a promise depends on.

`hit(name)` costs one comparison and does nothing until the rig installs a callable, which may
raise `Crash`, kill the process, or count. A test asserts that every name is hit.
"""

from collections.abc import Callable
from typing import Final

NAMES: Final = frozenset(
    {
        "event insert",  # events of a group are in the transaction, not committed
        "ingest commit",  # the group's transaction is committed, nobody has been told
        "reply",  # the caller is about to be told
        "tick claim",  # due timers and events are read, nothing is written
        "membership write",
        "enrollment insert",
        "step commit",  # everything of a batch is written, not committed
        "tick commit",  # the batch is committed
        "timer claim",
        "lease claim",
        "outbox claim",
        "gate check",
        "attempt commit",  # the attempt row is durable, the provider has not been called
        "bytes sent",  # the provider has the request, its answer is unread
        "reply unread",
        "outcome commit",
        "webhook verified",
        "webhook commit",
        "unsubscribe commit",
        "erase commit",
        "migration statement",
        "release commit",  # a release is written with its moves and wakes, not committed
        "draft commit",  # a batch of a backfill is in the transaction, not committed
        "backfill live",  # the prepared release is live in the transaction, not committed
        "backfill wake",  # those it concerns are made due, not committed
        "part roll",  # a new part of the event log exists, its view is not there yet
    }
)


class Crash(BaseException):
    """What the rig raises to stand for the death of the process; no handler may swallow it."""


_installed: Callable[[str], None] | None = None


def hit(name: str) -> None:
    """Say that this place is reached."""
    if _installed is not None:
        assert name in NAMES, f"{name!r} is not a failpoint; add it to NAMES"
        _installed(name)


def install(callback: Callable[[str], None] | None) -> None:
    """Have `callback` called at every failpoint, or nobody (None)."""
    global _installed
    _installed = callback
