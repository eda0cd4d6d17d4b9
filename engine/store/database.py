"""Opens the operational database, SQLite or PostgreSQL, and hands out transactions.

`write()` is one durable transaction, `read()` one snapshot. SQLite: a single writing connection
behind a lock, and a reading connection a thread; PostgreSQL: a pool. Both answer with the same
`Connection`. What the numbers below gain is measured in the hot-path notes: pages dirtied cost,
`synchronous=FULL` does not.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from engine.core.errors import CommitUnknown, DiskFull, NotOwner, StoreError
from engine.store import arrays
from engine.store.connection import Connection, Dialect, PostgresConnection, SqliteConnection
from engine.store.ownership import FileLock

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy import Engine

__all__ = ["Connection", "Database"]

BUSY_TIMEOUT_MS = 5_000
POOL_SIZE_MAX = 8
CLAIM_SECONDS_MAX = 2.0
ADVISORY_LOCK = 4_702_111_234
"""The PostgreSQL advisory lock that the one owning engine holds, or the workers together (an
arbitrary number of ours)."""

_PRAGMAS = (
    ("busy_timeout", BUSY_TIMEOUT_MS),
    ("journal_mode", "WAL"),
    ("synchronous", "FULL"),
    ("wal_autocheckpoint", 20_000),
    ("cache_size", -65_536),  # KiB
    ("foreign_keys", 0),
    ("temp_store", "MEMORY"),
)


class _Backend(Protocol):
    dialect: Dialect

    def write(self) -> AbstractContextManager[Connection]: ...
    def read(self) -> AbstractContextManager[Connection]: ...
    def claim(self, *, is_shared: bool) -> None: ...
    def close(self) -> None: ...
    def sqlalchemy_engine(self) -> "Engine": ...


class Database:
    """An operational database, found by its address.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://…`.
        read_only: Open what exists and refuse every write.
        is_throwaway: Nobody will miss what a power cut loses (a simulation): SQLite waits for no
            disk then.
        idle_seconds_max: PostgreSQL undoes a transaction of ours that has stood still for so long:
            a process that is frozen in the middle of one holds nobody up. None: never.
    Raises:
        StoreError: If the address is not one of ours, the file is no database, or nobody answers.
    """

    def __init__(
        self,
        url: str,
        *,
        read_only: bool = False,
        is_throwaway: bool = False,
        idle_seconds_max: float | None = None,
    ) -> None:
        self.url = _normalised(url)
        self._backend: _Backend
        if self.url.startswith("sqlite:///"):
            path = Path(unquote(self.url.removeprefix("sqlite:///").partition("?")[0]))
            self._backend = _Sqlite(path, read_only=read_only, is_throwaway=is_throwaway)
        else:
            self._backend = _Postgres(
                self.url, read_only=read_only, idle_seconds_max=idle_seconds_max
            )
        self.dialect: Dialect = self._backend.dialect

    @property
    def file(self) -> Path | None:
        """The SQLite file; None for a server, whose disk is not ours to watch."""
        return getattr(self._backend, "path", None)

    def write(self) -> AbstractContextManager[Connection]:
        """One transaction: durable when the block ends, undone when it raises.

        Raises:
            CommitUnknown: If the commit failed in a way that leaves open whether it happened.
            StoreError: For anything else the database refuses; nothing was committed.
        """
        return self._backend.write()

    def read(self) -> AbstractContextManager[Connection]:
        """One snapshot: what was committed when the block's first statement ran."""
        return self._backend.read()

    def claim(self, *, is_shared: bool = False) -> None:
        """Become the one engine that works on this database, until `close` or death.

        Args:
            is_shared: Become one of several workers instead (PostgreSQL alone).
        Raises:
            NotOwner: If another engine has it, or workers share it.
        """
        self._backend.claim(is_shared=is_shared)

    @cached_property
    def engine(self) -> "Engine":
        """For SQLModel sessions (console, commands) and Alembic; never on a hot path."""
        return self._backend.sqlalchemy_engine()

    def close(self) -> None:
        """Close every connection and give up ownership. Transactions still open are undone."""
        if "engine" in self.__dict__:
            self.engine.dispose()
        self._backend.close()


