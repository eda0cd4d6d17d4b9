"""A shop of the reference mix in a database, with whatever takes events in and plays them.

Read next: `full_path`, which measures it.
"""

import gc
import random
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from benchmarks.reference_mix import BATCH, identify_calls, traffic, workspace_files
from campaigns.load import load_bundle
from engine.core.clocktime import parse_instant
from engine.core.model.instants import HOUR, Instant
from engine.intake.declared import declared
from engine.intake.ingest import Ingest
from engine.intake.prepare import Terms, prepare
from engine.release import publish
from engine.release.playbook import Playbook
from engine.store import migrate
from engine.store.connection import Connection, Row, SqliteConnection
from engine.store.database import Database
from engine.store.events import EventLog
from engine.ticking.tick import Ticker, run_until_idle
from engine.vault import Vault

T = TypeVar("T")

START: Final = parse_instant("2026-03-02T10:00:00Z")
SPAN: Final = 6 * HOUR
GROUP: Final = 5_000
HISTORY_SHARE: Final = 1.0
"""Events of the day before, per profile: nobody is new and every state has something in it."""

Statement = tuple[str, Sequence[Any], bool]
"""SQL, its rows (or the values of one), and whether there are many."""
Request = tuple[Instant, bytes]
"""When a request came, and its body."""


class Recorder(SqliteConnection):
    """A write transaction that notes what is written, for the floor to write again."""

    def __init__(self, raw: sqlite3.Connection, statements: list[Statement]) -> None:
        super().__init__(raw)
        self._statements = statements

    def execute(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        if not sql.startswith("SELECT"):
            self._statements.append((sql, tuple(params), False))
        return super().execute(sql, params)

    def executemany(self, sql: str, rows: Sequence[Row]) -> int:
        self._statements.append((sql, list(rows), True))
        return super().executemany(sql, rows)


class Shop:
    """One database of the reference mix, with whatever reads and writes it.

    Args:
        statements: Where to note what is written, a list for each transaction of ingest or tick.
    """

    def __init__(self, path: Path, *, statements: list[list[Statement]] | None = None) -> None:
        self.database = Database(f"sqlite:///{path}")
        self.vault = Vault({1: "the secret of a benchmark"}, entropy=random.Random(3).randbytes)
        self.log = EventLog()
        self.workspace = load_bundle(workspace_files(), environ={})
        self._statements = statements
        self._ingest = Ingest(vault=self.vault, log=self.log)
        # Events are accepted when they happen, though a group is committed at one stroke.
        self._terms = Terms(
            declared=declared(self.workspace),
            entropy=random.Random(4).randbytes,
            accepted_at="event",
        )

    def playbook(self) -> Playbook:
        playbook = publish.load_playbook(self.database, vault=self.vault)
        assert playbook is not None
        return playbook

    def take_in(self, requests: Sequence[Request]) -> None:
        """Decode, check and commit request bodies as one group."""
        prepared = [
            prepare(body, kind="batch", terms=self._terms, received_at=at) for at, body in requests
        ]
        self.write(
            lambda connection: self._ingest.commit(connection, prepared, now=requests[-1][0])
        )

    def write(self, function: Callable[[Connection], T]) -> T:
        """Run a function in a transaction, and note what it writes where asked."""
        with self.database.write() as connection:
            if self._statements is None:
                return function(connection)
            assert isinstance(connection, SqliteConnection)
            self._statements.append([])
            return function(Recorder(connection.raw, self._statements[-1]))

    def close(self) -> None:
        self.database.close()


def build(path: Path, *, n_profiles: int) -> None:
    """A database in which everyone has a past that is played."""
    shop = Shop(path)
    database = shop.database
    migrate.upgrade(database)
    with database.write() as connection:
        publish.apply(connection, shop.workspace, now=START - 25 * HOUR)
    rng = random.Random(7)
    at = START - 25 * HOUR
    everyone = [(at, body) for body in identify_calls(n_profiles, at=at, rng=rng)]
    n_past = int(n_profiles * HISTORY_SHARE)
    past = [
        (at, traffic(BATCH, n_profiles, at=at, rng=rng))
        for at in clock(n_past, BATCH, since=START - 24 * HOUR, span=8 * HOUR)
    ]
    for some in (everyone, past):
        for first in range(0, len(some), GROUP // BATCH):
            shop.take_in(some[first : first + GROUP // BATCH])
    ticker = Ticker(database, vault=shop.vault, log=shop.log)
    # Played at one stroke: what came before is not measured.
    run_until_idle(ticker, shop.playbook(), floor=START - 25 * HOUR, horizon=START - 1)
    with database.write() as connection:
        connection.execute("ANALYZE")
    shop.close()


def clock(n_events: int, each: int, *, since: Instant = START, span: int = SPAN) -> list[Instant]:
    """The instants of every so many events."""
    return [since + n * span // n_events for n in range(0, n_events, each)]


def settle() -> None:
    """The collector as `serve` sets it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
