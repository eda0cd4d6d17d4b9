"""Reads a database's file through once, in order, before much of it is read at random.

Ten million rows fetched one by one from a disk cost twice the processor and four times the wall of
the same from memory; the file read in order takes a second or two for 4 GB (measured by
`benchmarks/backfill.py`). PostgreSQL keeps its own house.
"""

import os
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from engine.store.database import Database

CHUNK: Final = 1 << 20
MEMORY_SHARE_MAX: Final = 0.5
"""A file that is larger than this share of the machine's memory would push itself out again."""


def read_through(database: Database) -> int:
    """Have the operating system hold a SQLite file in its memory; the bytes read, 0 if none."""
    if database.dialect != "sqlite":
        return 0
    path = Path(unquote(database.url.removeprefix("sqlite:///").partition("?")[0]))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    size = path.stat().st_size
    if size > memory * MEMORY_SHARE_MAX:
        return 0
    buffer = bytearray(CHUNK)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    return size
