"""The event log: parts of bounded size behind one view, each event kept once.

The part of an event follows from its `seq` alone, so nobody has to remember which part is open.
Parts exist because random keys dirty a page each: into a small index a row costs a third to a
fifth of what it costs into one of millions. Who wants one person's history or all events reads
the view `event`; who wants the next ones in order uses `read_after`.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from engine.core.model.instants import DAY, Instant
from engine.failpoints import hit
from engine.store.bulk import insert, last, reserve
from engine.store.connection import Connection, Row
from engine.tables import EVENTS_PER_PART, event_part

if TYPE_CHECKING:
    from engine.store.sieve import Sieve

COLUMNS: Final = (
    "seq", "message_hash", "profile_id", "name", "at", "accepted_at", "flags",
    "properties", "context", "traits",
)  # fmt: skip

OLD: Final = 1
OWN: Final = 2
MERGE: Final = 4
OURS: Final = 8
"""The engine put it into the log to be played: an API trigger, a webhook's answer."""

_DIALECTS: Final[dict[str, Dialect]] = {
    "sqlite": sqlite.dialect(),
    "postgresql": postgresql.dialect(),  # type: ignore[no-untyped-call]
}

DEDUPE_WINDOW: Final = 7 * DAY
COUNTER: Final = "event"
NOT_OWN: Final = f"flags != {OWN}"
"""Leaves out events of our own, which were played when they were written."""
_PIECE: Final = 50_000
_CLOSED: Final = "event_part_closed_at:"


def message_hash(source: str, message_id: str) -> bytes:
    """What makes an event the same event: the first 16 bytes of SHA-256(source, messageId)."""
    return hashlib.sha256(f"{source}\0{message_id}".encode()).digest()[:16]


def own_hash(seq: int) -> bytes:
    """The hash of an event of our own, which nobody sends twice.

    In the order of `seq` and at the end of the index: a random place would dirty a page for each.
    """
    return b"\xff" * 8 + seq.to_bytes(8, "big")


class EventLog:
    """Appends to the log and answers what it already holds.

    One object a process; every method runs inside the caller's transaction. What it remembers
    (how many parts exist, which are past the dedupe window) it has read from committed rows, so a
    transaction that is undone leaves nothing false behind.
    """

    def __init__(
        self, *, events_per_part: int = EVENTS_PER_PART, dedupe_window: int = DEDUPE_WINDOW
    ) -> None:
        self._per_part = events_per_part
        self._dedupe_window = dedupe_window
        self._parts_seen = 0
        self._closed_at: dict[int, Instant] = {}
        self._sieves: dict[int, Sieve] = {}

    def lock(self, connection: Connection) -> int:
        """Wait for our turn to append and give the last `seq`; needed before `known`."""
        return last(connection, COUNTER)

    def known(self, connection: Connection, hashes: Sequence[bytes], *, now: Instant) -> set[bytes]:
        """Which of these messages the parts younger than the dedupe window hold."""
        found: set[bytes] = set()
        hashes = sorted(hashes)  # neighbours in the index are read together
        open_part = self._part_of(max(self.lock(connection), 1))
        self._look(connection, open_part)
        for number in range(open_part, 0, -1):
            asked = hashes
            if number < open_part:
                if self._closed_at.get(number, now) <= now - self._dedupe_window:
                    self._sieves.pop(number, None)
                    break
                asked = self._sieve(connection, number).perhaps(hashes)
            rows = connection.select_in(
                f"SELECT message_hash FROM event_{number} WHERE message_hash IN (?)", asked
            )
            found.update(bytes(row[0]) for row in rows)
        return found

    def _sieve(self, connection: Connection, number: int) -> "Sieve":
        """What a closed part holds; it never changes again, so it is read once."""
        sieve = self._sieves.get(number)
        if sieve is None:
            from engine.store.sieve import Sieve  # brings numpy, which no command should wait for

            sieve = self._sieves[number] = Sieve(_hashes(connection, number))
        return sieve

    def warm(self, connection: Connection, *, now: Instant) -> None:
        """Read what `known` needs of closed parts, some 0.3 s each, before anyone waits for it."""
        self.known(connection, [], now=now)

    def append(self, connection: Connection, rows: Sequence[Row], *, now: Instant) -> int:
        """Write events; give the `seq` of the first, the others follow it in order.

        Args:
            rows: `COLUMNS` without `seq`. Where `message_hash` is None (an event of our own) it
                is `own_hash`.
            now: When the log is written; dates the closing of a part.
        """
        if not rows:
            return self.lock(connection) + 1
        first = reserve(connection, COUNTER, len(rows))
        self._look(connection, self._part_of(first + len(rows) - 1), now=now)
        start = 0
        while start < len(rows):
            number = self._part_of(first + start)
            end = min(len(rows), number * self._per_part - first + 1)
            insert(
                connection,
                f"event_{number}",
                COLUMNS,
                [
                    (seq, row[0] or own_hash(seq), *row[1:])
                    for seq, row in enumerate(rows[start:end], start=first + start)
                ],
            )
            start = end
        hit("event insert")
        return first

    def move_to_end(self, connection: Connection, seq: int, *, now: Instant) -> bool:
        """Let an event be the newest, so that it is played again; False if it is not there.

        It is the same event, with its own hash, time and properties: nothing counts it twice.
        """
        number = self._part_of(seq)
        if number not in _existing(connection):
            return False
        rows = connection.execute(
            f"DELETE FROM event_{number} WHERE seq = ? RETURNING {', '.join(COLUMNS[1:])}", (seq,)
        )
        if not rows:
            return False
        moved = dict(zip(COLUMNS[1:], rows[0], strict=True)) | {"accepted_at": now}
        self.append(connection, [tuple(moved[name] for name in COLUMNS[1:])], now=now)
        return True

    def read_after(
        self,
        connection: Connection,
        position: int,
        *,
        limit: int,
        columns: Sequence[str] = COLUMNS,
        where: str = "",
        params: Sequence[Any] = (),
    ) -> list[Row]:
        """The next events after a position, in order of `seq`, straight from their parts.

        `where` is one more condition on the columns (SQL of ours), such as the partition's.
        """
        found: list[Row] = []
        last_part = self._part_of(self.last_seq(connection))
        number = self._part_of(position + 1)
        extra = f"AND ({where})" if where else ""
        while number <= last_part and len(found) < limit:
            found += connection.execute(
                f"SELECT {', '.join(columns)} FROM event_{number} "
                f"WHERE seq > ? {extra} ORDER BY seq LIMIT ?",
                (position, *params, limit - len(found)),
            )
            number += 1
        return found

    def last_seq(self, connection: Connection) -> int:
        """The last `seq` that this transaction sees; 0 for an empty log. Locks nothing."""
        rows = connection.execute("SELECT value FROM counter WHERE name = ?", (COUNTER,))
        return int(rows[0][0]) if rows else 0

    def _part_of(self, seq: int) -> int:
        return (seq - 1) // self._per_part + 1

    def _look(self, connection: Connection, wanted: int, *, now: Instant | None = None) -> None:
        """Learn which parts exist; make those that `wanted` needs when `now` is given."""
        if wanted <= self._parts_seen:
            return
        existing = _existing(connection)
        rows = connection.execute(
            "SELECT name, value FROM setting WHERE name LIKE ?", (_CLOSED + "%",)
        )
        self._closed_at = {int(name.removeprefix(_CLOSED)): int(value) for name, value in rows}
        self._parts_seen = max(existing)
        if now is None:
            return
        for number in range(max(existing) + 1, wanted + 1):
            roll(connection, number, now=now)


