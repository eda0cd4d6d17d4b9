"""Timers: a million pending, many due at once, and how late one comes while events pour in.

    python benchmarks/timers.py [--pending 1000000] [--due 100000] [--folder DIR]

Those who are due came in through the real ingest and ticker and stand at the end of the wait of the
reference journey (`reference_mix`): next are the experiment, the gates, and for two in three a
rendered e-mail. The others are rows written straight into the tables, each with a state and a timer
that is armed for later. Measured: all due ones drained in batches by the real `Ticker`, then
traffic at 1,000 events/s by the wall while more timers come due, and how long after its instant
each was committed, ingest and ticks in one thread. A million overdue are extrapolated from the
drained share; `halves` shows that a batch does not grow dearer with what waits behind it.
"""

import argparse
import os
import platform
import random
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.reference_mix import BATCH, identify_calls, traffic, workspace_files
from benchmarks.reference_shop import GROUP, Shop, settle
from campaigns.load import load_bundle
from engine.core.clocktime import iso, parse_instant
from engine.core.model.instants import DAY, HOUR, MINUTE, NEVER, SECOND, Instant
from engine.core.model.people import Membership, State
from engine.intake.declared import declared
from engine.intake.ingest import Ingest
from engine.intake.prepare import Terms, prepare
from engine.release import publish
from engine.store import bulk, claims, migrate
from engine.ticking.tick import Ticker, run_until_idle

START: Final = parse_instant("2026-03-02T10:00:00Z")
WAIT: Final = 30 * MINUTE
LATER: Final = START + 2 * HOUR
"""When lateness is measured: the clock of the wall begins here."""
RATE: Final = 1_000
"""Events a second meanwhile."""
LATE_SECONDS: Final = 10
LATE_TIMERS: Final = 2_000
LATE_EACH: Final = 20
TICK: Final = 1_000
DRAIN_SECONDS_MAX: Final = 30.0
OVERDUE_SECONDS_MAX: Final = 300.0
LATENESS_MAX: Final = 1.0


