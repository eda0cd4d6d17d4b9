"""What an owner may take next: its partitions, its position in the log, due timers.

Every commit of a batch goes through `advance`, which refuses an owner whose epoch is over: a
process that slept through its lease cannot write.
"""

from collections.abc import Sequence

from msgspec import Struct

from engine.core.errors import NotOwner
from engine.core.model import Instant
from engine.failpoints import hit
from engine.store import bulk
from engine.store.connection import Connection, Row


class Lease(Struct):
    """An owner's hold on its partitions.

    `position` is the last event played, `attempts` how often the batch after it has been tried
    without being committed.
    """

    owner: str
    epoch: int
    position: int
    attempts: int


def claim(connection: Connection, *, owner: str, now: Instant, lease_until: Instant) -> Lease:
    """Become the owner of every partition.

    It counts no try: an engine that starts and stops with nothing to play has tried nothing.
    """
    rows = connection.execute(
        "UPDATE partition SET owner = ?, epoch = epoch + 1, lease_until = ? "
        "WHERE lease_until <= ? OR owner = ? OR owner = '' "
        "RETURNING number, epoch, position, attempts",
        (owner, lease_until, now, owner),
    )
    total = connection.execute("SELECT count(*) FROM partition")[0][0]
    if len(rows) != total:
        raise NotOwner("another engine's lease on this database has not run out; stop it first")
    hit("lease claim")
    return Lease(
        owner=owner,
        epoch=max(row[1] for row in rows),
        position=min(row[2] for row in rows),
        attempts=max(row[3] for row in rows),
    )


def advance(connection: Connection, lease: Lease, *, position: int, attempts: int) -> None:
    """Move the position, in the transaction that holds everything the batch caused.

    Raises:
        NotOwner: If the epoch is over; the caller's transaction must not commit.
    """
    rows = connection.execute(
        "UPDATE partition SET position = ?, attempts = ? WHERE owner = ? AND epoch = ? "
        "RETURNING number",
        (position, attempts, lease.owner, lease.epoch),
    )
    if not rows:
        raise NotOwner(f"{lease.owner} lost its partitions to another engine; it stops here")


def due_timers(connection: Connection, *, until: Instant, limit: int) -> list[Row]:
    """The (due, profile) of timers that have come, oldest first."""
    rows = connection.execute(
        "SELECT due, profile_id FROM timer WHERE due <= ? ORDER BY due, profile_id LIMIT ?",
        (until, limit),
    )
    hit("timer claim")
    return rows


def drop_timers(connection: Connection, timers: Sequence[Row]) -> None:
    """Delete exactly these timers: one that was set meanwhile, as by a new release, stays."""
    bulk.delete(connection, "timer", ("due", "profile_id"), timers)
