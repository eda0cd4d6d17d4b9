"""The databases elsewhere as metrics ask them: a temporary table of ours, and one way of writing
instants and numbers, whatever a user's query yields.

Instants become microseconds since 1970, in UTC where nothing says otherwise. Numbers are told apart
by their size: seconds, milliseconds and microseconds of the years 1973 to 5138 do not overlap. What
is no instant, or no number, becomes NULL, and whoever asks counts those.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, Protocol

import numpy as np

from engine.core.errors import UsageError
from engine.store.elsewhere import READ_ONLY, READ_WRITE, opened

Kind = Literal["number", "boolean", "text", "instant", "local", "date", "any", "other"]
"""What a column holds; `local` is a time without a zone, `any` differs from row to row (SQLite)."""
Held = Literal["number", "text"]

SECONDS_MAX: Final = 1e11
MILLISECONDS_MAX: Final = 1e14
_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Elsewhere(Protocol):
    """An open database of somebody else."""

    def keep(self, name: str, columns: Mapping[str, Held], rows: Sequence[Sequence[Any]]) -> None:
        """Make a temporary table, with an index on its first column."""

    def kinds(self, sql: str) -> dict[str, Kind]:
        """What a query yields: its columns in small letters, with what they hold."""

    def instant(self, column: str, kind: Kind) -> str | None:
        """SQL of a column as microseconds since 1970; None if this kind is no instant."""

    def number(self, column: str, kind: Kind) -> str | None:
        """SQL of a column as a number; None if this kind is none."""

    def ask(self, sql: str) -> Sequence[Sequence[Any]]:
        """The rows of a statement."""

    def begin(self) -> None:
        """See one state of the data from here on."""

    def end(self) -> None:
        """See what is new again."""


@contextmanager
def elsewhere(url: str, *, where: str) -> Iterator[Elsewhere]:
    """Open a database by its address.

    Raises:
        UsageError: Without the address; it begins with `where`.
    """
    with opened(url, where=where) as connection:
        scheme = url.partition("://")[0]
        if scheme == "sqlite":
            yield _Sqlite(connection)
        elif scheme == "duckdb":
            yield _Duckdb(connection)
        else:
            yield _Postgresql(connection)


@contextmanager
def one_state(there: Elsewhere) -> Iterator[None]:
    """All statements inside see the same rows."""
    there.begin()
    try:
        yield
    finally:
        there.end()


def instant_of(value: object) -> int | None:
    """Microseconds since 1970 of a number or of an ISO 8601 text; None if it is neither.

    >>> instant_of("1970-01-01 00:00:01"), instant_of(1_700_000_000), instant_of("soon")
    (1000000, 1700000000000000, None)
    """
    if isinstance(value, str):
        try:
            at = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
        return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND
    if not isinstance(value, int | float) or value != value or abs(value) > 2**62:
        return None
    if abs(value) < SECONDS_MAX:
        return round(value * 1_000_000)
    return round(value * 1_000) if abs(value) < MILLISECONDS_MAX else round(value)


class _Open:
    """What the three have in common."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def ask(self, sql: str) -> Sequence[Sequence[Any]]:
        found: Sequence[Sequence[Any]] = self._connection.execute(sql).fetchall()
        return found

    def begin(self) -> None:
        self._connection.execute("BEGIN")

    def end(self) -> None:
        self._connection.execute("ROLLBACK")

    def number(self, column: str, kind: Kind) -> str | None:
        if kind == "boolean":
            return f"CASE WHEN {column} THEN 1.0E0 WHEN NOT {column} THEN 0.0E0 END"
        return f"CAST({column} AS DOUBLE PRECISION)" if kind == "number" else None

    def _create(self, name: str, columns: Mapping[str, Held], rows: str = "") -> None:
        types = {"number": "BIGINT", "text": "VARCHAR"}
        declared = ", ".join(f"{column} {types[held]}" for column, held in columns.items())
        self._connection.execute(f"CREATE TEMPORARY TABLE {name} ({declared})")

    def _index(self, name: str, columns: Mapping[str, Held]) -> None:
        self._connection.execute(f"CREATE INDEX {name}_first ON {name} ({next(iter(columns))})")


def _by_size(column: str) -> str:
    """A number of seconds, milliseconds or microseconds as microseconds."""
    value = f"CAST({column} AS DOUBLE PRECISION)"
    return (
        f"CAST(CASE WHEN ABS({value}) < {SECONDS_MAX:.0f} THEN ROUND({value} * 1000000)"
        f" WHEN ABS({value}) < {MILLISECONDS_MAX:.0f} THEN ROUND({value} * 1000)"
        f" WHEN ABS({value}) < {2**62} THEN ROUND({value}) END AS BIGINT)"
    )


