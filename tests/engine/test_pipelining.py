"""Statements sent ahead on PostgreSQL: same rows, same order, same errors, and nobody waits for
ever. On SQLite the same code runs one statement after the other."""

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import pytest

from engine.core.errors import StoreError
from engine.store import people
from engine.store.arrays import packed
from engine.store.bulk import delete, insert, reserve, update
from engine.store.connection import Connection, PostgresConnection, Row
from engine.store.database import Database

SETTING = ("name", "value")
NAMES = "SELECT name FROM setting WHERE name IN (?) ORDER BY name"
PROFILE = (
    "id", "external_id", "created_at", "zone", "zone_from", "traits", "sealed", "addresses",
    "consent",
)  # fmt: skip


def settings_in(database: Database) -> dict[str, str]:
    with database.read() as connection:
        return dict(connection.execute("SELECT name, value FROM setting"))


@contextmanager
def pipeline(database: Database) -> Iterator[Connection]:
    """A transaction that is pipelined."""
    with database.write() as connection, connection.pipelined():
        yield connection


def test_what_is_pipelined_happens_in_order(database: Database) -> None:
    with pipeline(database) as connection:
        insert(connection, "setting", SETTING, [("a", "1"), ("b", "1"), ("c", "1")])
        update(connection, "setting", ("name",), ("value",), [("a", "2")])
        before = connection.select_in(NAMES, ["a", "b"])
        delete(connection, "setting", ("name",), [("b",)])
        after = connection.execute("SELECT count(*) FROM setting")
        insert(connection, "setting", SETTING, [("a", "3")], on_conflict="replace")

    assert (before, after) == ([("a",), ("b",)], [(2,)])
    assert settings_in(database) == {"a": "3", "c": "1"}


def test_what_was_asked_for_ahead_is_as_of_when_it_was_asked(database: Database) -> None:
    with database.write() as connection:
        insert(connection, "setting", SETTING, [("a", "1"), ("b", "1")])

    with database.read() as connection, connection.pipelined():
        first = connection.ask(NAMES, ["a"])
        nothing = connection.ask(NAMES, [])
        second = connection.ask(NAMES, ["a", "b", "c"])
        between = connection.execute("SELECT count(*) FROM setting")

        assert (second(), first(), nothing()) == ([("a",), ("b",)], [("a",)], [])

    assert between == [(2,)]


@pytest.mark.parametrize("later", ["nothing", "a read", "a write"])
def test_an_error_in_a_pipeline_undoes_the_whole_block(database: Database, later: str) -> None:
    def write_twice(connection: Connection) -> None:
        insert(connection, "setting", SETTING, [("a", "1")])
        insert(connection, "setting", SETTING, [("a", "2")])
        if later == "a read":
            connection.execute("SELECT count(*) FROM setting")
        elif later == "a write":
            insert(connection, "setting", SETTING, [("b", "1")])

    with pytest.raises(StoreError, match=r"(?i)unique"), pipeline(database) as connection:
        write_twice(connection)

    assert settings_in(database) == {}
    with pipeline(database) as connection:  # the connection serves on
        insert(connection, "setting", SETTING, [("c", "1")])
    assert settings_in(database) == {"c": "1"}


def test_an_exception_of_ours_in_a_pipeline_undoes_the_block_too(database: Database) -> None:
    def fail(connection: Connection) -> None:
        insert(connection, "setting", SETTING, [("a", "1")])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), pipeline(database) as connection:
        fail(connection)

    assert settings_in(database) == {}


def test_a_write_larger_than_any_buffer_is_waited_for_to_its_end(database: Database) -> None:
    """psycopg's own `sync` waited for the answer to what it had not sent yet, for ever."""
    big = [(number, bytes(2_000)) for number in range(5_000)]
    found: list[int] = []

    def write_thrice() -> None:
        for _ in range(3):
            with pipeline(database) as connection:
                insert(
                    connection, "profile_state", ("profile_id", "state"), big, on_conflict="replace"
                )
                found.append(reserve(connection, "event", 1))

    writing = threading.Thread(target=write_thrice, daemon=True)
    writing.start()
    writing.join(timeout=60)

    assert found == [1, 2, 3]
    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM profile_state") == [(5_000,)]


