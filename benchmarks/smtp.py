"""E-mails per second out over SMTP, against the bare library on as many connections.

    python -m benchmarks.smtp [N]

The other side is a process of its own on this machine that takes everything: `smtp-sink` of Postfix
where it is installed, else thirty lines of asyncio. Both senders build the same mail; ours keeps
what the library leaves out (one outcome a message, where it failed, connections told 421). They
take turns after a round that warms both up. By processor time the ratio is the median of the pairs;
by the wall, which other work on the machine delays, that of the best runs.
"""

import asyncio
import contextlib
import multiprocessing
import os
import platform
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final

import aiosmtplib

from channels import open_provider
from channels.base import Accepted, OutMessage
from channels.email.headers import Sender
from channels.email.mime import build_email

WANTED: Final = 0.90
CONNECTIONS: Final = 5
PAIRS: Final = 5
SINK: Final = "/usr/sbin/smtp-sink"
NOW: Final = 1_772_445_600_000_000


def main(n_messages: int = 2_000) -> None:
    messages = [
        OutMessage(
            number, "email", f"ada{number}@example.com", subject="Your cart is waiting",
            html="<p>We kept your basket for you.</p>\n" * 60, text="We kept it for you.\n" * 60,
            from_="Shop <hello@shop.example>", idempotency_key=f"key{number}",
            unsubscribe_url="https://u.example/u/AQIBAAAAAAAAAHsABAbDT73T4sVv2AvRvUmJZlI",
        )
        for number in range(n_messages)
    ]  # fmt: skip
    with _server() as (port, name):
        pairs = [
            (_timed(_library, port, messages), _timed(_provider, port, messages))
            for _ in range(PAIRS + 1)
        ][1:]
    print(f"machine: {platform.machine()}, Python {platform.python_version()}; server: {name}")
    bare, ours = ([pair[side] for pair in pairs] for side in (0, 1))
    wall_bare, wall_ours = (max(wall for wall, _ in side) for side in (bare, ours))
    print(
        f"by the wall: library {wall_bare:,.0f}/s, ours {wall_ours:,.0f}/s, "
        f"ratio {wall_ours / wall_bare:.2f} (wanted {WANTED})"
    )
    cpu_bare, cpu_ours = (statistics.median(cpu for _, cpu in side) for side in (bare, ours))
    ratio = statistics.median(
        mine / theirs for (_, theirs), (_, mine) in zip(bare, ours, strict=True)
    )
    print(
        f"by processor time: library {cpu_bare:,.0f}/s, ours {cpu_ours:,.0f}/s, "
        f"ratio {ratio:.2f} (wanted {WANTED})"
    )


Sending = Callable[[int, list[OutMessage]], Coroutine[Any, Any, None]]


def _timed(sending: Sending, port: int, messages: list[OutMessage]) -> tuple[float, float]:
    """Messages per second of the wall clock, and of processor time."""
    wall, processor = perf_counter(), process_time()
    asyncio.run(sending(port, messages))
    return len(messages) / (perf_counter() - wall), len(messages) / (process_time() - processor)


async def _library(port: int, messages: list[OutMessage]) -> None:
    """aiosmtplib as its documentation shows it, a hundred messages a connection."""
    sender, waiting = Sender(domain="shop.example"), list(messages)

    async def work() -> None:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False)
        await client.connect()
        n_sent = 0
        while waiting:
            message = waiting.pop()
            raw = build_email(message, sender=sender, at=NOW)
            await client.sendmail("hello@shop.example", [message.to], raw)
            n_sent += 1
            if n_sent % 100 == 0:
                await client.quit()
                await client.connect()
        await client.quit()

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))


async def _provider(port: int, messages: list[OutMessage]) -> None:
    provider = open_provider(
        "email",
        "smtp",
        {"url": f"smtp://127.0.0.1:{port}?starttls=never", "pool": CONNECTIONS},
        directory=Path("nowhere"),
        rng=random.Random(1),
        now=lambda: NOW,
    )
    receipts = await asyncio.gather(*map(provider.deliver, messages))
    await provider.close()
    assert all(isinstance(receipt, Accepted) for receipt in receipts)


# --- the other side -----------------------------------------------------------------------------


@contextlib.contextmanager
def _server() -> Iterator[tuple[int, str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    if Path(SINK).exists():
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        sink = subprocess.Popen([SINK, *user, f"127.0.0.1:{port}", "64"])
        stop: Callable[[], None] = sink.terminate
        name = "smtp-sink"
    else:
        process = multiprocessing.get_context("spawn").Process(target=_serve, args=(port,))
        process.start()
        stop, name = process.terminate, "asyncio"
    try:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield port, name
    finally:
        stop()


def _serve(port: int) -> None:
    async def serving() -> None:
        server = await asyncio.start_server(_session, "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(serving())


async def _session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 ready\r\n")
    while line := await reader.readline():
        match line[:4].upper():
            case b"EHLO":
                writer.write(b"250-sink\r\n250 8BITMIME\r\n")
            case b"DATA":
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 taken\r\n")
            case b"QUIT":
                writer.write(b"221 bye\r\n")
                break
            case _:
                writer.write(b"250 ok\r\n")
    with contextlib.suppress(OSError):
        await writer.drain()
        writer.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
