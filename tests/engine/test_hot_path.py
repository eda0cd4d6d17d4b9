"""What keeps the tick fast, held as behaviour: few statements, small indexes, no needless row."""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from engine.core.model.instants import HOUR
from engine.core.model.people import Contact
from engine.store import people
from engine.store.claims import Scan
from engine.store.connection import Connection, SqliteConnection
from engine.store.database import Database
from engine.store.events import OWN, EventLog, _hashes, message_hash, own_hash
from engine.store.queue import suppress
from engine.ticking.taking import PEEK, next_events
from engine.ticking.tick import PIECE
from tests.rig.stage import Stage


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    opened = Stage(database_url)
    yield opened
    opened.close()


def position(stage: Stage) -> int:
    return int(stage.rows("SELECT min(position) FROM partition")[0][0])


def test_the_position_passes_over_our_own_events(stage: Stage) -> None:
    """Else every tick of a night that has only timers would read all that the night emitted."""
    stage.identify("u1")
    stage.track("u1", "Product Added", cart="c1")
    stage.settle(until=stage.now + HOUR)
    emitted = stage.rows("SELECT max(seq) FROM event WHERE flags = 2")[0][0]

    stage.settle(until=stage.now + 30 * HOUR)

    later = stage.rows("SELECT max(seq) FROM event WHERE flags = 2")[0][0]
    assert later > emitted
    assert position(stage) >= emitted


def test_an_event_behind_our_own_ones_is_still_played(stage: Stage) -> None:
    stage.identify("u1")
    stage.track("u1", "Product Added", cart="c1")
    stage.settle(until=stage.now + 30 * HOUR)

    stage.track("u1", "Order Completed", order="o1")
    done = stage.tick()

    assert done.n_events == 1
    assert len(stage.messages("receipt")) == 1


def test_more_people_than_a_piece_holds_are_all_played(stage: Stage) -> None:
    users = [f"u{number}" for number in range(1, PIECE + 3)]
    for user in users:
        stage.identify(user)
        stage.track(user, "Order Completed", order="o1")

    stage.settle()

    assert len(stage.messages("receipt")) == len(users)
    assert stage.rows("SELECT count(*) FROM membership WHERE segment = 'buyer'") == [(len(users),)]


@pytest.mark.parametrize("n_due", [0, 1, PEEK - 1, PEEK, PEEK + 1, 3 * PEEK])
@pytest.mark.parametrize("n_ahead", [0, 1, 2 * PEEK])
@pytest.mark.parametrize("limit", [1, PEEK - 1, PEEK, PEEK + 1, 100])
def test_a_batch_takes_what_has_come_however_many_are_looked_at_first(
    sqlite_database: Database, n_due: int, n_ahead: int, limit: int
) -> None:
    instants = [*range(1, n_due + 1), *range(1_000, 1_000 + n_ahead)]
    log = log_of(sqlite_database, instants)

    with sqlite_database.read() as connection:
        rows, horizon, position = next_events(
            connection, log, Scan({0: 0}, 1), 500, limit=limit, is_careful=False
        )

    n_taken = min(limit, n_due)
    assert [row[0] for row in rows] == list(range(1, n_taken + 1))
    assert position == n_taken
    # No timer overtakes the event that waits for the next batch.
    assert horizon == (n_taken if n_taken < n_due else 500)


def test_what_lies_ahead_in_the_log_is_only_looked_at(
    monkeypatch: pytest.MonkeyPatch, sqlite_database: Database
) -> None:
    """A replay holds days of events in its log: read whole at each of its ticks they cost more
    than the timers that the tick is for."""
    log = log_of(sqlite_database, range(1_000, 1_200))
    limits: list[int] = []
    honest = log.read_after

    def read_after(*given: Any, limit: int, **more: Any) -> Any:
        limits.append(limit)
        return honest(*given, limit=limit, **more)

    monkeypatch.setattr(log, "read_after", read_after)
    with sqlite_database.read() as connection:
        next_events(connection, log, Scan({0: 0}, 1), 500, limit=100, is_careful=False)

    assert limits == [PEEK]


def log_of(database: Database, instants: Iterable[int]) -> EventLog:
    """A log with one event of one profile at each of these instants."""
    log = EventLog()
    rows = [
        (message_hash("test", str(at)), 1, "Page Viewed", at, at, 0, "{}", "{}", None)
        for at in instants
    ]
    with database.write() as connection:
        log.append(connection, rows, now=0)
    return log


