"""A release whose conditions remember what nobody kept is prepared beside the one that is live.

preparing: batch by batch every profile's drafts are written; ingest and ticks go on, nobody is
    entered or left by the new definitions, and a batch that was played meanwhile leaves marks.
waking: one transaction has made the release live; whom it concerns is made due, in batches.
settling: whoever it does not concern takes it up as well, while the engine has nothing to do.

Every step is one transaction that moves the row of progress, so a crash anywhere loses one batch.
Read next: `drafting`, what a batch computes; `drafts`, its rows; `rebuild`, how they are taken up.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from campaigns.load import load_bundle
from campaigns.problems import InvalidWorkspace
from engine.core.model.instants import MINUTE, Instant
from engine.failpoints import hit
from engine.release import drafts, publish, releases
from engine.release.drafting import BATCH, draft
from engine.release.drafts import Backfill
from engine.release.live import playbook_of
from engine.release.playbook import Playbook
from engine.release.publish import Built
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.read_through import read_through
from engine.vault import Vault

WAKE_BATCH: Final = 1_000
"""As many as a tick plays: they queue with all other timers, and a batch of them is soon over."""
STALE_MAX: Final = MINUTE
"""How long after going live some process may still play by the release before."""

Write = Callable[[Callable[[Connection], Any]], Any]


class Backfilling:
    """Takes the steps of whatever backfill is under way.

    Args:
        write: Runs a function in a write transaction; by default one of its own. A process that
            also ingests passes its single writer thread.
        batch: Profiles a step.
        told: Called after every step with what is under way, for whoever shows progress.
    """

    def __init__(
        self,
        database: Database,
        *,
        vault: Vault,
        write: Write | None = None,
        batch: int = BATCH,
        told: Callable[[Backfill], None] = lambda it: None,
    ) -> None:
        self._database = database
        self._vault = vault
        self._write: Write = write or self._in_own_transaction
        self._batch = batch
        self._is_read_through = False
        self._told = told
        self._target: tuple[tuple[int, int], Playbook] | None = None

    def step(self, *, now: Instant, is_idle: bool = True) -> bool:
        """Do one batch; False if there is nothing to do.

        Args:
            is_idle: Whether nothing else waits: only then those are woken who could as well wait.
        """
        with self._database.read() as connection:
            it = drafts.current(connection)
        if it is None or it.stage == "refused":
            return False
        if it.stage == "preparing":
            self._prepare(it, now=now)
        elif it.stage == "waking":
            self._write(lambda connection: wake(connection, it, now=now))
        elif is_idle:
            return bool(self._write(lambda connection: settle(connection, it, now=now)))
        else:
            return False
        self._told(it)
        return True

    def run(self, *, clock: Callable[[], Instant]) -> Built:
        """Prepare what is under way until it is live and whom it concerns is due."""
        while (built := outcome(self._database)) is None:
            self.step(now=clock(), is_idle=False)
        return built

    def _prepare(self, it: Backfill, *, now: Instant) -> None:
        if not self._is_read_through:
            read_through(self._database)
            self._is_read_through = True
        with self._database.read() as connection:
            playbook = self._playbook(connection, it)
            drafted = draft(
                connection, playbook, after=it.after, until=it.last, now=now, limit=self._batch
            )
        if drafted.last is None:
            self._go_live(it, playbook, now=now)
            return
        last = drafted.last

        def transaction(connection: Connection) -> None:
            if drafts.move(connection, it, stage="preparing", after=last):
                drafts.write(connection, drafted)
                hit("draft commit")

        self._write(transaction)

    def _playbook(self, connection: Connection, it: Backfill) -> Playbook:
        """The release being prepared, compiled upon the one that is live now."""
        newest = releases.live(connection)
        release = 1 if newest is None else newest.number + 1
        if self._target is None or self._target[0] != (it.id, release):
            workspace = load_bundle(drafts.files_of(connection, it), environ=None)
            playbook = playbook_of(
                connection,
                self._database,
                workspace,
                release=release,
                phases=publish.next_phases(connection, workspace),
                same_since=release,
                vault=self._vault,
            )
            self._target = (it.id, release), playbook
        return self._target[1]

    def _go_live(self, it: Backfill, playbook: Playbook, *, now: Instant) -> None:
        with self._database.read() as connection:
            workspace = load_bundle(drafts.files_of(connection, it), environ=None)
            ready = publish.prepare(
                connection, workspace, now=now, blind=self._vault.mark, kind=it.kind
            )
        ready = replace(ready, is_prepared=True)

        def transaction(connection: Connection) -> None:
            if not drafts.move(connection, it, stage="waking", after=0):
                return
            done = publish.go_live(connection, ready, now=now)
            if not done.changes:  # somebody has made the same files live at once
                drafts.abandon(connection, now=now)
                return
            drafts.went_live(
                connection,
                it,
                release=done.release,
                features=playbook.segments.feature_keys,
                now=now,
            )
            hit("backfill live")

        try:
            self._write(transaction)
        except publish.Outrun:
            return  # an operator's release came between: once more, upon that one
        except InvalidWorkspace as error:
            why = str(error)
            self._write(lambda connection: drafts.refuse(connection, it, why=why))

    def _in_own_transaction(self, function: Callable[[Connection], Any]) -> Any:
        with self._database.write() as connection:
            return function(connection)


def outcome(database: Database) -> Built | None:
    """What came of the last backfill; None while it is not yet live, or wakes people still."""
    with database.read() as connection:
        it = drafts.current(connection)
        if it is not None and it.stage in ("preparing", "waking"):
            return None
        newest = releases.live(connection)
        n_concerned = drafts.n_concerned(connection) if it is not None and it.is_live else 0
    why = it.why if it is not None else ""
    return Built(newest.number if newest else 0, n_concerned, why)


def wake(connection: Connection, it: Backfill, *, now: Instant) -> None:
    """Make the next of those due whom the release concerns."""
    ids = drafts.next_ids(connection, it.after, limit=WAKE_BATCH, concerned_only=True)
    if not ids:
        drafts.move(connection, it, stage="settling", after=0)
        return
    if drafts.move(connection, it, stage="waking", after=ids[-1]):
        drafts.wake(connection, ids, now=now)
        hit("backfill wake")


def settle(connection: Connection, it: Backfill, *, now: Instant) -> bool:
    """Have the next of the others take the release up; end the backfill once all have."""
    ids = drafts.next_ids(connection, it.after, limit=WAKE_BATCH, concerned_only=False)
    if ids:
        if drafts.move(connection, it, stage="settling", after=ids[-1]):
            drafts.wake(connection, ids, now=now)
        return True
    if now < it.since + STALE_MAX:
        return False  # somebody may still leave a mark
    # Whoever is left was marked by a process that had not noticed the release yet.
    drafts.abandon(connection, now=now)
    return True