def _normalised(url: str) -> str:
    for alias in ("postgres://", "postgresql+psycopg://", "postgresql+psycopg2://"):
        if url.startswith(alias):
            return "postgresql://" + url.removeprefix(alias)
    if url.startswith(("postgresql://", "sqlite:///")):
        return url
    scheme = url.partition(":")[0]
    raise StoreError(
        f'ANTIPHON_DATABASE_URL starts with "{scheme}:", which is no database we know; '
        "write sqlite:///path/to/file.db or postgresql://user@host/name"
    )


class _Sqlite:
    dialect: Dialect = "sqlite"

    def __init__(self, path: Path, *, read_only: bool, is_throwaway: bool) -> None:
        if read_only and not path.exists():
            raise StoreError(f"{path} does not exist yet; run `antiphon apply` or `antiphon serve`")
        self.path = path
        self._read_only = read_only
        self._is_throwaway = is_throwaway
        self._lock = threading.Lock()
        self._writer_thread: int | None = None
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._ownership = FileLock(path.with_name(path.name + "-owner"))
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = self._open(query_only=read_only)

    def _open(self, *, query_only: bool) -> sqlite3.Connection:
        try:
            raw = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False, cached_statements=512
            )
            for name, value in _PRAGMAS:
                raw.execute(f"PRAGMA {name} = {value}")
            if self._is_throwaway:
                raw.execute("PRAGMA synchronous = OFF")
            raw.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if query_only:
                raw.execute("PRAGMA query_only = 1")
        except sqlite3.Error as error:
            raise self._explained(error) from error
        self._opened.append(raw)
        return raw

    @contextmanager
    def write(self) -> Iterator[Connection]:
        if self._read_only:
            raise NotOwner(f"{self.path} was opened for reading only")
        assert self._writer_thread != threading.get_ident(), "write() inside write() would wait"
        with self._lock:
            self._writer_thread = threading.get_ident()
            try:
                yield from self._transaction()
            finally:
                self._writer_thread = None

    def _transaction(self) -> Iterator[Connection]:
        raw = self._writer
        try:
            raw.execute("BEGIN IMMEDIATE")
            yield SqliteConnection(raw)
        except BaseException as error:
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise self._explained(error) from error
            raise
        try:
            raw.execute("COMMIT")
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorname", "")
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            if code in ("SQLITE_FULL", "SQLITE_BUSY"):
                raise self._explained(error) from error
            raise CommitUnknown(f"{self.path}: the commit failed half-way: {error}") from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        raw: sqlite3.Connection | None = getattr(self._local, "reader", None)
        if raw is None:
            raw = self._local.reader = self._open(query_only=True)
        if raw.in_transaction:
            yield SqliteConnection(raw)  # inside another read of this thread: the same snapshot
            return
        try:
            raw.execute("BEGIN")
            yield SqliteConnection(raw)
        except sqlite3.Error as error:
            raise self._explained(error) from error
        finally:
            if raw.in_transaction:
                raw.execute("ROLLBACK")

    def claim(self, *, is_shared: bool) -> None:
        if is_shared:
            raise NotOwner(
                f"{self.path}: a SQLite file has one engine. Run `antiphon serve`, or give "
                "ANTIPHON_DATABASE_URL a postgresql:// address for workers"
            )
        if not self._ownership.acquire():
            raise NotOwner(
                f"{self.path}: another engine is running on this database; stop it, or send the "
                "command to it"
            )

    def close(self) -> None:
        with self._lock:
            for raw in self._opened:
                raw.close()
            self._opened.clear()
        self._ownership.release()

    def sqlalchemy_engine(self) -> "Engine":
        from sqlalchemy import create_engine, event
        from sqlalchemy.pool import NullPool

        def connect() -> sqlite3.Connection:
            raw = self._open(query_only=self._read_only)
            self._opened.remove(raw)  # SQLAlchemy closes it
            return raw

        engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
        # The driver would start transactions late and commit around DDL; we say BEGIN ourselves.
        event.listen(engine, "begin", lambda it: it.exec_driver_sql("BEGIN"))
        return engine

    def _explained(self, error: sqlite3.Error) -> StoreError:
        code = getattr(error, "sqlite_errorname", "")
        if code == "SQLITE_NOTADB":
            return StoreError(f"{self.path} is not a database; move it away or name another file")
        if code == "SQLITE_BUSY":
            return StoreError(
                f"{self.path} is locked by another process for {BUSY_TIMEOUT_MS / 1000:.0f} s; "
                "stop it or wait for it"
            )
        if code == "SQLITE_FULL":
            return DiskFull(
                f"{self.path}: the disk is full; nothing was committed. Make room: work goes on "
                "by itself"
            )
        if code == "SQLITE_CANTOPEN":
            return StoreError(f"{self.path} cannot be opened; check the folder and its rights")
        return StoreError(f"{self.path}: {error}")


