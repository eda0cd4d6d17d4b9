"""The one clock of a running engine, and whether it can be trusted now.

Wall clocks are set by people and daemons. When ours jumps by more than a minute against the
monotonic one, nothing is dispatched until it has stayed steady for a while: a message sent because
somebody mistyped a date cannot be called back. Workers that share a database all go by its clock.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from engine.core.model.instants import MINUTE, SECOND, Instant
from engine.store.database import Database

JUMP_MAX: Final = MINUTE
STEADY_FOR: Final = 10 * SECOND
DRIFT: Final = 1_000
"""A clock may go wrong by one second in so many without being said to jump."""
ASK_EVERY: Final = 5 * SECOND
"""How often the database is asked for the time."""


_standing: list[Instant] = []
"""The instant at which a command stands that looks at a rehearsal, innermost last."""


def present() -> Instant:
    """The wall clock, in microseconds since the epoch."""
    return _standing[-1] if _standing else time.time_ns() // 1000


@contextmanager
def standing_at(instant: Instant) -> Iterator[None]:
    """Let the present be an instant for as long as the block lasts, in the whole process."""
    _standing.append(instant)
    try:
        yield
    finally:
        _standing.pop()


def elapsed() -> int:
    """Microseconds on a clock that nobody can set."""
    return time.monotonic_ns() // 1000


class SteadyClock:
    """Says what time it is, unless the clock has jumped. Asked often, from several threads."""

    def __init__(
        self, *, wall: Callable[[], Instant] = present, monotonic: Callable[[], int] = elapsed
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._latest = wall()
        self._offset = self._latest - monotonic()
        self._followed_at = monotonic()
        self._jumped: tuple[int, int] | None = None

    def now(self) -> Instant | None:
        """The present; None from a jump until the clock has kept its new pace for STEADY_FOR.

        The instant that is judged is the one that is given: between a question "is it steady" and
        a look at the clock somebody could set it.
        """
        with self._lock:
            elapsed_now, wall = self._monotonic(), self._wall()
            offset = wall - elapsed_now
            if self._jumped is None:
                self._follow(offset, elapsed_now)
            if self._jumped is None and abs(offset - self._offset) <= JUMP_MAX:
                self._latest = wall
                return wall
            if self._jumped is None or abs(offset - self._jumped[0]) > JUMP_MAX:
                self._jumped = (offset, elapsed_now)
            if elapsed_now - self._jumped[1] < STEADY_FOR:
                return None
            self._offset, self._jumped, self._latest = offset, None, wall
            self._followed_at = elapsed_now
            return wall

    def _follow(self, offset: int, elapsed_now: int) -> None:
        """Let the trusted pace drift along, slowly: many small steps at once are a jump too."""
        drift = (elapsed_now - self._followed_at) // DRIFT
        if drift > 0:
            self._offset += max(-drift, min(drift, offset - self._offset))
            self._followed_at = elapsed_now

    def is_steady(self) -> bool:
        return self.now() is not None

    def latest(self) -> Instant:
        """The last present that could be trusted: what follows `is_steady` may go by."""
        return self._latest


class DatabaseClock:
    """The clock of the database, carried on by our monotonic one between two looks at it.

    It is never ahead: what was read is dated by the instant at which the answer had come.
    """

    def __init__(self, database: Database, *, monotonic: Callable[[], int] = elapsed) -> None:
        self._database = database
        self._monotonic = monotonic
        self._offset = 0
        self.ask()

    def __call__(self) -> Instant:
        return self._monotonic() + self._offset

    def ask(self) -> None:
        """Look at the database's clock.

        Raises:
            StoreError: If the database does not answer; the last look still holds.
        """
        with self._database.read() as connection:
            found = connection.execute(
                "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
                if connection.dialect == "postgresql"
                else "SELECT CAST((julianday('now') - 2440587.5) * 86400000000 AS bigint)"
            )
        self._offset = int(found[0][0]) - self._monotonic()
