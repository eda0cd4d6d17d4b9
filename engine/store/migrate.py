"""Brings a database to the schema of this program, and refuses one that is already beyond it."""

from pathlib import Path
from typing import Final

from engine.core.errors import StoreError
from engine.failpoints import hit
from engine.store.database import Database

VERSION_TABLE: Final = "antiphon_version"
HEAD: Final = "0006"
"""The newest step in migrations/versions; a test holds the two equal."""

_NUMBERS: Final = tuple(f"{number:04}" for number in range(1, int(HEAD) + 1))


def current(database: Database) -> str | None:
    """The schema's version ("0001"), or None for a database without tables of ours."""
    known = (
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
        if database.dialect == "sqlite"
        else "SELECT count(*) FROM information_schema.tables "
        "WHERE table_schema = current_schema() AND table_name = ?"
    )
    with database.read() as connection:
        if connection.execute(known, (VERSION_TABLE,))[0][0] == 0:
            return None
        rows = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}")
    return str(rows[0][0]) if rows else None


def upgrade(database: Database) -> None:
    """Run the steps that are missing, all in one transaction.

    Raises:
        StoreError: If a newer Antiphon has written this database.
    """
    found = current(database)
    if found == HEAD:
        return
    _refuse_newer(found)
    from alembic import command
    from alembic.config import Config
    from sqlalchemy.exc import DBAPIError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[2] / "migrations"))
    config.set_main_option("path_separator", "os")
    try:
        with database.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            hit("migration statement")
    except DBAPIError as error:
        raise StoreError(
            f"the schema could not be brought from {found} to {HEAD}: {error.orig}"
        ) from error


def require_current(database: Database) -> None:
    """Raise StoreError unless the schema is exactly the one this program knows."""
    found = current(database)
    _refuse_newer(found)
    if found != HEAD:
        raise StoreError(
            f"the database has schema {found or 'none'}, this program needs {HEAD}; "
            "run `antiphon migrate`"
        )


def _refuse_newer(found: str | None) -> None:
    if found is not None and found not in _NUMBERS:
        raise StoreError(
            f"the database has schema {found}, this program knows up to {HEAD}; "
            "a newer Antiphon wrote it: install that version or restore a backup"
        )
