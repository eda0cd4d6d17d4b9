"""Puts what was parked back to where it is played, once its cause is mended (P12).

An event becomes the newest of the log, a due step is due again, a timer fires now. Each item is
claimed by the same transaction that puts it back, so that asking twice replays once; an item that
fails again is parked again, under a new number.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct, field

from engine.core.model.instants import NEVER, Instant
from engine.store import bulk
from engine.store.connection import Connection, Row
from engine.store.events import EventLog
from engine.store.people import winners


class Replayed(Struct, frozen=True):
    """What came of it: items put back, items whose thing is no longer there, unknown numbers."""

    replayed: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)


class _Due(Struct):
    """The payload of a parked step."""

    due_at: Instant


def replay(connection: Connection, ids: Sequence[int], *, log: EventLog, now: Instant) -> Replayed:
    """Put parked items back within the caller's transaction.

    Args:
        ids: Their numbers as `antiphon parked list` shows them; none means all of them.
    """
    waiting = connection.execute("SELECT id FROM parked WHERE replayed_at IS NULL ORDER BY id")
    wanted = sorted(set(ids)) if ids else [row[0] for row in waiting]
    claimed = sorted(
        connection.select_in(
            "UPDATE parked SET replayed_at = ? WHERE id IN (?) AND replayed_at IS NULL "
            "RETURNING id, kind, profile_id, ref, payload",
            wanted,
            (now,),
        )
    )
    rows = connection.select_in("SELECT id FROM parked WHERE id IN (?)", wanted)
    known = {row[0] for row in rows}
    merged = winners(connection, sorted({row[2] for row in claimed}))
    done = Replayed(unknown=[id for id in wanted if id not in known])
    for row in claimed:
        is_back = _put_back(connection, row, merged.get(row[2]) or row[2], log=log, now=now)
        (done.replayed if is_back else done.gone).append(row[0])
    return done


def _put_back(
    connection: Connection, row: Row, profile_id: int, *, log: EventLog, now: Instant
) -> bool:
    _, kind, _, ref, payload = row
    if kind == "event":
        return log.move_to_end(connection, ref, now=now)
    if kind == "enrollment" and not _thaw(connection, ref, payload):
        return False
    # Whatever is due of this person is looked at now.
    bulk.insert(
        connection, "timer", ("due", "profile_id"), [(now, profile_id)], on_conflict="ignore"
    )
    return True


def _thaw(connection: Connection, enrollment: int, payload: str) -> bool:
    """Let a frozen step be due again as it was; False if its passage has ended since."""
    due_at = msgspec.json.decode(payload, type=_Due).due_at
    return bool(
        connection.execute(
            "UPDATE enrollment SET due_at = ?, reason = '' WHERE id = ? AND status = 'active' "
            "AND due_at = ? RETURNING id",
            (due_at, enrollment, NEVER),
        )
    )
