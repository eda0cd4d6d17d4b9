"""The versions of a bandit's weights: read into the program, appended, never changed.

A version is the only thing by which a bandit's units are drawn, and every exposure names the one it
was drawn by. Two processes that learn at once write the same key, so one of them writes nothing.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from engine.core.model.campaigns import Allocation
from engine.core.model.instants import Instant
from engine.store.connection import Connection

_weights: Final = msgspec.json.Decoder(dict[str, int])
_contexts: Final = msgspec.json.Decoder(dict[str, dict[str, int]])


def allocation_of(version: Any, since: Any, weights: str, contexts: str) -> Allocation:
    """A kept version as it is played by."""
    return Allocation(
        int(version), int(since), _weights.decode(weights), _contexts.decode(contexts)
    )


def versions(connection: Connection, experiment: str, phase: int) -> tuple[Allocation, ...]:
    """What one bandit has learnt in one phase, oldest first."""
    rows = connection.execute(
        "SELECT version, since, weights, contexts FROM bandit_weights "
        "WHERE experiment = ? AND phase = ? ORDER BY version",
        (experiment, phase),
    )
    return tuple(allocation_of(*row) for row in rows)


def append(
    connection: Connection,
    experiment: str,
    phase: int,
    allocation: Allocation,
    *,
    trained: Mapping[str, Any],
) -> bool:
    """Keep a new version; False if another process has kept one of its number."""
    written = connection.execute(
        "INSERT INTO bandit_weights "
        "(experiment, phase, version, since, weights, trained, contexts) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING version",
        (
            experiment,
            phase,
            allocation.version,
            allocation.since,
            msgspec.json.encode(allocation.weights).decode(),
            msgspec.json.encode(trained).decode(),
            msgspec.json.encode(allocation.contexts).decode(),
        ),
    )
    return bool(written)


def began(connection: Connection, experiment: str, phase: int) -> Instant | None:
    """When a phase was opened; None if it never was."""
    rows = connection.execute(
        "SELECT started_at FROM experiment_phase WHERE experiment = ? AND phase = ?",
        (experiment, phase),
    )
    return int(rows[0][0]) if rows else None