def roll(connection: Connection, number: int, *, now: Instant) -> None:
    """Create part `number`, remember when the one before it was closed, and renew the view."""
    dialect = _DIALECTS[connection.dialect]
    table = event_part(number)
    connection.execute(str(CreateTable(table).compile(dialect=dialect)))
    for index in sorted(table.indexes, key=lambda it: str(it.name)):
        connection.execute(str(CreateIndex(index).compile(dialect=dialect)))
    connection.execute(
        "INSERT INTO setting (name, value) VALUES (?, ?)", (f"{_CLOSED}{number - 1}", str(now))
    )
    hit("part roll")
    create_view(connection.execute, parts=range(1, number + 1))


def create_view(execute: Callable[[str], Any], *, parts: Iterable[int]) -> None:
    """(Re)create the view `event` over these parts, with statements that both databases take."""
    execute("DROP VIEW IF EXISTS event")
    # Columns are named one by one: PostgreSQL freezes a `*` when the view is made.
    chosen = " UNION ALL ".join(f"SELECT {', '.join(COLUMNS)} FROM event_{n}" for n in parts)
    execute(f"CREATE VIEW event AS {chosen}")


def _hashes(connection: Connection, number: int) -> Iterator[list[bytes]]:
    """Every hash of a part that somebody may send again, in pieces, from its index alone.

    Events of our own, often half of a part, lie together at the end of the index: nobody asks for
    them, and the hash of a message of others falls among them once in 2**64.
    """
    after = b""
    while True:
        rows = connection.execute(
            f"SELECT message_hash FROM event_{number} WHERE message_hash > ? AND message_hash < ? "
            f"ORDER BY message_hash LIMIT {_PIECE}",
            (after, own_hash(0)),
        )
        if not rows:
            return
        yield [bytes(row[0]) for row in rows]
        after = bytes(rows[-1][0])


def event_tables(connection: Connection) -> list[str]:
    """The names of the log's parts, oldest first."""
    return [f"event_{number}" for number in _existing(connection)]


def event_tables_after(connection: Connection, seq: int) -> list[str]:
    """The names of the parts that can hold later events than this one, oldest first."""
    found: list[str] = []
    for table in reversed(event_tables(connection)):
        found.append(table)
        first = connection.execute(f"SELECT min(seq) FROM {table}")[0][0]
        if first is not None and first <= seq:
            break
    return found[::-1]


def _existing(connection: Connection) -> list[int]:
    """The numbers of the parts that exist, in order."""
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'event%'"
        if connection.dialect == "sqlite"
        else "SELECT table_name FROM information_schema.tables "
        "WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' "
        "AND table_name LIKE 'event%'"
    )
    numbers = (name.removeprefix("event_") for (name,) in names)
    return sorted(int(number) for number in numbers if number.isdigit())
