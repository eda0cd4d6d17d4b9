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


class Cursor(Protocol):
    """As much of the Python database interface (PEP 249) as is used."""

    description: Any

    def fetchall(self) -> list[Any]: ...


class Warehouse(Protocol):
    """An open connection."""

    def execute(self, sql: str) -> Cursor: ...


@contextmanager
def opened(url: str) -> Iterator[Warehouse]:
    """Somebody else's database, to be read.

    Args:
        url: One of `SCHEMES`, or `env:NAME` to read it from the environment.
    Raises:
        UsageError: Without the address, which may hold a password.
    """
    if url.startswith("env:"):
        name = url.removeprefix("env:")
        found = os.environ.get(name)
        if not found:
            raise UsageError(f"--connection: the environment has no {name}")
        url = found
    scheme, _, rest = url.partition("://")
    connection = _connected(scheme, rest, url)
    try:
        yield connection
    finally:
        connection.close()


def _connected(scheme: str, rest: str, url: str) -> Any:
    path = Path(rest.removeprefix("/"))
    if scheme in ("sqlite", "duckdb") and not path.is_file():
        raise UsageError(f"--connection: there is no file {path}")
    try:
        if scheme == "sqlite":
            import sqlite3

            return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        if scheme == "duckdb":
            import duckdb

            return duckdb.connect(str(path), read_only=True)
        if scheme in ("postgresql", "postgres"):
            import psycopg

            connection = psycopg.connect(url, autocommit=True)
            connection.read_only = True
            return connection
    except ImportError as error:
        raise UsageError(f"--connection: {scheme} needs the package {error.name}") from error
    except Exception as error:  # Of any driver; the address may hold a password and is not shown.
        said = type(error).__name__
        raise UsageError(f"--connection: {scheme} cannot be opened ({said})") from error
    raise UsageError(f'--connection: "{scheme}" is not known; allowed are {SCHEMES}')
