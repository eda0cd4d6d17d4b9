"""One open transaction on either database, in plain DBAPI: tuples in, tuples out.

SQL is written once, with `?` for values. On PostgreSQL it is translated to psycopg's `%s` once per
statement and remembered. No row becomes a dict and nothing here knows a table.
"""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    import psycopg

Dialect: TypeAlias = Literal["sqlite", "postgresql"]
Row: TypeAlias = tuple[Any, ...]

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

    def execute(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        # A statement without values is sent as it stands: only then may it hold several.
        cursor = self.raw.execute(
            translate(sql) if params else sql.encode(), params if params else None
        )
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
        before, at = _split_marker(sql)
        text = before + "= ANY(?)" + sql[len(before) + len(_MARKER) :]
        return self.execute(text, [*params[:at], list(ids), *params[at:]])


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
