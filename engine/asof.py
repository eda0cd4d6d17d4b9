"""Who was in a segment at an instant: features rebuilt from the event log, profile by profile.

Slow and exact, for previews and questions about the past; what is true now is in `membership`. It
knows all that is known today: an event counts by when it happened, however late it came. Consent
and zones come from the log, withdrawals by a link from the ledger, scores from the run that was
champion then. What no log tells is as it is today: the ids people go by, what stands in a list,
withdrawals that someone else made at a shared address, and runs that were swept away (no score).
"""

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from engine.consent.unsubscribe import WITHDRAWN
from engine.core.model.instants import Instant, ProfileId
from engine.core.model.people import Contact, Profile
from engine.core.segments import Segments
from engine.store import scores
from engine.store.connection import Connection, Row
from engine.store.events import MERGE
from engine.ticking.wire import decode, zone_told

BATCH: Final = 500

_LOG: Final = (
    "SELECT e.seq, e.profile_id, e.name, e.at, e.accepted_at, e.flags, e.properties, e.context, "
    "e.traits, p.external_id, p.zone FROM event e JOIN profile p ON p.id = e.profile_id "
    f"WHERE e.at <= ? AND e.flags & {MERGE} = 0 AND p.erased_at IS NULL {{only}} "
    "ORDER BY e.profile_id, e.seq"
)
_WITHDRAWN: Final = (
    "SELECT profile_id, channel, topic FROM consent_change "
    f"WHERE profile_id IN (?) AND {WITHDRAWN} AND at <= ?"
)


class Then(NamedTuple):
    """A profile as it was."""

    profile: Profile
    features: dict[str, Any]


class Member(NamedTuple):
    """A profile inside a segment at an instant."""

    then: Then
    until: Instant


class Zones(NamedTuple):
    """How a workspace finds a profile's zone: its sources, best first, and its own zone.

    Without it a profile is taken to live where it does today.
    """

    sources: Sequence[str]
    own: str


def profiles_at(
    connection: Connection,
    segments: Segments,
    *,
    at: Instant,
    only: Sequence[int] | None = None,
    zones: Zones | None = None,
    features: frozenset[str] | None = None,
) -> Iterator[Then]:
    """Every profile with an event by then (or only these), in order of internal id.

    Args:
        features: Which to rebuild (`Segments.features_of`); None: all.
    """
    if only is None:
        rows = connection.execute(_LOG.format(only=""), (at,))
    else:
        rows = connection.select_in(_LOG.format(only="AND e.profile_id IN (?)"), list(only), (at,))
    rebuilt = (
        _rebuilt(profile_id, own, segments, zones, features, at=at)
        for profile_id, own in groupby(rows, key=lambda row: int(row[1]))
    )
    while batch := list(islice(rebuilt, BATCH)):
        _add_withdrawals(connection, batch, at=at)
        if segments.news.models:
            _add_scores(connection, batch, at=at)
        yield from batch


def members_at(
    connection: Connection,
    segments: Segments,
    name: str,
    *,
    at: Instant,
    zones: Zones | None = None,
) -> list[Member]:
    """Everyone inside a segment at an instant."""
    found: list[Member] = []
    features = segments.features_of[name]
    for then in profiles_at(connection, segments, at=at, zones=zones, features=features):
        matches, until = segments.evaluate(name, then.features, then.profile, now=at)
        if matches:
            found.append(Member(then, until))
    return found


def _rebuilt(
    profile_id: int,
    own: Iterator[Row],
    segments: Segments,
    zones: Zones | None,
    only: frozenset[str] | None,
    *,
    at: Instant,
) -> Then:
    features: dict[str, Any] = {}
    profile = Profile(ProfileId(profile_id), "" if zones is None else zones.own)
    zone_from = ""
    for row in own:
        profile.external_id = row[9]
        decoded = decode(row[:9])
        event = decoded.event
        if zones is None:
            profile.zone = row[10]
        else:
            zone, source = zone_told(event, zone_from, zones.sources)
            profile.zone, zone_from = zone or profile.zone, source or zone_from
        for channel, topics in (decoded.consent or {}).items():
            profile.consent.setdefault(channel, {}).update(topics)
        profile.traits.update(event.traits)
        # As if all had been accepted by then: a fold forgets what no later question can need.
        segments.observe(features, replace(event, accepted_at=at), only=only)
    return Then(profile, features)


def _add_withdrawals(connection: Connection, batch: Sequence[Then], *, at: Instant) -> None:
    by_id = {int(then.profile.id): then.profile for then in batch}
    for profile_id, channel, topic in connection.select_in(_WITHDRAWN, list(by_id), (at,)):
        addresses = by_id[profile_id].addresses
        known = addresses.get(channel, Contact())
        addresses[channel] = replace(known, withdrawn=known.withdrawn | {topic})


def _add_scores(connection: Connection, batch: Sequence[Then], *, at: Instant) -> None:
    ids = [int(then.profile.id) for then in batch]
    said = scores.of_people_at(connection, ids, at=at)
    for then in batch:
        then.profile.scores = said.get(int(then.profile.id), {})
