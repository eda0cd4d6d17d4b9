"""Who plays which partition, how far, and the due timers of what one owns.

A profile belongs to the partition of its id modulo their number. Every commit of a batch goes
through `advance`, which refuses an owner whose epoch is over: a process that slept through its
lease cannot write. One engine on its own takes everything by `claim`, where the lock of the
database says who lives; engines that share take their part in `shares`, where leases do.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final

from msgspec import Struct

from engine.core.errors import NotOwner
from engine.core.model.instants import Instant
from engine.failpoints import hit
from engine.store import bulk
from engine.store.connection import Connection, Row
from engine.store.events import MERGE, NOT_OWN

BEYOND: Final = 2**63 - 1
"""A place in the log that no event reaches."""
LOSER: Final = "CAST(substr(properties, 10, length(properties) - 10) AS bigint)"
"""The loser's id in a merge's properties, which `ingest` writes as {"loser":7}."""


class Held(Struct):
    """One partition of an owner: the last event played, and how often the batch after it has been
    tried without being committed."""

    position: int
    attempts: int


class Lease(Struct):
    """An owner's hold on its partitions, stamped with one epoch.

    `total` is how many partitions there are; `taken` are those that this claim brought.
    """

    owner: str
    epoch: int
    total: int
    held: dict[int, Held]
    taken: frozenset[int] = frozenset()
    leaving: frozenset[int] = frozenset()


class Holding(Struct, frozen=True):
    """The partitions whose messages a process that shares may send."""

    owner: str
    total: int
    numbers: frozenset[int]

    @property
    def is_whole(self) -> bool:
        return len(self.numbers) == self.total

    def still(self, connection: Connection) -> "Holding":
        """What is held as this transaction sees it, and keeps it until it ends."""
        return Holding(self.owner, self.total, self.numbers & held_by(connection, self.owner))

    def has(self, profile_id: int) -> bool:
        return profile_id % self.total in self.numbers


class Scan(Struct, frozen=True, dict=True):
    """The partitions that one batch is for, each with the last event played.

    Positions differ after a takeover: the log is then read from the lowest, and what a partition
    has behind it is left out.
    """

    positions: Mapping[int, int]
    total: int

    @cached_property
    def lowest(self) -> int:
        return min(self.positions.values())

    @property
    def numbers(self) -> Collection[int]:
        return self.positions.keys()

    @cached_property
    def is_whole(self) -> bool:
        return len(self.positions) == self.total

    @cached_property
    def is_level(self) -> bool:
        return all(position == self.lowest for position in self.positions.values())

    def has(self, profile_id: int, seq: int) -> bool:
        """Whether this event of this profile is one that the batch may take."""
        return seq > self.positions.get(profile_id % self.total, BEYOND)

    def events(self) -> tuple[str, list[int]]:
        """A condition on events, in SQL, and its values. A merge is wanted by both its sides."""
        if self.is_whole and self.is_level:
            return NOT_OWN, []
        own, values = self._from("profile_id")
        theirs, again = self._from(LOSER)
        return (
            f"{NOT_OWN} AND ({own} OR CASE WHEN flags = {MERGE} THEN {theirs} ELSE false END)",
            values + again,
        )

    def _from(self, profile: str) -> tuple[str, list[int]]:
        numbers = sorted(self.positions)
        if self.is_level:
            return f"{profile} % {self.total} IN ({_listed(numbers)})", []
        cases = " ".join(f"WHEN {number} THEN ?" for number in numbers)
        return (
            f"seq > CASE {profile} % {self.total} {cases} ELSE {BEYOND} END",
            [self.positions[number] for number in numbers],
        )

    def by_position(self, profile_ids: Collection[int]) -> Iterator[tuple[int, Collection[int]]]:
        """These profiles in groups whose partitions stand at one position."""
        if self.is_level:
            yield self.lowest, profile_ids
            return
        groups: dict[int, list[int]] = {}
        for profile_id in profile_ids:
            groups.setdefault(self.positions[profile_id % self.total], []).append(profile_id)
        yield from groups.items()


def claim(connection: Connection, *, owner: str) -> Lease:
    """Become the owner of every partition, whoever had them.

    The database's lock says who lives: a lease that outlasts its process, or a clock that was set
    back, must not bar the next start. It counts no try: an engine that starts and stops with
    nothing to play has tried nothing.
    """
    rows = connection.execute(
        "UPDATE partition SET owner = ?, lease_until = 0, "
        "epoch = (SELECT max(epoch) FROM partition) + 1 "
        "RETURNING number, epoch, position, attempts",
        (owner,),
    )
    hit("lease claim")
    return lease_of(owner, rows, total=len(rows))


def lease_of(owner: str, rows: Sequence[Row], *, total: int) -> Lease:
    """A lease from its rows (number, epoch, position, attempts)."""
    return Lease(
        owner=owner,
        epoch=max((row[1] for row in rows), default=0),
        total=total,
        held={row[0]: Held(row[2], row[3]) for row in sorted(rows)},
    )


def advance(
    connection: Connection,
    lease: Lease,
    *,
    position: int,
    attempts: int,
    numbers: Collection[int] | None = None,
    lease_until: Instant = 0,
) -> None:
    """Move the position and renew the lease, in the transaction of all that the batch caused.

    The rows stay locked until the commit, so nobody takes the partitions over in between.

    Args:
        numbers: The partitions the batch was for; None: all. One that is further already stays.
    Raises:
        NotOwner: If the epoch is over; the caller's transaction must not commit.
    """
    wanted = lease.held.keys() if numbers is None else numbers
    only = "" if len(wanted) == lease.total else f" AND number IN ({_listed(wanted)})"
    rows = connection.execute(
        "UPDATE partition SET position = CASE WHEN position < ? THEN ? ELSE position END, "
        f"attempts = ?, lease_until = ? WHERE owner = ? AND epoch = ?{only} RETURNING number",
        (position, position, attempts, lease_until, lease.owner, lease.epoch),
    )
    if len(rows) != len(wanted):
        raise NotOwner(f"{lease.owner} lost its partitions to another engine; it stops here")


def held_by(connection: Connection, owner: str) -> set[int]:
    """The partitions of an owner, which nobody takes over before the transaction ends."""
    share = " FOR SHARE" if connection.dialect == "postgresql" else ""
    rows = connection.execute(f"SELECT number FROM partition WHERE owner = ?{share}", (owner,))
    return {row[0] for row in rows}


def positions(connection: Connection, numbers: Collection[int]) -> dict[int, int]:
    """How far these partitions were played, whoever owns them."""
    rows = connection.execute(
        f"SELECT number, position FROM partition WHERE number IN ({_listed(numbers)})"
    )
    return {row[0]: row[1] for row in rows}


def due_timers(
    connection: Connection, *, until: Instant, limit: int, scan: Scan | None = None
) -> list[Row]:
    """The (due, profile) of timers that have come, oldest first."""
    rows = connection.execute(
        f"SELECT due, profile_id FROM timer WHERE due <= ?{of(scan)} "
        "ORDER BY due, profile_id LIMIT ?",
        (until, limit),
    )
    hit("timer claim")
    return rows


def of(whose: Scan | Holding | None, profile: str = "profile_id") -> str:
    """One more condition, in SQL: a profile of these partitions; none where that is everybody."""
    if whose is None or whose.is_whole:
        return ""
    return f" AND {profile} % {whose.total} IN ({_listed(whose.numbers)})"


def drop_timers(connection: Connection, timers: Sequence[Row]) -> None:
    """Delete exactly these timers: one that was set meanwhile, as by a new release, stays."""
    bulk.delete(connection, "timer", ("due", "profile_id"), timers)


def _listed(numbers: Collection[int]) -> str:
    return ", ".join(str(int(number)) for number in sorted(numbers)) or "NULL"
