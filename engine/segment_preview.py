"""What a segment would be, applied or not: its size, its trend, and ten members with the reason.

Sizes come from SQL over columns streamed from the store; the few who are explained are asked of the
core, one by one. Read next: `segment_sql`, `asof`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from engine.asof import Then, profiles_at
from engine.core.clocktime import iso
from engine.core.model.campaigns import Program
from engine.core.model.instants import DAY, Instant
from engine.core.model.people import Profile
from engine.core.segments import Segments
from engine.segment_sql.lake import Lake, open_lake
from engine.segment_sql.statement import members_sql, sizes_sql
from engine.segment_sql.stream import pour
from engine.store import people
from engine.store.connection import Connection
from engine.ticking.wire import decode

SHOWN: Final = 10
INSTANTS_AT_ONCE: Final = 16
"""A question about more is asked in pieces, so that its memory does not grow with the days."""

_UNPLAYED: Final = (
    "SELECT seq, profile_id, name, at, accepted_at, flags, properties, context, traits FROM event "
    "WHERE profile_id IN (?) AND seq > ? ORDER BY seq"
)
_BARS: Final = "▁▂▃▄▅▆▇█"


class Explained(Struct, frozen=True):
    """One member: the id they go by, and a row for each condition (`Segments.explain`)."""

    profile: str
    conditions: list[dict[str, Any]]


class Preview(Struct, frozen=True):
    """A segment at an instant. `trend` holds its size on each day up to then, the last one too."""

    segment: str
    at: Instant
    size: int
    people: int
    trend: list[tuple[Instant, int]]
    members: list[Explained]

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "segment": self.segment,
            "at": iso(self.at),
            "size": self.size,
            "people": self.people,
            "trend": [{"at": iso(at), "size": size} for at, size in self.trend],
            "members": [
                {"profile": each.profile, "conditions": each.conditions} for each in self.members
            ],
        }


def preview(
    connection: Connection,
    name: str,
    *,
    program: Program,
    segments: Segments,
    at: Instant,
    days: int,
    present: Instant,
    folder: Path | None = None,
) -> Preview:
    """Ask for the size of a segment at an instant and on the days before it, and who is inside.

    Args:
        days: How many instants the trend has, a day apart, the last of them `at`.
        present: Now: what `at` may lie before.
        folder: Where a question that is larger than memory spills to.
    """
    instants = [at - number * DAY for number in reversed(range(max(1, days)))]
    sizes = sizes_sql(
        [name], program.segments, session_gap=program.session_gap, lists=program.lists
    )
    first = members_sql(
        name,
        program.segments,
        session_gap=program.session_gap,
        lists=program.lists,
        limit=SHOWN,
    )
    with open_lake(folder) as lake:
        pour(
            connection,
            lake,
            sizes.needs,
            instants=instants,
            present=present,
            profiling=program.profiling,
        )
        counted = dict(_sizes(lake, sizes.text, [sizes.at(it) for it in _pieces(instants)]))
        ids = [int(row[1]) for row in lake.select(first.text, first.at([at]))]
    n_people, size = counted.get(at, (0, 0))
    trend = [(instant, counted.get(instant, (0, 0))[1]) for instant in instants]
    members = explained(connection, segments, name, ids, at=at, present=present)
    return Preview(name, at, size, n_people, trend, members)


def explained(
    connection: Connection,
    segments: Segments,
    name: str,
    ids: Sequence[int],
    *,
    at: Instant,
    present: Instant,
) -> list[Explained]:
    """Why these profiles are inside a segment, in order of internal id."""
    found = list(profiles_at(connection, segments, at=at, only=ids))
    if at >= present:
        found = as_they_are(connection, segments, found)
    return [
        Explained(
            then.profile.external_id, segments.explain(name, then.features, then.profile, now=at)
        )
        for then in found
    ]


def as_they_are(connection: Connection, segments: Segments, found: Sequence[Then]) -> list[Then]:
    """The same people with what their rows say of them, and what is accepted but not yet played."""
    loaded = people.load(
        connection, [int(then.profile.id) for then in found], models=segments.news.models
    )
    profiles = {number: it.person.profile for number, it in loaded.items()}
    _tell_unplayed(connection, profiles)
    return [Then(profiles.get(int(then.profile.id), then.profile), then.features) for then in found]


def sparkline(sizes: Sequence[int]) -> str:
    """A bar for each size, from the least to the most.

    >>> sparkline([0, 4, 8, 2])
    '▁▄█▂'
    """
    least, most = min(sizes), max(sizes)
    span = max(1, most - least)
    return "".join(_BARS[(size - least) * (len(_BARS) - 1) // span] for size in sizes)


def _pieces(instants: Sequence[Instant]) -> Iterator[Sequence[Instant]]:
    for start in range(0, len(instants), INSTANTS_AT_ONCE):
        yield instants[start : start + INSTANTS_AT_ONCE]


def _sizes(
    lake: Lake, text: str, pieces: Sequence[dict[str, Any]]
) -> Iterator[tuple[Instant, tuple[int, int]]]:
    for values in pieces:
        for now, n_people, size in lake.select(text, values):
            yield now, (n_people, size)


def _tell_unplayed(connection: Connection, profiles: Mapping[int, Profile]) -> None:
    positions: dict[int, int] = dict(connection.execute("SELECT number, position FROM partition"))
    played = {number: positions.get(number % max(1, len(positions)), 0) for number in profiles}
    since = min(played.values(), default=0)
    for row in connection.select_in(_UNPLAYED, list(profiles), (since,)):
        if row[0] > played[row[1]]:
            decoded = decode(row)
            profile = profiles[row[1]]
            profile.traits.update(decoded.event.traits)
            for channel, topics in (decoded.consent or {}).items():
                profile.consent.setdefault(channel, {}).update(topics)
