"""The loop: a batch of events and due timers, through the pure core, into one transaction.

`Ticker.tick` reads, plays and only then opens its transaction, so the lock is held for the writes
alone. Crash anywhere: the position has not moved, so the batch is simply played again. What it
refuses: to call a provider (`outbox`) or to accept an event (`ingest`). Read next: `taking`, what a
batch takes; `store.claims`, who may write it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from engine.core.errors import NotOwner, Outdated, Overtaken, StoreError
from engine.core.model.effects import Effect, PickAsk
from engine.core.model.instants import Instant
from engine.core.play import play
from engine.core.roster import roster_of
from engine.failpoints import hit
from engine.release.playbook import Playbook
from engine.release.rebuild import rebuild_features
from engine.store import claims, people
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.events import MERGE, EventLog
from engine.store.exposures import shown
from engine.store.identities import erasures
from engine.store.outcomes import write
from engine.store.people import Loaded
from engine.store.queue import still_queued
from engine.store.states import Packer
from engine.ticking.batch import Batch
from engine.ticking.ids import Ids
from engine.ticking.merging import close_loser, play_merge
from engine.ticking.poison import isolate, park_unplayed, thaw, write_parked
from engine.ticking.strangers import Strangers, require_newest
from engine.ticking.taking import Items, loser_of
from engine.ticking.tenure import TRIES_MAX, Tenure
from engine.ticking.wire import Decoded, contact_keys, decode, hide, settle
from engine.vault import Vault

T = TypeVar("T")
Write = Callable[[Callable[[Connection], T]], T]
Picks = Callable[[Connection, Playbook, PickAsk], list[dict[str, Any]]]
"""What a recommender answers, read on the connection on which the batch is read."""

BATCH = 1_000
PIECE = 128
"""People in memory at once: so few that what was decoded is still in the processor's cache when
it is played and encoded."""


class Ticked(Struct, frozen=True):
    """What one batch did. An idle one found nothing to do; a refused one was somebody else's, or
    decided on what is no longer true: it is played again."""

    n_events: int = 0
    n_timers: int = 0
    n_messages: int = 0
    n_parked: int = 0
    is_refused: bool = False
    is_outdated: bool = False

    @property
    def is_idle(self) -> bool:
        return not (self.n_events or self.n_timers or self.is_refused)


class Ticker:
    """The owner of the profiles: plays what has happened and what has come due.

    Args:
        write: Runs a function in a write transaction; by default one of its own. A process that
            also ingests passes its single writer thread.
        observe: Told of every profile's effects before they are committed: a simulation counts
            there what leaves no row, such as a message held and sent within one batch.
        lease: Microseconds for which partitions are held without a word, shared with other
            workers. None: this is the only engine, and owns them all.
        picks: Asked by journeys for what a recommender would show; without it nothing ever is.
        follows_releases: Others may apply while it ticks: a batch by an older release than the one
            that is live is refused, or it would use up the wakes that came with that one.
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
        lease: int | None = None,
        follows_releases: bool = False,
        picks: Picks | None = None,
    ) -> None:
        self._database = database
        self._vault = vault
        self._log = log
        self._observe = observe
        self._write: Write[Any] = write or self._in_own_transaction
        self._ids = Ids(database)
        self._tenure = Tenure(owner, lease_for=lease)
        self._failure = ""
        self._strangers = Strangers()
        self._packer = Packer()
        self._follows_releases = follows_releases
        self._picks: Picks = picks or (lambda connection, playbook, ask: [])
        self._is_stores_fault = False
        self.n_refused = 0

    def claim(self, *, now: Instant) -> None:
        """Take the partitions, or our share of them; needed before the first batch, again after one
        that failed, and where they are shared a few times within a lease (`tick` sees to that).
        """
        self._tenure.claim(self._write, now=now)

    def release(self) -> None:
        """Give up what we share: a clean stop, after the last call of a provider has ended."""
        self._tenure.release(self._write)

    @property
    def owner(self) -> str:
        """The name under which partitions are held."""
        return self._tenure.owner

    @property
    def is_shared(self) -> bool:
        """Whether others may have partitions beside us."""
        return self._tenure.is_shared

    def share(self) -> float:
        """The part of all partitions that we hold, in (0, 1]: never so little as nothing."""
        lease = self._tenure.lease
        if lease is None or not self.is_shared:
            return 1.0
        return max(1, len(lease.held)) / lease.total

    def must_look(self, now: Instant) -> bool:
        """Whether the next batch begins with a claim: nothing is held, or it is time to look who
        lives."""
        return self._tenure.must_look(now)

    def holding(self) -> claims.Holding | None:
        """Whose messages may be sent from here; None: everybody's."""
        return self._tenure.holding()

    def settle(self, recover: Callable[[claims.Holding], object]) -> None:
        """Have the attempts that earlier owners left open settled, for the partitions that came to
        us; from then on their messages are sent from here."""
        fresh = self._tenure.unsettled()
        if fresh is not None:
            recover(fresh)
            self._tenure.settled(fresh)

    @property
    def is_careful(self) -> bool:
        """Whether something is being tried item by item, since it has failed too often."""
        return self._tenure.is_careful

    def tick(
        self, playbook: Playbook, *, floor: Instant, horizon: Instant, limit: int = BATCH
    ) -> Ticked:
        """Play one batch.

        Args:
            floor: The owner's clock at batch start: nothing is played as of an earlier instant.
            horizon: Timers due until then are played. A live engine passes its clock for both.
        Raises:
            NotOwner: If the only engine was usurped. Where partitions are shared, what was lost is
                simply no longer ours: nothing of the batch is written.
        """
        if self._tenure.must_look(floor):
            self.claim(now=floor)
        assert self._tenure.lease is not None
        try:
            return self._tick(self._tenure.lease, playbook, floor, horizon, limit)
        except NotOwner:
            if not self._tenure.is_shared:
                raise
            self._tenure.lease = None
            self.n_refused += 1
            return Ticked(is_refused=True)
        except Overtaken:
            return Ticked(is_refused=True)
        except Outdated:
            return Ticked(is_refused=True, is_outdated=True)
        except Exception as error:
            # A commit may have failed half-way: only the database can say where we stand.
            self._tenure.lease, self._failure = None, f"{type(error).__name__}: {error}"
            self._is_stores_fault = isinstance(error, StoreError)
            raise

    def _tick(
        self, lease: claims.Lease, playbook: Playbook, floor: Instant, horizon: Instant, limit: int
    ) -> Ticked:
        # What is written is dated by the clock, which on a virtual one is the horizon.
        now, tenure = max(floor, horizon), self._tenure
        with self._database.read() as connection:
            if self._follows_releases:
                require_newest(connection, playbook.program.release)
            n_erased = erasures(connection)
            item = tenure.next_items(connection, self._log, horizon, limit=limit)
            hit("tick claim")
            if item is None or (not item.events and not item.timers):
                return Ticked()
            is_careful = tenure.care(item.scan) > 0
            is_tried_out = tenure.attempts(item.scan) >= TRIES_MAX and not self._is_stores_fault
            if is_careful and is_tried_out:
                return self._park_unplayed(lease, item, now=now)
            if is_careful or tenure.is_unproven:
                self._count_try(item.scan, now)
            batch = self._play(connection, playbook, item, floor)
        self._commit(lease, batch, item, now=now, n_erased=n_erased)
        return Ticked(
            len(item.events), len(item.timers), len(batch.outcomes.messages), len(batch.parked)
        )

    def _play(
        self,
        connection: Connection,
        playbook: Playbook,
        items: Items,
        floor: Instant,
    ) -> Batch:
        events, horizon = items.events, items.horizon
        if items.part == "close":
            return Batch(self._packer, after=close_loser(events[0]).write)
        if events and events[0][5] & MERGE:
            merged = play_merge(
                connection,
                playbook,
                events[0],
                now=max(floor, events[0][4]),
                is_closed=not items.scan.has(loser_of(events[0]), events[0][0]),
            )
            batch = Batch(self._packer, release=playbook.program.release, after=merged.write)
            for it in merged.people:
                batch.take(it, merged.effects)
            return batch
        batch = Batch(self._packer, release=playbook.program.release)
        own: dict[int, list[Decoded]] = {}
        sealed: dict[int, list[Decoded]] = {}
        for row in events:
            decoded = decode(row)
            own.setdefault(row[1], []).append(decoded)
            if decoded.sealed:
                sealed.setdefault(row[1], []).append(decoded)
        ids = sorted(items.woken.union(own))
        models = playbook.models
        with connection.pipelined():
            for loaded in people.load_pieces(connection, ids, size=PIECE, models=models):
                self._play_piece(
                    connection, playbook, batch, loaded, own, sealed, floor, horizon, items
                )
        return batch

    def _play_piece(
        self,
        connection: Connection,
        playbook: Playbook,
        batch: Batch,
        loaded: dict[int, Loaded],
        own: dict[int, list[Decoded]],
        sealed: dict[int, list[Decoded]],
        floor: Instant,
        horizon: Instant,
        items: Items,
    ) -> None:
        """Play some people, and keep of them only what is to be written."""
        self._strangers.look((it.person for it in loaded.values()), playbook.program)
        for position, group in items.scan.by_position(loaded):
            some = loaded if len(group) == len(loaded) else {it: loaded[it] for it in group}
            batch.met += rebuild_features(connection, some, playbook, up_to=position)
        sets_traits = roster_of(playbook.program).sets_traits
        for profile_id in loaded.keys() & items.woken:
            if loaded[profile_id].person.enrollments:
                thaw(loaded[profile_id].person, horizon=horizon)
        keys = contact_keys(sealed, loaded, self._vault)
        known = people.contacts(connection, keys.values())
        are_queued = partial(still_queued, connection)
        was_shown = partial(shown, connection, batch.outcomes)
        pick = partial(self._picks, connection, playbook)
        for profile_id in list(loaded):
            # Forgotten once the next is played: objects still in the cache are freed fastest.
            it = loaded.pop(profile_id)
            decoded = own.get(profile_id, ())
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
                    still_queued=are_queued,
                    shown=was_shown,
                    pick=pick,
                )
            except StoreError:
                raise  # the database's trouble is nobody's poison
            except Exception as error:
                models = playbook.models
                again = people.load(connection, [profile_id], models=models)[profile_id]
                for position, _ in items.scan.by_position([profile_id]):
                    rebuild_features(connection, {profile_id: again}, playbook, up_to=position)
                again.sealed, again.addresses = it.sealed, it.addresses
                again.zone_from, again.is_told = it.zone_from, it.is_told
                it = again
                effects, parked = isolate(
                    it,
                    happened,
                    playbook,
                    floor=floor,
                    horizon=horizon,
                    new_id=self._ids,
                    error=error,
                    shown=was_shown,
                    pick=pick,
                )
                batch.parked += parked
            if sets_traits and effects:
                hide(it, effects, playbook, self._vault)
            batch.take(it, effects)
            if self._observe is not None:
                self._observe(effects)

    def _commit(
        self,
        lease: claims.Lease,
        batch: Batch,
        items: Items,
        *,
        now: Instant,
        n_erased: int | None = None,
    ) -> None:
        def transaction(connection: Connection) -> None:
            if n_erased is not None and n_erased != erasures(connection, for_writing=True):
                raise Overtaken  # who was erased since must not be written down again
            with connection.pipelined():
                self._tenure.advance(connection, items, now=now)
                claims.drop_timers(connection, items.timers)
                people.save(connection, batch.people, now=now)
                if batch.after is not None:
                    batch.after(connection)
                write(connection, batch.outcomes, log=self._log, now=now)
                write_parked(connection, batch.parked, now=now)
                batch.note_played(connection)
            hit("step commit")

        self._write(transaction)
        hit("tick commit")
        self._tenure.advanced(items)
        self._strangers.settled()
        self._failure = ""
        self._is_stores_fault = False

    def _count_try(self, scan: claims.Scan, now: Instant) -> None:
        self._write(lambda connection: self._tenure.count_try(connection, scan, now=now))
        self._tenure.tried(scan)

    def _park_unplayed(self, lease: claims.Lease, items: Items, *, now: Instant) -> Ticked:
        why = self._failure or "the process died while playing it"
        attempts = self._tenure.attempts(items.scan)
        parked = park_unplayed(items.events, items.timers, attempts=attempts, why=why)
        self._commit(lease, Batch(self._packer, parked=parked), items, now=now)
        return Ticked(len(items.events), len(items.timers), 0, len(parked))

    def _in_own_transaction(self, function: Callable[[Connection], T]) -> T:
        with self._database.write() as connection:
            return function(connection)


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
