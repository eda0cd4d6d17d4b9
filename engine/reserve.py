"""Room on the database's disk that is kept for opt-outs.

Events are refused while the disk is nearly full (`Traffic`), but others fill disks too. When even
a "no" cannot be written any more, a file that was kept for that is deleted, and it can. The file
comes back when there is room again.
"""

import errno
import logging
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

log = logging.getLogger("antiphon.reserve")

RESERVE_BYTES: Final = 16_000_000
"""An opt-out takes a few pages of 4 kB: enough for thousands of people."""


class Reserve:
    """One file. Asked from several threads.

    Args:
        path: Where it is kept: on the disk of the database. None keeps nothing.
        free_bytes_min: The file is made only while more than this, and itself, is free.
    """

    def __init__(
        self, path: Path | None, *, free_bytes_min: int, size: int = RESERVE_BYTES
    ) -> None:
        self._path = path
        self._free_bytes_min = free_bytes_min
        self._size = size
        self._lock = threading.Lock()
        self._is_short = False

    @property
    def is_short(self) -> bool:
        """Whether it was given away and there is not yet room for it again."""
        return self._is_short

    def keep(self) -> None:
        """Make the file if it is missing and there is room. Called now and then."""
        with self._lock:
            if self._path is None or self._path.exists():
                self._is_short = False
                return
            stat = os.statvfs(self._path.parent)
            if stat.f_bavail * stat.f_frsize < self._free_bytes_min + 2 * self._size:
                return
            try:
                self._make(self._path)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    log.warning("%s cannot be kept: %s", self._path, error.strerror)
                return
            self._is_short = False

    def release(self) -> bool:
        """Give the room away; True if there was any to give."""
        with self._lock:
            self._is_short = self._path is not None
            if self._path is None:
                return False
            try:
                self._path.unlink()
            except FileNotFoundError:
                return False
            log.error(
                "The disk is full. %s was deleted so that opt-outs can be written; events and "
                "sending wait until there is room.",
                self._path,
            )
            return True

    def _make(self, path: Path) -> None:
        """The whole file with blocks of its own, or none: a sparse one would keep nothing."""
        unfinished = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self._size)
            os.fsync(descriptor)
            os.rename(unfinished, path)
        except OSError:
            with suppress(FileNotFoundError):
                unfinished.unlink()
            raise
        finally:
            os.close(descriptor)
