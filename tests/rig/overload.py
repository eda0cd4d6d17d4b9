"""More events than a server can commit, from many connections that do not take no for an answer.

`python -m tests.rig.overload --seconds 20` prints the figures that the docs quote.
"""

import argparse
import http.client
import json
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from engine.local import call
from engine.store.database import Database
from tests.engine.serving import Served
from tests.engine.web_harness import basic

BATCH = 100
CALM = 2
"""Connections that keep a server busy without ever being refused."""


@dataclass
class Load:
    """What clients saw. `offered` and `taken` count events; statuses count requests."""

    seconds: float = 0.0
    offered: int = 0
    taken: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    without_a_time: int = 0
    rss_most: int = 0

    @property
    def offered_per_second(self) -> float:
        return self.offered / self.seconds

    @property
    def taken_per_second(self) -> float:
        return self.taken / self.seconds


def offer(served: Served, key: str, *, connections: int, seconds: float, name: str) -> Load:
    """Send batches on every connection, the next as soon as the last was answered."""
    load, lock = Load(), threading.Lock()
    started = time.monotonic()
    deadline = started + seconds

    def send(number: int) -> None:
        connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=60)
        headers = {**basic(key), "Content-Type": "application/json"}
        n = 0
        while time.monotonic() < deadline:
            body = _a_batch(f"{name}-{number}-{n}")
            n += 1
            connection.request("POST", "/v1/batch", body, headers)
            answer = connection.getresponse()
            answer.read()
            with lock:
                load.offered += BATCH
                load.statuses[answer.status] += 1
                if answer.status == 200:
                    load.taken += BATCH
                elif not answer.headers.get("Retry-After", "").isdigit():
                    load.without_a_time += 1
        connection.close()

    with ThreadPoolExecutor(connections) as threads:
        running = [threads.submit(send, number) for number in range(connections)]
        while not all(it.done() for it in running):
            load.rss_most = max(load.rss_most, rss_of(served))
            time.sleep(0.05)
        for it in running:
            it.result()
    load.seconds = time.monotonic() - started
    return load


def _a_batch(name: str) -> bytes:
    """A body that costs its sender next to nothing: one text with the ids put in."""
    return _TEMPLATE.replace(b"@@", name.encode())


_TEMPLATE = json.dumps({
    "batch": [
        {"type": "track", "messageId": f"@@-{n}", "userId": f"u{n}", "event": "Overloaded",
         "properties": {"price": 9.5, "sku": "a" * 40}}
        for n in range(BATCH)
    ]
}).encode()  # fmt: skip


def rss_of(served: Served) -> int:
    """Bytes of memory that the server's process holds; 0 where /proc does not say."""
    try:
        status = Path(f"/proc/{served.process.pid}/status").read_text()
    except FileNotFoundError:
        return 0
    line = next((it for it in status.splitlines() if it.startswith("VmRSS:")), "VmRSS: 0")
    return int(line.split()[1]) * 1024


def n_durable(url: str) -> int:
    """How many of the events are in the database."""
    database = Database(url, read_only=True)
    try:
        with database.read() as connection:
            rows = connection.execute("SELECT count(*) FROM event WHERE name = 'Overloaded'")
    finally:
        database.close()
    return int(rows[0][0])


def main() -> int:
    """Measure what it can take, then offer five times as much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--queue", type=int, default=0, help="ANTIPHON_QUEUE_EVENTS_MAX")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environ = {"ANTIPHON_DATABASE_URL": f"sqlite:///{folder}/antiphon.db"}
        if arguments.queue:
            environ["ANTIPHON_QUEUE_EVENTS_MAX"] = str(arguments.queue)
        served = Served(Path(folder), environ=environ)
        made = call(Path(folder), "keys_create", {"kind": "server", "label": "overload"})
        assert made is not None
        calm = offer(served, made["key"], connections=CALM, seconds=arguments.seconds, name="c")
        over = offer(
            served, made["key"], connections=arguments.connections, seconds=arguments.seconds,
            name="o",
        )  # fmt: skip
        served.terminate()
        durable = n_durable(environ["ANTIPHON_DATABASE_URL"])
    for name, it in (("calm", calm), ("overload", over)):
        print(
            f"{name}: {it.offered_per_second:,.0f} events/s offered, {it.taken_per_second:,.0f} "
            f"taken, answers {dict(it.statuses)}, at most {it.rss_most / 1e6:.0f} MB"
        )
    print(f"durable: {durable:,} of {calm.taken + over.taken:,} acknowledged")
    return int(durable != calm.taken + over.taken)


if __name__ == "__main__":
    raise SystemExit(main())
