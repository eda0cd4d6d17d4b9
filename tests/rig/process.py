"""One life of the engine: what it holds in memory between its start and its death."""

import random
from collections.abc import Callable, Mapping
from typing import Any

from channels.base import Provider
from engine.core.model.instants import DAY, Instant
from engine.intake.commit import GroupCommit
from engine.intake.declared import declared
from engine.intake.ingest import Ingest
from engine.intake.prepare import Terms
from engine.release.playbook import Playbook
from engine.sending.composing import Links
from engine.sending.outbox import Outbox
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.events import EventLog
from engine.ticking.tick import Ticker
from engine.vault import Vault
from tests.rig.build import a_playbook

SECRET = "the secret of the rig, not a secret"
RELEASE = "rig_release"


class Process:
    """The parts of a serving engine, without its threads: whoever drives it takes the turns."""

    def __init__(
        self,
        url: str,
        *,
        rng: random.Random,
        clock: Callable[[], Instant],
        providers: Callable[[Database], Mapping[str, Provider]],
        events_per_part: int,
        name: str,
    ) -> None:
        self.name = name
        self.database = Database(url)
        self.log = EventLog(events_per_part=events_per_part)
        self.vault = Vault({1: SECRET}, entropy=rng.randbytes)
        self.playbook: Playbook = self.load()
        self.terms = Terms(
            declared=declared(self.playbook.workspace),
            entropy=rng.randbytes,
            trigger_age_max=DAY,
        )
        self.ingest = Ingest(vault=self.vault, log=self.log)
        self.commits = GroupCommit(self.database, self.ingest, clock=clock)
        self.ticker = self.a_ticker(name)
        self.providers = providers(self.database)
        self.links = Links("https://shop.example", b"0123456789abcdef")
        self.outbox = Outbox(
            self.database,
            vault=self.vault,
            providers=self.providers,
            links=self.links,
            rng=rng,
            write=self.write,
            log=self.log,
        )

    def load(self) -> Playbook:
        """What is live, as the database says."""
        return a_playbook(self._applied())

    def start(self, *, now: Instant) -> None:
        self.database.claim()
        self.outbox.recover(self.playbook, now=now)

    def a_ticker(self, owner: str) -> Ticker:
        return Ticker(self.database, vault=self.vault, log=self.log, owner=owner, write=self.write)

    def write(self, work: Callable[[Connection], Any]) -> Any:
        """Through the one writer, whose turn is taken here."""
        future = self.commits.run(work)
        self.commits._take_turn()
        return future.result(timeout=0)

    def apply(self, release: int, *, now: Instant) -> None:
        """What `antiphon apply` does: a new release, and everybody woken once."""

        def work(connection: Connection) -> None:
            connection.execute(
                "INSERT INTO setting (name, value) VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (RELEASE, str(release)),
            )
            connection.execute(
                "INSERT INTO timer (due, profile_id) SELECT CAST(? AS bigint), profile_id "
                "FROM profile_state WHERE true ON CONFLICT DO NOTHING",
                (now,),
            )

        self.write(work)
        self.playbook = a_playbook(release)

    def _applied(self) -> int:
        with self.database.read() as connection:
            rows = connection.execute("SELECT value FROM setting WHERE name = ?", (RELEASE,))
        return int(rows[0][0]) if rows else 1
