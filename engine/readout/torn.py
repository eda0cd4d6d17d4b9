"""Units that belong to no arm: people whom a merge found under two variants of one experiment."""

from typing import Final

import msgspec

from engine.core.merge import ASSIGNMENT_CONFLICT
from engine.store.connection import Connection

_properties: Final = msgspec.json.Decoder(dict[str, object])


def torn_people(connection: Connection, experiment: str) -> frozenset[int]:
    """Their profiles; whatever they did may be the work of either variant."""
    rows = connection.execute(
        "SELECT profile_id, properties FROM event WHERE name = ?", (ASSIGNMENT_CONFLICT,)
    )
    return frozenset(
        int(profile)
        for profile, properties in rows
        if _properties.decode(properties).get("experiment") == experiment
    )
