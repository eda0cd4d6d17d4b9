"""HTTP ingest, durable, one server process: events/s in batches of 100 and single events/s.

Run: python -m benchmarks.http_ingest [--pairs 3] [--seconds 4] [--history N]

The floor is a bare `executemany` of exactly the rows the server wrote: same columns, indexes,
pragmas (WAL, FULL) and table size, 1,000 rows a transaction, random message hashes. Floor and
server take turns (interleaved pairs); the median ratio counts. The load client is our own: raw
sockets, requests made before the clock starts. Nothing is applied, so nothing is ticked: this is
ingest alone. Server and client share the machine, which flatters neither.
"""

import argparse
import asyncio
import base64
import os
import platform
import random
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from engine.intake.declared import Declared
from engine.intake.ingest import Ingest
from engine.intake.prepare import Terms, prepare
from engine.intake.validate import Limits
from engine.steady import present
from engine.store import keys, migrate
from engine.store.database import Database
from engine.store.events import COLUMNS, EventLog, event_tables, roll
from engine.vault import Vault

BATCH: Final = 100
BATCH_CONNECTIONS: Final = 16
SINGLE_CONNECTIONS: Final = 64
FLOOR_ROWS_PER_TRANSACTION: Final = 1_000
PROFILES: Final = 100_000
SECRET: Final = "a secret for the benchmark"
MIX: Final = (
    ("Product Viewed", 55), ("Page", 20), ("Product Added", 15), ("Checkout Started", 5),
    ("Order Completed", 5),
)  # fmt: skip
"""The reference mix of the hot-path notes."""


@dataclass
class Run:
    """One load: how many events, in how many seconds, and how long each request took."""

    n_events: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    bad: list[bytes] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return self.n_events / self.seconds

    def quantile_ms(self, q: float) -> float:
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(q * len(ordered)))]


class Requests:
    """Makes whole HTTP requests, events in the reference mix with ids never used before."""

    def __init__(self, key: str, *, seed: int) -> None:
        self._rng = random.Random(seed)
        self._auth = base64.b64encode(f"{key}:".encode()).decode()
        self._names = [name for name, weight in MIX for _ in range(weight)]

    def batches(self, n: int) -> list[bytes]:
        return [self._request("batch", self._batch()) for _ in range(n)]

    def singles(self, n: int) -> list[bytes]:
        return [self._request("track", self.event("")) for _ in range(n)]

    def _batch(self) -> str:
        events = ",".join(self.event('"type":"track",') for _ in range(BATCH))
        return f'{{"batch":[{events}],"sentAt":"2026-03-02T09:00:00Z"}}'

    def event(self, head: str, *, user: int | None = None) -> str:
        """One event as JSON, of a random profile unless it is named."""
        rng = self._rng
        user = rng.randrange(PROFILES) if user is None else user
        name = self._names[rng.randrange(len(self._names))]
        return (
            f'{{{head}"messageId":"{rng.getrandbits(122):x}","userId":"u{user}",'
            f'"event":"{name}","properties":{{"product_id":"p{rng.randrange(5000)}",'
            f'"category":"garden","price":{rng.randrange(100, 9999) / 100},"currency":"EUR",'
            f'"quantity":{rng.randrange(1, 5)},"cart_id":"c{rng.getrandbits(40):x}"}},'
            '"context":{"locale":"de-DE","timezone":"Europe/Berlin","library":'
            '{"name":"analytics-python","version":"2.4.0"},"page":{"path":"/garden/chairs",'
            '"referrer":"https://www.example.com/","title":"Garden chairs"}}}'
        )

    def _request(self, path: str, body: str) -> bytes:
        head = (
            f"POST /v1/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {self._auth}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return (head + body).encode()


class Client(asyncio.Protocol):
    """One connection: sends the next request when the answer to the last is complete."""

    def __init__(self, requests: Iterator[bytes], run: Run, *, events: int, until: float) -> None:
        self._requests = requests
        self._run = run
        self._events = events
        self._until = until
        self._buffer = b""
        self._sent_at = 0.0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop has its own
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, gap, rest = self._buffer.partition(b"\r\n\r\n")
        if not gap:
            return
        found = re.search(rb"content-length: (\d+)", head)
        if found is None or len(rest) < int(found[1]):
            return
        now = time.perf_counter()
        self._run.latencies.append(now - self._sent_at)
        if head.startswith(b"HTTP/1.1 200") and b'"rejected":0' in (rest + b'"rejected":0'):
            self._run.n_events += self._events
        else:
            self._run.bad.append(head[:60] + rest[:200])
        self._buffer = b""
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(error)

    def _send(self) -> None:
        now = time.perf_counter()
        request = next(self._requests, None) if now < self._until else None
        if request is None:
            self._transport.close()
            return
        self._sent_at = now
        self._transport.write(request)


async def load(
    port: int, requests: Sequence[bytes], *, connections: int, events: int, seconds: float
) -> Run:
    """Send requests over some connections, each waiting for its answer, for so many seconds."""
    run, waiting = Run(), iter(requests)
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(
            lambda: Client(waiting, run, events=events, until=started + seconds),
            "127.0.0.1",
            port,
        )
        clients.append(client)
    await asyncio.gather(*(client.done for client in clients))
    run.seconds = time.perf_counter() - started
    return run


class Server:
    """`antiphon serve` as a process of its own, on a workspace of its own."""

    def __init__(self, folder: Path, *, history: int) -> None:
        (folder / ".antiphon").mkdir(parents=True)
        self.path = folder / ".antiphon" / "antiphon.db"
        database = Database(f"sqlite:///{self.path}")
        migrate.upgrade(database)
        with database.write() as connection:
            _, self.key = keys.create(
                connection, kind="server", label="", entropy=os.urandom(30), now=present()
            )
        fill(database, history)
        meet(database)
        database.close()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "engine.cli", "serve", str(folder), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "ANTIPHON_SECRET_KEY": SECRET},
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found, f"the server did not start: {line!r}"
        self.port = int(found[1])

    def memory_mb(self) -> float:
        with open(f"/proc/{self._process.pid}/status") as status:
            found = re.search(r"VmRSS:\s+(\d+)", status.read())
        return int(found[1]) / 1024 if found else 0.0

    def rows_after(self, seq: int) -> list[tuple[object, ...]]:
        """The event rows written since, as the server stored them."""
        raw = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)
        sql = f"SELECT {', '.join(COLUMNS[1:])} FROM event WHERE seq > ? ORDER BY seq"
        rows = raw.execute(sql, (seq,)).fetchall()
        raw.close()
        return rows

    def last_seq(self) -> int:
        raw = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)
        (value,) = raw.execute("SELECT max(value) FROM counter WHERE name = 'event'").fetchone()
        raw.close()
        return int(value or 0)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)


