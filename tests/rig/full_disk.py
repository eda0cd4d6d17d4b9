"""A disk that is full: at one chosen statement, or for real by SQLite's own page limit."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from engine.store.database import Database


class FullAt:
    """The writing connection of a SQLite database, whose n-th statement finds the disk full.

    Counted from 1 over every BEGIN, statement and COMMIT; `n_done` says how many there were.
    """

    def __init__(self, raw: sqlite3.Connection, n: int) -> None:
        self._raw = raw
        self._n = n
        self.n_done = 0

    def execute(self, sql: str, *given: Any) -> Any:
        self._count(sql)
        return self._raw.execute(sql, *given)

    def executemany(self, sql: str, *given: Any) -> Any:
        self._count(sql)
        return self._raw.executemany(sql, *given)

    def _count(self, sql: str) -> None:
        if sql == "ROLLBACK":
            return
        self.n_done += 1
        if self.n_done == self._n:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorname = "SQLITE_FULL"
            raise error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


@contextmanager
def full_at(database: Database, n: int) -> Iterator[FullAt]:
    """Let the n-th statement of the writer fail; 0 only counts."""
    backend: Any = database._backend
    raw = backend._writer
    backend._writer = faulty = FullAt(raw, n)
    try:
        yield faulty
    finally:
        backend._writer = raw


def leave_room(database: Database, *, pages: int) -> None:
    """Let the file grow by so many pages and no further: the real SQLITE_FULL after that."""
    backend: Any = database._backend
    ((n_pages,),) = backend._writer.execute("PRAGMA page_count").fetchall()
    backend._writer.execute(f"PRAGMA max_page_count = {n_pages + pages}").fetchall()


def is_sound(database: Database) -> bool:
    """Whether SQLite finds no damage."""
    with database.read() as connection:
        return connection.execute("PRAGMA integrity_check") == [("ok",)]
