"""The loop: a batch of events and due timers, through the pure core, into one transaction.

`Ticker.tick` reads, plays and only then opens its transaction, so the lock is held for the writes
alone. Crash anywhere: the position has not moved, so the batch is simply played again. What it
refuses: to call a provider (`outbox`) or to accept an event (`ingest`).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from engine.core.errors import NotOwner
from engine.core.model import Effect, Instant
from engine.core.play import play
from engine.failpoints import hit
from engine.ids import Ids
from engine.merging import play_merge
from engine.playbook import Playbook
from engine.poison import Parked, isolate, park_unplayed, write_parked
from engine.rebuild import rebuild_features
from engine.store import claims, people
from engine.store.connection import Connection, Row
from engine.store.database import Database
from engine.store.events import MERGE, NOT_OWN, EventLog
from engine.store.outcomes import Outcomes, write
from engine.store.people import Loaded
from engine.vault import Vault
from engine.wire import Decoded, contact_keys, decode, hide, settle

T = TypeVar("T")
Write = Callable[[Callable[[Connection], T]], T]

COLUMNS = (
    "seq", "profile_id", "name", "at", "accepted_at", "flags", "properties", "context", "traits",
)  # fmt: skip
BATCH = 1_000
PIECE = 128
"""People in memory at once: so few that what was decoded is still in the processor's cache when
it is played and encoded."""
TRIES_BEFORE_CARE = 3
TRIES_MAX = 5
"""A batch that failed three times, by an error or by killing the process, is tried item by item;
the item that fails five times is parked."""


class Ticked(Struct, frozen=True):
    """What one batch did. An idle one found nothing to do."""

    n_events: int = 0
    n_timers: int = 0
    n_messages: int = 0
    n_parked: int = 0

    @property
    def is_idle(self) -> bool:
        return not (self.n_events or self.n_timers)


class Ticker:
    """The owner of the profiles: plays what has happened and what has come due.

    Args:
        write: Runs a function in a write transaction; by default one of its own. A process that
            also ingests passes its single writer thread.
        observe: Told of every profile's effects before they are committed: a simulation counts
            there what leaves no row, such as a message held and sent within one batch.
    """

    def __init__(
        self,
        database: Database,
        *,
        vault: Vault,
        log: EventLog,
        owner: str = "engine",
        write: Write[Any] | None = None,
        observe: Callable[[Sequence[Effect]], None] | None = None,
    ) -> None:
        self._database = database
        self._vault = vault
        self._log = log
        self._owner = owner
        self._observe = observe
        self._write: Write[Any] = write or self._in_own_transaction
        self._ids = Ids(database)
        self._lease: claims.Lease | None = None
        self._careful = 0
        self._is_unproven = True
        self._failure = ""

    def claim(self, *, now: Instant) -> None:
        """Take the partitions; needed before the first batch, and again after one that failed.

        Raises:
            NotOwner: If another engine has them.
        """
        lease: claims.Lease = self._write(
            lambda connection: claims.claim(
                # The database's lock says who lives; a lease that outlasts us, or a clock that
                # was set back, must not bar the next start.
                connection,
                owner=self._owner,
                now=now,
                lease_until=0,
            )
        )
        self._lease = lease
        self._is_unproven = True
        self._careful = 2 * BATCH if lease.attempts >= TRIES_BEFORE_CARE else 0

    def tick(
        self, playbook: Playbook, *, floor: Instant, horizon: Instant, limit: int = BATCH
    ) -> Ticked:
        """Play one batch.

        Args:
            floor: The owner's clock at batch start: nothing is played as of an earlier instant.
            horizon: Timers due until then are played. A live engine passes its clock for both.
        """
        if self._lease is None:
            self.claim(now=floor)
        assert self._lease is not None
        try:
            return self._tick(self._lease, playbook, floor, horizon, limit)
        except NotOwner:
            raise
        except Exception as error:
            # A commit may have failed half-way: only the database can say where we stand.
            self._lease, self._failure = None, f"{type(error).__name__}: {error}"
            raise

    def _tick(
        self, lease: claims.Lease, playbook: Playbook, floor: Instant, horizon: Instant, limit: int
    ) -> Ticked:
        # What is written is dated by the clock, which on a virtual one is the horizon.
        now = max(floor, horizon)
        with self._database.read() as connection:
            item = self._next_items(connection, lease.position, horizon, limit=limit)
            hit("tick claim")
            if not item.events and not item.timers:
                return Ticked()
            if self._careful and lease.attempts >= TRIES_MAX:
                return self._park_unplayed(lease, item, now=now)
            if self._careful or self._is_unproven:
                self._count_try(lease)
            batch = self._play(connection, playbook, item, floor)
        self._commit(lease, batch, item, now=now)
        return Ticked(
            len(item.events), len(item.timers), len(batch.outcomes.messages), len(batch.parked)
        )

    def _next_items(
        self, connection: Connection, position: int, horizon: Instant, *, limit: int
    ) -> "_Items":
        """The next events and due timers; a single one of them while we are careful."""
        if self._careful:
            limit = 1
        events, horizon, end = self._next_events(connection, position, horizon, limit=limit)
        if events and events[0][5] & MERGE:
            # Its two people are one afterwards: neither may be played beside it.
            return _Items(events, [], horizon, end)
        timers = claims.due_timers(connection, until=horizon, limit=limit)
        if self._careful and events and timers:
            if timers[0][0] < events[0][4]:
                events, horizon, end = [], min(horizon, events[0][4] - 1), position
            else:
                timers = []
        return _Items(events, timers, horizon, end)

    def _next_events(
        self, connection: Connection, position: int, horizon: Instant, *, limit: int
    ) -> tuple[list[Row], Instant, int]:
        """The next events, until when timers may be played with them, and the position after them.

        A merge comes alone, since it joins what the others keep apart. While more events wait,
        no timer may overtake them: whoever comes back after an outage must still find that the
        event came before the timeout. So a batch does not end inside an instant either, though a
        group commit may have given it more events than the limit.
        """
        rows = self._read(connection, position, limit=limit + 1)
        if rows and rows[0][5] & MERGE and rows[0][4] <= horizon:
            return rows[:1], horizon, rows[0][0]
        end = min(limit, len(rows))
        if len(rows) > limit and not self._careful:
            rows += self._rest_of_instant(connection, rows)
            end = next(
                (i for i in range(len(rows) - 1, 0, -1) if rows[i][4] != rows[i - 1][4]), len(rows)
            )
        end = next(
            (i for i, row in enumerate(rows[:end]) if row[4] > horizon or row[5] & MERGE), end
        )
        if end == len(rows):
            # Past our own events too, or a night of timers would pile them up before us.
            return rows, horizon, self._log.last_seq(connection)
        position = rows[end - 1][0] if end else position
        if rows[end][4] > horizon:
            return rows[:end], horizon, position
        return rows[:end], max([rows[end][4] - 1, *(row[4] for row in rows[:end])]), position

    def _rest_of_instant(self, connection: Connection, rows: Sequence[Row]) -> list[Row]:
        """What follows rows of one single instant, until it ends; nothing if they hold several."""
        rest: list[Row] = []
        last = rows[-1]
        while last[4] == rows[0][4]:
            more = self._read(connection, last[0], limit=BATCH)
            if not more:
                break
            rest += more
            last = more[-1]
        return rest

    def _read(self, connection: Connection, position: int, *, limit: int) -> list[Row]:
        return self._log.read_after(
            connection, position, limit=limit, columns=COLUMNS, where=NOT_OWN
        )

    def _play(
        self,
        connection: Connection,
        playbook: Playbook,
        items: "_Items",
        floor: Instant,
    ) -> "_Batch":
        events, horizon = items.events, items.horizon
        if events and events[0][5] & MERGE:
            merged = play_merge(connection, playbook, events[0], now=max(floor, events[0][4]))
            batch = _Batch(after=merged.write)
            for it in merged.people:
                batch.take(it, merged.effects)
            return batch
        batch = _Batch()
        own: dict[int, list[Decoded]] = {}
        for row in events:
            own.setdefault(row[1], []).append(decode(row))
        ids = sorted({*own, *(row[1] for row in items.timers)})
        for start in range(0, len(ids), PIECE):
            piece = ids[start : start + PIECE]
            self._play_piece(connection, playbook, batch, piece, own, floor, horizon)
        return batch

    def _play_piece(
        self,
        connection: Connection,
        playbook: Playbook,
        batch: "_Batch",
        ids: Sequence[int],
        own: dict[int, list[Decoded]],
        floor: Instant,
        horizon: Instant,
    ) -> None:
        """Load some people, play them, and keep of them only what is to be written."""
        loaded = people.load(connection, ids)
        rebuild_features(connection, loaded, playbook, up_to=self._position)
        keys = contact_keys(own, loaded, self._vault)
        known = people.contacts(connection, keys.values())
        for profile_id, it in loaded.items():
            decoded = own.get(profile_id, [])
            happened = [settle(each, it, keys, known, playbook) for each in decoded]
            try:
                effects = play(
                    it.person,
                    happened,
                    program=playbook.program,
                    segments=playbook.segments,
                    floor=floor,
                    horizon=horizon,
                    evaluate=playbook.evaluate,
                    new_id=self._ids,
                )
            except Exception as error:
                again = people.load(connection, [profile_id])[profile_id]
                rebuild_features(connection, {profile_id: again}, playbook, up_to=self._position)
                again.sealed, again.addresses = it.sealed, it.addresses
                again.zone_from = it.zone_from
                it = again
                effects, parked = isolate(
                    it,
                    happened,
                    playbook,
                    floor=floor,
                    horizon=horizon,
                    new_id=self._ids,
                    error=error,
                )
                batch.parked += parked
            hide(it, effects, playbook, self._vault)
            batch.take(it, effects)
            if self._observe is not None:
                self._observe(effects)

    @property
    def _position(self) -> int:
        assert self._lease is not None
        return self._lease.position

    def _commit(
        self,
        lease: claims.Lease,
        batch: "_Batch",
        items: "_Items",
        *,
        now: Instant,
    ) -> None:
        position = items.position
        self._careful = max(0, self._careful - 1)
        attempts = TRIES_BEFORE_CARE if self._careful else 0

        def transaction(connection: Connection) -> None:
            claims.advance(connection, lease, position=position, attempts=attempts)
            claims.drop_timers(connection, items.timers)
            people.save(connection, batch.people, now=now)
            if batch.after is not None:
                batch.after(connection)
            write(connection, batch.outcomes, log=self._log, now=now)
            write_parked(connection, batch.parked, now=now)
            hit("step commit")

        self._write(transaction)
        hit("tick commit")
        lease.position, lease.attempts = position, attempts
        self._is_unproven, self._failure = False, ""

    def _count_try(self, lease: claims.Lease) -> None:
        """Count a try before it is made: it may kill the process."""
        attempts = lease.attempts + 1
        self._write(
            lambda connection: claims.advance(
                connection, lease, position=lease.position, attempts=attempts
            )
        )
        lease.attempts = attempts

    def _park_unplayed(self, lease: claims.Lease, items: "_Items", *, now: Instant) -> Ticked:
        why = self._failure or "the process died while playing it"
        parked = park_unplayed(items.events, items.timers, attempts=lease.attempts, why=why)
        self._commit(lease, _Batch(parked=parked), items, now=now)
        return Ticked(len(items.events), len(items.timers), 0, len(parked))

    def _in_own_transaction(self, function: Callable[[Connection], T]) -> T:
        with self._database.write() as connection:
            return function(connection)


class _Items(Struct, frozen=True):
    """What one batch takes: events, timers, until when these profiles may be played, and the
    position once they have been."""

    events: list[Row]
    timers: list[Row]
    horizon: Instant
    position: int


class _Batch:
    """Everything a batch wants written."""

    def __init__(
        self,
        *,
        parked: Iterable[Parked] = (),
        after: Callable[[Connection], None] | None = None,
    ) -> None:
        self.people = people.Changes()
        self.parked: list[Parked] = list(parked)
        self.outcomes = Outcomes()
        self.after = after

    def take(self, it: Loaded, effects: Sequence[Effect]) -> None:
        """Add one person as they are now, and what was decided about them."""
        self.people.take(it)
        if effects:
            person = it.person
            versions = {int(each.id): each.version for each in person.enrollments}
            self.outcomes.take(effects, profile_id=person.profile.id, versions=versions)


def by_seq(each: Decoded) -> int:
    """Events of one profile are played in the order they were committed."""
    return each.event.seq


def run_until_idle(
    ticker: Ticker, playbook: Playbook, *, floor: Instant, horizon: Instant, limit: int = BATCH
) -> Ticked:
    """Tick until nothing is left that is due; the sum of all batches."""
    total = Ticked()
    while not (done := ticker.tick(playbook, floor=floor, horizon=horizon, limit=limit)).is_idle:
        total = msgspec.structs.replace(
            total,
            n_events=total.n_events + done.n_events,
            n_timers=total.n_timers + done.n_timers,
            n_messages=total.n_messages + done.n_messages,
            n_parked=total.n_parked + done.n_parked,
        )
    return total
