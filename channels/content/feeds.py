"""A product feed: the rows of `catalog/NAME.csv` in their order, chosen by their columns.

A feed belongs to a release and never changes, so what was chosen once is remembered: a campaign
asks the same question for everybody.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

Row = dict[str, Any]
"""One product: `id`, `title`, `url` and whatever else the file has; a blank cell has no key."""

ITEMS_MAX: Final = 100
"""Of one block."""

_KEPT: Final = 2 * ITEMS_MAX
"""Rows of one answer: a top-up may have to pass over as many as it gives."""

_REMEMBERED: Final = 1_024
"""Questions a feed keeps the answers of: a category taken from a trait has many values."""


class Feed:
    """Rows in the order of their file; the best come first there."""

    def __init__(self, name: str, rows: Sequence[Row]) -> None:
        self.name = name
        self.rows = rows
        self._known: dict[tuple[tuple[str, type, Any], ...], list[Row]] = {}
        self._in_stock = list(islice((row for row in self.rows if _may_be_had(row)), _KEPT))

    def chosen(self, filters: tuple[tuple[str, Any], ...]) -> list[Row]:
        """The first rows whose columns have these values, as many as a block may want."""
        key = tuple((column, type(value), value) for column, value in filters)
        found = self._known.get(key)
        if found is None:
            rows = (row for row in self.rows if _fits(row, filters))
            found = list(islice(rows, _KEPT))
            if len(self._known) >= _REMEMBERED:
                self._known.pop(next(iter(self._known)))
            self._known[key] = found
        return found

    def in_stock(self) -> list[Row]:
        """The first rows that are not known to be out of stock."""
        return self._in_stock


def _may_be_had(row: Row) -> bool:
    return row.get("in_stock") is not False


def _fits(row: Row, filters: tuple[tuple[str, Any], ...]) -> bool:
    """Each column equal and of one kind: 1 is not true."""
    for column, wanted in filters:
        found = row.get(column)
        if found != wanted or isinstance(found, bool) != isinstance(wanted, bool):
            return False
    return True
