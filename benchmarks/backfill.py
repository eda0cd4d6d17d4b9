"""A release whose segments nobody has ever asked, prepared for everyone from the whole log.

    python benchmarks/backfill.py [--events 1000000] [--profiles 100000] [--pairs 3] [--folder DIR]

Ten segments over eight features (`reference_mix`) come to a shop that has a past of ten events a
person (`long_history`). Measured is `antiphon apply` without an engine beside it, from the plan to
the live release: every event read and folded, every person asked, every draft written, durable.
The floor streams the same columns to DuckDB, aggregates there per person what the same segments
need, and writes as many rows of the same size to SQLite with bare `executemany`. Each run is a
process of its own, so that its memory is its own; runs alternate, medians count, and because the
machine is shared seconds of CPU stand beside the wall's. The million people of the issue:
`--events 10000000 --profiles 1000000 --pairs 1` (4 GB, some ten minutes).
"""

import argparse
import gc
import json
import os
import platform
import random
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.long_history import NOW, build, files
from campaigns.load import load_bundle
from engine.release import publish
from engine.release.backfill import Backfilling
from engine.release.live import load_playbook
from engine.store.database import _PRAGMAS, Database
from engine.store.events import EventLog
from engine.ticking.tick import Ticker
from engine.vault import Vault

WANTED: Final = 3.0
STATE_BYTES: Final = 190
"""Of a row of the floor; about what a draft and its key come to."""
COMMIT_ROWS: Final = 1_000
TAKEN_UP: Final = 10
"""Batches of people who then take the release up, to see how fast and how large they become."""

_AGGREGATE: Final = """
WITH gaps AS (
    SELECT *, ts - lag(ts) OVER (PARTITION BY p ORDER BY ts) > 1800000000 AS opens FROM log
), numbered AS (
    SELECT *, sum(coalesce(opens, false)::int) OVER (
        PARTITION BY p ORDER BY ts ROWS UNBOUNDED PRECEDING) AS session FROM gaps
), sessions AS (
    SELECT p, session, min(ts) AS first, max(ts) AS last FROM numbered GROUP BY p, session
), passing AS (
    SELECT p, max(last) FILTER (last - first >= 120000000) AS last FROM sessions GROUP BY p
)
SELECT log.p, max(ts, 5) FILTER (name = 'Product Viewed'),
    max(ts, 33) FILTER (name = 'Product Added'), max(ts, 3) FILTER (name = 'Order Completed'),
    max(ts, 1) FILTER (name = 'Order Completed'), min(ts) FILTER (name = 'Order Completed'),
    any_value(passing.last)
FROM log LEFT JOIN passing ON log.p = passing.p GROUP BY log.p ORDER BY log.p
"""


def ours(path: Path) -> dict[str, Any]:
    """Apply the new files; what it took and what it made."""
    database = Database(f"sqlite:///{path}")
    vault = Vault({1: "the secret of a benchmark"}, entropy=random.Random(3).randbytes)
    backfilling = Backfilling(database, vault=vault)
    workspace = load_bundle(files(with_segments=True), environ={})

    def write(change: Any) -> Any:
        with database.write() as connection:
            return change(connection)

    settle()
    began, began_cpu = time.perf_counter(), time.process_time()
    done = publish.publish(
        database,
        workspace,
        write=write,
        now=lambda: NOW,
        build=lambda: backfilling.run(clock=lambda: NOW),
    )
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    with database.read() as connection:
        size, largest = connection.execute(
            "SELECT avg(length(features)), max(length(features)) FROM draft"
        )[0]
    memory = rss()
    taken_up = take_up(database, vault)
    database.close()
    return {
        "seconds": seconds,
        "cpu": cpu,
        "rss": memory,
        "concerned": done["woken"],
        "draft": size,
        "draft_max": largest,
        **taken_up,
    }


def take_up(database: Database, vault: Vault) -> dict[str, Any]:
    """Let some people take the release up: how fast, and how large their states are then."""
    playbook = load_playbook(database, vault=vault, environ=None)
    assert playbook is not None
    ticker = Ticker(database, vault=vault, log=EventLog())
    ticker.claim(now=NOW)
    began, n = time.process_time(), 0
    for _ in range(TAKEN_UP):
        n += ticker.tick(playbook, floor=NOW, horizon=NOW).n_timers
    cpu = time.process_time() - began
    with database.read() as connection:
        size = connection.execute(
            "SELECT avg(length(state)) FROM (SELECT state FROM profile_state "
            f"ORDER BY profile_id LIMIT {n}) AS some_states"
        )[0][0]
    return {"taken_up": n, "taken_up_cpu": cpu, "state": size}


