"""`antiphon scheduler`, and what every process that keeps schedules has in common.

It plays and sends nothing: it begins what is due, itself or at Prefect. Beside workers it is one
more that may lead; whoever does, the others wait for its lease to run out.
"""

import logging
import os
import secrets
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Protocol

from apscheduler.schedulers.background import BackgroundScheduler

from engine.core.errors import UsageError
from engine.core.model.instants import SECOND, Instant
from engine.release.live import has_learnt_more, load_playbook
from engine.release.playbook import Playbook
from engine.scheduling.handing_over import VARIABLE, HandOver
from engine.scheduling.means import Means
from engine.scheduling.ticking import TICK_SECONDS, Scheduling
from engine.settings import Settings, read_settings
from engine.steady import ASK_EVERY, DatabaseClock, SteadyClock
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.migrate import require_current
from engine.ticking.tick import Ticker
from engine.vault import Vault

log = logging.getLogger("antiphon.schedules")

RELEASE_SECONDS: Final = 2.0


class Engine(Protocol):
    """What schedules need of a process that plays."""

    settings: Settings
    database: Database
    vault: Vault
    playbook: Playbook | None
    present: Callable[[], Instant]
    ticker: Ticker

    def write(self, change: Callable[[Connection], Any]) -> Any:
        """Run a change in the one writer and give its result, committed."""

    def reload(self) -> Playbook | None:
        """Play by what is applied now."""


def schedules_of(means: Means, *, owner: str, is_steady: Callable[[], bool]) -> Scheduling:
    """The schedules of a process: at Prefect where PREFECT_API_URL is set, else in threads of ours.

    A SQLite file has one engine, which leads without a lease.
    """
    return Scheduling(
        means,
        owner=owner,
        is_alone=means.database.dialect == "sqlite",
        is_steady=is_steady,
        hand_over=HandOver() if os.environ.get(VARIABLE, "").strip() else None,
    )


def schedules_of_engine(running: Engine, *, is_steady: Callable[[], bool]) -> Scheduling:
    """The schedules of a process that plays, too: what it writes goes through its one writer."""
    means = Means(
        directory=running.settings.directory,
        database=running.database,
        vault=running.vault,
        write=running.write,
        playbook=lambda: running.playbook,
        now=running.present,
        plays=True,
        learnt=running.reload,
    )
    return schedules_of(means, owner=running.ticker.owner, is_steady=is_steady)


def keep_schedules(directory: Path, *, announce: Callable[[str], None]) -> int:
    """Begin what is due until SIGTERM or SIGINT; gives the exit code.

    Raises:
        UsageError: If the database is SQLite, whose one engine does this already.
        StoreError: If the schema is not the one of this program.
    """
    with ExitStack() as closing:
        settings = read_settings(directory)
        database = Database(settings.database_url)
        closing.callback(database.close)
        if database.dialect == "sqlite":
            raise UsageError(
                "a SQLite file has one engine, which keeps the schedules, too: `antiphon serve`. "
                "For a scheduler of its own give ANTIPHON_DATABASE_URL a postgresql:// address"
            )
        require_current(database)
        keeper = _Keeper(settings.directory, database, Vault(
            {1: settings.secret_key}, entropy=secrets.token_bytes
        ))  # fmt: skip
        return keeper.run(announce)


class _Keeper:
    def __init__(self, directory: Path, database: Database, vault: Vault) -> None:
        self._directory, self._database, self._vault = directory, database, vault
        self._now = DatabaseClock(database)
        self._clock = SteadyClock(wall=self._now)
        self._playbook: Playbook | None = None
        self._owner = f"scheduler-{secrets.token_hex(4)}"
        means = Means(
            directory, database, vault, self._write, lambda: self._playbook, self._now,
            learnt=self._load,
        )  # fmt: skip
        self._schedules = schedules_of(means, owner=self._owner, is_steady=self._clock.is_steady)
        self._asked_to_stop = threading.Event()

    def run(self, announce: Callable[[str], None]) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._asked_to_stop.set())
        self._load()
        scheduler = BackgroundScheduler(
            timezone="UTC",
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        scheduler.add_job(self._schedules.tick, "interval", seconds=TICK_SECONDS, id="schedules")
        scheduler.add_job(self._reload, "interval", seconds=RELEASE_SECONDS, id="release")
        scheduler.add_job(self._now.ask, "interval", seconds=ASK_EVERY // SECOND, id="clock")
        scheduler.start()
        try:
            announce(f"Antiphon keeps the schedules of {self._directory} as {self._owner}")
            self._asked_to_stop.wait()
        finally:
            scheduler.shutdown(wait=True)
            self._schedules.close()
        return 0

    def _write(self, change: Callable[[Connection], Any]) -> Any:
        with self._database.write() as connection:
            return change(connection)

    def _load(self) -> None:
        # No provider is called from here: nobody's secrets are needed.
        self._playbook = load_playbook(self._database, vault=self._vault, environ=None)

    def _reload(self) -> None:
        playbook = self._playbook
        with self._database.read() as connection:
            newest = connection.execute("SELECT max(number) FROM release")[0][0]
            has_more = playbook is not None and has_learnt_more(connection, playbook.program)
        if newest is not None and (
            playbook is None or playbook.program.release != newest or has_more
        ):
            self._load()
