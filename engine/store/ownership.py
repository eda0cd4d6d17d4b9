"""A lock that the kernel drops when its process dies, so that no stale file can bar a restart."""

import fcntl
import os
from pathlib import Path


class FileLock:
    """An exclusive lock on a file beside the database; whoever holds it is the engine.

    The file itself means nothing and stays: removing it would let two processes lock two files of
    one name.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock if nobody has it. Says whether we have it now."""
        if self._descriptor is not None:
            return True
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
