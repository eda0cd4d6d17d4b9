"""The store on both databases: transactions, bulk writes, ids, refusals in clear words."""

import threading
from pathlib import Path

import pytest

from engine.core.errors import NotOwner, StoreError
from engine.store import keys, migrate
from engine.store.bulk import delete, insert, last, reserve, update
from engine.store.connection import Connection, translate
from engine.store.database import Database
from engine.store.sieve import Sieve
from tests.engine.ingesting import NOW

SETTING = ("name", "value")


def settings_in(database: Database) -> dict[str, str]:
    with database.read() as connection:
        return dict(connection.execute("SELECT name, value FROM setting"))


def fail_after_a_write(connection: Connection) -> None:
    insert(connection, "setting", SETTING, [("b", "1")])
    raise ZeroDivisionError


def test_a_block_that_raises_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        fail_after_a_write(connection)

    assert settings_in(database) == {}


def test_a_reader_sees_one_snapshot_while_a_writer_commits(database: Database) -> None:
    with database.read() as before:
        assert before.execute("SELECT count(*) FROM setting") == [(0,)]
        writing = threading.Thread(target=_write_a_setting, args=(database,))
        writing.start()
        writing.join()
        seen = before.execute("SELECT count(*) FROM setting")

    assert seen == [(0,)]
    assert settings_in(database) == {"a": "1"}


def _write_a_setting(database: Database) -> None:
    with database.write() as connection:
        insert(connection, "setting", SETTING, [("a", "1")])


def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(StoreError), database.read() as connection:
        connection.execute("DELETE FROM setting")


def test_conflicts_end_as_asked(database: Database) -> None:
    with database.write() as connection:
        insert(connection, "setting", SETTING, [("a", "1"), ("b", "1")])
        insert(connection, "setting", SETTING, [("a", "2"), ("c", "2")], on_conflict="ignore")
        insert(connection, "setting", SETTING, [("b", "3"), ("b", "4")], on_conflict="replace")
        insert(connection, "setting", SETTING, [("c", "5"), ("d", "5")], on_conflict=("value",))

    assert settings_in(database) == {"a": "1", "b": "4", "c": "5", "d": "5"}


def test_an_unexpected_conflict_is_an_error_and_undoes_the_block(database: Database) -> None:
    with pytest.raises(StoreError), database.write() as connection:
        insert(connection, "setting", SETTING, [("a", "1"), ("a", "2")])

    assert settings_in(database) == {}


def test_rows_are_updated_and_deleted_by_key(database: Database) -> None:
    with database.write() as connection:
        insert(connection, "setting", SETTING, [("a", "1"), ("b", "1"), ("c", "1")])
        update(connection, "setting", ("name",), ("value",), [("a", "2"), ("x", "2")])
        delete(connection, "setting", ("name",), [("b",), ("x",)])

    assert settings_in(database) == {"a": "2", "c": "1"}


def test_every_type_of_column_comes_back_as_it_went_in(database: Database) -> None:
    columns = (
        "experiment", "phase", "profile_id", "variant", "at", "probability", "campaign",
        "enrollment_id", "would_allow",
    )  # fmt: skip
    rows = [("e", 1, 2**62, "é % ? '", -1, 0.1, "", 2**40, "{}")]
    contact_columns = (
        "address_hash", "channel", "suppressed", "suppressed_at", "withdrawn", "updated_at",
    )  # fmt: skip
    contact = (b"\x00\xff" * 8, "email", None, None, "[]", NOW)

    with database.write() as connection:
        insert(connection, "exposure", columns, rows)
        insert(connection, "contact", contact_columns, [contact], on_conflict="ignore")
        exposures = connection.execute(f"SELECT {', '.join(columns)} FROM exposure")
        contacts = connection.execute(f"SELECT {', '.join(contact_columns)} FROM contact")

    assert exposures == rows
    assert contacts == [contact]


