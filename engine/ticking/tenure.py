"""An owner's hold on its partitions from batch to batch: what it may take next, and with what care.

It knows the lease, which partitions wait for a merge's other side, and what has failed so often
that it is tried item by item. It writes nothing but that. Read next: `store.claims`, `taking`.
"""

from collections.abc import Callable
from threading import Lock
from typing import Any, Final

from engine.core.model.instants import SECOND, Instant
from engine.store import claims, shares
from engine.store.claims import Held, Holding, Lease, Scan
from engine.store.connection import Connection
from engine.store.events import EventLog
from engine.ticking.taking import Items, loser_of, next_items

TRIES_BEFORE_CARE: Final = 3
TRIES_MAX: Final = 5
"""A batch that failed three times, by an error or by killing the process, is tried item by item;
the item that fails five times is parked."""
CAREFUL_ITEMS: Final = 2_000
"""So many are then tried one by one: more than any batch holds."""
LOOKS_A_LEASE: Final = 6
"""How often within a lease a worker looks round: so soon after its end is a dead one replaced."""


class Tenure:
    """What one owner holds, from its first claim to its release.

    Args:
        lease_for: Microseconds for which partitions are held without a word, shared with other
            workers. None: this is the only engine, and owns them all.
    """

    def __init__(self, owner: str, *, lease_for: int | None) -> None:
        self.owner = owner
        self.lease: Lease | None = None
        self.is_unproven = True
        self._lease_for = lease_for
        self._look_at: Instant = 0
        self._careful: dict[int, int] = {}
        self._waiting: dict[int, tuple[int, int]] = {}
        self._unsettled: frozenset[int] = frozenset()
        self._unsettled_lock = Lock()

    @property
    def is_shared(self) -> bool:
        return self._lease_for is not None

    def must_look(self, now: Instant) -> bool:
        """Whether nothing is held, or it is time to see who lives."""
        return self.lease is None or (self.is_shared and now >= self._look_at)

    def claim(self, write: Callable[[Callable[[Connection], Any]], Any], *, now: Instant) -> None:
        """Take the partitions, or our share of them."""
        before, lease_for = self.lease, self._lease_for
        lease: Lease
        if lease_for is None:
            lease = write(lambda it: claims.claim(it, owner=self.owner))
        else:
            until = now + lease_for
            lease = write(
                lambda it: shares.take_share(it, owner=self.owner, now=now, lease_until=until)
            )
            pause = lease_for // LOOKS_A_LEASE
            self._look_at = now + (min(pause, SECOND) if lease.leaving else pause)
        with self._unsettled_lock:
            self._unsettled = (self._unsettled | lease.taken) & lease.held.keys()
            self.lease = lease
        if before is None or lease.taken or lease_for is None:
            self.is_unproven = True
        known = {} if before is None else self._careful
        self._careful = {
            number: known.get(number, CAREFUL_ITEMS if it.attempts >= TRIES_BEFORE_CARE else 0)
            for number, it in lease.held.items()
        }
        self._waiting.clear()

    def release(self, write: Callable[[Callable[[Connection], Any]], Any]) -> None:
        """Give up what is shared: a clean stop, after the last call of a provider has ended."""
        self.lease = None
        if self.is_shared:
            write(lambda connection: shares.leave(connection, owner=self.owner))

    def holding(self) -> Holding | None:
        """Whose messages may be sent from here; None: everybody's."""
        if not self.is_shared:
            return None
        with self._unsettled_lock:
            lease = self.lease
            if lease is None:
                return Holding(self.owner, 1, frozenset())
            numbers = frozenset(lease.held) - lease.leaving - self._unsettled
            return Holding(self.owner, lease.total, numbers)

    def unsettled(self) -> Holding | None:
        """What came to us and may hold open attempts of its last owner; None: nothing does.

        Until it is `settled` nothing is sent for it, or attempts of ours would be taken for theirs.
        """
        with self._unsettled_lock:
            if self.lease is None or not self._unsettled:
                return None
            return Holding(self.owner, self.lease.total, self._unsettled)

    def settled(self, holding: Holding) -> None:
        """The attempts that the last owners of these left open have an outcome."""
        with self._unsettled_lock:
            self._unsettled -= holding.numbers

    # --- what is taken next -----------------------------------------------------------------

    def next_items(
        self, connection: Connection, log: EventLog, horizon: Instant, *, limit: int
    ) -> Items | None:
        """What the next batch takes, of the partitions that do not wait for another's."""
        self._end_waits(connection)
        while (scan := self._scan()) is not None:
            care = self.care(scan)
            item = next_items(connection, log, scan, horizon, limit=limit, is_careful=care > 0)
            if item.part == "wait":
                seq, winner = item.events[0][0], int(item.events[0][1])
                self._waiting[winner % scan.total] = (seq, loser_of(item.events[0]) % scan.total)
            elif care and self.is_shared and not item.events and not item.timers:
                self._careful.update(dict.fromkeys(scan.positions, 0))  # past it: all together
            else:
                return item
        return None

    def _scan(self) -> Scan | None:
        """The partitions to look at next. What is tried with care has its partition to itself: an
        item that was tried four times must be the one that is tried again, whoever owns what."""
        assert self.lease is not None
        held = self.lease.held
        numbers = [number for number in held if number not in self._waiting]
        if self.is_shared:
            careful = [number for number in numbers if self._careful[number]]
            numbers = [min(careful, key=lambda it: held[it].position)] if careful else numbers
        if not numbers:
            return None
        return Scan({number: held[number].position for number in numbers}, self.lease.total)

    def _end_waits(self, connection: Connection) -> None:
        """See which losers of merges were closed by their owners meanwhile."""
        if not self._waiting:
            return
        reached = claims.positions(connection, {loser for _, loser in self._waiting.values()})
        self._waiting = {
            number: (seq, loser)
            for number, (seq, loser) in self._waiting.items()
            if reached[loser] < seq
        }

    # --- with what care ---------------------------------------------------------------------

    @property
    def is_careful(self) -> bool:
        """Whether something is being tried item by item, since it has failed too often."""
        return any(self._careful.values())

    def care(self, scan: Scan) -> int:
        """How many more batches of one item each are played for these partitions."""
        return max(self._careful[number] for number in scan.positions)

    def attempts(self, scan: Scan) -> int:
        """How often what comes next for these partitions has been tried."""
        assert self.lease is not None
        return max(self.lease.held[number].attempts for number in scan.positions)

    def count_try(self, connection: Connection, scan: Scan, *, now: Instant) -> None:
        """Count a try before it is made: it may kill the process."""
        attempts = self.attempts(scan) + 1
        self._advance(connection, scan, position=0, attempts=attempts, now=now)

    def tried(self, scan: Scan) -> None:
        """The count is committed."""
        assert self.lease is not None
        attempts = self.attempts(scan) + 1
        for number in scan.positions:
            self.lease.held[number].attempts = attempts

    # --- moving on --------------------------------------------------------------------------

    def advance(self, connection: Connection, items: Items, *, now: Instant) -> None:
        """Move past a batch, in its transaction.

        Raises:
            NotOwner: If the partitions are no longer ours.
        """
        attempts = TRIES_BEFORE_CARE if self.care(items.scan) > 1 else 0
        self._advance(connection, items.scan, position=items.position, attempts=attempts, now=now)

    def advanced(self, items: Items) -> None:
        """That transaction is committed."""
        assert self.lease is not None
        care = max(0, self.care(items.scan) - 1)
        for number, was in items.scan.positions.items():
            position = max(was, items.position)
            self.lease.held[number] = Held(position, TRIES_BEFORE_CARE if care else 0)
            self._careful[number] = care
        self.is_unproven = False

    def _advance(
        self, connection: Connection, scan: Scan, *, position: int, attempts: int, now: Instant
    ) -> None:
        assert self.lease is not None
        claims.advance(
            connection,
            self.lease,
            position=position,
            attempts=attempts,
            numbers=scan.positions,
            lease_until=0 if self._lease_for is None else now + self._lease_for,
        )
