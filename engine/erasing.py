"""Erases a person: their ids, values and addresses are gone, and nothing may reach them again.

One transaction. What is left is a number that leads to nobody: a tombstone, the hashes under which
their addresses stay suppressed, and events without content, so that a repeated delivery of an old
event does not bring them back. Their data key is destroyed first of all: what it sealed, in
backups too, is noise. Whoever comes again under the same id is somebody new.

What it cannot reach it says: calls under way, and files of the workspace that name the person.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.json import Decoder

from engine.core.errors import UsageError
from engine.core.model.instants import Instant
from engine.failpoints import hit
from engine.learning.erasing import RETRAIN_WITHIN, forget
from engine.reading import find_profile
from engine.store import identities
from engine.store.connection import Connection
from engine.store.events import MERGE, event_tables
from engine.store.suppressions import Suppression, suppress

WHY: Final = "erased"
_texts: Final = Decoder(dict[str, str])

_OF_PROFILE: Final = (
    "profile_state", "timer", "membership", "address_holder", "consent_request", "exposure",
    "placement", "draft", "parked",
)  # fmt: skip
"""Tables whose rows of the person are deleted."""


class Erased(Struct, frozen=True):
    """What was erased.

    Attributes:
        profiles: The person's numbers: theirs, and those of profiles merged into it.
        n_addresses: Suppressed for good, by their hashes.
        n_dropped: Messages that waited and are not sent.
        under_way: Messages that a provider is being called with right now.
        models: What must be trained again without them by the deadline.
        retrain_by: That deadline; None where no model is kept.
    """

    profiles: list[int]
    n_ids: int
    n_addresses: int
    n_events: int
    n_dropped: int
    under_way: list[int]
    models: list[str]
    retrain_by: Instant | None


def erase_payload(connection: Connection, payload: Mapping[str, Any], *, now: Instant) -> Erased:
    """Erase {"id": a user id or anonymous id}, as a command asks.

    Raises:
        UsageError: If nobody goes by it.
    """
    who = payload.get("id")
    profile_id = (
        find_profile(connection, who, kinds=("user", "anonymous")) if isinstance(who, str) else None
    )
    if profile_id is None:
        raise UsageError(f'there is no profile with the id "{who}"; nothing was erased')
    return erase(connection, profile_id, now=now)


def erase(connection: Connection, profile_id: int, *, now: Instant) -> Erased:
    """Erase a person in this transaction; a second time changes nothing."""
    ids = everyone(connection, profile_id)
    addresses = _addresses(connection, ids)
    # First the rows at which every attempt to send waits: none begins once this is committed.
    suppress(
        connection,
        [Suppression(key, channel, WHY, "operator", now) for channel, key in addresses],
        now=now,
    )
    _bury(connection, ids, now=now)
    n_ids = _unlink(connection, ids)
    n_events = _empty_log(connection, ids)
    under_way, n_dropped = _stop_messages(connection, ids)
    _empty_ledgers(connection, ids)
    for table in _OF_PROFILE:
        _each(connection, f"DELETE FROM {table} WHERE profile_id = ?", ids)
    models = forget(connection, ids, now=now)
    hit("erase commit")
    return Erased(
        profiles=ids,
        n_ids=n_ids,
        n_addresses=len(addresses),
        n_events=n_events,
        n_dropped=n_dropped,
        under_way=under_way,
        models=models,
        retrain_by=now + RETRAIN_WITHIN if models else None,
    )


def everyone(connection: Connection, profile_id: int) -> list[int]:
    """A profile and all that were merged into it, however often."""
    found, fresh = [profile_id], [profile_id]
    while fresh:
        rows = connection.select_in("SELECT id FROM profile WHERE merged_into IN (?)", fresh)
        fresh = [int(row[0]) for row in rows if int(row[0]) not in found]
        found += fresh
    return sorted(found)


def names_of(connection: Connection, profile_id: int) -> list[str]:
    """Every id that leads to a profile, for saying where else it stands."""
    rows = connection.execute(
        "SELECT value FROM identity WHERE profile_id = ? ORDER BY value", (profile_id,)
    )
    return [str(row[0]) for row in rows]


def _addresses(connection: Connection, ids: Sequence[int]) -> list[tuple[str, str]]:
    rows = connection.select_in("SELECT addresses FROM profile WHERE id IN (?)", ids)
    return sorted({pair for row in rows for pair in _texts.decode(row[0]).items()})


def _bury(connection: Connection, ids: Sequence[int], *, now: Instant) -> None:
    _each(
        connection,
        "UPDATE profile SET data_key = NULL, erased_at = coalesce(erased_at, ?), "
        "external_id = '', zone = 'UTC', zone_from = '', traits = '{}', sealed = '{}', "
        "addresses = '{}', consent = '{}' WHERE id = ?",
        ids,
        (now,),
    )
    identities.note_erasure(connection)


def _unlink(connection: Connection, ids: Sequence[int]) -> int:
    rows = connection.select_in("DELETE FROM identity WHERE profile_id IN (?) RETURNING value", ids)
    identities.note_change(connection)
    return len(rows)


def _empty_log(connection: Connection, ids: Sequence[int]) -> int:
    """Take what events say; that something happened then stays, or it could be told us again."""
    return sum(
        len(
            connection.select_in(
                f"UPDATE {table} SET properties = '{{}}', context = '{{}}', traits = NULL "
                f"WHERE profile_id IN (?) AND flags & {MERGE} = 0 RETURNING seq",
                ids,
            )
        )
        for table in event_tables(connection)
    )


def _stop_messages(connection: Connection, ids: Sequence[int]) -> tuple[list[int], int]:
    rows = connection.select_in(
        "SELECT m.id, m.status FROM message m JOIN enrollment e ON e.id = m.enrollment_id "
        "WHERE e.profile_id IN (?)",
        ids,
    )
    waiting = [int(row[0]) for row in rows if row[1] in ("queued", "deferred")]
    _each(
        connection,
        f"UPDATE message SET status = 'dropped', reason = '{WHY}' "
        "WHERE id = ? AND status IN ('queued', 'deferred')",
        waiting,
    )
    every = [int(row[0]) for row in rows]
    _each(connection, "UPDATE message SET context = '{}' WHERE id = ?", every)
    _each(connection, "UPDATE attempt SET detail = '' WHERE message_id = ?", every)
    _each(
        connection,
        f"UPDATE enrollment SET status = 'dropped', reason = '{WHY}' "
        "WHERE profile_id = ? AND status = 'active'",
        ids,
    )
    _each(
        connection,
        "UPDATE enrollment SET key = '', trigger = '{}', memory = '' WHERE profile_id = ?",
        ids,
    )
    return sorted(int(row[0]) for row in rows if row[1] == "attempting"), len(waiting)


def _empty_ledgers(connection: Connection, ids: Sequence[int]) -> None:
    """What was agreed to and when stays, without what could name the person."""
    _each(connection, "UPDATE consent_change SET proof = '' WHERE profile_id = ?", ids)


def _each(
    connection: Connection, statement: str, ids: Iterable[int], params: Sequence[Any] = ()
) -> None:
    connection.executemany(statement, [(*params, each) for each in ids])
