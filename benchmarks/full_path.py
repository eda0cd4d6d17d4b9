"""From committed event to committed message against the bare writes of the same rows.

    python benchmarks/full_path.py [--cart-heavy] [--events 40000] [--profiles 100000] [--pairs 3]

The real `Ticker` plays the reference mix (see `reference_mix`) on a virtual clock: segments,
journey, gates, outbox rows; the clock moves by TICK events, as an engine that keeps up sees them,
and at the end by 31 minutes, so that every wait runs out. Events are stored before the clock runs.
The floor replays exactly the statements and rows of those transactions with bare `executemany`,
same tables, indexes, pragmas and transaction sizes, into a copy of the database as it stood. Runs
alternate; medians count. A step is an entry with its wait, an experiment, or a send.
"""

import argparse
import cProfile
import gc
import os
import platform
import pstats
import random
import resource
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from benchmarks.reference_mix import (
    BATCH,
    CART_HEAVY,
    MIX,
    identify_calls,
    traffic,
    workspace_files,
)
from campaigns.load import load_bundle
from engine.core.clocktime import parse_instant
from engine.core.model.instants import HOUR, MINUTE, Instant
from engine.intake.declared import declared
from engine.intake.ingest import Ingest
from engine.intake.prepare import Prepared, Terms, prepare
from engine.release import publish
from engine.release.playbook import Playbook
from engine.store import migrate
from engine.store.connection import Connection, Row, SqliteConnection
from engine.store.database import _PRAGMAS, Database
from engine.store.events import EventLog
from engine.ticking.tick import Ticker, run_until_idle
from engine.vault import Vault

T = TypeVar("T")

START = parse_instant("2026-03-02T10:00:00Z")
SPAN = 6 * HOUR
TICK = 2_000
GROUP = 5_000
HISTORY_SHARE = 1.0
"""Events of the day before, per profile: nobody is new and every state has something in it."""

WANTED = {"reference": "10,000 events/s, 4,500 steps/s", "cart-heavy": "8,000 steps/s"}

Statement = tuple[str, Sequence[Any], bool]
"""SQL, its rows (or the values of one), and whether there are many."""