class _Sqlite(_Open):
    """Values have types and columns none, so that each value is asked what it is."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        connection.isolation_level = None
        connection.create_function("antiphon_instant", 1, instant_of, deterministic=True)

    def keep(self, name: str, columns: Mapping[str, Held], rows: Sequence[Sequence[Any]]) -> None:
        self._create(name, columns)
        marks = ", ".join("?" * len(columns))
        self._connection.execute("BEGIN")
        self._connection.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)
        self._connection.execute("COMMIT")
        self._index(name, columns)

    def kinds(self, sql: str) -> dict[str, Kind]:
        cursor = self._connection.execute(f"SELECT * FROM ({sql}) antiphon_q WHERE 1 = 0")
        return {str(column[0]).lower(): "any" for column in cursor.description}

    def instant(self, column: str, kind: Kind) -> str | None:
        return f"antiphon_instant({column})"

    def number(self, column: str, kind: Kind) -> str | None:
        return f"CASE WHEN typeof({column}) IN ('integer', 'real') THEN CAST({column} AS REAL) END"


class _Duckdb(_Open):
    _KINDS: Final[Mapping[str, Kind]] = {
        "BOOLEAN": "boolean", "VARCHAR": "text", "TIMESTAMP WITH TIME ZONE": "instant",
        "TIMESTAMP": "local", "TIMESTAMP_NS": "local", "TIMESTAMP_MS": "local",
        "TIMESTAMP_S": "local", "DATE": "date",
    }  # fmt: skip
    _NUMBERS: Final = ("INT", "UINT", "DOUBLE", "FLOAT", "DECIMAL", "BIGINT", "UBIGINT", "HUGEINT",
                       "SMALLINT", "TINYINT", "USMALLINT", "UTINYINT", "UHUGEINT")  # fmt: skip

    def keep(self, name: str, columns: Mapping[str, Held], rows: Sequence[Sequence[Any]]) -> None:
        self._create(name, columns)
        held = list(zip(*rows, strict=True)) or [()] * len(columns)
        given = {
            column: np.array(values, dtype=np.int64 if columns[column] == "number" else object)
            for column, values in zip(columns, held, strict=True)
        }
        self._connection.register("antiphon_given", given)
        self._connection.execute(f"INSERT INTO {name} SELECT * FROM antiphon_given")
        self._connection.unregister("antiphon_given")

    def kinds(self, sql: str) -> dict[str, Kind]:
        rows = self.ask(f"DESCRIBE SELECT * FROM ({sql}) antiphon_q")
        return {str(row[0]).lower(): self._kind(str(row[1])) for row in rows}

    def _kind(self, declared: str) -> Kind:
        if declared.partition("(")[0].startswith(self._NUMBERS) and not declared.endswith("]"):
            return "other" if declared.startswith("INTERVAL") else "number"
        return self._KINDS.get(declared, "other")

    def instant(self, column: str, kind: Kind) -> str | None:
        if kind == "number":
            return _by_size(column)
        if kind in ("instant", "local", "date"):
            wide = f"CAST({column} AS TIMESTAMP)" if kind != "instant" else column
            return f"CASE WHEN isfinite({wide}) THEN epoch_us({wide}) END"
        return None


class _Postgresql(_Open):
    _KINDS: Final[Mapping[int, Kind]] = {
        16: "boolean", 20: "number", 21: "number", 23: "number", 25: "text", 700: "number",
        701: "number", 1042: "text", 1043: "text", 1082: "date", 1114: "local", 1184: "instant",
        1700: "number",
    }  # fmt: skip
    """By the numbers of PostgreSQL's own types (pg_type.dat)."""

    def keep(self, name: str, columns: Mapping[str, Held], rows: Sequence[Sequence[Any]]) -> None:
        from psycopg.errors import InsufficientPrivilege, ReadOnlySqlTransaction

        # What is temporary is a table all the same: only while it is made may the session write.
        self._connection.execute(READ_WRITE)
        try:
            self._create(name, columns)
        except (InsufficientPrivilege, ReadOnlySqlTransaction) as error:
            raise UsageError(
                "the warehouse lets us make no temporary table, by which it learns who was exposed."
                " A read replica never does; elsewhere: GRANT TEMPORARY ON DATABASE … TO our role"
            ) from error
        with (
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY {name} ({', '.join(columns)}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)
        self._index(name, columns)
        self._connection.execute(f"ANALYZE {name}")
        self._connection.execute(READ_ONLY)

    def kinds(self, sql: str) -> dict[str, Kind]:
        cursor = self._connection.execute(f"SELECT * FROM ({sql}) antiphon_q WHERE 1 = 0")
        return {
            str(column.name).lower(): self._KINDS.get(column.type_code, "other")
            for column in cursor.description
        }

    def instant(self, column: str, kind: Kind) -> str | None:
        if kind == "number":
            return _by_size(column)
        if kind in ("instant", "local", "date"):
            micros = f"CAST(ROUND(EXTRACT(EPOCH FROM {column}) * 1000000) AS BIGINT)"
            return f"CASE WHEN isfinite({column}) THEN {micros} END"
        return None

    def begin(self) -> None:
        self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
