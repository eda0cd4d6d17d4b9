"""Counts over whole tables, for the home page and /metrics: taken now and then, not per request.

Each count reads an index or a table through, so it is kept until it is old; how old depends on
what it cost, so that counting never takes more than a small share of the machine.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from msgspec import Struct, field

from engine.core.model.instants import SECOND, Instant
from engine.sending.lanes import LANES
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.events import COUNTER
from engine.store.exposures import misreports
from engine.store.people import APPROXIMATE

COST_SHARE_MAX: Final = 0.05
"""A count that took 1 s is not taken again for 20 s."""
FRESH_SECONDS: Final = 1.0


class Waiting(Struct, frozen=True):
    """What waits in one lane, and how long the oldest has been due."""

    n_queued: int
    oldest_seconds: float


class Overview(Struct, frozen=True):
    """How many there are of everything. `passages` and `messages` are by (campaign, status),
    `lanes` by (channel, transactional or marketing), `misreports` by (why, experiment)."""

    read_at: Instant
    profiles: int
    events: int
    passages: dict[tuple[str, str], int]
    messages: dict[tuple[str, str], int]
    segments: dict[str, int]
    parked: int
    lanes: dict[tuple[str, str], Waiting] = field(default_factory=dict)
    approximate: int = 0
    misreports: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def statuses(self) -> dict[str, int]:
        """Messages by status, over all campaigns."""
        return _summed(self.messages)

    @property
    def inside(self) -> int:
        """Passages that are under way."""
        return _summed(self.passages).get("active", 0)


class Gauges:
    """Gives an overview that is as fresh as its own cost allows."""

    def __init__(self, database: Database, *, clock: Callable[[], Instant]) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._overview: Overview | None = None
        self._taken = 0.0
        self._cost = 0.0

    def overview(self) -> Overview:
        """The counts, taken again when the last ones are old enough."""
        with self._lock:
            age = time.monotonic() - self._taken
            if self._overview is not None and age < max(FRESH_SECONDS, self._cost / COST_SHARE_MAX):
                return self._overview
            started = time.monotonic()
            with self._database.read() as connection:
                self._overview = count(connection, now=self._clock())
            self._taken = time.monotonic()
            self._cost = self._taken - started
            return self._overview


def count(connection: Connection, *, now: Instant) -> Overview:
    """Count everything in one snapshot."""
    events = connection.execute("SELECT value FROM counter WHERE name = ?", (COUNTER,))
    approximate = connection.execute("SELECT value FROM counter WHERE name = ?", (APPROXIMATE,))
    return Overview(
        read_at=now,
        profiles=_number(connection, "SELECT count(*) FROM profile WHERE merged_into IS NULL"),
        events=int(events[0][0]) if events else 0,
        passages=_pairs(connection, "enrollment"),
        messages=_pairs(connection, "message"),
        segments={
            str(segment): int(n)
            for segment, n in connection.execute(
                "SELECT segment, count(*) FROM membership GROUP BY segment"
            )
        },
        parked=_number(connection, "SELECT count(*) FROM parked WHERE replayed_at IS NULL"),
        approximate=int(approximate[0][0]) if approximate else 0,
        misreports=misreports(connection),
        lanes={
            (str(channel), LANES[int(lane)]): Waiting(int(n), max(0, now - int(due)) / SECOND)
            for channel, lane, n, due in connection.execute(
                "SELECT channel, lane, count(*), min(due_at) FROM message "
                "WHERE status = 'queued' GROUP BY channel, lane"
            )
        },
    )


def _number(connection: Connection, sql: str) -> int:
    return int(connection.execute(sql)[0][0])


def _pairs(connection: Connection, table: str) -> dict[tuple[str, str], int]:
    rows = connection.execute(
        f"SELECT campaign, status, count(*) FROM {table} GROUP BY campaign, status"
    )
    return {(str(campaign), str(status)): int(n) for campaign, status, n in rows}


def _summed(pairs: dict[tuple[str, str], int]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for (_, status), n in pairs.items():
        totals[status] = totals.get(status, 0) + n
    return totals
