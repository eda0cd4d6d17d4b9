"""Suppressing addresses by hand: the same in a command or in the running server.

Whoever calls has hashed the addresses already: none of them travels, and none is stored.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from engine.core.errors import UsageError
from engine.core.model.instants import Instant
from engine.store.connection import Connection
from engine.store.suppressions import Suppression, lift, suppress

ROWS_MAX: Final = 5_000
"""Of one call: a transaction should not hold up the others for long."""


def add(connection: Connection, payload: Any, *, now: Instant) -> dict[str, Any]:
    """Suppress {"rows": [a `Suppression` each]}; what is suppressed for longer stays so."""
    try:
        rows = msgspec.convert(payload["rows"], list[Suppression])
    except (KeyError, msgspec.ValidationError) as error:
        raise UsageError(f"suppressions: {error}") from None
    if len(rows) > ROWS_MAX:
        raise UsageError(f"suppressions: at most {ROWS_MAX:,} rows at once")
    suppress(connection, rows, now=now)
    return {"added": len(rows)}


def remove(connection: Connection, payload: Any, *, now: Instant) -> dict[str, Any]:
    """Lift the suppressions of {"hashes": […]}."""
    return {"removed": lift(connection, payload["hashes"], now=now)}


OPERATIONS: Final[Mapping[str, Callable[..., dict[str, Any]]]] = {
    "suppressions_add": add,
    "suppressions_remove": remove,
}