class Crowd:
    """The shop while it is filled and used."""

    def __init__(self, path: Path) -> None:
        self.shop = Shop(path)
        self.rng = random.Random(7)
        migrate.upgrade(self.shop.database)
        self._workspace = load_bundle(workspace_files(), environ={})
        self._ingest = Ingest(vault=self.shop.vault, log=self.shop.log)
        self._terms = Terms(declared=declared(self._workspace), entropy=random.Random(4).randbytes)
        self.ticker = Ticker(self.shop.database, vault=self.shop.vault, log=self.shop.log)

    def fill(self, *, n_pending: int, n_due: int) -> None:
        """People, their carts, and all who merely wait."""
        with self.shop.database.write() as connection:
            publish.apply(connection, self._workspace, now=START - DAY)
        n_real = n_due + LATE_TIMERS
        bodies = list(identify_calls(n_real, at=START - DAY, rng=self.rng))
        for first in range(0, len(bodies), GROUP // BATCH):
            self.take_in(bodies[first : first + GROUP // BATCH], START - DAY)
        self.play(START - DAY)
        for first in range(0, n_due, GROUP):
            last = min(first + GROUP, n_due)
            self.take_in(_carts(first, last, at=START - WAIT), START - WAIT)
        for first, at in late_entries():
            self.take_in(_carts(n_due + first, n_due + first + LATE_EACH, at=at), at)
        self.play(START - WAIT)
        self._wait_for_ever(n_pending - n_real)
        with self.shop.database.write() as connection:
            connection.execute("ANALYZE")

    def take_in(self, bodies: list[bytes], now: Instant) -> None:
        prepared = [
            prepare(body, kind="batch", terms=self._terms, received_at=now) for body in bodies
        ]
        with self.shop.database.write() as connection:
            self._ingest.commit(connection, prepared, now=now)

    def play(self, now: Instant) -> None:
        run_until_idle(self.ticker, self.shop.playbook(), floor=now, horizon=now)

    def _wait_for_ever(self, n: int) -> None:
        program = self.shop.playbook().program
        pack = msgspec.msgpack.Encoder().encode
        with self.shop.database.write() as connection:
            first_id = bulk.reserve(connection, "profile", n)
        ids = range(first_id, first_id + n)
        for first in range(0, n, GROUP):
            some = ids[first : first + GROUP]
            rows, states, timers = [], [], []
            for each in some:
                due = START + 2 * DAY + each * SECOND
                inside = {name: Membership(False, NEVER, 0) for name in program.segments}
                state = State(release=program.release, memberships=inside, armed_at=due)
                rows.append((each, f"waits-{each}", START - DAY, "UTC", "", "{}", "{}", "{}", "{}"))
                states.append((each, pack(state)))
                timers.append((due, each))
            with self.shop.database.write() as connection:
                bulk.insert(connection, "profile", _PROFILE, rows)
                bulk.insert(connection, "profile_state", ("profile_id", "state"), states)
                bulk.insert(connection, "timer", ("due", "profile_id"), timers)


_PROFILE: Final = (
    "id", "external_id", "created_at", "zone", "zone_from", "traits", "sealed", "addresses",
    "consent",
)  # fmt: skip


def late_entries() -> list[tuple[int, Instant]]:
    """The first of each few people whose waits end while lateness is measured, and their begin."""
    span = LATE_SECONDS * SECOND
    return [
        (first, LATER - WAIT + first * span // LATE_TIMERS)
        for first in range(0, LATE_TIMERS, LATE_EACH)
    ]


def _carts(first: int, last: int, *, at: Instant) -> list[bytes]:
    """Request bodies in which each of these people puts something into the cart."""
    calls = [
        {
            "type": "track",
            "event": "Product Added",
            "messageId": f"cart-{number}",
            "userId": f"user-{number}",
            "timestamp": iso(at),
            "properties": {"product_id": f"p{number % 5_000}", "price": 12.5, "quantity": 1},
        }
        for number in range(first, last)
    ]
    return [
        msgspec.json.encode({"batch": calls[start : start + BATCH]})
        for start in range(0, len(calls), BATCH)
    ]


def drain(crowd: Crowd) -> tuple[int, float, float, list[float]]:
    """Play what is due at START; how many, seconds, seconds of CPU, and seconds of each batch."""
    playbook = crowd.shop.playbook()
    crowd.ticker.claim(now=START)
    settle()
    n, spans = 0, []
    began, began_cpu = time.perf_counter(), time.process_time()
    while True:
        before = time.perf_counter()
        done = crowd.ticker.tick(playbook, floor=START, horizon=START, limit=TICK)
        if done.is_idle:
            break
        n += done.n_timers
        spans.append(time.perf_counter() - before)
    return n, time.perf_counter() - began, time.process_time() - began_cpu, spans


def lateness(crowd: Crowd, *, n_people: int) -> list[float]:
    """Seconds from the instant of each timer to its commit, while events come at RATE."""
    for _, at in late_entries():
        crowd.play(at)
    playbook = crowd.shop.playbook()
    rng, late, n_sent = random.Random(9), [], 0
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < LATE_SECONDS:
        now = LATER + int(passed * SECOND)
        n_now = min(int(passed * RATE) - n_sent, GROUP)
        if n_now >= BATCH:
            n_bodies = n_now // BATCH
            bodies = [traffic(BATCH, n_people, at=now, rng=rng) for _ in range(n_bodies)]
            crowd.take_in(bodies, now)
            n_sent += n_bodies * BATCH
        with crowd.shop.database.read() as connection:
            due = claims.due_timers(connection, until=now, limit=TICK)
        crowd.ticker.tick(playbook, floor=now, horizon=now, limit=TICK)
        reached = LATER + int((time.perf_counter() - began) * SECOND)
        late += [(reached - at) / SECOND for at, _ in due if at >= LATER]
    return sorted(late)


def measure(folder: Path, *, n_pending: int, n_due: int) -> None:
    base, path = folder / f"timers-{n_pending}-{n_due}.db", folder / "timers.db"
    if not base.exists():
        began = time.perf_counter()
        crowd = Crowd(folder / "half.db")
        crowd.fill(n_pending=n_pending, n_due=n_due)
        crowd.shop.close()
        (folder / "half.db").rename(base)
        print(f"built in {time.perf_counter() - began:.0f} s, {base.stat().st_size >> 20} MB")
    shutil.copy(base, path)
    os.sync()
    crowd = Crowd(path)
    print(f"{platform.platform()}, {os.cpu_count()} cores, CPython {platform.python_version()}")
    n, seconds, cpu, spans = drain(crowd)
    half = len(spans) // 2
    with crowd.shop.database.read() as connection:
        rows = connection.execute("SELECT status, count(*) FROM message GROUP BY status")
        pending = connection.execute("SELECT count(*) FROM timer")[0][0]
    print(
        f"{n:,} timers drained in {seconds:.1f} s ({cpu:.1f} s of CPU, {n / cpu:,.0f} timers/s of "
        f"CPU), {pending:,} still pending; longest batch {max(spans) * 1000:.0f} ms; halves "
        f"{sum(spans[:half]):.1f} s and {sum(spans[half:]):.1f} s; "
        + ", ".join(f"{count:,} {status}" for status, count in sorted(rows))
    )
    print(
        f"100,000 due at once: {100_000 * seconds / n:.0f} s, {100_000 * cpu / n:.0f} s of CPU "
        f"(wanted: {DRAIN_SECONDS_MAX:.0f} s); a million overdue, extrapolated: "
        f"{1_000_000 * seconds / n:.0f} s, {1_000_000 * cpu / n:.0f} s of CPU "
        f"(wanted: {OVERDUE_SECONDS_MAX:.0f} s); load {os.getloadavg()[0]:.1f}"
    )
    late = lateness(crowd, n_people=n_due + LATE_TIMERS)
    print(
        f"late at {RATE:,} events/s, {len(late):,} timers: p50 {late[len(late) // 2] * 1000:.0f} "
        f"ms, p99 {late[int(len(late) * 0.99)] * 1000:.0f} ms, most {late[-1] * 1000:.0f} ms "
        f"(wanted: p99 under {LATENESS_MAX:.0f} s)"
    )
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB at most")
    crowd.shop.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pending", type=int, default=1_000_000)
    parser.add_argument("--due", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="keep the built database here, to use it again")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(given.folder or Path(folder), n_pending=given.pending, n_due=given.due)


if __name__ == "__main__":
    main()
