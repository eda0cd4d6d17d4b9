"""The full path, from request bodies to committed messages, against the bare writes of the same.

    python benchmarks/full_path.py [--cart-heavy] [--events 40000] [--at-once 2000] [--pairs 3]

One process does in turn what `serve` does in two threads: request bodies of a hundred calls are
decoded and checked by `prepare`, deduplicated, resolved and committed by `Ingest` in groups of
2,000 rows (`--at-once`; under load `serve` forms groups of up to 5,000), and the real `Ticker`
plays each group to its end before the next comes, as many at once (ANTIPHON_TICK_BATCH): segments,
journey, gates, outbox rows of the reference mix (see `reference_mix`). The clock is virtual and
moves by a group, as an engine that keeps up sees them, and at the end by 31 minutes, so that every
wait runs out. Bodies are made before the clock runs; HTTP, which other benchmarks measure, is left
out. Ingest, tick and the whole are printed by themselves: the tick is all that this benchmark
measured up to 0.5.0. The open part of the log is nearly full when it begins, so that its indexes
are as large as they become, and the next part is made within the run.

The floor replays exactly the statements and rows of those transactions, of ingest and tick, with
bare `executemany`, same tables, indexes, pragmas and transaction sizes, into a copy of the database
as it stood. Runs alternate; medians count. A step is an entry with its wait, an experiment, or a
send.
"""

import argparse
import cProfile
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
from typing import NamedTuple

from benchmarks.reference_mix import BATCH, CART_HEAVY, MIX, traffic
from benchmarks.reference_shop import (
    HISTORY_SHARE,
    SPAN,
    START,
    Request,
    Shop,
    Statement,
    build,
    clock,
    settle,
)
from engine.core.model.instants import MINUTE, Instant
from engine.store.database import _PRAGMAS
from engine.ticking.tick import Ticker

AT_ONCE = 2_000
"""Events a group and a tick, as `serve` plays them (`ANTIPHON_TICK_BATCH`)."""

Stop = tuple[Instant, Sequence[Request]]
"""An instant of the clock, and the requests that have come since the one before."""

WANTED = {"reference": "10,000 events/s, 4,500 steps/s", "cart-heavy": "8,000 steps/s"}


def arrivals(*, n_events: int, n_profiles: int, mix: Mapping[str, int], at_once: int) -> list[Stop]:
    """The stops of the clock: one for every so many events, then one for each of 31 minutes."""
    rng = random.Random(8)
    requests = [
        (at, traffic(BATCH, n_profiles, at=at, rng=rng, mix=mix)) for at in clock(n_events, BATCH)
    ]
    each = at_once // BATCH
    pieces = [requests[n : n + each] for n in range(0, len(requests), each)]
    stops: list[Stop] = [(piece[-1][0], piece) for piece in pieces]
    return stops + [(START + SPAN + minutes * MINUTE, []) for minutes in range(32)]


class Played(NamedTuple):
    """Seconds of ingest and tick, by the wall and of CPU; the longest transaction with what led
    to it."""

    ingest: float
    ingest_cpu: float
    tick: float
    tick_cpu: float
    longest: float

    @property
    def seconds(self) -> float:
        return self.ingest + self.tick

    @property
    def cpu_seconds(self) -> float:
        return self.ingest_cpu + self.tick_cpu


def play(
    path: Path,
    stops: Sequence[Stop],
    *,
    at_once: int,
    statements: list[list[Statement]] | None = None,
) -> Played:
    """Take everything in and tick through it; note the written statements where asked."""
    shop = Shop(path, statements=statements)
    ticker = Ticker(
        shop.database,
        vault=shop.vault,
        log=shop.log,
        write=None if statements is None else shop.write,
    )
    playbook = shop.playbook()
    ticker.claim(now=START)
    settle()
    ingest = ingest_cpu = tick = tick_cpu = longest = 0.0
    for now, requests in stops:
        since, since_cpu = time.perf_counter(), time.process_time()
        if requests:
            shop.take_in(requests)
        last, last_cpu = time.perf_counter(), time.process_time()
        ingest, ingest_cpu = ingest + last - since, ingest_cpu + last_cpu - since_cpu
        since, since_cpu, is_idle = last, last_cpu, False
        while not is_idle:
            is_idle = ticker.tick(playbook, floor=now, horizon=now, limit=at_once).is_idle
            present = time.perf_counter()
            longest, last = max(longest, present - last), present
        tick, tick_cpu = tick + last - since, tick_cpu + time.process_time() - since_cpu
    shop.close()
    return Played(ingest, ingest_cpu, tick, tick_cpu, longest)


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


