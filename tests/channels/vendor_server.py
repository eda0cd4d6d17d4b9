"""A vendor's end of the wire: a real HTTP/1.1 server that answers as a test says, or badly.

Whatever host a provider calls, `wired` brings it here: the request keeps its address and headers.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from channels.calls import Answer
from channels.egress import EgressRules
from channels.http_provider import HttpProvider
from channels.transport import open_client

LOCAL = EgressRules(schemes=("http",), ports=None, allow_loopback=True)
TIMEOUT_SECONDS = 0.4
TOO_MUCH = 10 * 1024 * 1024

Behaviour = Callable[["Arrived", asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Arrived:
    """A request as its bytes came; the names of `headers` are lower-case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class VendorServer:
    """Answers `questions` by a part of their address, everything else by `behaviour`."""

    behaviour: Behaviour
    questions: Mapping[str, Answer] = field(default_factory=dict)
    arrived: list[Arrived] = field(default_factory=list)
    n_bytes_sent: int = 0
    host: str = "127.0.0.1"
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: request, answer, and so on until it is closed."""
        try:
            while (request := await _read(reader)) is not None:
                await self._answer(request, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the caller hung up, or the test is over
        finally:
            writer.close()

    async def _answer(self, request: Arrived, writer: asyncio.StreamWriter) -> None:
        whole = f"https://{request.headers['host']}{request.target}"
        for part, answer in self.questions.items():
            if part in whole:
                await saying(answer)(request, writer)
                return
        self.arrived.append(request)
        await self.behaviour(request, writer)


@asynccontextmanager
async def running(
    behaviour: Behaviour, *, questions: Mapping[str, Answer] | None = None
) -> AsyncIterator[VendorServer]:
    """A server on a free port of this machine, for as long as the block lasts."""
    vendor = VendorServer(behaviour, questions or {})
    server = await asyncio.start_server(vendor.serve, "127.0.0.1", 0)
    vendor.port = server.sockets[0].getsockname()[1]
    try:
        yield vendor
    finally:
        server.close()


async def wire(provider: HttpProvider, vendor: VendorServer) -> None:
    """Bring every call of a provider to a server of ours, over HTTP/1.1."""
    await provider._client.aclose()
    provider._client = httpx.AsyncClient(
        transport=_Rerouted(vendor),
        headers={"User-Agent": "antiphon", "Accept-Encoding": "gzip, deflate"},
        timeout=TIMEOUT_SECONDS,
        follow_redirects=False,
        trust_env=False,
    )


class _Rerouted(httpx.AsyncBaseTransport):
    def __init__(self, vendor: VendorServer) -> None:
        self.vendor = vendor
        self.inner = open_client(rules=LOCAL)._transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(
            scheme="http", host=self.vendor.host, port=self.vendor.port
        )
        return await self.inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


# --- what a vendor may do -----------------------------------------------------------------------


def saying(answer: Answer) -> Behaviour:
    """Answers, whole."""

    async def behave(request: Arrived, writer: asyncio.StreamWriter) -> None:
        hop = ("content-length", "connection", "transfer-encoding")
        told = {name: value for name, value in answer.headers.items() if name.lower() not in hop}
        head = f"HTTP/1.1 {answer.status} Said\r\nContent-Length: {len(answer.body)}\r\n"
        lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        writer.write(f"{head}{lines}\r\n".encode("latin-1") + answer.body)
        await writer.drain()

    return behave


async def silent(request: Arrived, writer: asyncio.StreamWriter) -> None:
    """Takes the whole request and says nothing until the caller gives up."""
    await asyncio.sleep(TIMEOUT_SECONDS * 3)
    raise ConnectionResetError


async def hanging_up(request: Arrived, writer: asyncio.StreamWriter) -> None:
    """Takes the request and resets the connection."""
    writer.transport.abort()
    raise ConnectionResetError


def breaking_off(answer: Answer) -> Behaviour:
    """Begins a good answer and resets in its middle."""

    async def behave(request: Arrived, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {answer.status} Said\r\nContent-Length: {len(answer.body) + 50}\r\n\r\n"
        writer.write(head.encode() + answer.body[: len(answer.body) // 2])
        await writer.drain()
        writer.transport.abort()
        raise ConnectionResetError

    return behave


def flooding(vendor_status: int, counted: list[int]) -> Behaviour:
    """Answers with ten megabytes; `counted` gets how many left before the caller hung up."""

    async def behave(request: Arrived, writer: asyncio.StreamWriter) -> None:
        writer.write(
            f"HTTP/1.1 {vendor_status} Said\r\nContent-Length: {TOO_MUCH}\r\n\r\n".encode()
        )
        counted.append(0)
        chunk = b"[" * 65536
        while counted[-1] < TOO_MUCH:
            writer.write(chunk)
            await writer.drain()
            counted[-1] += len(chunk)

    return behave


async def _read(reader: asyncio.StreamReader) -> Arrived | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines if line)
    }
    length = int(headers.get("content-length", "0"))
    return Arrived(method, target, headers, await reader.readexactly(length))