@pytest.mark.parametrize("n", [0, 1, 3, 1_500])
def test_a_list_of_any_length_and_type_is_looked_up(database: Database, n: int) -> None:
    columns = (
        "seq", "message_hash", "profile_id", "name", "at", "accepted_at", "flags", "properties",
        "context", "traits",
    )  # fmt: skip
    rows = [
        (i, i.to_bytes(16, "big"), i, f"name {i}'", i, i, 0, "{}", "{}", None) for i in range(2_000)
    ]

    with database.write() as connection:
        insert(connection, "event_1", columns, rows)
        by_number = connection.select_in(
            "SELECT seq FROM event_1 WHERE flags = ? AND seq IN (?) AND at >= ?",
            list(range(n)),
            (0, 0),
        )
        by_text = connection.select_in(
            "SELECT seq FROM event_1 WHERE name IN (?)", [f"name {i}'" for i in range(n)]
        )
        by_bytes = connection.select_in(
            "SELECT seq FROM event_1 WHERE message_hash IN (?)",
            [i.to_bytes(16, "big") for i in range(n)],
        )

    expected = [(i,) for i in range(n)]
    assert sorted(by_number) == sorted(by_text) == sorted(by_bytes) == expected


def test_ids_are_handed_out_once_and_an_undone_block_comes_back(database: Database) -> None:
    with database.write() as connection:
        first, second = reserve(connection, "message", 10), reserve(connection, "message", 1)
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        assert reserve(connection, "message", 100) / 0
    with database.write() as connection:
        third = reserve(connection, "message", 1)

    assert (first, second, third) == (1, 11, 12)
    with database.write() as connection:
        assert last(connection, "message") == 12
        assert last(connection, "nobody") == 0


def test_a_savepoint_undoes_only_its_own(database: Database) -> None:
    with database.write() as connection:
        insert(connection, "setting", SETTING, [("a", "1")])
        with pytest.raises(ZeroDivisionError), connection.savepoint():
            fail_after_a_write(connection)

    assert settings_in(database) == {"a": "1"}


def test_only_one_engine_owns_a_database(database: Database, database_url: str) -> None:
    database.claim()
    second = Database(database_url)

    with pytest.raises(NotOwner, match="another engine"):
        second.claim()
    database.close()
    second.claim()

    second.close()


def test_keys_are_kept_as_hashes_and_can_be_revoked(database: Database) -> None:
    with database.write() as connection:
        key_id, key = keys.create(
            connection, kind="browser", label="shop", entropy=bytes(range(24)), now=NOW
        )
        before = keys.valid(connection)
        revoked = [keys.revoke(connection, key_id, now=NOW) for _ in range(2)]
        after = keys.valid(connection)
        (listed,) = keys.listed(connection)

    assert before == {keys.digest(key): "browser"}
    assert (revoked, after, listed.revoked_at) == ([True, False], {}, NOW)
    with database.read() as connection:
        assert key not in str(connection.execute("SELECT * FROM write_key"))


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("these are notes, not tables " * 100)

    with pytest.raises(StoreError, match=r"notes\.db is not a database"):
        Database(f"sqlite:///{path}")


def test_reading_only_needs_an_existing_file_and_never_writes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    with pytest.raises(StoreError, match="does not exist yet"):
        Database(url, read_only=True)
    made = Database(url)
    migrate.upgrade(made)

    reading = Database(url, read_only=True)

    assert settings_in(reading) == {}
    with pytest.raises(NotOwner), reading.write():
        pass
    reading.close()
    made.close()


@pytest.mark.parametrize("url", ["mysql://x/y", "notes.db", "redis://"])
def test_an_unknown_address_says_what_is_allowed(url: str) -> None:
    with pytest.raises(StoreError, match="sqlite:///"):
        Database(url)


def test_a_server_that_does_not_answer_is_said_at_once() -> None:
    with pytest.raises(StoreError, match="PostgreSQL does not let us in"):
        Database("postgresql://nobody@127.0.0.1:1/nothing")


def test_statements_are_translated_outside_of_quoted_text_only() -> None:
    assert translate("a = ? AND b = '?''?' AND c % ? LIKE '50%'") == (
        b"a = %s AND b = '?''?' AND c %% %s LIKE '50%%'"
    )


def test_a_sieve_never_denies_what_it_holds() -> None:
    held = [i.to_bytes(8, "big") * 2 for i in range(1, 10**9, 10**6)]
    others = [i.to_bytes(16, "little") for i in range(1, 1000)]

    sieve = Sieve([held[:300], held[300:]])

    assert sieve.perhaps(held) == held
    assert len(sieve.perhaps(others)) < 50
    assert sieve.perhaps([]) == []