class _Postgres:
    dialect: Dialect = "postgresql"

    def __init__(self, url: str, *, read_only: bool, idle_seconds_max: float | None) -> None:
        try:
            import psycopg
            from psycopg_pool import ConnectionPool, PoolTimeout
        except ImportError as error:
            raise StoreError(
                "PostgreSQL needs psycopg: install antiphon with its extra, antiphon[postgres]"
            ) from error
        self._psycopg = psycopg
        self._url = url
        self._read_only = read_only
        self._owner: psycopg.Connection[Any] | None = None
        options = "-c synchronous_commit=on -c timezone=UTC"
        if idle_seconds_max is not None:
            milliseconds = max(1, int(idle_seconds_max * 1000))
            options += f" -c idle_in_transaction_session_timeout={milliseconds}"
        self._pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
            url,
            min_size=1,
            max_size=POOL_SIZE_MAX,
            kwargs={"options": options},
            configure=arrays.teach,
            open=False,
        )
        try:
            psycopg.connect(url, connect_timeout=10).close()  # a plain reason instead of a timeout
            self._pool.open(wait=True, timeout=10)
        except (psycopg.Error, PoolTimeout) as error:
            raise StoreError(f"PostgreSQL does not let us in: {str(error).strip()}") from error

    @contextmanager
    def write(self) -> Iterator[Connection]:
        if self._read_only:
            raise NotOwner("this database was opened for reading only")
        with self._borrowed(isolation=None) as raw:
            yield PostgresConnection(raw)
            try:
                raw.commit()
            except self._psycopg.OperationalError as error:
                # A lost connection cannot say whether the server had already committed.
                raise CommitUnknown(f"PostgreSQL was lost during a commit: {error}") from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._borrowed(isolation=self._psycopg.IsolationLevel.REPEATABLE_READ) as raw:
            yield PostgresConnection(raw)
            raw.rollback()

    @contextmanager
    def _borrowed(
        self, *, isolation: "psycopg.IsolationLevel | None"
    ) -> Iterator["psycopg.Connection[Any]"]:
        """A connection whose next transaction is for reading at this level, or for writing."""
        raw = self._pool.getconn()
        try:
            # They travel with the BEGIN; a SET TRANSACTION would wait for the server once more.
            raw.isolation_level, raw.read_only = isolation, None if isolation is None else True
            yield raw
        except self._psycopg.Error as error:
            raise StoreError(f"PostgreSQL: {str(error).strip()}") from error
        finally:
            self._give_back(raw)

    def _give_back(self, raw: "psycopg.Connection[Any]") -> None:
        if not raw.closed:
            try:
                raw.rollback()
            except self._psycopg.Error:
                raw.close()
        self._pool.putconn(raw)

    def claim(self, *, is_shared: bool) -> None:
        # The server takes a moment to notice that the process before us has gone.
        deadline = monotonic() + CLAIM_SECONDS_MAX
        while not self._try_to_claim("_shared" if is_shared else ""):
            if monotonic() > deadline:
                raise NotOwner(
                    "another engine is running on this database; stop it first"
                    + (", or run `antiphon web` in its place" if is_shared else "")
                )
            sleep(0.02)

    def _try_to_claim(self, mode: str) -> bool:
        try:
            if self._owner is None:
                self._owner = self._psycopg.connect(self._url, autocommit=True)
            row = self._owner.execute(
                f"SELECT pg_try_advisory_lock{mode}(%s)".encode(), (ADVISORY_LOCK,)
            ).fetchone()
        except self._psycopg.Error as error:
            raise StoreError(f"PostgreSQL: {str(error).strip()}") from error
        return bool(row and row[0])

    def close(self) -> None:
        if self._owner is not None:
            self._owner.close()
            self._owner = None
        self._pool.close()

    def sqlalchemy_engine(self) -> "Engine":
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        address = "postgresql+psycopg://" + self._url.removeprefix("postgresql://")
        return create_engine(address, poolclass=NullPool)
