"""Partitions shared by workers: who is alive, whose turn it is to have how many, for how long.

A worker looks round every few seconds, in one short transaction: it says that it lives, gives up
what is more than its share, takes what is free or whose lease has run out, and renews the rest.
Being wrong about the time costs a takeover and never a wrong write: `claims.advance` holds that.
"""

from engine.core.model.instants import Instant
from engine.failpoints import hit
from engine.store import bulk
from engine.store.claims import Lease, lease_of
from engine.store.connection import Connection


def take_share(connection: Connection, *, owner: str, now: Instant, lease_until: Instant) -> Lease:
    """Look round: live on, give up, take, renew; what this owner holds afterwards.

    A partition with a call to a provider under way is not given up yet but `leaving`: its next
    owner would have to take the answer for lost.
    """
    bulk.insert(
        connection,
        "worker",
        ("owner", "lease_until"),
        [(owner, lease_until)],
        on_conflict="replace",
    )
    share, total = _share(connection, owner, now)
    mine, free = _within_reach(connection, owner, now)
    surplus = mine[share:]
    calling = _calling(connection, total) if surplus else frozenset()
    leaving = calling.intersection(surplus)
    _give_up(connection, [number for number in surplus if number not in leaving])
    taken = free[: max(0, share - len(mine))]
    # A new epoch for all of them: it also holds off a commit of our own that we lost sight of.
    rows = connection.select_in(
        "UPDATE partition SET owner = ?, lease_until = ?, "
        "epoch = (SELECT max(epoch) FROM partition) + 1 "
        "WHERE number IN (?) RETURNING number, epoch, position, attempts",
        [*mine[:share], *leaving, *taken],
        (owner, lease_until),
    )
    hit("lease claim")
    lease = lease_of(owner, rows, total=total)
    lease.taken, lease.leaving = frozenset(taken), leaving
    return lease


def leave(connection: Connection, *, owner: str) -> None:
    """Give everything up: a clean stop, after the last call."""
    connection.execute("UPDATE partition SET owner = '', lease_until = 0 WHERE owner = ?", (owner,))
    connection.execute("DELETE FROM worker WHERE owner = ?", (owner,))


def _share(connection: Connection, owner: str, now: Instant) -> tuple[int, int]:
    """How many partitions this worker should have, and how many there are.

    By rank among the living: the first few have one more, so that all are given away and no two
    want more than there are.
    """
    alive = "lease_until > ? OR owner = ?"
    connection.execute(
        "DELETE FROM worker WHERE owner IN (SELECT owner FROM worker "
        f"WHERE NOT ({alive}){_unlocked(connection)})",
        (now, owner),
    )
    rows = connection.execute(
        f"SELECT owner FROM worker WHERE {alive} ORDER BY owner", (now, owner)
    )
    owners = [row[0] for row in rows]
    total = int(connection.execute("SELECT count(*) FROM partition")[0][0])
    least, more = divmod(total, len(owners))
    return least + (owners.index(owner) < more), total


def _within_reach(connection: Connection, owner: str, now: Instant) -> tuple[list[int], list[int]]:
    """The partitions that are ours, and those that are free: nobody's, or of an owner who has not
    been heard of for a whole lease.

    One that is locked is being committed for or taken at this moment; it is in neither list.
    """
    rows = connection.execute(
        "SELECT number, owner FROM partition WHERE owner = ? OR owner = '' OR lease_until <= ? "
        f"ORDER BY number{_unlocked(connection)}",
        (owner, now),
    )
    return [row[0] for row in rows if row[1] == owner], [row[0] for row in rows if row[1] != owner]


def _unlocked(connection: Connection) -> str:
    """Leaves out rows that others have locked: to wait for them could be to wait for somebody who
    waits for us."""
    return " FOR UPDATE SKIP LOCKED" if connection.dialect == "postgresql" else ""


def _calling(connection: Connection, total: int) -> frozenset[int]:
    """Partitions with a message that a provider is being called for."""
    rows = connection.execute(
        f"SELECT DISTINCT profile_id % {total} FROM message WHERE status = 'attempting'"
    )
    return frozenset(row[0] for row in rows)


def _give_up(connection: Connection, numbers: list[int]) -> None:
    connection.select_in(
        "UPDATE partition SET owner = '', lease_until = 0 WHERE number IN (?) RETURNING number",
        numbers,
    )
