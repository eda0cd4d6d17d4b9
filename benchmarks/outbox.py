"""Messages per second from the queue to a provider 50 ms away, gates and ledger included.

    python -m benchmarks.outbox [N] [--seconds-away 0.05]

The sending loop of `serve`, one process, a SQLite file with `synchronous=FULL` and the one writing
thread: every message is rendered for its profile (sealed address and traits opened), passes the
gates under the lock of its contact row, has its attempt committed before the call and its outcome
after. Two doubles: one that only waits, and Resend's API over HTTP/1.1 in a process of its own. A
lane has 32 calls in flight, so at 50 ms no more than 640 a second leave. Printed beside the rate:
our processor time a message, and what share of the bound it came to.
"""

import argparse
import asyncio
import multiprocessing
import os
import platform
import random
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final

from benchmarks.reference_mix import BATCH, identify_calls, workspace_files
from benchmarks.reference_shop import GROUP, START, Shop
from campaigns.load import load_bundle
from channels import open_provider
from channels.base import Accepted, Capabilities, OutMessage, Provider, Receipt
from engine.core.model.instants import HOUR, NEVER, SECOND
from engine.intake.commit import GroupCommit
from engine.intake.declared import declared
from engine.intake.ingest import Ingest
from engine.intake.prepare import Terms, prepare
from engine.release import publish
from engine.sending.composing import Links
from engine.sending.loop import keep_sending
from engine.sending.outbox import LANE_WIDTH, Outbox
from engine.store import bulk, migrate
from engine.store.outcomes import MESSAGE_COLUMNS
from engine.ticking.tick import Ticker, run_until_idle

WANTED: Final = 500
N_PROFILES: Final = 5_000
TEMPLATE: Final = "cart"


class Waiting:
    """Takes every message after a while."""

    name = "email.waiting"
    channel: Final = "email"
    capabilities = Capabilities(idempotency_hours=24, is_sandbox=True)

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def deliver(self, message: OutMessage) -> Receipt:
        await asyncio.sleep(self._seconds)
        return Accepted(f"w{message.id}")

    async def close(self) -> None:
        pass

    async def read_callback(self, callback: Any) -> Any:
        raise AssertionError("nobody calls back here")


class Resend(asyncio.Protocol):
    """Answers every request as Resend does, after a while."""

    seconds = 0.05

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.read = transport, b""

    def data_received(self, data: bytes) -> None:
        self.read += data
        head, blank, rest = self.read.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if blank and len(rest) >= length:
            self.read = rest[length:]
            asyncio.get_running_loop().call_later(self.seconds, self.answer)

    def answer(self) -> None:
        body = b'{"id": "%032x"}' % random.getrandbits(128)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        if not self.transport.is_closing():
            self.transport.write(head % len(body) + body)