class Recorder(SqliteConnection):
    """A write transaction that notes what is written, for the floor to write again."""

    def __init__(self, raw: sqlite3.Connection, statements: list[Statement]) -> None:
        super().__init__(raw)
        self._statements = statements

    def execute(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        if not sql.startswith("SELECT"):
            self._statements.append((sql, tuple(params), False))
        return super().execute(sql, params)

    def executemany(self, sql: str, rows: Sequence[Row]) -> int:
        self._statements.append((sql, list(rows), True))
        return super().executemany(sql, rows)


class Shop:
    """One database of the reference mix, with whatever reads and writes it."""

    def __init__(self, path: Path) -> None:
        self.database = Database(f"sqlite:///{path}")
        self.vault = Vault({1: "the secret of a benchmark"}, entropy=random.Random(3).randbytes)
        self.log = EventLog()

    def playbook(self) -> Playbook:
        playbook = publish.load_playbook(self.database, vault=self.vault)
        assert playbook is not None
        return playbook

    def close(self) -> None:
        self.database.close()


def build(path: Path, *, n_events: int, n_profiles: int, mix: Mapping[str, int] = MIX) -> None:
    """A database in which everyone has a past, and the events to be played are stored."""
    shop = Shop(path)
    database = shop.database
    migrate.upgrade(database)
    workspace = load_bundle(workspace_files(), environ={})
    with database.write() as connection:
        publish.apply(connection, workspace, now=START - 25 * HOUR)
    ingest = Ingest(vault=shop.vault, log=shop.log)
    terms = Terms(declared=declared(workspace), entropy=random.Random(4).randbytes)
    rng = random.Random(7)

    def commit(groups: list[Prepared], now: Instant) -> None:
        with database.write() as connection:
            ingest.commit(connection, groups, now=now)

    def take_in(bodies: list[bytes], now: Instant) -> None:
        commit([prepare(body, kind="batch", terms=terms, received_at=now) for body in bodies], now)

    everyone = list(identify_calls(n_profiles, at=START - 25 * HOUR, rng=rng))
    for first in range(0, len(everyone), GROUP // BATCH):
        take_in(everyone[first : first + GROUP // BATCH], START - 25 * HOUR)
    n_past = int(n_profiles * HISTORY_SHARE)
    for first in range(0, n_past, GROUP):
        at = START - 24 * HOUR + first * 8 * HOUR // n_past
        take_in([traffic(BATCH, n_profiles, at=at, rng=rng) for _ in range(GROUP // BATCH)], at)
    ticker = Ticker(database, vault=shop.vault, log=shop.log)
    # Played at one stroke: what came before is not measured.
    run_until_idle(ticker, shop.playbook(), floor=START - 25 * HOUR, horizon=START - 1)
    for at in clock(n_events, BATCH):
        take_in([traffic(BATCH, n_profiles, at=at, rng=rng, mix=mix)], at)
    with database.write() as connection:
        connection.execute("ANALYZE")
    shop.close()


def clock(n_events: int, each: int) -> list[Instant]:
    """The instants of every so many events."""
    return [START + n * SPAN // n_events for n in range(0, n_events, each)]


class Played(NamedTuple):
    seconds: float
    cpu_seconds: float
    n_events: int
    n_timers: int
    n_ticks: int
    longest: float


def play(path: Path, *, n_events: int, statements: list[list[Statement]] | None = None) -> Played:
    """Tick through the stored events; note the written statements where asked."""
    shop = Shop(path)
    ticker = Ticker(
        shop.database,
        vault=shop.vault,
        log=shop.log,
        write=None if statements is None else _recording(shop.database, statements),
    )
    playbook = shop.playbook()
    instants = clock(n_events, BATCH)
    stops = [*instants[TICK // BATCH - 1 :: TICK // BATCH], START + SPAN]
    stops += [START + SPAN + minutes * MINUTE for minutes in range(1, 32)]
    ticker.claim(now=START)
    settle()
    done = events = timers = 0
    longest, last = 0.0, time.perf_counter()
    began, began_cpu = last, time.process_time()
    for now in stops:
        while not (batch := ticker.tick(playbook, floor=now, horizon=now, limit=TICK)).is_idle:
            done += 1
            events += batch.n_events
            timers += batch.n_timers
            present = time.perf_counter()
            longest, last = max(longest, present - last), present
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    shop.close()
    return Played(seconds, cpu, events, timers, done, longest)


def settle() -> None:
    """The collector as `serve` sets it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _recording(
    database: Database, statements: list[list[Statement]]
) -> Callable[[Callable[[Connection], T]], T]:
    def write(function: Callable[[Connection], T]) -> T:
        with database.write() as connection:
            assert isinstance(connection, SqliteConnection)
            statements.append([])
            return function(Recorder(connection.raw, statements[-1]))

    return write


def floor(path: Path, statements: list[list[Statement]]) -> tuple[float, float]:
    """Seconds, and seconds of CPU, of bare writes of the same rows in the same transactions."""
    raw = sqlite3.connect(path, isolation_level=None, cached_statements=512)
    for name, value in _PRAGMAS:
        raw.execute(f"PRAGMA {name} = {value}")
    settle()
    began, began_cpu = time.perf_counter(), time.process_time()
    for transaction in statements:
        raw.execute("BEGIN IMMEDIATE")
        for sql, rows, is_many in transaction:
            if is_many:
                raw.executemany(sql, rows)
            else:
                raw.execute(sql, rows).fetchall()
        raw.execute("COMMIT")
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    raw.close()
    return seconds, cpu


def counted(path: Path) -> dict[str, int]:
    """What a played database holds, to be subtracted."""
    raw = sqlite3.connect(path)
    entries, experiments, events = raw.execute(
        "SELECT count(*), count(*) FILTER (WHERE variants != '{}'), "
        "(SELECT max(seq) FROM event) FROM enrollment"
    ).fetchone()
    found = dict(raw.execute("SELECT status, count(*) FROM message GROUP BY status"))
    raw.close()
    n_messages = sum(found.values())
    return {
        **found,
        "messages": n_messages,
        "steps": entries + experiments + n_messages,
        "own events": events,
    }


def written(statements: list[list[Statement]]) -> dict[str, tuple[int, int]]:
    """Rows and bytes by kind of statement."""
    found: dict[str, tuple[int, int]] = {}
    for transaction in statements:
        for sql, rows, is_many in transaction:
            words = sql.replace('"', "").split()
            name = f"{words[0].lower()} {words[1 if words[0] == 'UPDATE' else 2]}"
            each = rows if is_many else [rows]
            size = sum(len(it) for row in each for it in row if isinstance(it, (str, bytes)))
            n, total = found.get(name, (0, 0))
            found[name] = (n + len(each), total + size)
    return found


def copied(base: Path, folder: Path, name: str) -> Path:
    path = folder / name
    for old in folder.glob(f"{name}*"):
        old.unlink()
    shutil.copy(base, path)
    os.sync()  # the copy itself must not be flushed while we measure
    return path


def profile(path: Path, *, n_events: int) -> None:
    """Where the time of one run goes, by function."""
    watch = cProfile.Profile()
    watch.enable()
    play(path, n_events=n_events)
    watch.disable()
    pstats.Stats(watch).sort_stats("tottime").print_stats(45)


def run(
    folder: Path,
    *,
    mix: Mapping[str, int],
    n_events: int,
    n_profiles: int,
    pairs: int,
    is_profiled: bool,
) -> None:
    kind = "cart-heavy" if mix is CART_HEAVY else "reference"
    base = folder / f"{kind}-{n_events}-{n_profiles}.db"
    if not base.exists():
        began = time.perf_counter()
        build(folder / "half.db", n_events=n_events, n_profiles=n_profiles, mix=mix)
        (folder / "half.db").rename(base)
        print(f"built in {time.perf_counter() - began:.0f} s, {base.stat().st_size >> 20} MB")
    statements: list[list[Statement]] = []
    path = copied(base, folder, "ours.db")
    before = counted(path)
    play(path, n_events=n_events, statements=statements)
    after = {name: n - before.get(name, 0) for name, n in counted(path).items()}
    _describe(path, mix, n_events, n_profiles, after, statements)
    if is_profiled:
        profile(copied(base, folder, "ours.db"), n_events=n_events)
        return
    ours: list[Played] = []
    floors: list[float] = []
    for pair in range(1, pairs + 1):
        ours.append(play(copied(base, folder, "ours.db"), n_events=n_events))
        bare, bare_cpu = floor(copied(base, folder, "bare.db"), statements)
        floors.append(bare)
        it = ours[-1]
        print(
            f"pair {pair}: {it.seconds:.2f} s ({it.cpu_seconds:.2f} s of CPU, longest tick "
            f"{it.longest * 1000:.0f} ms), floor {bare:.2f} s ({bare_cpu:.2f} s of CPU): "
            f"{bare / it.seconds:.0%}; load {os.getloadavg()[0]:.1f}"
        )
    seconds, bare = statistics.median(it.seconds for it in ours), statistics.median(floors)
    ratio = statistics.median(b / it.seconds for b, it in zip(floors, ours, strict=True))
    print(
        f"median: {n_events / seconds:,.0f} events/s, {after['steps'] / seconds:,.0f} steps/s, "
        f"{after['messages'] / seconds:,.0f} messages/s; "
        f"floor {n_events / bare:,.0f} events/s, {after['steps'] / bare:,.0f} steps/s; "
        f"{ratio:.0%} of the floor (wanted: at least 30 %)"
    )
    cpu = statistics.median(it.cpu_seconds for it in ours)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"by CPU: {n_events / cpu:,.0f} events/s, {after['steps'] / cpu:,.0f} steps/s (wanted on a "
        f"quiet machine: {WANTED[kind]}); {memory} MB with all the rows that the floor writes again"
    )


def _describe(
    path: Path,
    mix: Mapping[str, int],
    n_events: int,
    n_profiles: int,
    after: dict[str, int],
    statements: list[list[Statement]],
) -> None:
    shop = Shop(path)
    segments = shop.playbook().segments
    shop.close()
    print(f"{platform.platform()}, {os.cpu_count()} cores, CPython {platform.python_version()}")
    pragmas = ", ".join(f"{name} {value}" for name, value in _PRAGMAS)
    print(f"SQLite {sqlite3.sqlite_version}: {pragmas}")
    print(f"mix: {', '.join(f'{name} {share} %' for name, share in mix.items())}")
    print(
        f"{n_profiles:,} profiles with state, {len(segments.names)} segments over "
        f"{segments.n_features} features; history "
        f"{n_profiles * (1 + HISTORY_SHARE):,.0f} events; {n_events:,} events to play: "
        f"{after['steps'] / n_events:.2f} steps, {after['messages'] / n_events:.2f} messages, "
        f"{after['own events'] / n_events:.2f} own events each"
    )
    print("messages: " + ", ".join(f"{after.get(s, 0):,} {s}" for s in _STATUSES))
    print(f"written in {len(statements)} transactions (rows an event, bytes a row):")
    for name, (rows, size) in sorted(written(statements).items(), key=lambda it: -it[1][1]):
        print(f"  {name:24} {rows / n_events:7.3f} {size / rows:6.0f}")


_STATUSES = ("queued", "ghost", "deferred", "dropped")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--profiles", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--cart-heavy", action="store_true", help="60 %% of events start a journey")
    parser.add_argument("--folder", type=Path, help="keep the built database here, to use it again")
    parser.add_argument("--profile", action="store_true", help="print where the time goes instead")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(
            given.folder or Path(folder),
            mix=CART_HEAVY if given.cart_heavy else MIX,
            n_events=given.events,
            n_profiles=given.profiles,
            pairs=given.pairs,
            is_profiled=given.profile,
        )


if __name__ == "__main__":
    main()
