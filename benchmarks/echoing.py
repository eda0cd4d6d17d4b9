"""What the benchmarks of callbacks and clicks share: a served shop whose messages are out, and a
load that keeps its pace whatever the server does.

Requests are due at fixed instants and their time is taken from then: a server that stalls makes
all who come meanwhile late, and the figures say so.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from campaigns import examples
from engine.core.model.instants import NEVER
from engine.intake.declared import declared
from engine.intake.ingest import Ingest
from engine.intake.prepare import Terms, prepare
from engine.opened import opened
from engine.steady import present
from engine.store import bulk
from engine.store.connection import Connection
from engine.store.events import EventLog
from engine.store.outcomes import MESSAGE_COLUMNS
from engine.ticking.tick import Ticker

SECRET: Final = "a secret for the benchmark"
PEOPLE: Final = 2_000
CONNECTIONS: Final = 64
ATTEMPT: Final = (
    "message_id", "number", "provider", "started_at", "finished_at", "outcome", "provider_id",
    "detail", "body_digest", "address_hash",
)  # fmt: skip


@dataclass
class Load:
    """How long each request took since it was due, in seconds, and answers that were wrong."""

    latencies: list[float] = field(default_factory=list)
    bad: list[bytes] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return (len(self.latencies) - len(self.bad)) / self.seconds

    def quantile_ms(self, q: float) -> float:
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def a_shop(folder: Path, channel: str, *, n_messages: int, provider: str) -> None:
    """The starter's workspace, applied; `n_messages` of its reminder are sent to 2,000 people.

    Args:
        channel: The line of antiphon.yaml for the channel "email".
        provider: As attempts name it.
    """
    starter = Path(examples.__path__[0]) / "starter"
    shutil.copytree(starter, folder, ignore=shutil.ignore_patterns("tests", ".antiphon"))
    settings = folder / "antiphon.yaml"
    kept = re.sub(r"(?m)^  email: \{provider.*$", f"  email: {channel}", settings.read_text())
    settings.write_text(kept)
    os.environ["ANTIPHON_SECRET_KEY"] = SECRET
    subprocess.run([sys.executable, "-m", "engine.cli", "apply", str(folder)], check=True)
    with opened(folder) as it:
        playbook, log, now = it.playbook(environ=os.environ), EventLog(), present()
        ingest = Ingest(vault=it.vault, log=log)
        terms = Terms(declared=declared(playbook.workspace), entropy=os.urandom)
        for start in range(1, PEOPLE + 1, 500):
            batch = [
                {
                    "type": "identify", "userId": f"u{n}", "messageId": f"i{n}",
                    "traits": {"email": f"u{n}@example.com", "first_name": f"Ada {n}"},
                }
                for n in range(start, start + 500)
            ]  # fmt: skip
            body = msgspec.json.encode({"batch": batch})
            facts = prepare(body, kind="batch", terms=terms, received_at=now)
            with it.database.write() as connection:
                ingest.commit(connection, [facts], now=now)
        it.database.claim()
        ticker = Ticker(it.database, vault=it.vault, log=log)
        ticker.claim(now=now)
        while not ticker.tick(playbook, floor=now, horizon=now, limit=1_000).is_idle:
            pass
        with it.database.write() as connection:
            _send(connection, n_messages, provider, now=now)


def _send(connection: Connection, n: int, provider: str, *, now: int) -> None:
    row: dict[str, Any] = dict.fromkeys(MESSAGE_COLUMNS, "")
    row |= {
        "campaign": "cart-reminder", "step": "remind", "channel": "email", "account": "email",
        "topic": "offers", "template": "cart_reminder", "status": "sent", "at": now,
        "due_at": now, "expires_at": NEVER, "context": "{}", "lane": 1, "visit": 1,
    }  # fmt: skip
    messages = [
        tuple({**row, "id": i, "profile_id": 1 + i % PEOPLE, "enrollment_id": i}.values())
        for i in range(1, n + 1)
    ]
    bulk.insert(connection, "message", MESSAGE_COLUMNS, messages)
    attempts = [
        (i, 1, provider, now, now, "accepted", f"sg{i}", "", "", (i % PEOPLE).to_bytes(16, "big"))
        for i in range(1, n + 1)
    ]
    bulk.insert(connection, "attempt", ATTEMPT, attempts)


class Serving:
    """`antiphon serve` on that shop."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "engine.cli", "serve", str(folder), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)", self._process.stdout.readline())
        assert found, "the server did not start"
        self.port = int(found[1])

    def cpu_seconds(self) -> float:
        """Of processor that the server has used so far, all its threads."""
        with open(f"/proc/{self._process.pid}/stat") as stat:
            told = stat.read().rpartition(")")[2].split()
        return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mb(self) -> float:
        """The most memory that the server has held so far."""
        told = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+) kB", told)[0]) / 1024

    def own_mb(self) -> float:
        """What the server holds now, without pages of files that it has mapped."""
        told = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(re.findall(r"RssAnon:\s+(\d+) kB", told)[0]) / 1024

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=60)


async def paced(port: int, requests: Sequence[bytes], *, per_second: float, ok: bytes) -> Load:
    """Send each request when it is due, over CONNECTIONS connections; `ok` begins a good answer."""
    load = Load()
    start = time.perf_counter() + 0.2

    async def client(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for k in range(first, len(requests), CONNECTIONS):
            due = start + k / per_second
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            writer.write(requests[k])
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            body = await reader.readexactly(int(length[1])) if length else b""
            load.latencies.append(time.perf_counter() - due)
            if not head.startswith(ok):
                load.bad.append(head[:60] + body[:200])
        writer.close()

    await asyncio.gather(*(client(first) for first in range(CONNECTIONS)))
    load.seconds = time.perf_counter() - start
    return load


def report(what: str, load: Load, *, wanted: float, p99_ms: float) -> None:
    """Print units and figures, and whether the wanted ones were met."""
    p99 = load.quantile_ms(0.99)
    is_met = load.per_second >= 0.99 * wanted and p99 < p99_ms and not load.bad
    print(
        f"{what}: {load.per_second:,.0f}/s of {wanted:,.0f}/s asked, p50 "
        f"{load.quantile_ms(0.5):.1f} ms, p99 {p99:.1f} ms (target {p99_ms:.0f}), "
        f"{len(load.bad)} wrong: {'met' if is_met else 'MISSED'}"
    )
    print(
        f"  the server used {load.cpu_seconds:.1f} s of processor: "
        f"{len(load.latencies) / max(load.cpu_seconds, 0.01):,.0f} a second of it; "
        f"load {os.getloadavg()[0]:.0f}"
    )
    if load.bad:
        print(f"  such as {load.bad[0]!r}")
