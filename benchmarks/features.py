"""How long every feature of everybody takes, from a store on disk.

    python -m benchmarks.features [--events 1000000] [--profiles 50000]

A year of a shop in a SQLite file: views, pages, carts, orders of one to three lines and opens, each
with device, place, zone and the address of a page. The floor reads the same columns into DuckDB and
does nothing with them: what any answer that is not kept beforehand pays. Then all groups of
features, and those of the RFM alone. Prints seconds (and those of the processor, which other loads
leave alone), the ratio to the floor, which is the part that reading takes, and the most memory.

Baseline on 2026-11-23, 2 shared cores under a load of 3, CPython 3.11.7: floor 3.7 s, all features
8.3 s (2.2 x), RFM alone 1.2 s, 587 MB.
"""

import argparse
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from campaigns.models import FEATURES, Learning
from engine.core.clocktime import parse_instant
from engine.core.model.instants import DAY, SECOND
from engine.learning.history import history
from engine.segment_sql.lake import open_lake
from engine.segment_sql.stream import BATCH, read_log
from engine.store import bulk, migrate
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.events import EventLog

BEGIN = parse_instant("2026-01-01T00:00:00Z")
SPAN = 365 * DAY
AS_OF = BEGIN + SPAN + DAY
TARGET_SECONDS = 10.0
RFM = ("recency", "frequency", "monetary")
MIX = {
    "Product Viewed": 50, "Page Viewed": 25, "Product Added": 12, "Order Completed": 8,
    "Message Opened": 5,
}  # fmt: skip
CATEGORIES = [f"category {number}" for number in range(30)]
_ZONES = ["Europe/Berlin", "Europe/London", "America/New_York"]


def build(database: Database, *, n_events: int, n_profiles: int) -> None:
    """A store with that many events, evenly over the profiles and the year."""
    rng = random.Random(1)
    log = EventLog(dedupe_window=0)
    columns = ("id", "external_id", "created_at", "zone", "zone_from", "traits", "sealed",
               "addresses", "consent")  # fmt: skip
    with database.write() as connection:
        for start in range(0, n_profiles, BATCH):
            bulk.insert(
                connection,
                "profile",
                columns,
                [
                    (number, f"u{number}", BEGIN, "UTC", "", '{"country":"DE"}', "{}", "{}", "{}")
                    for number in range(start + 1, min(n_profiles, start + BATCH) + 1)
                ],
            )
    step = SPAN // n_events
    for start in range(0, n_events, BATCH):
        names = rng.choices(list(MIX), list(MIX.values()), k=min(BATCH, n_events - start))
        rows = []
        for number, name in enumerate(names, start):
            at = BEGIN + number * step
            profile = rng.randrange(n_profiles) + 1
            rows.append((
                None, profile, name, at, at + SECOND, 0, _properties(name, number, rng),
                _context(profile, rng), None,
            ))  # fmt: skip
        with database.write() as connection:
            log.append(connection, rows, now=rows[-1][4])


def _properties(name: str, number: int, rng: random.Random) -> str:
    product = rng.randrange(500)
    values: dict[str, object] = {"product_id": f"p{product}", "category": CATEGORIES[product % 30]}
    if name == "Page Viewed":
        values = {"path": f"/journal/{product}", "title": "What to wear this season"}
    elif name == "Message Opened":
        values = {"message": number, "campaign": "news", "is_machine": rng.random() < 0.3}
    elif name == "Order Completed":
        lines = [
            {"product_id": f"p{it}", "category": CATEGORIES[it % 30], "price": 19.5, "quantity": 1}
            for it in rng.choices(range(500), k=rng.randrange(1, 4))
        ]
        values = {"order_id": f"o{number}", "revenue": 19.5 * len(lines), "products": lines}
    else:
        values |= {"title": f"Product {product}", "price": 19.5}
    return msgspec.json.encode(values).decode()


def _context(profile: int, rng: random.Random) -> str:
    values = {
        "device": {"type": rng.choice(["mobile", "desktop"]), "os": "iOS", "browser": "Safari"},
        "location": {"country": "DE", "region": "BE", "city": f"City {profile % 200}"},
        "timezone": _ZONES[profile % 3],
        "page": {"url": f"https://shop.example/p/{rng.randrange(100_000)}"},
    }
    return msgspec.json.encode(values).decode()


def floor(connection: Connection) -> None:
    """Read the same columns of the same rows into DuckDB, and nothing else."""
    columns = ("profile_id", "seq", "name", "at", "properties", "context")
    where, params = "at < ? AND accepted_at < ?", (AS_OF, AS_OF)
    with open_lake() as lake:
        for rows in read_log(connection, columns, where, params, seq=1):
            lake.append("events", rows)


def features(connection: Connection, names: tuple[str, ...]) -> None:
    """Every feature of these groups, for everybody."""
    with history(connection, as_of=AS_OF, learning=Learning()) as found:
        found.features(names, zone="Europe/Berlin")


def seconds(run: Callable[[], None]) -> tuple[float, float]:
    """(passed on the clock, spent by the processor)."""
    clock, processor = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - clock, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--profiles", type=int, default=50_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'shop.db'}")
        migrate.upgrade(database)
        build(database, n_events=asked.events, n_profiles=asked.profiles)
        with database.read() as connection:
            runs: dict[str, Callable[[], None]] = {
                "floor": lambda: floor(connection),
                "all features": lambda: features(connection, FEATURES),
                "RFM alone": lambda: features(connection, RFM),
            }
            found = {name: seconds(run) for name, run in runs.items()}
        database.close()
    base = found["floor"][0]
    print(f"{asked.events:,} events of {asked.profiles:,} profiles")
    for name, (clock, processor) in found.items():
        print(f"{name:>14}: {clock:6.1f} s ({processor:5.1f} s of processor) {clock / base:4.1f} x")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB at most")
    verdict = "met" if found["all features"][0] < TARGET_SECONDS else "MISSED"
    print(f"under {TARGET_SECONDS:.0f} s for all features: {verdict}")


if __name__ == "__main__":
    main()