def fill(database: Database, n: int) -> None:
    """Put n events of history into the log, 5,000 a transaction."""
    log, rng = EventLog(), random.Random(1)
    text = '{"product_id":"p1","category":"garden","price":19.9,"currency":"EUR"}'
    for start in range(0, n, 5_000):
        rows = [
            (rng.randbytes(16), rng.randrange(1, PROFILES), "Product Viewed", start, start, 0,
             text, "{}", None)
            for _ in range(min(5_000, n - start))
        ]  # fmt: skip
        with database.write() as connection:
            log.append(connection, rows, now=start)


def meet(database: Database) -> None:
    """One event of every profile, so that the load is not about making new ones."""
    ingest = Ingest(
        vault=Vault({1: SECRET}, entropy=os.urandom), log=EventLog(), zone="Europe/Berlin"
    )
    limits = Limits(batch_bytes_max=10_000_000)
    terms = Terms(declared=Declared(), entropy=os.urandom, limits=limits)
    requests = Requests("", seed=0)
    for start in range(0, PROFILES, 2_500):
        users = range(start, min(start + 2_500, PROFILES))
        events = ",".join(requests.event('"type":"track",', user=user) for user in users)
        payload = f'{{"batch":[{events}]}}'.encode()
        prepared = prepare(payload, kind="batch", terms=terms, received_at=present())
        with database.write() as connection:
            ingest.commit(connection, [prepared], now=present())


