"""`antiphon serve`: everything in one process, from the lock to the last commit.

Order matters twice. Starting: lock, schema, ownership, socket, engine, and only then the word that
says where we are. Stopping: no new requests, those under way answered, engine stopped, writer
closed, word removed. A kill at any point leaves nothing that bars the next start: locks die with
the process, and a stale serve.json is ignored without its lock.
"""

import gc
import hmac
import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

import uvicorn

from engine.core.errors import NotOwner, UsageError
from engine.local import Address, engine_lock, read_address, write_address
from engine.operations import operations
from engine.rehearsed import require_in_earnest
from engine.release.playbook import Playbook
from engine.running import Running
from engine.settings import DIRECTORY, Settings, link_ring, read_settings
from engine.steady import present
from engine.store import keys as write_keys
from engine.store.database import Database
from engine.store.migrate import upgrade
from engine.vault import Vault
from engine.web.app import create_app
from engine.web.gauges import Gauges
from engine.web.keyring import Budget, KeyRing
from engine.web.readers import Readers
from engine.web.services import Services

log = logging.getLogger("antiphon.serve")

LOCK_SECONDS_MAX: Final = 2.0
READERS: Final = 3
GAUGE_SECONDS: Final = 15.0
RELEASE_SECONDS: Final = 2.0
RESERVE_SECONDS: Final = 10.0
OPTIMIZE_SECONDS: Final = 3600.0
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


def serve(
    directory: Path,
    *,
    host: str,
    port: int,
    is_open: bool,
    announce: Callable[[str], None],
    plays: bool = True,
) -> int:
    """Serve a workspace until SIGTERM or SIGINT; gives the exit code.

    Args:
        port: 0 takes any free one; `announce` is told the address either way.
        is_open: Show the pages to whoever reaches them, without the token.
        plays: Play and send, too; without it workers do, beside us on PostgreSQL.
    Raises:
        NotOwner: If another engine serves this workspace or database.
        UsageError: If the address cannot be listened on, or a setting is wrong.
    """
    with ExitStack() as closing:
        _take_lock(directory, closing)
        settings = read_settings(directory)
        database = Database(settings.database_url)
        closing.callback(database.close)
        upgrade(database)
        require_in_earnest(database)
        if plays:
            database.claim()
        elif database.dialect == "sqlite":
            raise UsageError(
                "a SQLite file has one engine, which is part of `antiphon serve`. For a process "
                "that only answers give ANTIPHON_DATABASE_URL a postgresql:// address"
            )
        listener = _listen(host, port)
        closing.callback(listener.close)
        address = _address(listener, host)
        process = _Process(settings, database, listener, address, is_open=is_open, plays=plays)
        return process.run(announce)


