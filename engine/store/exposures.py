"""Exposures of units that are not profiles, and what was reported wrongly.

A profile's own exposures are in its state. An account's belong to all its people, so whoever is
about to expose one asks here whether another has been first.
"""

from engine.core.model.people import Exposed
from engine.store.connection import Connection
from engine.store.outcomes import MISREPORTS, Outcomes

_OF_UNIT = (
    "SELECT variant, phase, at FROM exposure WHERE experiment = ? AND unit = ? AND unit <> '' "
    "ORDER BY at, phase, profile_id LIMIT 1"
)


def shown(connection: Connection, outcomes: Outcomes, experiment: str, unit: str) -> Exposed | None:
    """The first exposure of a unit, by what is committed and by the batch that is being played."""
    here = outcomes.units.get((experiment, unit))
    if here is not None:
        return here
    rows = connection.execute(_OF_UNIT, (experiment, unit))
    return Exposed(rows[0][0], int(rows[0][1]), int(rows[0][2])) if rows else None


def misreports(connection: Connection) -> dict[tuple[str, str], int]:
    """How many reported exposures were not taken, by (why, experiment or "")."""
    rows = connection.execute(
        "SELECT name, value FROM counter WHERE name LIKE ?", (f"{MISREPORTS}: %",)
    )
    found = {}
    for name, n in rows:
        why, _, experiment = str(name).removeprefix(f"{MISREPORTS}: ").partition(": ")
        found[why, experiment] = int(n)
    return found