def filled(folder: Path, n_messages: int) -> Shop:
    """A shop with people, and messages for them that are due."""
    shop = Shop(folder / "outbox.db")
    migrate.upgrade(shop.database)
    workspace = load_bundle(workspace_files(), environ={})
    with shop.database.write() as connection:
        publish.apply(connection, workspace, now=START - HOUR)
    ingest = Ingest(vault=shop.vault, log=shop.log)
    terms = Terms(declared=declared(workspace), entropy=random.Random(4).randbytes)
    bodies = list(identify_calls(N_PROFILES, at=START - HOUR, rng=random.Random(7)))
    for first in range(0, len(bodies), GROUP // BATCH):
        some = bodies[first : first + GROUP // BATCH]
        ready = [prepare(it, kind="batch", terms=terms, received_at=START - HOUR) for it in some]
        with shop.database.write() as connection:
            ingest.commit(connection, ready, now=START - HOUR)
    ticker = Ticker(shop.database, vault=shop.vault, log=shop.log)
    run_until_idle(ticker, shop.playbook(), floor=START - HOUR, horizon=START - HOUR)
    with shop.database.write() as connection:
        rows = connection.execute("SELECT id, consent FROM profile ORDER BY id")
        people = [row[0] for row in rows if '"offers":true' in row[1].replace(" ", "")]
        bulk.insert(
            connection,
            "message",
            MESSAGE_COLUMNS,
            [_row(id, people[id % len(people)]) for id in range(1, n_messages + 1)],
        )
        connection.execute("ANALYZE")
    return shop


def _row(id: int, profile: int) -> tuple[Any, ...]:
    given = dict.fromkeys(MESSAGE_COLUMNS, "") | {
        "id": id, "profile_id": profile, "enrollment_id": id, "campaign": "cart", "step": "send",
        "visit": 1, "channel": "email", "account": "email", "topic": "offers",
        "template": TEMPLATE, "status": "queued", "at": START, "due_at": START,
        "expires_at": NEVER, "lane": 1,
        "context": '{"event":{"product_id":"p7","price":12.5,"category":"category-7"}}',
    }  # fmt: skip
    return tuple(given[name] for name in MESSAGE_COLUMNS)


def sent(shop: Shop, provider: Provider, n_messages: int) -> tuple[float, float]:
    """Messages per second by the wall, and microseconds of our processor for each."""
    began_at = perf_counter()

    def clock() -> int:
        return START + int((perf_counter() - began_at) * SECOND)

    ingest = Ingest(vault=shop.vault, log=shop.log)
    commits = GroupCommit(shop.database, ingest, clock=clock)
    commits.start()
    playbook = shop.playbook()
    done = threading.Event()
    n_done = 0

    def counted(provider: Provider, composed: Any, now: int) -> None:
        nonlocal n_done
        n_done += 1
        if n_done >= n_messages:
            done.set()

    def write(change: Callable[..., Any]) -> Any:
        return commits.run(change).result()

    async def run() -> tuple[float, float]:
        outbox = Outbox(
            shop.database, vault=shop.vault, providers={"email": provider},
            links=Links("https://shop.example", b"0123456789abcdef"), rng=random.Random(1),
            write=write, on_sent=counted, clock=clock, log=shop.log,
        )  # fmt: skip
        wall, processor = perf_counter(), process_time()
        await keep_sending(
            outbox, playbook, clock=clock, is_on=lambda: not done.is_set(),
            may_send=lambda: True, idle_seconds=0.05,
        )  # fmt: skip
        return perf_counter() - wall, process_time() - processor

    elapsed, used = asyncio.run(run())
    commits.stop()
    with shop.database.read() as connection:
        ((n_sent,),) = connection.execute("SELECT count(*) FROM message WHERE status = 'sent'")
        ((n_kept,),) = connection.execute(
            "SELECT count(*) FROM attempt WHERE outcome = 'accepted' AND finished_at IS NOT NULL"
        )
    assert n_sent == n_kept == n_messages, (n_sent, n_kept, n_messages)
    return n_messages / elapsed, used / n_messages * 1e6


def serve(told: Any, seconds: float) -> None:
    """Resend's double, until the process ends."""
    Resend.seconds = seconds

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Resend, "127.0.0.1", 0, backlog=1_000)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def over_http(port: int) -> Provider:
    return open_provider(
        "email", "resend",
        {"api_key": "re_1", "from": "Shop <hello@shop.example>", "webhook_secret": "whsec_MTIz",
         "base_url": f"http://127.0.0.1:{port}"},
        directory=Path("nowhere"), rng=random.Random(1), now=lambda: START,
    )  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", nargs="?", type=int, default=5_000)
    parser.add_argument("--seconds-away", type=float, default=0.05)
    asked = parser.parse_args()
    bound = LANE_WIDTH / asked.seconds_away
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, Python {platform.python_version()}, load {load:.1f}")
    here, there = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.Process(target=serve, args=(there, asked.seconds_away), daemon=True)
    server.start()
    port = here.recv()
    for title, make in (
        ("a double that waits", lambda: Waiting(asked.seconds_away)),
        ("Resend's API by HTTP", lambda: over_http(port)),
    ):
        with tempfile.TemporaryDirectory() as folder:
            shop = filled(Path(folder), asked.n)
            provider: Any = make()
            rate, used = sent(shop, provider, asked.n)
            shop.close()
        print(
            f"{title}, {asked.seconds_away * 1e3:.0f} ms away: {rate:,.0f} messages/s "
            f"(wanted {WANTED}), {rate / bound:.0%} of what {LANE_WIDTH} calls in flight allow; "
            f"{used:,.0f} us of processor a message"
        )
    server.terminate()


if __name__ == "__main__":
    main()
