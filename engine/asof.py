"""Who was in a segment at an instant: features rebuilt from the event log, profile by profile.

Slow and exact, for previews and questions about the past; what is true now stands in `membership`.
It knows all that is known today: an event counts by when it happened, however late it came.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from engine.core.model import Instant, Profile, ProfileId
from engine.core.segments import Segments
from engine.store.connection import Connection
from engine.wire import decode

_LOG = (
    "SELECT e.seq, e.profile_id, e.name, e.at, e.accepted_at, e.flags, e.properties, e.context, "
    "e.traits, p.external_id, p.zone FROM event e JOIN profile p ON p.id = e.profile_id "
    "WHERE e.at <= ? {only} ORDER BY e.profile_id, e.seq"
)


class Then(NamedTuple):
    """A profile as it was."""

    profile: Profile
    features: dict[str, Any]


class Member(NamedTuple):
    """A profile inside a segment at an instant."""

    then: Then
    until: Instant


def profiles_at(
    connection: Connection,
    segments: Segments,
    *,
    at: Instant,
    only: Sequence[int] | None = None,
) -> Iterator[Then]:
    """Every profile with an event by then (or only these), in order of internal id."""
    if only is None:
        rows = connection.execute(_LOG.format(only=""), (at,))
    else:
        rows = connection.select_in(_LOG.format(only="AND e.profile_id IN (?)"), list(only), (at,))
    for profile_id, own in groupby(rows, key=lambda row: int(row[1])):
        features: dict[str, Any] = {}
        profile = Profile(ProfileId(profile_id), "UTC")
        for row in own:
            profile.external_id, profile.zone = row[9], row[10]
            event = decode(row[:9]).event
            profile.traits.update(event.traits)
            segments.observe(features, event)
        yield Then(profile, features)


def members_at(
    connection: Connection, segments: Segments, name: str, *, at: Instant
) -> list[Member]:
    """Everyone inside a segment at an instant."""
    found: list[Member] = []
    for then in profiles_at(connection, segments, at=at):
        matches, until = segments.evaluate(name, then.features, then.profile, now=at)
        if matches:
            found.append(Member(then, until))
    return found


def sizes(connection: Connection, names: Sequence[str]) -> Mapping[str, int]:
    """How many profiles are inside each segment, as last played."""
    rows = connection.select_in(
        "SELECT segment, count(*) FROM membership WHERE segment IN (?) GROUP BY segment", names
    )
    counted = {str(name): int(count) for name, count in rows}
    return {name: counted.get(name, 0) for name in names}
