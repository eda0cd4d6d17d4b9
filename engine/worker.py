"""`antiphon worker`: one of several processes that play and send for a share of the profiles.

It answers no request and holds no lock on the workspace's folder: any number may run, on any
machine that reaches the database. A kill leaves its partitions to the others (see `store.shares`).
"""

import gc
import logging
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from engine.core.errors import NotOwner
from engine.rehearsed import require_in_earnest
from engine.release.live import load_playbook
from engine.running import Running
from engine.settings import Settings, read_settings
from engine.store.database import Database
from engine.store.migrate import require_current

log = logging.getLogger("antiphon.worker")

RELEASE_SECONDS: Final = 2.0


def work(directory: Path, *, announce: Callable[[str], None]) -> int:
    """Play and send until SIGTERM or SIGINT; gives the exit code.

    Raises:
        NotOwner: If the database is SQLite, or one engine has it for itself.
        StoreError: If the schema is not the one of this program.
    """
    with ExitStack() as closing:
        settings = read_settings(directory)
        database = Database(settings.database_url, idle_seconds_max=settings.lease_seconds)
        closing.callback(database.close)
        database.claim(is_shared=True)
        require_current(database)
        require_in_earnest(database)
        return _Work(settings, database).run(announce)


class _Work:
    def __init__(self, settings: Settings, database: Database) -> None:
        self._asked_to_stop = threading.Event()
        self._why_failed = ""
        self._running = Running(
            settings,
            database,
            public_url=settings.public_url or "http://127.0.0.1:8321",
            load=lambda database, vault: load_playbook(database, vault=vault),
            failed=self._fail,
            role="worker",
        )

    def run(self, announce: Callable[[str], None]) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._asked_to_stop.set())
        try:
            self._running.start(
                every={"release": (RELEASE_SECONDS, self._running.reload_if_changed)}
            )
            # As `serve` does: what lives now lives as long as the process.
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 20, 100)
            announce(self._welcome())
            self._asked_to_stop.wait()
        finally:
            self._running.stop()
        if self._why_failed:
            raise NotOwner(self._why_failed)
        return 0

    def _welcome(self) -> str:
        running = self._running
        lines = [f"Antiphon works for {running.settings.directory} as {running.ticker.owner}"]
        reason = running.not_ready()
        if reason:
            lines.append(reason)
        if not running.settings.public_url:
            lines.append("ANTIPHON_PUBLIC_URL is not set: links in messages lead to this machine.")
        return "\n".join(lines)

    def _fail(self, why: str) -> None:
        self._why_failed = why
        log.error("%s", why)
        self._asked_to_stop.set()
