"""How late timers fire at a steady rate, and how fast a backlog of them is drained.

    python benchmarks/timers.py [--rate 1000] [--seconds 15] [--backlog 100000]

Everyone put something into a cart half an hour before; the reminder falls due. First `rate` of them
a second for some seconds, against the real clock and the engine's real loop: lateness is from the
due instant to the commit of what it caused. Then `backlog` of them at once, as after an outage:
played, composed, and taken by a sandbox that writes nothing down. One SQLite file, one process.
"""

import argparse
import asyncio
import os
import platform
import random
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.full_path import settle
from campaigns.load import load_bundle
from campaigns.reading import Text
from channels import open_provider
from engine import live, publish
from engine.composing import Links
from engine.core.clocktime import iso
from engine.core.model import MINUTE, SECOND, Instant
from engine.declared import declared
from engine.ingest import Ingest
from engine.outbox import Outbox
from engine.playbook import Playbook
from engine.prepare import Terms, prepare
from engine.steady import present
from engine.store import claims, migrate
from engine.store.connection import Connection, Row
from engine.store.database import Database
from engine.store.events import EventLog
from engine.tick import Ticker, run_until_idle
from engine.vault import Vault

DELAY = 30 * MINUTE
IDLE_SECONDS = 0.05
STEP = SECOND // 10
"""Events are accepted in groups: so far apart do timers fall due."""
WORKSPACE = {
    "antiphon.yaml": b"""zone: UTC
consent: {unknown: refuse}
topics: {offers: {title: Offers}}
traits: {email: {type: email, pii: true}}
channels: {email: {provider: sandbox, from: shop@example.com, write: none}}
""",
    "campaigns/reminder.yaml": b"""campaign: reminder
trigger: {event: Product Added}
topic: offers
journey:
  - delay: 30m
    id: settle
  - send: {channel: email, template: note}
""",
    "templates/email/note.txt": b"""---
subject: Your cart
---
About {{ event.product }}. {{ unsubscribe_url }}
""",
}


class Bench:
    """A database, what fills it, and what plays it."""

    def __init__(self, path: Path) -> None:
        self.database = Database(f"sqlite:///{path}")
        migrate.upgrade(self.database)
        self.rng = random.Random(5)
        self.vault = Vault({1: "the secret of a benchmark"}, entropy=self.rng.randbytes)
        self.log = EventLog()
        self.workspace = load_bundle(WORKSPACE, environ={})
        with self.database.write() as connection:
            publish.apply(connection, self.workspace, now=present() - 2 * DELAY)
        self.ticker = Ticker(self.database, vault=self.vault, log=self.log)
        self.n_people = 0

    def playbook(self) -> Playbook:
        playbook = live.load_playbook(self.database, vault=self.vault)
        assert playbook is not None
        return playbook

    def carts(self, playbook: Playbook, dues: Sequence[tuple[Instant, int]]) -> None:
        """Have so many people at a time fill a cart, so that the reminder is due then; played."""
        ingest = Ingest(vault=self.vault, log=self.log)
        terms = Terms(declared=declared(self.workspace), entropy=self.rng.randbytes)
        for due, n in dues:
            at = due - DELAY
            batch = [self._an_item(at) for _ in range(n)]
            prepared = prepare(
                msgspec.json.encode({"batch": batch}), kind="batch", terms=terms, received_at=at
            )
            with self.database.write() as connection:
                ingest.commit(connection, [prepared], now=at)
        last = dues[-1][0] - DELAY
        run_until_idle(self.ticker, playbook, floor=0, horizon=last)

    def _an_item(self, at: Instant) -> dict[str, object]:
        self.n_people += 1
        address = f"u{self.n_people}@example.com"
        traits = {"email": address, "consent": {"email": {"offers": True}}}
        return {
            "type": "track",
            "messageId": f"m{self.n_people}",
            "userId": f"user-{self.n_people}",
            "timestamp": iso(at),
            "event": "Product Added",
            "properties": {"product": "a hat"},
            "context": {"traits": traits},
        }


