"""A process that plays the rig's shop: files go live, operators give orders, the API triggers.

Releases and orders are rows that the engine's own code writes and reads; what it cannot read is the
files, which are the programs of `shop` here. Each goes live as `publish.go_live` would have it: one
transaction, everybody woken.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

import msgspec

from engine.core.errors import UsageError
from engine.core.model.instants import Instant
from engine.intake.triggering import TriggerCall, Triggered, accept_trigger, read_trigger
from engine.release import releases
from engine.release.operating import Done, Order, carry_out, wake_everyone
from engine.release.playbook import Playbook
from engine.store.connection import Connection
from tests.rig.process import Process
from tests.rig.shop import FIRST, the_shop

CAMPAIGN: Final = "pickup"


class Held(NamedTuple):
    """From which release on a campaign is held, and how; "" for not at all.

    `inside` are the enrollments that stood in it when the order was committed.
    """

    release: int
    campaign: str
    held: str
    inside: frozenset[int]


class OperatedProcess(Process):
    """One life of the engine of a shop that is being worked on."""

    def load(self) -> Playbook:
        # In a thread of its own: a batch may be reading in this one, and sees no later commit.
        with ThreadPoolExecutor(1) as executor:
            return executor.submit(self._loaded).result()

    def _loaded(self) -> Playbook:
        with self.database.read() as connection:
            rows = connection.execute("SELECT digest FROM release ORDER BY number")
            operations = connection.execute(
                "SELECT name, state FROM operation WHERE noun = 'campaign' ORDER BY name"
            )
        files = tuple(row[0] for row in rows) or (FIRST,)
        return the_shop(files, tuple((name, state.encode()) for name, state in operations))

    def start(self, *, now: Instant) -> None:
        super().start(now=now)
        with self.database.read() as connection:
            is_first = releases.live(connection) is None
        if is_first:
            self.write(lambda connection: self._record(connection, FIRST, "apply", now))

    def publish(self, files: str, *, is_rollback: bool, now: Instant) -> None:
        """Make a file version live; a rollback differs only in what its release is called."""

        def work(connection: Connection) -> None:
            self._record(connection, files, "rollback" if is_rollback else "apply", now)
            wake_everyone(connection, now=now)

        self.write(work)
        self.playbook = self.load()

    def order(self, order: Order, *, now: Instant) -> Held | None:
        """Have an operator's order carried out; None if there is nothing it could change."""
        workspace = self.playbook.workspace

        def work(connection: Connection) -> tuple[Done, frozenset[int]]:
            rows = connection.execute(
                "SELECT id FROM enrollment WHERE status = 'active' AND campaign = ?",
                (order.campaign,),
            )
            done = carry_out(connection, order, workspace=workspace, now=now)
            return done, frozenset(int(row[0]) for row in rows)

        try:
            done, inside = self.write(work)
        except UsageError:
            return None
        if not done.release:
            return None
        self.playbook = self.load()
        return Held(done.release, order.campaign, done.held, inside)

    def a_trigger(self, user: str, order: str, *, now: Instant) -> TriggerCall:
        """A call of the API that starts a campaign, with the order as its Idempotency-Key."""
        body: dict[str, Any] = {"userId": user, "properties": {"order": order}}
        return read_trigger(CAMPAIGN, body, key=order, terms=self.terms, received_at=now)

    def trigger(self, call: TriggerCall, *, now: Instant) -> Triggered:
        """Take the call in; the answer that goes out once it is committed."""
        done = self.write(lambda it: accept_trigger(it, call, ingest=self.ingest, now=now))
        return msgspec.convert(done, Triggered)

    def _record(
        self, connection: Connection, files: str, kind: releases.Kind, now: Instant
    ) -> None:
        summary = [f"the files {files}"]
        releases.record(connection, digest=files, files=None, kind=kind, summary=summary, now=now)
