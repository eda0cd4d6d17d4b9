"""A shop with a long history, written straight into its tables: for what reads much and sends none.

People and events have the shape that the reference mix leaves behind (see `reference_mix`: rows of
some 450 bytes, times in order over SPAN, people uniform), but no ingest made them, so ten million
take minutes and not hours. Everyone has been played to the end of the log by a release that keeps
the campaign's wait and no segment.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.reference_mix import MIX, workspace_files
from campaigns.load import load_bundle
from engine.core.clocktime import parse_instant
from engine.core.model.instants import DAY, Instant
from engine.core.model.people import State
from engine.release import publish
from engine.store import bulk, migrate
from engine.store.connection import Connection, Row
from engine.store.database import Database
from engine.store.events import EventLog

NOW: Final = parse_instant("2026-03-02T10:00:00Z")
SPAN: Final = 60 * DAY
GROUP: Final = 20_000
SEGMENTS: Final = "segments/"

_PROFILE_COLUMNS = (
    "id", "external_id", "created_at", "zone", "zone_from", "traits", "sealed", "addresses",
    "consent",
)  # fmt: skip


def files(*, with_segments: bool) -> dict[str, bytes]:
    """The reference workspace, before or after somebody wrote its ten segments."""
    return {
        path: text
        for path, text in workspace_files().items()
        if with_segments or not path.startswith(SEGMENTS)
    }


def build(path: Path, *, n_events: int, n_profiles: int) -> None:
    """Make the database; it takes some 15 seconds per million events."""
    database = Database(f"sqlite:///{path}", is_throwaway=True)
    migrate.upgrade(database)
    with database.write() as connection:
        workspace = load_bundle(files(with_segments=False), environ={})
        publish.apply(connection, workspace, now=NOW - SPAN)
    rng = random.Random(5)
    state = msgspec.msgpack.encode(State(release=1))
    for first in range(1, n_profiles + 1, GROUP):
        with database.write() as connection:
            _people(connection, range(first, min(first + GROUP, n_profiles + 1)), state, rng)
    log = EventLog()
    for first in range(0, n_events, GROUP):
        at = NOW - SPAN + first * SPAN // n_events
        with database.write() as connection:
            size = min(GROUP, n_events - first)
            log.append(connection, list(_events(size, n_profiles, at, rng)), now=at)
    with database.write() as connection:
        connection.execute("UPDATE partition SET position = ?", (n_events,))
        connection.execute("ANALYZE")
    database.close()


def _people(connection: Connection, ids: range, state: bytes, rng: random.Random) -> None:
    rows: list[Row] = [
        (
            number,
            f"user-{number}",
            NOW - SPAN,
            "UTC",
            "",
            f'{{"country":"{rng.choice(("DE", "FR", "NL"))}","first_name":"Ada",'
            f'"email":"blind:{number:032x}"}}',
            "{}",
            "{}",
            '{"email":{"offers":true}}',
        )
        for number in ids
    ]
    bulk.insert(connection, "profile", _PROFILE_COLUMNS, rows)
    bulk.insert(
        connection, "profile_state", ("profile_id", "state"), [(each, state) for each in ids]
    )


def _events(n: int, n_profiles: int, at: Instant, rng: random.Random) -> Iterator[Row]:
    names = rng.choices(list(MIX), weights=list(MIX.values()), k=n)
    for name in names:
        product = rng.randrange(5_000)
        yield (
            rng.randbytes(16),
            rng.randrange(n_profiles) + 1,
            name,
            at - rng.randrange(60_000_000),
            at,
            0,
            f'{{"product_id":"p{product}","price":{rng.random() * 100:.2f},'
            f'"category":"category-{product % 40}",'
            f'"url":"https://shop.example/products/{product}?ref=home",'
            f'"quantity":{rng.randrange(1, 4)}}}',
            f'{{"locale":"de-DE","page":{{"path":"/products/{product}"}},'
            '"library":{"name":"analytics.js","version":"2.1.0"}}',
            None,
        )
