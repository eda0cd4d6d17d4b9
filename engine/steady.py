"""The one clock of a running engine, and whether it can be trusted now.

Wall clocks are set by people and daemons. When ours jumps by more than a minute against the
monotonic one, nothing is dispatched until it has stayed steady for a while: a message sent because
somebody mistyped a date cannot be called back.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from engine.core.model import MINUTE, SECOND, Instant

JUMP_MAX: Final = MINUTE
STEADY_FOR: Final = 10 * SECOND


def present() -> Instant:
    """The wall clock, in microseconds since the epoch."""
    return time.time_ns() // 1000


def elapsed() -> int:
    """Microseconds on a clock that nobody can set."""
    return time.monotonic_ns() // 1000


class SteadyClock:
    """Says when the wall clock jumped. Asked often, from several threads."""

    def __init__(
        self, *, wall: Callable[[], Instant] = present, monotonic: Callable[[], int] = elapsed
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._offset = wall() - monotonic()
        self._jumped_at: int | None = None

    def is_steady(self) -> bool:
        """False from a jump until the clock has kept its new pace for STEADY_FOR."""
        with self._lock:
            now = self._monotonic()
            offset = self._wall() - now
            if abs(offset - self._offset) > JUMP_MAX:
                self._jumped_at = now
            self._offset = offset
            if self._jumped_at is not None and now - self._jumped_at >= STEADY_FOR:
                self._jumped_at = None
            return self._jumped_at is None
