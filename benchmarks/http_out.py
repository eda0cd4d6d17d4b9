"""Messages per second out over HTTP: connections, HTTP/2 on one of them, and sealed pushes.

    python -m benchmarks.http_out [SECONDS]

The other side is a process of its own on this machine. HTTP/1.1 is answered after 50 ms, as over a
network: N connections can carry at most 20 N a second, which is the floor's figure. Beside each
stands what one httpcore pool of all N connections carries: why `transport` opens many small ones.
"""

import asyncio
import multiprocessing
import platform
import random
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from time import perf_counter, process_time
from typing import Any
from unittest.mock import patch

from msgspec import structs

from channels import open_provider, transport
from channels.base import Accepted, OutMessage
from channels.calls import Call
from channels.http_provider import GATEWAY, HttpProvider
from tests.channels.http2_peer import Message, make_certificate, serving
from tests.channels.vendor_cases import NOW
from tests.channels.vendors.push_apns import CASES as APNS
from tests.channels.vendors.push_webpush import CASES as WEBPUSH

DELAY_SECONDS = 0.05
AT_ONCE = (1, 8, 32, 100)
MESSAGE = OutMessage(7, "push", "", data={"title": "A title of tests", "body": "x" * 1_000})


def opened(name: str, **settings: Any) -> HttpProvider:
    """A push provider, as the engine opens it."""
    provider = open_provider(
        "push", name, settings, directory=Path("nowhere"), rng=random.Random(7), now=lambda: NOW
    )
    assert isinstance(provider, HttpProvider)
    return provider


async def carried(
    provider: HttpProvider, message: OutMessage, *, at_once: int, seconds: float
) -> tuple[float, float]:
    """Messages per second, and microseconds of our processor for each."""
    n_done = 0

    async def caller(until: float) -> None:
        nonlocal n_done
        while perf_counter() < until:
            receipt = await provider.deliver(message)
            assert isinstance(receipt, Accepted), receipt
            n_done += 1

    # Connections are opened before the clock runs.
    await asyncio.gather(*(provider.deliver(message) for _ in range(at_once)))
    started, used = perf_counter(), process_time()
    await asyncio.gather(*(caller(started + seconds) for _ in range(at_once)))
    elapsed = perf_counter() - started
    return n_done / elapsed, (process_time() - used) / n_done * 1e6


# --- HTTP/1.1 -----------------------------------------------------------------------------------


class Slow(asyncio.Protocol):
    """Reads a request by its length, answers "ok" after 50 ms."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.read = b""

    def data_received(self, data: bytes) -> None:
        self.read += data
        head, blank, rest = self.read.partition(b"\r\n\r\n")
        if not blank:
            return
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if len(rest) >= int(length or 0):
            self.read = rest[int(length or 0) :]
            asyncio.get_running_loop().call_later(DELAY_SECONDS, self.answer)

    def answer(self) -> None:
        assert isinstance(self.transport, asyncio.Transport)
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


async def serve_slowly(told: Any) -> None:
    """Serve until the process ends; tell the port."""
    server = await asyncio.get_running_loop().create_server(Slow, "127.0.0.1", 0, backlog=1_000)
    told.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def over_http1(port: int, *, seconds: float) -> None:
    print("HTTP/1.1, 50 ms away, push.chat: messages/s (processor a message)")
    for at_once in AT_ONCE:
        figures = []
        for pool in (transport.POOL_CONNECTIONS, 1_000):
            with patch.object(transport, "POOL_CONNECTIONS", pool):
                provider = opened("chat", url=f"http://127.0.0.1:{port}/hook")
                await provider.close()
                provider._client = transport.open_client(rules=GATEWAY, connections=at_once)
                rate, used = await carried(provider, MESSAGE, at_once=at_once, seconds=seconds)
                await provider.close()
            figures.append(f"{rate:7.0f} ({used:6.0f} us)")
        most = f"at most {at_once / DELAY_SECONDS:5.0f}"
        print(f"  {at_once:3} connections: {figures[0]}, in one pool {figures[1]}, {most}")


# --- HTTP/2 -------------------------------------------------------------------------------------


async def apple(scope: Message, receive: Any, send: Any) -> None:
    """Takes every push."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    names = [(b"apns-id", dict(scope["headers"])[b"apns-id"])]
    await send({"type": "http.response.start", "status": 200, "headers": names})
    await send({"type": "http.response.body", "body": b""})


async def serve_http2(told: Any, certificate: tuple[str, str]) -> None:
    """Serve until the process ends; tell the address."""
    async with serving(apple, certificate) as url:
        told.send(url)
        await asyncio.Event().wait()


async def over_http2(url: str, ca_file: str, *, seconds: float) -> None:
    print("HTTP/2, one connection, push.apns to hypercorn: messages/s (processor a message)")
    for at_once in (1, 10, 100):
        provider = opened("apns", **APNS.settings, base_url=url, ca_file=ca_file)
        rate, used = await carried(provider, APNS.message, at_once=at_once, seconds=seconds)
        await provider.close()
        print(f"  {at_once:3} streams: {rate:7.0f} ({used:6.0f} us)")
    provider = opened("apns", **APNS.settings, base_url=url, ca_file=ca_file)
    messages = [structs.replace(APNS.message, id=number) for number in range(300)]
    started = perf_counter()
    receipts = await asyncio.gather(*map(provider.deliver, messages))
    elapsed = perf_counter() - started
    assert {type(each) for each in receipts} == {Accepted}
    await provider.close()
    print(f"  300 at once, TLS and all: {elapsed:.2f} s")


def sealed() -> None:
    provider = opened("webpush", **WEBPUSH.settings)
    started = process_time()
    for _ in range(500):
        assert isinstance(provider.vendor.call(WEBPUSH.message, now=NOW), Call)
    each = (process_time() - started) / 500
    asyncio.run(provider.close())
    print(f"Web Push, sealed for its browser: {each * 1e3:.2f} ms of processor a message")


# --- all of it ----------------------------------------------------------------------------------


def beside(work: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> tuple[Any, Any]:
    """A server in a process of its own, and what it tells of itself when it is ready."""
    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=_run, args=(work, there, *args), daemon=True)
    process.start()
    return process, here.recv()


def _run(work: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
    asyncio.run(work(*args))


def main(seconds: float = 3.0) -> None:
    """Measure and print."""
    print(f"{platform.python_implementation()} {platform.python_version()}, one process, asyncio")
    process, port = beside(serve_slowly)
    asyncio.run(over_http1(port, seconds=seconds))
    process.terminate()
    with tempfile.TemporaryDirectory() as folder:
        certificate = make_certificate(Path(folder))
        process, url = beside(serve_http2, certificate)
        asyncio.run(over_http2(url, certificate[0], seconds=seconds))
        process.terminate()
    sealed()


if __name__ == "__main__":
    main(*(float(each) for each in sys.argv[1:]))
