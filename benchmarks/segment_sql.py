"""How long ten segments take set-based: streamed from a store to DuckDB, sized, and over 14 days.

    python -m benchmarks.segment_sql [--events 1000000] [--profiles 100000] [--segments 10]

The segments and the mix of events are those of `benchmarks.segments`, in a SQLite store. The floor
streams the same columns to DuckDB and counts them per profile: what any set-based answer pays.
Prints seconds, the ratio to the floor, and the most memory that was used.

Baseline on 2026-11-23, 2 shared cores under a load of 4, CPython 3.11.7, 1M events of 100,000
profiles: floor 3.8 s, size now 5.0 s (1.3 x), 14 days 8.7 s (2.3 x), 556 MB.
"""

import argparse
import platform
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.segments import BEGIN, MIX, SEGMENTS
from engine.core.model.instants import DAY, MINUTE, SECOND, Instant
from engine.segment_sql.lake import Lake, open_lake
from engine.segment_sql.plan import Needs
from engine.segment_sql.statement import Statement, sizes_sql
from engine.segment_sql.stream import BATCH, pour
from engine.store import bulk, migrate
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.events import EventLog

GAP = 30 * MINUTE
SPAN = 30 * DAY
"""The events lie in these days, the last of which is now."""
NOW: Instant = BEGIN + SPAN
TARGET_RATIO = 3.0


def build(database: Database, *, n_events: int, n_profiles: int) -> None:
    """A store with that many events, evenly over the profiles and the days."""
    rng = random.Random(1)
    log = EventLog(dedupe_window=0)
    names = list(MIX)
    weights = list(MIX.values())
    step = SPAN // n_events
    with database.write() as connection:
        for start in range(0, n_profiles, BATCH):
            bulk.insert(
                connection,
                "profile",
                ("id", "external_id", "created_at", "zone", "zone_from", "traits", "sealed",
                 "addresses", "consent"),
                [
                    (number, f"u{number}", BEGIN, "UTC", "", '{"country":"DE"}', "{}", "{}", "{}")
                    for number in range(start + 1, min(n_profiles, start + BATCH) + 1)
                ],
            )  # fmt: skip
    for start in range(0, n_events, BATCH):
        count = min(BATCH, n_events - start)
        rows = []
        for number, name in enumerate(rng.choices(names, weights, k=count), start):
            at = BEGIN + number * step
            properties = f'{{"price":{rng.randrange(100)},"product":"p{rng.randrange(500)}"}}'
            device = rng.choice(["mobile", "desktop"])
            rows.append((
                None, rng.randrange(n_profiles) + 1, name, at, at + SECOND, 0, properties,
                f'{{"device":{{"type":"{device}"}}}}', None,
            ))  # fmt: skip
        with database.write() as connection:
            log.append(connection, rows, now=rows[-1][4])


def floor(connection: Connection, lake: Lake, needs: Needs) -> None:
    """Stream the same columns and aggregate once per profile, nothing else."""
    pour(connection, lake, needs, instants=[NOW], present=NOW)
    lake.select("SELECT count(*) FROM (SELECT profile_id, count(*) FROM events GROUP BY 1)", {})


def sized(connection: Connection, lake: Lake, statement: Statement, instants: list[Instant]) -> str:
    """Stream what the segments read and size them all at every instant."""
    pour(connection, lake, statement.needs, instants=instants, present=NOW)
    started = time.perf_counter()
    rows = lake.select(statement.text, statement.at(instants))
    seconds = time.perf_counter() - started
    return f"SQL alone {seconds:.2f} s; sizes now {', '.join(f'{n:,}' for n in rows[-1][2:])}"


def timed(
    database: Database, folder: Path, work: Callable[[Connection, Lake], str | None]
) -> tuple[float, str]:
    """Seconds of one question in a lake of its own."""
    started = time.perf_counter()
    with database.read() as connection, open_lake(folder) as lake:
        words = work(connection, lake)
    return time.perf_counter() - started, words or ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--profiles", type=int, default=100_000)
    parser.add_argument("--segments", type=int, default=10, help="how many, from the first on")
    parser.add_argument("--keep", type=Path, help="a folder to keep the store in, or to find it in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        path = folder / "benchmark.db"
        is_there = path.exists()
        database = Database(f"sqlite:///{path}", is_throwaway=True)
        if not is_there:
            migrate.upgrade(database)
            build(database, n_events=options.events, n_profiles=options.profiles)
        measure(database, folder, options)
        database.close()


def measure(database: Database, folder: Path, options: argparse.Namespace) -> None:
    n_events, names = options.events, list(SEGMENTS)[: options.segments]
    statement = sizes_sql(names, SEGMENTS, session_gap=GAP)
    days = [NOW - number * DAY for number in reversed(range(14))]
    print(
        f"{len(names)} segments, {options.profiles:,} profiles, {n_events:,} events; "
        f"{platform.machine()}, CPython {platform.python_version()}"
    )
    needs = msgspec.structs.replace(statement.needs)
    base, _ = timed(database, folder, lambda rows, lake: floor(rows, lake, needs))
    print(f"floor      {base:6.2f} s, {n_events / base:,.0f} events/s")
    for name, instants in (("size now", [NOW]), ("14 days", days)):
        seconds, words = timed(
            database, folder, lambda rows, lake, at=instants: sized(rows, lake, statement, at)
        )  # fmt: skip
        verdict = "within" if seconds <= TARGET_RATIO * base else "over"
        print(
            f"{name:<10} {seconds:6.2f} s, {seconds / base:.2f} x the floor ({verdict} 3); {words}"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"memory     {peak:,.0f} MB at most")


if __name__ == "__main__":
    main()
