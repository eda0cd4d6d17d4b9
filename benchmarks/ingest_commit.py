"""Ingest without HTTP against the bare writes: decode, check, dedupe, resolve, insert, commit.

    python benchmarks/ingest_commit.py [--history 3000000] [--rows 100000] [--pairs 3]

The floor is a bare `executemany` of exactly the same event rows into the same tables, indexes,
pragmas and table size, in transactions of 1,000 and of the group's size. Runs alternate; the
median counts. Mix: 100k profiles, all known; Product Viewed 55 %, Page 20, Product Added 15,
Checkout Started 5, Order Completed 5; random messageIds; batches of 100 (about 600 B an event).
"""

import argparse
import gc
import json
import platform
import random
import statistics
import tempfile
import time
from pathlib import Path

from engine.core.clocktime import iso, parse_instant
from engine.core.model.instants import DAY, SECOND
from engine.intake.declared import Declared
from engine.intake.ingest import Ingest
from engine.intake.prepare import Terms, prepare
from engine.store import migrate
from engine.store.bulk import insert, reserve
from engine.store.connection import Row
from engine.store.database import Database
from engine.store.events import COLUMNS, EventLog
from engine.tables import EVENTS_PER_PART
from engine.vault import Vault

NOW = parse_instant("2026-03-02T09:00:00Z")
N_PROFILES = 100_000
BATCH = 100
MIX = (
    ["Product Viewed"] * 55 + ["Page Viewed"] * 20 + ["Product Added"] * 15
    + ["Checkout Started"] * 5 + ["Order Completed"] * 5
)  # fmt: skip
AGENTS = [
    f"Mozilla/5.0 (iPhone; CPU iPhone OS {n}_0 like Mac OS X) AppleWebKit/605.1.15"
    for n in range(12, 18)
]


