"""A database that is not ours: opened by its address, read-only, and closed again.

Where metrics lie in a warehouse only their sums are asked of it: see `engine/readout/warehouse`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from engine.core.errors import UsageError

SCHEMES: Final = "sqlite:///FILE, duckdb:///FILE, postgresql://…"
CONNECT_SECONDS: Final = 10
STATEMENT_SECONDS: Final = 600
"""A statement that takes longer is given up; PostgreSQL alone can be told so."""
READ_ONLY: Final = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"
READ_WRITE: Final = "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"


class Cursor(Protocol):
    """As much of the Python database interface (PEP 249) as is used."""

    description: Any

    def fetchall(self) -> list[Any]: ...


class Warehouse(Protocol):
    """An open connection."""

    def execute(self, sql: str) -> Cursor: ...


@contextmanager
def opened(url: str, *, where: str = "--connection") -> Iterator[Warehouse]:
    """Somebody else's database, to be read.

    Args:
        url: One of `SCHEMES`, or `env:NAME` to read it from the environment.
        where: What the errors begin with: the place that names the address.
    Raises:
        UsageError: Without the address, which may hold a password.
    """
    if url.startswith("env:"):
        name = url.removeprefix("env:")
        found = os.environ.get(name)
        if not found:
            raise UsageError(f"{where}: the environment has no {name}")
        url = found
    scheme, _, rest = url.partition("://")
    connection = _connected(scheme, rest, url, where)
    try:
        yield connection
    finally:
        connection.close()


def _connected(scheme: str, rest: str, url: str, where: str) -> Any:
    path = Path(rest.removeprefix("/"))
    if scheme in ("sqlite", "duckdb") and not path.is_file():
        raise UsageError(f"{where}: there is no file {path}")
    try:
        if scheme == "sqlite":
            import sqlite3

            return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        if scheme == "duckdb":
            import duckdb

            return duckdb.connect(str(path), read_only=True)
        if scheme in ("postgresql", "postgres"):
            import psycopg

            patience: dict[str, Any] = (
                {} if "connect_timeout" in url else {"connect_timeout": CONNECT_SECONDS}
            )
            connection = psycopg.connect(url, autocommit=True, **patience)
            # Without a transaction of psycopg's own its `read_only` says nothing to the server.
            connection.execute(READ_ONLY)
            connection.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")
            return connection
    except ImportError as error:
        raise UsageError(f"{where}: {scheme} needs the package {error.name}") from error
    except Exception as error:  # Of any driver; the address may hold a password and is not shown.
        said = type(error).__name__
        raise UsageError(f"{where}: {scheme} cannot be opened ({said})") from error
    # Without a scheme it may be anything, a password among them.
    found = f'"{scheme}"' if "://" in url else "the scheme of this address"
    raise UsageError(f"{where}: {found} is not known; allowed are {SCHEMES}")
