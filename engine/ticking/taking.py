"""What a batch takes: the next events and due timers of some partitions, in the order of rule 1.

Reads only. What it refuses: to let a timer overtake an event, to end a batch inside an instant, and
to take a merge together with anything else.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from engine.core.model.instants import Instant
from engine.store import claims
from engine.store.claims import Scan
from engine.store.connection import Connection, Row
from engine.store.events import MERGE, EventLog

COLUMNS: Final = (
    "seq", "profile_id", "name", "at", "accepted_at", "flags", "properties", "context", "traits",
)  # fmt: skip
PIECE: Final = 1_000
PEEK: Final = 8
"""Events that are read first, to see whether any have come: on a virtual clock the log already
holds those of the days ahead."""

Part = Literal["", "unite", "close", "wait"]
"""A merge's part for this batch: to unite both (the loser may be closed already), to close the
loser for an owner elsewhere, or to wait until its owner there has closed it."""


class Items(Struct, frozen=True, dict=True):
    """What one batch takes: events, timers, until when these profiles may be played, the position
    once they have been, and for which partitions."""

    events: list[Row]
    timers: list[Row]
    horizon: Instant
    position: int
    scan: Scan
    part: Part = ""

    @cached_property
    def woken(self) -> frozenset[int]:
        """The profiles whose timers these are."""
        return frozenset([row[1] for row in self.timers])


def next_items(
    connection: Connection,
    log: EventLog,
    scan: Scan,
    horizon: Instant,
    *,
    limit: int,
    is_careful: bool,
) -> Items:
    """The next events and due timers; a single one of them while we are careful."""
    if is_careful:
        limit = 1
    events, horizon, end = next_events(
        connection, log, scan, horizon, limit=limit, is_careful=is_careful
    )
    if events and events[0][5] & MERGE:
        # Its two people are one afterwards: neither may be played beside it.
        return Items(events, [], horizon, end, scan, _part(connection, scan, events[0]))
    timers = claims.due_timers(connection, until=horizon, limit=limit, scan=scan)
    if is_careful and events and timers:
        if timers[0][0] < events[0][4]:
            events, horizon, end = [], min(horizon, events[0][4] - 1), scan.lowest
        else:
            timers = []
    return Items(events, timers, horizon, end, scan)


def next_events(
    connection: Connection,
    log: EventLog,
    scan: Scan,
    horizon: Instant,
    *,
    limit: int,
    is_careful: bool,
) -> tuple[list[Row], Instant, int]:
    """The next events, until when timers may be played with them, and the position after them.

    A merge comes alone, since it joins what the others keep apart. While more events wait,
    no timer may overtake them: whoever comes back after an outage must still find that the
    event came before the timeout. So a batch does not end inside an instant either, though a
    group commit may have given it more events than the limit.
    """
    read = _Reader(connection, log, scan)
    rows = read(scan.lowest, limit=min(PEEK, limit + 1))
    if len(rows) == PEEK <= limit and rows[-1][4] <= horizon:
        rows += read(rows[-1][0], limit=limit + 1 - PEEK)
    if rows and rows[0][5] & MERGE and rows[0][4] <= horizon:
        return rows[:1], horizon, rows[0][0]
    end = min(limit, len(rows))
    if len(rows) > limit and not is_careful:
        rows += _rest_of_instant(read, rows)
        end = next(
            (i for i in range(len(rows) - 1, 0, -1) if rows[i][4] != rows[i - 1][4]), len(rows)
        )
    end = next((i for i, row in enumerate(rows[:end]) if row[4] > horizon or row[5] & MERGE), end)
    if end == len(rows):
        # Past our own events too, or a night of timers would pile them up before us.
        return rows, horizon, log.last_seq(connection)
    position = rows[end - 1][0] if end else scan.lowest
    if rows[end][4] > horizon:
        return rows[:end], horizon, position
    return rows[:end], max([rows[end][4] - 1, *(row[4] for row in rows[:end])]), position


class _Reader:
    """Reads on in the log, as far as it concerns the batch."""

    def __init__(self, connection: Connection, log: EventLog, scan: Scan) -> None:
        self._connection = connection
        self._log = log
        self._where, self._values = scan.events()

    def __call__(self, position: int, *, limit: int) -> list[Row]:
        return self._log.read_after(
            self._connection,
            position,
            limit=limit,
            columns=COLUMNS,
            where=self._where,
            params=self._values,
        )


def _rest_of_instant(read: _Reader, rows: Sequence[Row]) -> list[Row]:
    """What follows rows of one single instant, until it ends; nothing if they hold several."""
    rest: list[Row] = []
    last = rows[-1]
    while last[4] == rows[0][4]:
        more = read(last[0], limit=PIECE)
        if not more:
            break
        rest += more
        last = more[-1]
    return rest


def _part(connection: Connection, scan: Scan, event: Row) -> Part:
    """What this batch has to do for a merge that both sides read, each at its own pace.

    The loser's side closes it when it comes here; the winner's side waits for that. So both are
    played in the order of the log, and of two sides that wait the one further back goes on.
    """
    seq, winner, loser = int(event[0]), int(event[1]), loser_of(event)
    if not scan.has(winner, seq):
        return "close"
    if scan.has(loser, seq):
        return "unite"
    number = loser % scan.total
    return "unite" if claims.positions(connection, [number])[number] >= seq else "wait"


def loser_of(event: Row) -> int:
    """The profile that ceases with a merge."""
    properties: dict[str, Any] = msgspec.json.decode(event[6])
    return int(properties["loser"])
