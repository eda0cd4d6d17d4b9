"""Whom a plan would touch: counts beside the pure difference of `campaigns.plan`."""

from collections.abc import Sequence

from campaigns.plan import Change
from engine.store.connection import Connection


def people_inside(connection: Connection, changes: Sequence[Change]) -> dict[str, int]:
    """How many people are inside each campaign that changes or goes; empty ones are left out."""
    names = [it.name for it in changes if it.construct == "campaign" and it.kind != "+"]
    rows = connection.select_in(
        "SELECT campaign, count(*) FROM enrollment WHERE campaign IN (?) AND status = 'active' "
        "GROUP BY campaign ORDER BY campaign",
        names,
    )
    return {str(name): int(count) for name, count in rows}