def test_a_profile_that_an_event_leaves_as_it_was_is_not_written(stage: Stage) -> None:
    stage.identify("u1", plan="gold")
    stage.settle()
    loaded = one_person(stage)
    changes = people.Changes()

    changes.take(loaded)
    loaded.person.profile.traits["plan"] = "silver"
    loaded.is_told = True
    changes.take(loaded)

    assert len(changes.states) == 2
    assert [row[3] for row in changes.profiles] == [people.text(loaded.person.profile.traits)]


def one_person(stage: Stage) -> people.Loaded:
    with stage.process.database.read() as connection:
        (loaded,) = people.load(connection, [1]).values()
    return loaded


def test_only_closed_contacts_are_asked_for_and_open_ones_are_as_if_absent(
    database: Database,
) -> None:
    keys = [f"{number:064x}" for number in range(4)]
    hashes = [bytes.fromhex(key) for key in keys]
    with database.write() as connection:
        people.save(
            connection,
            people.Changes(contacts=[(address, "email") for address in hashes]),
            now=1,
        )
        suppress(connection, keys[1], why="hard bounce", now=2)
        connection.execute(
            "UPDATE contact SET withdrawn = ? WHERE address_hash = ?", ('["offers"]', hashes[2])
        )

    with database.read() as connection:
        closed = [row[0].hex() for row in connection.select_in(people._CLOSED, hashes)]
        every = people.contacts(connection, keys)

    assert sorted(closed) == [keys[1], keys[2]]
    assert every == {
        keys[0]: people.NO_CONTACT,
        keys[1]: Contact("hard bounce"),
        keys[2]: Contact(None, frozenset({"offers"})),
        keys[3]: people.NO_CONTACT,
    }


def test_closed_contacts_are_found_in_the_small_index_of_their_own(
    sqlite_database: Database,
) -> None:
    sql = people._CLOSED.replace("IN (?)", "IN (?, ?)")
    with sqlite_database.read() as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", (b"1", b"2"))

    assert "USING INDEX contact_closed" in plan[0][3]


def test_our_own_events_lie_together_at_the_end_of_the_index_of_messages() -> None:
    hashes = [own_hash(seq) for seq in (1, 255, 256, 70_000, 2**40)]

    assert hashes == sorted(hashes)
    assert all(len(each) == 16 and each > b"\xfe" * 16 for each in hashes)


def test_what_a_closed_part_remembers_of_messages_leaves_out_our_own_events(
    database: Database,
) -> None:
    """Half of a part may be ours: nobody sends them again, and to read them took 0.15 s more."""
    sent = [message_hash("key", f"m{n}") for n in range(4)]
    sent.append(b"\xff" * 7 + b"\xfe" * 9)  # the last place that a message of others has
    rows = [(each, 1, "Viewed", 1, 1, 0, "{}", "{}", None) for each in sent]
    own = [(None, 1, "Segment Entered", 1, 1, OWN, "{}", "{}", None)] * 5
    log = EventLog(events_per_part=10)
    with database.write() as connection:
        log.append(connection, rows + own + rows[:1], now=1)

        remembered = [each for piece in _hashes(connection, 1) for each in piece]
        known = log.known(connection, [*sent, message_hash("key", "new")], now=1)

    assert remembered == sorted(sent)
    assert known == set(sent)


def test_a_batch_runs_as_many_statements_for_a_hundred_people_as_for_ten(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, sqlite_database: Database
) -> None:
    """No query per row: the number of statements does not grow with the batch."""
    stage = Stage(sqlite_database.url)
    statements: list[str] = []

    def noted(name: str) -> None:
        honest = getattr(SqliteConnection, name)

        def call(self: Connection, sql: str, *values: Any) -> Any:
            statements.append(sql)
            return honest(self, sql, *values)

        monkeypatch.setattr(SqliteConnection, name, call)

    for name in ("execute", "executemany", "select_in"):
        noted(name)

    def n_statements(first: int, n_people: int) -> int:
        for number in range(first, first + n_people):
            stage.identify(f"u{number}")
            stage.track(f"u{number}", "Product Added", cart="c")
            stage.track(f"u{number}", "Order Completed", order="o")
        statements.clear()
        assert stage.tick().n_events == 3 * n_people
        return len(statements)

    n_statements(1, 10)  # takes the first block of ids
    ten, hundred = n_statements(11, 10), n_statements(21, 100)
    stage.close()

    assert hundred == ten
