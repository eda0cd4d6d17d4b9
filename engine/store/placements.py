"""The rows of web messages that wait for their visitors.

What is over stays until the next message is kept: rows past their end are removed a few at a time.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from engine.core.model.instants import Instant
from engine.store import bulk
from engine.store.connection import Connection, Row

CLEARED_AT_ONCE: Final = 500
READ_MAX: Final = 100
"""Of one person: the newest."""

_COLUMNS: Final = (
    "message_id", "profile_id", "placement", "kind", "priority", "at", "expires_at", "body",
)  # fmt: skip
_KEPT: Final = (
    "SELECT p.message_id, p.profile_id, p.placement, p.kind, p.priority, p.at, p.expires_at, "
    "p.body, m.campaign, m.step, m.variant, m.topic, m.template FROM placement p "
    "JOIN message m ON m.id = p.message_id WHERE p.profile_id IN (?) AND p.expires_at > ?"
)


class Kept(Struct, frozen=True):
    """A web message that waits, with what its own row says of it. `body` is sealed."""

    message: int
    profile_id: int
    placement: str
    kind: str
    priority: int
    at: Instant
    expires_at: Instant
    body: str
    campaign: str
    step: str
    variant: str
    topic: str
    template: str


def keep(connection: Connection, rows: Sequence[Row], *, now: Instant) -> None:
    """Write rows in the order of `Kept`, up to `body`; the same message again replaces itself.

    Some of the rows whose time is over go at the same time.
    """
    bulk.insert(connection, "placement", _COLUMNS, rows, on_conflict="replace")
    # Two processes that clear at once take different rows instead of waiting for each other.
    lock = " FOR UPDATE SKIP LOCKED" if connection.dialect == "postgresql" else ""
    connection.execute(
        "DELETE FROM placement WHERE message_id IN (SELECT message_id FROM placement "
        f"WHERE expires_at <= ? ORDER BY expires_at LIMIT {CLEARED_AT_ONCE}{lock}) "
        "RETURNING message_id",
        (now,),
    )


def kept(connection: Connection, profiles: Sequence[int], *, now: Instant) -> dict[int, list[Kept]]:
    """What waits for each of these profiles and is not over, the newest message first."""
    found: dict[int, list[Kept]] = {}
    for row in sorted(connection.select_in(_KEPT, profiles, (now,)), reverse=True):
        mine = found.setdefault(row[1], [])
        if len(mine) < READ_MAX:
            mine.append(Kept(*row))
    return found


def met(connection: Connection, messages: Sequence[int]) -> dict[int, set[str]]:
    """How far visitors came with each of these messages: displayed, clicked, dismissed.

    A click by a machine is none.
    """
    found: dict[int, set[str]] = {}
    for message, kind in connection.select_in(
        "SELECT message_id, kind FROM delivery_event WHERE message_id IN (?) "
        "AND kind IN ('displayed', 'dismissed')",
        messages,
    ):
        found.setdefault(message, set()).add(kind)
    for (message,) in connection.select_in(
        "SELECT message_id FROM delivery WHERE message_id IN (?) AND clicked_at IS NOT NULL",
        messages,
    ):
        found.setdefault(message, set()).add("clicked")
    return found


def refused_topics(connection: Connection, profiles: Sequence[int]) -> dict[int, set[str]]:
    """The topics of web messages that each profile's last word in the ledger said no to."""
    last: dict[tuple[int, str], bool] = {}
    for _, profile, topic, granted in sorted(
        connection.select_in(
            "SELECT id, profile_id, topic, granted FROM consent_change "
            "WHERE profile_id IN (?) AND channel = 'web'",
            profiles,
        )
    ):
        last[profile, topic] = bool(granted)
    found: dict[int, set[str]] = {}
    for (profile, topic), is_granted in last.items():
        if not is_granted:
            found.setdefault(profile, set()).add(topic)
    return found
