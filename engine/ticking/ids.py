"""Numbers for enrollments and messages, taken from the database in blocks.

A block costs one small transaction; a crash loses what is left of it and nothing else. Numbers in
sequence keep rows of one time on the same pages.
"""

from engine.store.bulk import reserve
from engine.store.database import Database

BLOCK = 10_000


class Ids:
    """Hands out numbers that no other process will ever hand out."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._next: dict[str, int] = {}
        self._end: dict[str, int] = {}

    def __call__(self, noun: str) -> int:
        number = self._next.get(noun, 0)
        if number >= self._end.get(noun, 0):
            with self._database.write() as connection:
                number = reserve(connection, noun, BLOCK)
            self._end[noun] = number + BLOCK
        self._next[noun] = number + 1
        return number