@pytest.mark.parametrize("n_profiles", [1, 5_000])
def test_whoever_freezes_in_a_pipeline_holds_nobody_up(
    database: Database, database_url: str, n_profiles: int
) -> None:
    if database.dialect == "sqlite":
        pytest.skip("a SQLite file has one engine: there is nobody to hold up")
    states = [(number, bytes(2_000)) for number in range(n_profiles)]
    freezing = Database(database_url, idle_seconds_max=0.5)
    began = monotonic()

    def freeze(connection: Connection) -> None:
        reserve(connection, "event", 1)
        insert(connection, "profile_state", ("profile_id", "state"), states)
        with database.write() as other:  # waits for the counter's row until the server frees it
            assert reserve(other, "event", 1) == 1

    with pytest.raises(StoreError, match="PostgreSQL"), pipeline(freezing) as frozen:
        freeze(frozen)
    freezing.close()

    assert 0.4 < monotonic() - began < 20


@pytest.mark.parametrize("n", [0, 1, 4, 5, 13])
@pytest.mark.parametrize("is_pipelined", [True, False])
def test_people_in_pieces_are_the_people_at_once(
    database: Database, n: int, is_pipelined: bool
) -> None:
    ids = list(range(1, n + 1))
    rows = [
        (i, f"u{i}", 0, "UTC", "", f'{{"n":{i}}}', "{}", f'{{"email":"{i:064x}"}}', "{}")
        for i in ids
    ]
    with database.write() as connection:
        insert(connection, "profile", PROFILE, rows)
        insert(
            connection,
            "contact",
            ("address_hash", "channel", "suppressed", "withdrawn", "updated_at"),
            [(i.to_bytes(32, "big"), "email", "hard bounce", "[]", 0) for i in ids if i % 3 == 0],
        )

    with database.read() as connection:
        at_once = people.load(connection, ids)
        if is_pipelined:
            with connection.pipelined():
                pieces = list(people.load_pieces(connection, ids, size=4, models=["a model"]))
        else:
            pieces = list(people.load_pieces(connection, ids, size=4, models=["a model"]))

    assert [list(piece) for piece in pieces] == [ids[i : i + 4] for i in range(0, n, 4)]
    together = {profile_id: it for piece in pieces for profile_id, it in piece.items()}
    assert together == at_once
    reached = {i: it.person.profile.addresses["email"] for i, it in together.items()}
    suppressed = {i for i, contact in reached.items() if contact.suppressed}
    assert suppressed == {i for i in ids if i % 3 == 0}


EXTREMES: list[tuple[str, list[object]]] = [
    ("int8", [-(2**63), -1, 0, 1, 2**63 - 1]),
    ("int8", [None, 5]),
    ("int2", [-(2**15), 2**15 - 1, None]),
    ("float8", [0.1, -1e308, 5e-324, None, float("inf")]),
    ("text", ["", "é", "\U0001f600 % ? '", "x" * 100_000, None, '{"a", NULL}']),
    ("bytea", [b"", b"\x00\xff" * 3, None, bytes(100_000)]),
    ("text", ["NULL"]),
]


@pytest.mark.parametrize(("kind", "values"), EXTREMES)
def test_an_array_arrives_as_it_was_packed(
    database: Database, kind: str, values: list[object]
) -> None:
    with database.read() as connection:
        if not isinstance(connection, PostgresConnection):
            pytest.skip("SQLite takes rows, not arrays")
        found: list[Row] = connection.execute("SELECT unnest(?)", (packed(kind, values),))
        is_plain = connection.execute(
            f"SELECT ? = ?::{kind}[]", (packed(kind, values), list(values))
        )

    assert found == [(value,) for value in values]
    assert is_plain == [(True,)]


def test_a_number_too_large_for_its_column_is_refused_before_it_is_sent() -> None:
    with pytest.raises(struct.error):
        packed("int2", [2**15])
