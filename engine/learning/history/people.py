"""Whom a history is about: people known by then, who are still here and may be profiled.

Rows poured into the lake:

    people(profile_id, known_from)      known_from: when we met them, if that was before
    merged(profile_id, winner)          ids that lead to another: messages keep the old one

A refusal and an erasure hold for every instant, past ones too, from the moment the log has them;
who is one person with whom is today's knowledge as well. All else is as of the instant.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from engine.core.model.campaigns import Profiling
from engine.core.model.instants import Instant
from engine.core.profiling import may_be_profiled
from engine.learning.history.known import Known
from engine.store.connection import Connection, Row
from engine.store.events import EventLog, event_tables

if TYPE_CHECKING:
    from engine.segment_sql.lake import Lake

BATCH: Final = 20_000
_TABLES: Final = {
    "people": "profile_id BIGINT, known_from BIGINT",
    "merged": "profile_id BIGINT, winner BIGINT",
}
_values: Final = msgspec.json.Decoder(dict[str, Any])


def pour_people(connection: Connection, lake: "Lake", known: Known, profiling: Profiling) -> None:
    """Fill `people` and `merged`."""
    for table, columns in _TABLES.items():
        lake.duck.execute(f"CREATE TABLE {table} ({columns})")
    unplayed = _said_since(connection, profiling.trait)
    strangers: list[int] = []
    for rows in pages(
        connection,
        "SELECT id, created_at, traits FROM profile "
        "WHERE merged_into IS NULL AND erased_at IS NULL AND id > ? ORDER BY id LIMIT ?",
    ):
        allowed = [row for row in rows if _may_be_profiled(row, unplayed, profiling)]
        strangers += [row[0] for row in allowed if row[1] >= known.as_of]
        lake.append("people", [row[:2] for row in allowed if row[1] < known.as_of])
    for rows in _first_heard(connection, strangers, known):
        lake.append("people", rows)
    lake.append("merged", _redirects(connection))


def pages(connection: Connection, sql: str, params: Sequence[Any] = ()) -> Iterator[list[Row]]:
    """Pages of a statement whose last two values are the id after which, and how many."""
    after = 0
    while rows := connection.execute(sql, (*params, after, BATCH)):
        yield rows
        after = rows[-1][0]


def _may_be_profiled(row: Row, unplayed: dict[int, Any], profiling: Profiling) -> bool:
    profile_id, _, traits = row
    if profile_id in unplayed:
        return may_be_profiled(unplayed[profile_id], profiling)
    if f'"{profiling.trait}"' not in traits:
        return profiling.unknown == "allow"
    return may_be_profiled(_values.decode(traits).get(profiling.trait), profiling)


def _said_since(connection: Connection, trait: str) -> dict[int, Any]:
    """What the log says of the trait that no row of a profile knows yet."""
    positions: dict[int, int] = dict(connection.execute("SELECT number, position FROM partition"))
    n_partitions = max(1, len(positions))
    position, log = min(positions.values(), default=0), EventLog()
    found: dict[int, Any] = {}
    while rows := log.read_after(
        connection,
        position,
        limit=BATCH,
        columns=("seq", "profile_id", "traits"),
        where="traits IS NOT NULL",
    ):
        for seq, profile_id, traits in rows:
            is_played = seq <= positions.get(profile_id % n_partitions, 0)
            if not is_played and f'"{trait}"' in traits:
                said = _values.decode(traits)
                if trait in said:
                    found[profile_id] = said[trait]
        position = rows[-1][0]
    return found


def _first_heard(
    connection: Connection, strangers: Sequence[int], known: Known
) -> Iterator[list[Row]]:
    """Whom we met only later, but of whom an earlier event was told: an import."""
    first: dict[int, Instant] = {}
    for table in event_tables(connection):
        for start in range(0, len(strangers), BATCH):
            rows = connection.select_in(
                f"SELECT profile_id, min(at) FROM {table} WHERE profile_id IN (?) "
                f"AND {known.where} GROUP BY profile_id",
                strangers[start : start + BATCH],
                known.params,
            )
            for profile_id, at in rows:
                first[profile_id] = min(at, first.get(profile_id, at))
    if first:
        yield sorted(first.items())


def _redirects(connection: Connection) -> list[Row]:
    """Every id that leads to another, with the one at the end of the way."""
    led: dict[int, int] = dict(
        connection.execute("SELECT id, merged_into FROM profile WHERE merged_into IS NOT NULL")
    )
    found = []
    for loser, to in led.items():
        seen = {loser}
        while to in led and to not in seen:
            seen.add(to)
            to = led[to]
        found.append((loser, to))
    return found
