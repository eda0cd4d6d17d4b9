"""When each item came, for what is new: by the catalog, by an event, or by who first knew of it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from engine.core.model.instants import Instant
from engine.learning.recommenders.content import Row
from engine.learning.recommenders.shelf import Shelf

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COLUMNS: Final = ("created_at", "added_at", "published_at", "available_from")
"""Of a catalog, that tell when an item came, as ISO dates; the first that can be read counts."""

NEVER: Final = 2**63 - 1
"""Where nobody can tell: such an item is not new."""


def arrivals(
    names: Sequence[str],
    rows: Mapping[str, Row],
    acted: Mapping[str, Instant],
    *,
    told: Mapping[str, Instant],
    now: Instant,
    before: Shelf | None,
) -> "NDArray[np.int64]":
    """Instants in the order of the names.

    The catalog's date; else the first act or word of it; else since when a recommender knows it:
    an item that the last one did not know came now.
    """
    import numpy as np

    came = np.full(len(names), NEVER)
    for place, name in enumerate(names):
        told_by_catalog = dated(rows.get(name, {}))
        if told_by_catalog is not None:
            came[place] = told_by_catalog
            continue
        since = min(acted.get(name, NEVER), told.get(name, NEVER))
        if before is not None:
            was = before.places.get(name)
            since = min(since, now if was is None else int(before.first_seen[was]))
        came[place] = since
    return came


def dated(row: Row) -> Instant | None:
    """When the catalog says that an item came; None where it does not."""
    for column in COLUMNS:
        try:
            when = datetime.fromisoformat(str(row[column]))
        except (KeyError, ValueError):
            continue
        aware = when if when.tzinfo else when.replace(tzinfo=UTC)
        return int(aware.timestamp() * 1_000_000)
    return None