def profile(path: Path, stops: Sequence[Stop], *, at_once: int) -> None:
    """Where the time of one run goes, by function."""
    watch = cProfile.Profile()
    watch.enable()
    play(path, stops, at_once=at_once)
    watch.disable()
    pstats.Stats(watch).sort_stats("tottime").print_stats(45)


def run(
    folder: Path,
    *,
    mix: Mapping[str, int],
    n_events: int,
    n_profiles: int,
    at_once: int,
    pairs: int,
    is_profiled: bool,
) -> None:
    base = folder / f"shop-{n_profiles}.db"
    if not base.exists():
        began = time.perf_counter()
        build(folder / "half.db", n_profiles=n_profiles)
        (folder / "half.db").rename(base)
        print(f"built in {time.perf_counter() - began:.0f} s, {base.stat().st_size >> 20} MB")
    stops = arrivals(n_events=n_events, n_profiles=n_profiles, mix=mix, at_once=at_once)
    statements: list[list[Statement]] = []
    path = copied(base, folder, "ours.db")
    before = counted(path)
    play(path, stops, at_once=at_once, statements=statements)
    after = {name: n - before.get(name, 0) for name, n in counted(path).items()}
    _describe(path, mix, n_events, n_profiles, after, statements)
    if is_profiled:
        profile(copied(base, folder, "ours.db"), stops, at_once=at_once)
        return
    ours: list[Played] = []
    floors: list[float] = []
    for pair in range(1, pairs + 1):
        ours.append(play(copied(base, folder, "ours.db"), stops, at_once=at_once))
        bare, bare_cpu = floor(copied(base, folder, "bare.db"), statements)
        floors.append(bare)
        it = ours[-1]
        print(
            f"pair {pair}: {it.seconds:.2f} s (ingest {it.ingest:.2f}, tick {it.tick:.2f}; "
            f"{it.cpu_seconds:.2f} s of CPU: {it.ingest_cpu:.2f} and {it.tick_cpu:.2f}; longest "
            f"tick {it.longest * 1000:.0f} ms), floor {bare:.2f} s ({bare_cpu:.2f} s of CPU): "
            f"{bare / it.seconds:.0%}; load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    bare = statistics.median(floors)
    ratio = statistics.median(b / it.seconds for b, it in zip(floors, ours, strict=True))
    kind = "cart-heavy" if mix is CART_HEAVY else "reference"

    def told(what: str, seconds: Callable[[Played], float]) -> None:
        median = statistics.median(seconds(it) for it in ours)
        print(
            f"{what}: {n_events / median:,.0f} events/s, {after['steps'] / median:,.0f} steps/s, "
            f"{after['messages'] / median:,.0f} messages/s"
        )

    told("median of the whole, by the wall", lambda it: it.seconds)
    told("  by CPU", lambda it: it.cpu_seconds)
    told("the tick alone, by the wall", lambda it: it.tick)
    told("  by CPU", lambda it: it.tick_cpu)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"wanted of the whole on a quiet machine: {WANTED[kind]}; floor "
        f"{n_events / bare:,.0f} events/s: {ratio:.0%} of it (wanted: at least 30 %); {memory} MB "
        "with all the rows that the floor writes again"
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
        f"{n_profiles * (1 + HISTORY_SHARE):,.0f} events; {n_events:,} events come in: "
        f"{after['steps'] / n_events:.2f} steps, {after['messages'] / n_events:.2f} messages, "
        f"{after['own events'] / n_events - 1:.2f} own events each"
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
    parser.add_argument(
        "--at-once", type=int, default=AT_ONCE, help="events a group and a tick, in hundreds"
    )
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
            at_once=given.at_once,
            pairs=given.pairs,
            is_profiled=given.profile,
        )


if __name__ == "__main__":
    main()