def floor(path: Path) -> dict[str, Any]:
    """The same columns through DuckDB, and as many rows of the same size."""
    import duckdb
    import numpy

    raw = sqlite3.connect(path, isolation_level=None)
    for pragma, value in _PRAGMAS:
        raw.execute(f"PRAGMA {pragma} = {value}")
    warehouse = duckdb.connect()
    warehouse.execute("SET threads = 1")
    warehouse.execute(
        "CREATE TABLE log (seq bigint, p bigint, name varchar, ts bigint, acc bigint)"
    )
    raw.execute("CREATE TABLE bare (profile_id integer primary key, state blob)")
    parts = [row[0] for row in raw.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'event_*'"
    )]  # fmt: skip
    settle()
    began, began_cpu = time.perf_counter(), time.process_time()
    for part in parts:
        found = raw.execute(f"SELECT seq, profile_id, name, at, accepted_at FROM {part}")
        while rows := found.fetchmany(100_000):
            seq, profile, name, at, accepted = zip(*rows, strict=True)
            chunk = {  # noqa: F841  (DuckDB finds it by its name)
                "seq": numpy.array(seq),
                "p": numpy.array(profile),
                "name": numpy.array(name, dtype=object),
                "ts": numpy.array(at),
                "acc": numpy.array(accepted),
            }
            warehouse.execute("INSERT INTO log SELECT * FROM chunk")
    result = warehouse.execute(_AGGREGATE)
    blob = random.Random(1).randbytes(STATE_BYTES)
    while rows := result.fetchmany(COMMIT_ROWS):
        raw.execute("BEGIN IMMEDIATE")
        raw.executemany("INSERT INTO bare VALUES (?, ?)", [(row[0], blob) for row in rows])
        raw.execute("COMMIT")
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    raw.close()
    return {"seconds": seconds, "cpu": cpu, "rss": rss()}


def settle() -> None:
    """The collector as `serve` sets it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def rss() -> int:
    """The most memory this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def alone(what: str, base: Path, folder: Path) -> dict[str, Any]:
    """One run in a process of its own, on a copy of the database."""
    path = folder / f"{what}.db"
    for old in folder.glob(f"{what}.db*"):
        old.unlink()
    shutil.copy(base, path)
    os.sync()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.backfill", "--only", what, "--folder", str(path)],
        check=True,
        capture_output=True,
        text=True,
    )
    path.unlink()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def compare(folder: Path, *, n_events: int, n_profiles: int, pairs: int) -> None:
    base = folder / f"history-{n_events}-{n_profiles}.db"
    if not base.exists():
        began = time.perf_counter()
        build(folder / "half.db", n_events=n_events, n_profiles=n_profiles)
        (folder / "half.db").rename(base)
        print(f"built in {time.perf_counter() - began:.0f} s, {base.stat().st_size >> 20} MB")
    print(f"{platform.platform()}, {os.cpu_count()} cores, CPython {platform.python_version()}")
    print(f"{n_profiles:,} profiles, {n_events:,} events, 10 new segments over 8 features")
    by_cpu, by_wall = [], []
    for pair in range(1, pairs + 1):
        it, bare = alone("ours", base, folder), alone("floor", base, folder)
        by_cpu.append(it["cpu"] / bare["cpu"])
        by_wall.append(it["seconds"] / bare["seconds"])
        print(
            f"pair {pair}: {it['cpu']:.1f} s of CPU ({it['seconds']:.0f} s), {it['rss']} MB; floor "
            f"{bare['cpu']:.1f} s ({bare['seconds']:.0f} s), {bare['rss']} MB: "
            f"{by_cpu[-1]:.2f} x by CPU, {by_wall[-1]:.2f} x by the wall; "
            f"load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    print(
        f"median: {statistics.median(by_cpu):.2f} x its floor by CPU, "
        f"{statistics.median(by_wall):.2f} x by the wall (wanted: at most {WANTED:.0f} x); "
        f"{n_events / it['cpu']:,.0f} events/s of CPU"
    )
    print(
        f"concerned at once {it['concerned']:,}; a draft {it['draft']:.0f} B (at most "
        f"{it['draft_max']} B), then a state {it['state']:.0f} B; people take it up at "
        f"{it['taken_up'] / it['taken_up_cpu']:,.0f}/s of CPU"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--profiles", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the built database here, to use it again")
    parser.add_argument("--only", choices=("ours", "floor"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        print(json.dumps(ours(given.folder) if given.only == "ours" else floor(given.folder)))
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(
            given.folder or Path(folder),
            n_events=given.events,
            n_profiles=given.profiles,
            pairs=given.pairs,
        )


if __name__ == "__main__":
    main()