class _Process:
    """The parts of one serving process and the order in which they live and die."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        listener: socket.socket,
        address: str,
        *,
        is_open: bool,
        plays: bool,
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._address = address
        self._local_token = secrets.token_urlsafe(32)
        self._page_token = _page_token(settings)
        self._why_failed = ""
        self._running = Running(
            settings,
            database,
            public_url=settings.public_url or address,
            load=load_playbook,
            failed=self._fail,
            role="alone" if plays else "web",
        )
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._gauges = Gauges(database, clock=present)
        self._keys = KeyRing(lambda: _usable_keys(database), clock=present)
        self._is_open = is_open
        self._server = uvicorn.Server(self._config(create_app(self._services(database))))

    def run(self, announce: Callable[[str], None]) -> int:
        """Start, serve, stop; the exit code."""
        try:
            self._running.start(
                every={
                    "gauges": (GAUGE_SECONDS, self._gauges.overview),
                    "release": (RELEASE_SECONDS, self._running.reload_if_changed),
                    "reserve": (RESERVE_SECONDS, self._running.reserve.keep),
                    "optimize": (OPTIMIZE_SECONDS, self._running.optimize),
                }
            )
            self._serve(announce)
        finally:
            self._running.stop()
            self._readers.shutdown(wait=True, cancel_futures=True)
        if self._why_failed:
            raise NotOwner(self._why_failed)
        return 0

    def _serve(self, announce: Callable[[str], None]) -> None:
        """Say where we are, answer until a signal comes, take the word back."""
        word = write_address(
            self._settings.directory, Address(self._address, self._local_token, os.getpid())
        )
        # What lives now lives as long as the process: the collector need not look at it again,
        # and need not look at the rest so often (hot-path lesson 9: 1.24-1.3x).
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        # Until uvicorn takes the signals over, a stop must not be lost; and it raises them again
        # after its own clean stop, when ours is not finished.
        for number in (signal.SIGTERM, signal.SIGINT):
            if threading.current_thread() is threading.main_thread():
                signal.signal(number, self._asked_to_stop)
        announce(self._welcome())
        try:
            self._server.run(sockets=[self._listener])
        finally:
            with suppress(FileNotFoundError):
                word.unlink()

    def _services(self, database: Database) -> Services:
        running = self._running
        return Services(
            settings=self._settings,
            database=database,
            log=running.log,
            clock=present,
            terms=running.terms,
            accept=running.accept,
            trigger=running.trigger,
            write=running.write_soon,
            reads=self._readers,
            gauges=self._gauges,
            keys=self._keys,
            budget=Budget(per_second=self._settings.key_events_per_second_max, clock=present),
            link_keys=link_ring(self._settings),
            waiting=running.waiting,
            program=lambda: running.playbook.program if running.playbook else None,
            kinds=lambda: running.playbook.kinds if running.playbook else frozenset(),
            segments=lambda: running.playbook.segments if running.playbook else None,
            not_ready=running.not_ready,
            tick_lag_seconds=running.tick_lag_seconds,
            destination=running.destination,
            make_room=running.reserve.release,
            lanes=lambda: running.paces.states(running.present),
            public_url=running.links.public_url,
            readers=Readers(
                lambda: running.playbook,
                directory=self._settings.directory / DIRECTORY,
                now=running.present,
            ),
            address_hash=running.vault.address_hash,
            vault=running.vault,
            local_token=self._local_token,
            page_token=self._page_token,
            local=operations(running, keys_changed=self._keys.forget),
            is_open=self._is_open,
            is_stopping=lambda: self._server.should_exit,
        )

    def _config(self, app: Any) -> uvicorn.Config:
        return uvicorn.Config(
            app,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=True,
            limit_concurrency=self._settings.connections_max,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=max(1, int(self._settings.drain_seconds_max)),
        )

    def _asked_to_stop(self, *_signal: object) -> None:
        self._server.should_exit = True

    def _fail(self, why: str) -> None:
        """The engine must not go on: stop the server, then say why."""
        self._why_failed = why
        log.error("%s", why)
        self._server.should_exit = True

    def _welcome(self) -> str:
        look = self._address if self._is_open else f"{self._address}/?token={self._page_token}"
        lines = [f"Antiphon serves {self._settings.directory} at {self._address}"]
        lines.append(f"Look around: {look}")
        reason = self._running.not_ready()
        if reason:
            lines.append(reason)
        if not self._settings.public_url:
            lines.append(
                "ANTIPHON_PUBLIC_URL is not set: links in messages work on this machine only."
            )
        return "\n".join(lines)


def _take_lock(directory: Path, closing: ExitStack) -> None:
    if not directory.is_dir():
        raise UsageError(f"{directory}: not a directory. Make one with: antiphon init {directory}")
    lock = engine_lock(directory)
    # A command that asks who is here holds the lock for a moment.
    deadline = time.monotonic() + LOCK_SECONDS_MAX
    while not lock.acquire():
        if time.monotonic() > deadline:
            other = read_address(directory)
            where = f" (pid {other.pid}, {other.address})" if other else ""
            raise NotOwner(
                f"{directory}: another antiphon serve runs here{where}. Stop it, or use it."
            )
        time.sleep(0.05)
    closing.callback(lock.release)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, OverflowError) as error:  # OverflowError: a port beyond 65535
        why = getattr(error, "strerror", "") or str(error).rstrip(".")
        raise UsageError(
            f"cannot listen on {host} port {port}: {why}. Choose another with --port."
        ) from error
    listener.listen(2048)
    listener.setblocking(False)
    return listener


def _address(listener: socket.socket, host: str) -> str:
    port = listener.getsockname()[1]
    shown = "127.0.0.1" if host in ("", "0.0.0.0", *LOOPBACK[:2]) else host
    shown = "[::1]" if host in ("::", "::1") else f"[{shown}]" if ":" in shown else shown
    return f"http://{shown}:{port}"


def _page_token(settings: Settings) -> str:
    """The same after a restart, so that an open browser tab goes on working."""
    return hmac.digest(settings.secret_key.encode(), b"antiphon pages 1", "sha256").hex()[:32]


def load_playbook(database: Database, vault: Vault) -> Playbook | None:
    """What is applied, compiled; None (and nothing imported) before the first apply."""
    with database.read() as connection:
        if connection.execute("SELECT count(*) FROM release")[0][0] == 0:
            return None
    from engine.release import publish

    return publish.load_playbook(database, vault=vault)


def _usable_keys(database: Database) -> dict[bytes, write_keys.KeyKind]:
    with database.read() as connection:
        return write_keys.valid(connection)
