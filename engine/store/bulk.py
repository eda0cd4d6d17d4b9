"""Many rows in one breath: plain tuples in, the fastest way of each database.

SQLite runs `executemany`; PostgreSQL takes one array a column through `unnest`, which is as fast
as COPY and, other than COPY, need not be waited for (`Connection.pipelined`). Statement texts are
made once per (table, columns, mode) and remembered. Names of tables and columns come from our own
code, never from input.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from sqlalchemy import BigInteger, Float, LargeBinary, SmallInteger, Table, Text
from sqlmodel import SQLModel

import engine.tables  # noqa: F401  (declares the tables whose column types we read)
from engine.store.connection import Connection, PostgresConnection, Row

Conflict: TypeAlias = Literal["error", "ignore", "replace"] | tuple[str, ...]
"""What to do with a row whose key exists: raise, skip, write every column, or only these."""

_ARRAYS: Final = {
    BigInteger: "int8", SmallInteger: "int2", Text: "text", LargeBinary: "bytea", Float: "float8",
}  # fmt: skip


def insert(
    connection: Connection,
    table: str,
    columns: tuple[str, ...],
    rows: Sequence[Row],
    *,
    on_conflict: Conflict = "error",
) -> None:
    """Insert rows.

    With `replace` or a tuple of columns, of two rows with one key in `rows` the later one wins.
    """
    if not rows:
        return
    if not isinstance(connection, PostgresConnection):
        connection.executemany(_insert_values(table, columns, on_conflict), rows)
        return
    if on_conflict not in ("error", "ignore"):
        # One PostgreSQL statement may not touch a row twice.
        places = [columns.index(name) for name in primary_key(table)]
        rows = list({tuple(row[i] for i in places): row for row in rows}.values())
    connection.execute_on(_insert_arrays(table, columns, on_conflict), _types(table, columns), rows)


def update(
    connection: Connection,
    table: str,
    key: tuple[str, ...],
    columns: tuple[str, ...],
    rows: Sequence[Row],
) -> None:
    """Set `columns` where `key` matches; every row is (*key values, *column values).

    No key may come twice.
    """
    if isinstance(connection, PostgresConnection):
        connection.execute_on(
            _update_arrays(table, key, columns), _types(table, key + columns), rows
        )
    elif rows:
        connection.executemany(_update_values(table, key, columns), rows)


def delete(connection: Connection, table: str, key: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Delete the rows whose `key` columns equal one of `rows`."""
    if isinstance(connection, PostgresConnection):
        connection.execute_on(_delete_arrays(table, key), _types(table, key), rows)
    elif rows:
        connection.executemany(_delete_values(table, key), rows)


def reserve(connection: Connection, counter: str, n: int) -> int:
    """Take `n` ids of a noun and give the first; the others follow it.

    The counter's row stays locked until commit, so on PostgreSQL ids are in order of commits.
    """
    rows = connection.execute(
        "INSERT INTO counter (name, value) VALUES (?, ?) ON CONFLICT (name) "
        "DO UPDATE SET value = counter.value + excluded.value RETURNING value",
        (counter, n),
    )
    return int(rows[0][0]) - n + 1


def last(connection: Connection, counter: str) -> int:
    """Lock a counter as `reserve` does and give its last number, 0 for a new one."""
    return reserve(connection, counter, 0) - 1


@lru_cache(maxsize=256)
def primary_key(table: str) -> tuple[str, ...]:
    return tuple(column.name for column in _declared(table).primary_key)


def _declared(table: str) -> Table:
    # All parts of the event log have the shape of the first.
    return SQLModel.metadata.tables["event_1" if table.startswith("event_") else table]


@lru_cache(maxsize=256)
def _types(table: str, columns: tuple[str, ...]) -> tuple[str, ...]:
    declared = _declared(table).columns
    return tuple(
        next(name for kind, name in _ARRAYS.items() if isinstance(declared[column].type, kind))
        for column in columns
    )


@lru_cache(maxsize=256)
def _insert_values(table: str, columns: tuple[str, ...], on_conflict: Conflict) -> str:
    values = ", ".join("?" * len(columns))
    return (
        f"INSERT INTO {_quoted(table)} ({_listed(columns)}) VALUES ({values})"
        f"{_on_conflict(table, columns, on_conflict)}"
    )


@lru_cache(maxsize=256)
def _insert_arrays(table: str, columns: tuple[str, ...], on_conflict: Conflict) -> bytes:
    return (
        f"INSERT INTO {_quoted(table)} ({_listed(columns)}) "
        f"SELECT * FROM {_unnest(table, columns)}{_on_conflict(table, columns, on_conflict)}"
    ).encode()


def _on_conflict(table: str, columns: tuple[str, ...], on_conflict: Conflict) -> str:
    if on_conflict == "error":
        return ""
    if on_conflict == "ignore":
        return " ON CONFLICT DO NOTHING"
    key = primary_key(table)
    written = on_conflict if isinstance(on_conflict, tuple) else columns
    changes = ", ".join(f'"{name}" = excluded."{name}"' for name in written if name not in key)
    action = f"UPDATE SET {changes}" if changes else "NOTHING"
    return f" ON CONFLICT ({_listed(key)}) DO {action}"


@lru_cache(maxsize=256)
def _update_values(table: str, key: tuple[str, ...], columns: tuple[str, ...]) -> str:
    # Numbered values let a row keep its order (key first) though SQL wants the key last.
    n = len(key)
    changes = ", ".join(f'"{name}" = ?{n + i}' for i, name in enumerate(columns, start=1))
    found = " AND ".join(f'"{name}" = ?{i}' for i, name in enumerate(key, start=1))
    return f"UPDATE {_quoted(table)} SET {changes} WHERE {found}"


@lru_cache(maxsize=256)
def _update_arrays(table: str, key: tuple[str, ...], columns: tuple[str, ...]) -> bytes:
    changes = ", ".join(f'"{name}" = given."{name}"' for name in columns)
    found = " AND ".join(f'it."{name}" = given."{name}"' for name in key)
    given = f"{_unnest(table, key + columns)} AS given ({_listed(key + columns)})"
    return f"UPDATE {_quoted(table)} AS it SET {changes} FROM {given} WHERE {found}".encode()


@lru_cache(maxsize=256)
def _delete_values(table: str, key: tuple[str, ...]) -> str:
    found = " AND ".join(f'"{name}" = ?' for name in key)
    return f"DELETE FROM {_quoted(table)} WHERE {found}"


@lru_cache(maxsize=256)
def _delete_arrays(table: str, key: tuple[str, ...]) -> bytes:
    found = " AND ".join(f'it."{name}" = given."{name}"' for name in key)
    given = f"{_unnest(table, key)} AS given ({_listed(key)})"
    return f"DELETE FROM {_quoted(table)} AS it USING {given} WHERE {found}".encode()


def _unnest(table: str, columns: tuple[str, ...]) -> str:
    return f"unnest({', '.join(f'%s::{kind}[]' for kind in _types(table, columns))})"


def _listed(columns: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _quoted(name: str) -> str:
    return f'"{name}"'
