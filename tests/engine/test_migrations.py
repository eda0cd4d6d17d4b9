"""The schema: what the steps build equals what `engine/tables.py` declares, on both databases."""

import re
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect
from sqlmodel import SQLModel

import engine.tables  # noqa: F401
from engine import failpoints
from engine.core.errors import StoreError
from engine.store import migrate
from engine.store.database import Database
from engine.store.events import COLUMNS


def test_upgrade_to_head_equals_the_declared_tables(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": migrate.VERSION_TABLE, "compare_type": True}
        )
        differences = compare_metadata(context, SQLModel.metadata)

    assert differences == []


def test_upgrade_is_done_once_and_says_its_version(empty_url: str) -> None:
    database = Database(empty_url)
    before = migrate.current(database)

    migrate.upgrade(database)
    migrate.upgrade(database)

    assert before is None
    assert migrate.current(database) == migrate.HEAD
    migrate.require_current(database)
    database.close()


def test_a_crash_during_the_steps_leaves_an_empty_database(empty_url: str) -> None:
    database = Database(empty_url)

    def crash(name: str) -> None:
        if name == "migration statement":
            raise failpoints.Crash

    failpoints.install(crash)
    try:
        with pytest.raises(failpoints.Crash):
            migrate.upgrade(database)
    finally:
        failpoints.install(None)

    assert migrate.current(database) is None
    migrate.upgrade(database)
    assert migrate.current(database) == migrate.HEAD
    database.close()


def test_the_head_in_code_is_the_newest_step() -> None:
    steps = (Path(migrate.__file__).parents[2] / "migrations" / "versions").glob("0*.py")

    newest = max(re.match(r"\d+", step.name)[0] for step in steps)  # type: ignore[index]

    assert newest == migrate.HEAD


def test_a_newer_schema_is_refused_with_a_way_out(database: Database) -> None:
    with database.write() as connection:
        connection.execute(f"UPDATE {migrate.VERSION_TABLE} SET version_num = '0999'")

    with pytest.raises(StoreError, match=r"0999.*newer Antiphon"):
        migrate.upgrade(database)

    with pytest.raises(StoreError, match="newer Antiphon"):
        migrate.require_current(database)


def test_a_database_without_schema_says_which_command_makes_one(empty_url: str) -> None:
    database = Database(empty_url)

    with pytest.raises(StoreError, match="antiphon migrate"):
        migrate.require_current(database)

    database.close()


def test_the_view_event_has_the_columns_of_a_part(database: Database) -> None:
    with database.engine.connect() as connection:
        seen = [column["name"] for column in inspect(connection).get_columns("event")]

    assert tuple(seen) == COLUMNS
