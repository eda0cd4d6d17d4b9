"""Who is inside a segment now: as last played, or asked of everybody where nobody keeps members.

A segment on the clock that nothing follows has no memberships (`core.followed`): reading it plays
nothing and asks what is remembered of each profile, some 40,000 a second.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from engine.core.model.instants import Instant
from engine.core.segments import Segments
from engine.reading import ProfilePage
from engine.store import people
from engine.store.connection import Connection
from engine.store.people import Loaded

BATCH: Final = 1_000

_MEMBERS: Final = (
    "SELECT p.external_id FROM membership m JOIN profile p ON p.id = m.profile_id "
    "WHERE m.segment = ? ORDER BY p.id"
)
_NEXT: Final = (
    "SELECT profile_id FROM profile_state WHERE profile_id > ? ORDER BY profile_id LIMIT ?"
)


def members_now(
    connection: Connection, segments: Segments, name: str, *, now: Instant
) -> list[str]:
    """The ids of everyone inside a segment, in the order in which they became known."""
    if name not in segments.when_read:
        return [str(row[0]) for row in connection.execute(_MEMBERS, (name,))]
    return [
        it.person.profile.external_id
        for it in _everybody(connection, segments)
        if _is_inside(it, segments, name, now=now)
    ]


def member_ids(
    connection: Connection,
    segments: Segments,
    name: str,
    *,
    now: Instant,
    above: int = -1,
    up_to: int | None = None,
) -> list[int]:
    """The profiles inside a segment in the order of their numbers, between two of them if given."""
    if name not in segments.when_read:
        bound = "" if up_to is None else "AND profile_id <= ?"
        rows = connection.execute(
            f"SELECT profile_id FROM membership WHERE segment = ? AND profile_id > ? {bound} "
            "ORDER BY profile_id",
            (name, above) if up_to is None else (name, above, up_to),
        )
        return [int(row[0]) for row in rows]
    return [
        it.person.profile.id
        for it in _everybody(connection, segments, above=above, up_to=up_to)
        if _is_inside(it, segments, name, now=now)
    ]


def sizes(
    connection: Connection, names: Sequence[str], *, segments: Segments, now: Instant
) -> Mapping[str, int]:
    """How many profiles are inside each segment."""
    rows = connection.select_in(
        "SELECT segment, count(*) FROM membership WHERE segment IN (?) GROUP BY segment",
        [name for name in names if name not in segments.when_read],
    )
    counted = dict.fromkeys(names, 0) | {str(name): int(count) for name, count in rows}
    asked = [name for name in names if name in segments.when_read]
    if asked:
        for it in _everybody(connection, segments):
            for name in asked:
                counted[name] += _is_inside(it, segments, name, now=now)
    return counted


def asked_now(
    connection: Connection, segments: Segments, profile_id: int, *, now: Instant
) -> list[str]:
    """Of the segments without memberships those that one profile is inside."""
    if not segments.when_read:
        return []
    loaded = people.load(connection, [profile_id], models=segments.news.models)
    it = loaded.get(profile_id)
    if it is None:
        return []
    names = sorted(segments.when_read)
    return [name for name in names if _is_inside(it, segments, name, now=now)]


def with_asked(
    connection: Connection, page: ProfilePage, segments: Segments | None, *, now: Instant
) -> ProfilePage:
    """A person's page with the segments that have no memberships, as they are this instant."""
    asked = [] if segments is None else asked_now(connection, segments, page.id, now=now)
    if not asked:
        return page
    return replace(page, segments=sorted([*page.segments, *((name, now) for name in asked)]))


def _everybody(
    connection: Connection, segments: Segments, *, above: int = -1, up_to: int | None = None
) -> Iterator[Loaded]:
    after = above
    while rows := connection.execute(_NEXT, (after, BATCH)):
        after = int(rows[-1][0])
        ids = [int(row[0]) for row in rows if up_to is None or row[0] <= up_to]
        if not ids:
            return
        yield from people.load(connection, ids, models=segments.news.models).values()


def _is_inside(it: Loaded, segments: Segments, name: str, *, now: Instant) -> bool:
    person = it.person
    return segments.evaluate(name, person.state.features, person.profile, now=now)[0]