def floor(path: Path, rows: Sequence[tuple[object, ...]], *, first: int) -> float:
    """Rows/s of a bare executemany into the same table with the same pragmas."""
    database = Database(f"sqlite:///{path}")
    per_part = 500_000
    sql = {
        number: f"INSERT INTO event_{number} ({', '.join(COLUMNS)}) "
        f"VALUES ({', '.join('?' * len(COLUMNS))})"
        for number in range(1, 100)
    }
    last = max(first + len(rows) - 2, 0) // per_part + 1
    with database.write() as connection:
        for number in range(len(event_tables(connection)) + 1, last + 1):
            roll(connection, number, now=0)
    started = time.perf_counter()
    for start in range(0, len(rows), FLOOR_ROWS_PER_TRANSACTION):
        piece = rows[start : start + FLOOR_ROWS_PER_TRANSACTION]
        number = (first + start - 1) // per_part + 1
        with database.write() as connection:
            connection.executemany(
                sql[number], [(first + start + i, *row) for i, row in enumerate(piece)]
            )
    seconds = time.perf_counter() - started
    database.close()
    return len(rows) / seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of load in each run")
    parser.add_argument("--history", type=int, default=0, help="events in the table beforehand")
    arguments = parser.parse_args()
    import uvloop

    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
          f"SQLite {sqlite3.sqlite_version}")  # fmt: skip
    print(f"mix: reference, {PROFILES:,} profiles, history {arguments.history:,} events, FULL")
    folder = Path(tempfile.mkdtemp(prefix="antiphon-bench-"))
    try:
        server = Server(folder / "served", history=arguments.history)
        try:
            return measure(server, folder, arguments, uvloop.run)
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(server: Server, folder: Path, arguments: argparse.Namespace, run_loop: object) -> int:
    assert callable(run_loop)
    floor_path = folder / "floor.db"
    database = Database(f"sqlite:///{floor_path}")
    migrate.upgrade(database)
    fill(database, arguments.history)
    database.close()
    # The floor's table grows exactly as the server's does.
    floor(floor_path, server.rows_after(arguments.history), first=arguments.history + 1)
    ratios, rates, latencies, singles = [], [], [], []
    for pair in range(arguments.pairs):
        requests = Requests(server.key, seed=pair + os.getpid())
        seconds = arguments.seconds
        before = server.last_seq()
        sent = requests.batches(int(600 * seconds))
        run: Run = run_loop(
            load(server.port, sent, connections=BATCH_CONNECTIONS, events=BATCH, seconds=seconds)
        )
        del sent
        report_bad(run)
        rows = server.rows_after(before)
        assert len(rows) == run.n_events, f"{run.n_events} acknowledged, {len(rows)} stored"
        bare = floor(floor_path, rows, first=before + 1)
        ratios.append(run.per_second / bare)
        rates.append(run.per_second)
        latencies.append(run.quantile_ms(0.99))
        print(
            f"pair {pair + 1}: batches of {BATCH}, {BATCH_CONNECTIONS} connections: "
            f"{run.per_second:,.0f} events/s, p99 {run.quantile_ms(0.99):.0f} ms; floor "
            f"{bare:,.0f} rows/s; ratio {run.per_second / bare:.2f}"
        )
        one = run_loop(
            load(
                server.port,
                requests.singles(int(14_000 * seconds)),
                connections=SINGLE_CONNECTIONS,
                events=1,
                seconds=seconds,
            )
        )
        report_bad(one)
        singles.append(one)
        # The floor keeps the same table size as the server.
        more = server.rows_after(before + len(rows))
        floor(floor_path, more, first=before + len(rows) + 1)
        print(
            f"        single events, {SINGLE_CONNECTIONS} connections: {one.per_second:,.0f} "
            f"requests/s, p50 {one.quantile_ms(0.5):.1f} ms, p99 {one.quantile_ms(0.99):.1f} ms"
        )
    ratio = statistics.median(ratios)
    single = statistics.median(one.per_second for one in singles)
    p99 = statistics.median(one.quantile_ms(0.99) for one in singles)
    print(f"memory of the server: {server.memory_mb():.0f} MB")
    print(
        f"batches: median {statistics.median(rates):,.0f} events/s, ratio to the floor {ratio:.2f} "
        f"(target 0.50): {'met' if ratio >= 0.5 else 'MISSED'}"
    )
    print(
        f"singles: median {single:,.0f} requests/s (target 5,000), p99 {p99:.1f} ms (target 100): "
        f"{'met' if single >= 5_000 and p99 < 100 else 'MISSED'}"
    )
    return 0


def report_bad(run: Run) -> None:
    if run.bad:
        print(f"  {len(run.bad)} answers were not 200, such as {run.bad[0]!r}")


if __name__ == "__main__":
    sys.exit(main())