def bodies(n_rows: int, rng: random.Random) -> list[bytes]:
    """Request bodies of BATCH events each."""
    return [
        json.dumps({"batch": [_event(rng) for _ in range(BATCH)], "sentAt": iso(NOW)}).encode()
        for _ in range(n_rows // BATCH)
    ]


def _event(rng: random.Random) -> dict[str, object]:
    product = rng.randrange(5_000)
    name = rng.choice(MIX)
    call: dict[str, object] = {
        "type": "page" if name == "Page Viewed" else "track",
        "messageId": f"{rng.getrandbits(128):032x}",
        "userId": f"user-{rng.randrange(N_PROFILES)}",
        "timestamp": iso(NOW - rng.randrange(60) * SECOND),
        "properties": {
            "product_id": f"p{product}",
            "price": round(rng.random() * 100, 2),
            "category": f"category-{product % 40}",
            "url": f"https://shop.example/products/{product}?ref=home",
            "quantity": rng.randrange(1, 4),
        },
        "context": {
            "userAgent": rng.choice(AGENTS),
            "locale": "de-DE",
            "timezone": "Europe/Berlin",
            "page": {"path": f"/products/{product}"},
            "library": {"name": "analytics.js", "version": "2.1.0"},
        },
    }
    if name != "Page Viewed":
        call["event"] = name
    return call


class Bench:
    """One database with its people and its history."""

    def __init__(self, folder: Path, name: str, *, history: int) -> None:
        self.database = Database(f"sqlite:///{folder / name}")
        migrate.upgrade(self.database)
        vault = Vault({1: "a secret of the benchmark"}, entropy=random.Random(3).randbytes)
        self.log = EventLog()
        self.ingest = Ingest(vault=vault, log=self.log)
        self.terms = Terms(
            declared=Declared(), entropy=random.Random(4).randbytes, trigger_age_max=DAY
        )
        self._fill_profiles()
        self._fill_history(history)
        with self.database.write() as connection:
            self.log.warm(connection, now=NOW)
        with self.database.engine.connect() as outside:
            # Else the first measured commits would pay for moving the history out of the WAL.
            outside.exec_driver_sql("COMMIT")
            outside.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _fill_profiles(self) -> None:
        with self.database.write() as connection:
            first = reserve(connection, "profile", N_PROFILES)
            columns = (
                "id", "external_id", "created_at", "zone", "zone_from", "traits", "sealed",
                "addresses", "consent", "data_key",
            )  # fmt: skip
            people = [
                (first + i, f"user-{i}", NOW, "UTC", "workspace", "{}", "{}", "{}", "{}", b"")
                for i in range(N_PROFILES)
            ]
            insert(connection, "profile", columns, people)
            links = [("user", f"user-{i}", first + i, NOW) for i in range(N_PROFILES)]
            insert(connection, "identity", ("kind", "value", "profile_id", "created_at"), links)

    def _fill_history(self, history: int) -> None:
        """Rows with random keys; those of one part are written sorted: quick, and the same tree."""
        rng = random.Random(5)
        body = "x" * 150
        for start in range(0, history, EVENTS_PER_PART):
            n_rows = min(EVENTS_PER_PART, history - start)
            rows = [
                (rng.randbytes(16), rng.randrange(1, N_PROFILES), "Page Viewed", NOW, NOW, 0,
                 body, body, None)
                for _ in range(n_rows)
            ]  # fmt: skip
            rows.sort()
            with self.database.write() as connection:
                self.log.append(connection, rows, now=NOW)

    def ours(self, requests: list[bytes], group_rows: int) -> tuple[float, float]:
        """(rows per second in all, rows per second of the committing thread)."""
        step = group_rows // BATCH
        committing = 0.0
        began = time.perf_counter()
        for start in range(0, len(requests), step):
            groups = [
                prepare(body, kind="batch", terms=self.terms, received_at=NOW)
                for body in requests[start : start + step]
            ]
            before = time.perf_counter()
            with self.database.write() as connection:
                self.ingest.commit(connection, groups, now=NOW)
            committing += time.perf_counter() - before
        n_rows = len(requests) * BATCH
        return n_rows / (time.perf_counter() - began), n_rows / committing

    def floor(self, rows: list[Row], group_rows: int) -> float:
        """Rows per second of bare inserts of the same rows into the open part."""
        with self.database.read() as connection:
            last = connection.execute("SELECT coalesce(max(seq), 0) FROM event")[0][0]
            parts = connection.execute(
                "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name LIKE 'event_%'"
            )[0][0]
        text = (
            f"INSERT INTO event_{parts} ({', '.join(COLUMNS)}) "
            f"VALUES ({', '.join('?' * len(COLUMNS))})"
        )
        numbered = [(last + 1 + i, *row[1:]) for i, row in enumerate(rows)]
        began = time.perf_counter()
        for start in range(0, len(numbered), group_rows):
            with self.database.write() as connection:
                connection.executemany(text, numbered[start : start + group_rows])
        return len(rows) / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--history", type=int, default=0, help="events in the tables before")
    parser.add_argument("--rows", type=int, default=50_000, help="events a run")
    parser.add_argument("--group", type=int, default=5_000, help="rows a transaction")
    parser.add_argument("--pairs", type=int, default=3, help="runs of each, alternating")
    given = parser.parse_args()
    ours: list[float] = []
    committing: list[float] = []
    floors: list[float] = []
    floors_1k: list[float] = []
    for pair in range(given.pairs):
        rng = random.Random(pair)
        requests = bodies(given.rows, rng)
        with tempfile.TemporaryDirectory() as folder:
            measured = Bench(Path(folder), "ours.db", history=given.history)
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 20, 100)  # as `serve` does
            whole, commit_only = measured.ours(requests, given.group)
            with measured.database.read() as connection:
                rows = connection.execute(
                    f"SELECT {', '.join(COLUMNS)} FROM event WHERE seq > ? ORDER BY seq",
                    (given.history,),
                )
            measured.database.close()
            for size, found in ((given.group, floors), (1_000, floors_1k)):
                bare = Bench(Path(folder), f"bare-{size}.db", history=given.history)
                found.append(bare.floor(rows, size))
                bare.database.close()
            ours.append(whole)
            committing.append(commit_only)
            mean = sum(len(row[7]) + len(row[8]) + 60 for row in rows[:1000]) / 1000
        print(
            f"pair {pair + 1}: ours {whole:,.0f} rows/s (writer alone {commit_only:,.0f}), "
            f"floor {floors[-1]:,.0f} at {given.group:,}, {floors_1k[-1]:,.0f} at 1,000 "
            f"({mean:.0f} B a row)"
        )
    whole, alone = statistics.median(ours), statistics.median(committing)
    floor, floor_1k = statistics.median(floors), statistics.median(floors_1k)
    print(f"{platform.platform()}, CPython {platform.python_version()}, SQLite FULL, WAL")
    print(
        f"history {given.history:,}: {whole / floor:.0%} of the floor at {given.group:,} a "
        f"transaction ({whole / floor_1k:.0%} of the floor at 1,000); the writing thread alone "
        f"{alone / floor:.0%} ({alone / floor_1k:.0%})"
    )


if __name__ == "__main__":
    main()
