"""What came in, counted, and whether more may come: the gate before any work is done."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from engine.settings import Settings
from engine.web.problem import Refusal

BODIES_BYTES_MAX: Final = 64_000_000
"""Of bodies that are being received at once: slow clients must not fill the memory."""
_SPACE_CHECK_SECONDS: Final = 1.0


class Traffic:
    """Counts answers and refuses what the engine could not commit in time.

    `waiting` gives the number of events queued for commit; `folder` is where the database file
    lies, None where that is not our disk.
    """

    def __init__(
        self, settings: Settings, *, waiting: Callable[[], int], folder: Path | None
    ) -> None:
        self._settings = settings
        self._waiting = waiting
        self._folder = folder
        self._free_bytes = 2**62
        self._free_checked = -_SPACE_CHECK_SECONDS
        self._under_way: dict[int, float] = {}
        self._next = 0
        self._bytes_coming_in = 0
        self.events: Counter[str] = Counter({"accepted": 0, "duplicates": 0, "rejected": 0})
        self.answers: Counter[int] = Counter()
        self.commit_wait_seconds = 0.0

    def admit(self) -> None:
        """Let one request in.

        Raises:
            Refusal: 503 with Retry-After when the queue is full, commits are late, or the disk is
                nearly full.
        """
        settings = self._settings
        if self._waiting() >= settings.queue_events_max:
            raise _overload(f"{settings.queue_events_max:,} events are waiting to be written")
        now = time.monotonic()
        if self._under_way:
            oldest = now - next(iter(self._under_way.values()))
            if oldest > settings.commit_wait_seconds_max:
                raise _overload(f"the oldest request has waited {oldest:.1f} s for its commit")
        if self._folder is not None and now - self._free_checked >= _SPACE_CHECK_SECONDS:
            stat = os.statvfs(self._folder)
            self._free_bytes = stat.f_bavail * stat.f_frsize
            self._free_checked = now
        if self._free_bytes < settings.free_bytes_min:
            raise _overload("the disk is nearly full", retry_after_seconds=30)

    @contextmanager
    def receiving(self, length: bytes, *, bytes_max: int) -> Iterator[None]:
        """Hold room for one body while it comes in, as long as its header says it is.

        Raises:
            Refusal: 503 when so many bodies are coming in that memory would fill with them.
        """
        n_bytes = min(int(length), bytes_max) if length.isdigit() else bytes_max
        if self._bytes_coming_in and self._bytes_coming_in + n_bytes > BODIES_BYTES_MAX:
            raise _overload("too many requests are being received")
        self._bytes_coming_in += n_bytes
        try:
            yield
        finally:
            self._bytes_coming_in -= n_bytes

    def begin(self) -> int:
        """Note that a request waits for its commit; give the number to `end` it with."""
        self._next += 1
        self._under_way[self._next] = time.monotonic()
        return self._next

    def end(self, number: int) -> None:
        """Note that the wait is over."""
        self.commit_wait_seconds = time.monotonic() - self._under_way.pop(number)


def _overload(why: str, *, retry_after_seconds: int = 1) -> Refusal:
    return Refusal(
        503,
        "overloaded",
        f"Not taken: {why}. Send the same request again in {retry_after_seconds} s.",
        retry_after_seconds=retry_after_seconds,
    )