class Fired:
    """Notes the due instants of the timers a batch drops."""

    def __init__(self) -> None:
        self.dues: list[Instant] = []
        self._honest = claims.drop_timers
        claims.drop_timers = self._drop

    def _drop(self, connection: Connection, timers: Sequence[Row]) -> None:
        self.dues += [due for due, _ in timers]
        self._honest(connection, timers)

    def take(self) -> list[Instant]:
        dues, self.dues = self.dues, []
        return dues


def lateness(folder: Path, *, rate: int, seconds: int) -> list[float]:
    """Seconds from due to committed, of every timer that fell due while the loop ran."""
    bench = Bench(folder / "steady.db")
    playbook = bench.playbook()
    each = max(1, rate * STEP // SECOND)
    lead = 5 * SECOND + rate * seconds * SECOND // 2_000  # to build what falls due later
    start = present() + lead
    steps = range(0, seconds * SECOND, STEP)
    bench.carts(playbook, [(start + offset, each) for offset in steps])
    fired = Fired()
    settle()
    late: list[float] = []
    if present() > start:
        print(f"the machine was {(present() - start) / SECOND:.1f} s too slow to begin in time")
    while (now := present()) < start + seconds * SECOND + 2 * SECOND:
        done = bench.ticker.tick(playbook, floor=now, horizon=now)
        committed = present()
        late += [(committed - due) / SECOND for due in fired.take()]
        if done.is_idle:
            time.sleep(IDLE_SECONDS)
    bench.database.close()
    return sorted(late)


def backlog(folder: Path, *, n: int) -> tuple[float, float, bool]:
    """Seconds to play and to send an overdue backlog, and whether the oldest came first."""
    bench = Bench(folder / "backlog.db")
    playbook = bench.playbook()
    at = present() - MINUTE
    groups = [(at - (n - done) * 10, min(500, n - done)) for done in range(0, n, 500)]
    bench.carts(playbook, groups)
    fired = Fired()
    settle()
    began = time.perf_counter()
    now = present()
    run_until_idle(bench.ticker, playbook, floor=now, horizon=now)
    played = time.perf_counter() - began
    dues = fired.take()
    provider = open_provider(
        "email", "sandbox", playbook.workspace.settings.channels[Text("email")].settings,
        directory=folder, rng=bench.rng, now=present,
    )  # fmt: skip
    outbox = Outbox(
        bench.database, vault=bench.vault, providers={"email": provider},
        links=Links("https://shop.example", b"0123456789abcdef"), rng=bench.rng,
    )  # fmt: skip
    began = time.perf_counter()
    asyncio.run(_drained(outbox, playbook))
    sent = time.perf_counter() - began
    bench.database.close()
    return played, sent, dues == sorted(dues)


async def _drained(outbox: Outbox, playbook: Playbook) -> None:
    while not (await outbox.drain(playbook, "email", now=present(), limit=500)).is_idle:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=int, default=1_000)
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--backlog", type=int, default=100_000)
    arguments = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, CPython {platform.python_version()}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        late = lateness(folder, rate=arguments.rate, seconds=arguments.seconds)
        half, most = late[len(late) // 2], late[int(len(late) * 0.99)]
        print(
            f"{len(late):,} timers at {arguments.rate:,} due/s: median {half * 1000:.0f} ms late, "
            f"p99 {most * 1000:.0f} ms, worst {late[-1] * 1000:.0f} ms (wanted: p99 at most "
            f"1,000 ms), earliest {late[0] * 1000:.0f} ms; load {os.getloadavg()[0]:.1f}"
        )
        played, sent, is_ordered = backlog(folder, n=arguments.backlog)
    n, order = arguments.backlog, "oldest first" if is_ordered else "NOT oldest first"
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"{n:,} overdue: played in {played:.1f} s ({n / played:,.0f}/s, {order}), composed and "
        f"sent in {sent:.1f} s ({n / sent:,.0f}/s); {rss} MB at most; load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
