"""A product feed: the rows of `catalog/NAME.csv` in their order, chosen by their columns.

A feed belongs to a release and never changes, so what was chosen once is remembered, as a campaign
asks the same question for everybody, and each column that is asked about gets an index.
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

_Key = tuple[type, Any]
"""A value with its kind: 1 is not true."""


class Feed:
    """Rows in the order of their file; the best come first there."""

    def __init__(self, name: str, rows: Sequence[Row]) -> None:
        self.name = name
        self.rows = rows
        self._in_stock = list(islice((row for row in rows if _may_be_had(row)), _KEPT))
        self._known: dict[tuple[tuple[str, _Key], ...], list[Row]] = {}
        self._indexes: dict[str, dict[_Key, list[Row]]] = {}

    def chosen(self, filters: tuple[tuple[str, Any], ...]) -> tuple[list[Row], int]:
        """The first rows whose columns have these values, as many as a block may want, and how
        many had to be looked at for it.
        """
        if not filters:
            return list(self.rows[:_KEPT]), 0
        wanted = tuple((column, _key(value)) for column, value in filters)
        known = self._known.get(wanted)
        if known is not None:
            return known, 0
        rows = min((self._index(column).get(key, []) for column, key in wanted), key=len)
        found: list[Row] = []
        n_seen = len(rows)
        for number, row in enumerate(rows, start=1):
            for column, value in filters:
                here = row.get(column)
                if here != value or (type(here) is bool) != (type(value) is bool):
                    break
            else:
                found.append(row)
                if len(found) == _KEPT:
                    n_seen = number
                    break
        if len(self._known) >= _REMEMBERED:
            self._known.pop(next(iter(self._known)), None)
        self._known[wanted] = found
        return found, n_seen

    def in_stock(self) -> list[Row]:
        """The first rows that are not known to be out of stock."""
        return self._in_stock

    def _index(self, column: str) -> dict[_Key, list[Row]]:
        index = self._indexes.get(column)
        if index is None:
            index = {}
            for row in self.rows:
                if column in row:
                    index.setdefault(_key(row[column]), []).append(row)
            self._indexes[column] = index
        return index


def _key(value: Any) -> _Key:
    if isinstance(value, str):
        return str, str(value)  # also of text marked as safe for HTML
    return (bool if isinstance(value, bool) else float), value


def _may_be_had(row: Row) -> bool:
    return row.get("in_stock") is not False
