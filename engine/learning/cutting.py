"""Where a score's past is cut: what was known at each instant, and what followed within its span.

The latest cut is the last whose span is over; every earlier one lies a whole span before the next,
so that what trained a fold had all been told by the instant at which the fold is judged.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from campaigns.models import ScoreModel
from engine.core.clocktime import iso
from engine.core.model.instants import DAY, Instant
from engine.learning.refusals import Refused
from engine.store.connection import Connection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def cuts(model: ScoreModel, *, first: Instant | None, as_of: Instant) -> list[Instant]:
    """The cut-offs, the latest first: one more than there are folds, at least two.

    Args:
        first: When the log begins; None for an empty one.
    Raises:
        Refused: If the log is too short for one fold.
    """
    span = model.gap + model.target.within
    found = [as_of - span * (number + 1) for number in range(model.folds + 1)]
    known = [] if first is None else [it for it in found if it > first]
    if len(known) >= 2:
        return known
    begins = "is empty" if first is None else f"begins {iso(first)[:10]}"
    days = -(-2 * span // DAY)
    raise Refused(
        f"the log {begins}, which is too short to learn what follows within {span // DAY} days",
        f"it needs more than {days} days before {iso(as_of)[:10]}; shorten the target's within, "
        "or wait",
    )


def first_event(connection: Connection) -> Instant | None:
    """When the log begins."""
    rows = connection.execute("SELECT min(at) FROM event")
    return None if not rows or rows[0][0] is None else int(rows[0][0])


def was_imported(connection: Connection, cut: Instant) -> bool:
    """Whether most of what had happened by then was told only later: a past that was imported."""
    ((n, n_told),) = connection.execute(
        "SELECT count(*), coalesce(sum(CASE WHEN accepted_at < ? THEN 1 ELSE 0 END), 0) "
        "FROM event WHERE at < ?",
        (cut, cut),
    )
    return int(n) > 0 and int(n_told) * 2 < int(n)


def labelled(
    ids: "NDArray[np.int64]", known: "NDArray[np.int64]", values: "NDArray[np.float64]"
) -> "tuple[NDArray[np.int64], NDArray[np.float64]]":
    """(places in `ids` of those whose outcome is known, their outcomes).

    Args:
        known: Profiles of `values`, ascending.
    """
    import numpy as np

    at = np.searchsorted(known, ids)
    at = np.minimum(at, max(len(known) - 1, 0))
    is_known = known[at] == ids if len(known) else np.zeros(len(ids), dtype=bool)
    places = np.flatnonzero(is_known)
    return places, values[at[places]]


def words(found: Sequence[Instant]) -> str:
    """The cut-offs as days, for people."""
    return ", ".join(iso(it)[:10] for it in reversed(found))
