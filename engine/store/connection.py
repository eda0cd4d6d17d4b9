"""One open transaction on either database, in plain DBAPI: tuples in, tuples out.

SQL is written once, with `?` for values. On PostgreSQL it is translated to psycopg's `%s` once per
statement and remembered. No row becomes a dict and nothing here knows a table.
"""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from engine.store.arrays import packed, packed_ids

if TYPE_CHECKING:
    import psycopg

Dialect: TypeAlias = Literal["sqlite", "postgresql"]
Row: TypeAlias = tuple[Any, ...]
Answer: TypeAlias = Callable[[], list[Row]]

_MARKER = "IN (?)"
_VARIABLES_MAX = 1_024
"""SQLite allows 32,766 variables in a statement, but pieces this long cost the least padding."""


class Connection(ABC):
    """A transaction that is open for as long as its `with` block of `Database`.

    Raises the driver's errors inside the block; `Database` turns them into `StoreError` as they
    leave it.
    """

    dialect: Dialect

    @abstractmethod
    def execute(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        """Run one statement and give its rows, or [] where it has none."""

    @abstractmethod
    def executemany(self, sql: str, rows: Sequence[Row]) -> int:
        """Run one statement for every row; give the number of rows it changed in all."""

    @abstractmethod
    def select_in(self, sql: str, ids: Sequence[Any], params: Sequence[Any] = ()) -> list[Row]:
        """Run a statement whose first "IN (?)" stands for a list of ids of any length.

        `params` are the values of every other `?`, in order. All ids have one type: integer, text
        or bytes. No ids, no statement.

        For example `select_in("SELECT id, zone FROM profile WHERE id IN (?)", [4, 9])`.
        """

    def ask(self, sql: str, ids: Sequence[Any], params: Sequence[Any] = ()) -> Answer:
        """`select_in`, whose rows are wanted later: give a function to call for them, once.

        Where statements are pipelined the server works on it meanwhile.
        """
        return lambda: self.select_in(sql, ids, params)

    @contextmanager
    def pipelined(self) -> Iterator[None]:
        """Send what is asked for and bulk writes inside the block without waiting for the server.

        What comes out of it is the same, in the same order; the error of a statement may be raised
        by a later one, at the latest by the end of the block. A database within our own process
        has nobody to wait for.
        """
        yield

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo everything done inside the block if it raises, and nothing else."""
        self.execute("SAVEPOINT inner_work")
        try:
            yield
        except BaseException:
            self.execute("ROLLBACK TO SAVEPOINT inner_work")
            self.execute("RELEASE SAVEPOINT inner_work")
            raise
        self.execute("RELEASE SAVEPOINT inner_work")


class SqliteConnection(Connection):
    """A transaction on a SQLite file."""

    dialect: Dialect = "sqlite"

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw

    def execute(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        return self.raw.execute(sql, params).fetchall()

    def executemany(self, sql: str, rows: Sequence[Row]) -> int:
        return self.raw.executemany(sql, rows).rowcount

    def select_in(self, sql: str, ids: Sequence[Any], params: Sequence[Any] = ()) -> list[Row]:
        if not ids:
            return []
        before, at = _split_marker(sql)
        if not isinstance(ids[0], bytes):
            by_json = (
                before + "IN (SELECT value FROM json_each(?))" + sql[len(before) + len(_MARKER) :]
            )
            values = [*params[:at], msgspec.json.encode(ids).decode(), *params[at:]]
            return self.raw.execute(by_json, values).fetchall()
        # JSON holds no bytes. Lists are padded to a power of two with their last id, so that the
        # driver's statement cache sees a handful of texts and not one per length.
        found: list[Row] = []
        for start in range(0, len(ids), _VARIABLES_MAX):
            piece = list(ids[start : start + _VARIABLES_MAX])
            piece += [piece[-1]] * ((1 << (len(piece) - 1).bit_length()) - len(piece))
            listed = f"IN ({','.join('?' * len(piece))})"
            text = before + listed + sql[len(before) + len(_MARKER) :]
            found += self.raw.execute(text, [*params[:at], *piece, *params[at:]]).fetchall()
        return found


class PostgresConnection(Connection):
    """A transaction on PostgreSQL through psycopg 3."""

    dialect: Dialect = "postgresql"

    def __init__(self, raw: "psycopg.Connection[Row]") -> None:
        self.raw = raw
        self._pipeline: psycopg.Pipeline | None = None

    def execute(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        # A statement without values is sent as it stands: only then may it hold several.
        cursor = self._sent(translate(sql) if params else sql.encode(), params if params else None)
        if self._pipeline is not None:
            self._pipeline.sync()
        return cursor.fetchall() if cursor.description else []

    def executemany(self, sql: str, rows: Sequence[Row]) -> int:
        if not rows:
            return 0
        with self.raw.cursor() as cursor:
            cursor.executemany(translate(sql), rows)
            return cursor.rowcount

    def select_in(self, sql: str, ids: Sequence[Any], params: Sequence[Any] = ()) -> list[Row]:
        if not ids:
            return []
        return self.ask(sql, ids, params)()

    def ask(self, sql: str, ids: Sequence[Any], params: Sequence[Any] = ()) -> Answer:
        if not ids:
            return list
        before, at = _split_marker(sql)
        text = before + "= ANY(?)" + sql[len(before) + len(_MARKER) :]
        values = [*params[:at], packed_ids(ids), *params[at:]]
        return self._sent(translate(text), values, binary=True).fetchall

    def execute_on(self, sql: bytes, types: Sequence[str], rows: Sequence[Row]) -> None:
        """Run one statement on columns of these types as arrays, each a `%s`, made of `rows`."""
        if rows:
            columns = zip(types, zip(*rows, strict=True), strict=True)
            self._sent(sql, [packed(kind, values) for kind, values in columns])

    def _sent(
        self, sql: bytes, params: Sequence[Any] | None, *, binary: bool = False
    ) -> "psycopg.Cursor[Row]":
        """Send a statement; in a pipeline without waiting for its end, but whole and ended.

        A server that was told of no end counts as busy, so the timeout that takes its locks from a
        process of ours that is frozen (`idle_seconds_max`) would never come; psycopg (3.3) has no
        public word for it. And its own `sync` waits for the answer to what is not sent yet, if the
        statement is larger than a socket's buffer: for ever.
        """
        cursor = self.raw.execute(sql, params, binary=binary)
        if self._pipeline is not None:
            from psycopg.generators import send

            self._pipeline._enqueue_sync()
            self.raw.wait(self._pipeline._communicate_gen())
            self.raw.wait(send(self.raw.pgconn))
        return cursor

    @contextmanager
    def pipelined(self) -> Iterator[None]:
        with self.raw.pipeline() as self._pipeline:
            try:
                yield
            finally:
                self._pipeline = None


@lru_cache(maxsize=1024)
def translate(sql: str) -> bytes:
    """Turn `?` outside of quoted text into `%s`, and every `%` into `%%`, as psycopg reads it.

    >>> translate("SELECT '?' , a % ? FROM t")
    b"SELECT '?' , a %% %s FROM t"
    """
    pieces = sql.replace("%", "%%").split("'")
    # Every second piece lies between quotes; a doubled quote inside text keeps the count even.
    pieces[::2] = [piece.replace("?", "%s") for piece in pieces[::2]]
    return "'".join(pieces).encode()


@lru_cache(maxsize=256)
def _split_marker(sql: str) -> tuple[str, int]:
    """The text before the marker and the number of other values that come before it."""
    before, marker, _ = sql.partition(_MARKER)
    assert marker, f"no {_MARKER!r} in {sql!r}"
    return before, before.count("?")
