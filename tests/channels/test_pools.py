"""Many connections as several small pools: bounded, kept warm, and given back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from channels.base import Receipt
from channels.calls import Answer, Call
from channels.egress import EgressRules
from channels.transport import POOL_CONNECTIONS, exchange, open_client

LOCAL = EgressRules(schemes=("http",), ports=None, allow_loopback=True)


@dataclass
class Server:
    """Answers every request after `seconds`, and counts its connections."""

    seconds: float = 0.01
    url: str = ""
    n_open: int = 0
    n_open_max: int = 0
    n_ever: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_open += 1
        self.n_ever += 1
        self.n_open_max = max(self.n_open, self.n_open_max)
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(self.seconds)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.n_open -= 1
            writer.close()


@asynccontextmanager
async def running(seconds: float = 0.01) -> AsyncIterator[Server]:
    counting = Server(seconds)
    server = await asyncio.start_server(counting.serve, "127.0.0.1", 0)
    counting.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    try:
        yield counting
    finally:
        server.close()


def are_taken(found: list[Answer | Receipt]) -> bool:
    return all(isinstance(each, Answer) and each.body == b"ok" for each in found)


@pytest.mark.parametrize("connections", [1, POOL_CONNECTIONS, 10])
def test_calls_share_as_many_connections_as_there_may_be_and_no_more(connections: int) -> None:
    async def run() -> tuple[list[Answer | Receipt], Server]:
        async with (
            running() as server,
            open_client(rules=LOCAL, connections=connections) as client,
        ):
            calls = [exchange(client, Call(server.url, "GET")) for _ in range(40)]
            return await asyncio.gather(*calls), server

    found, server = asyncio.run(run())

    assert are_taken(found)
    assert server.n_open_max == connections


def test_one_call_after_the_other_needs_one_connection() -> None:
    async def run() -> tuple[list[Answer | Receipt], Server]:
        async with running() as server, open_client(rules=LOCAL, connections=40) as client:
            return [await exchange(client, Call(server.url, "GET")) for _ in range(12)], server

    found, server = asyncio.run(run())

    assert are_taken(found)
    assert server.n_ever == 1


def test_calls_that_are_cut_off_give_their_connections_back() -> None:
    async def run() -> list[Answer | Receipt]:
        async with running(0.2) as server, open_client(rules=LOCAL, connections=10) as client:
            for _ in range(3):
                calls = [
                    asyncio.create_task(exchange(client, Call(server.url, "GET")))
                    for _ in range(30)
                ]
                await asyncio.sleep(0.05)
                for call in calls:
                    call.cancel()
                await asyncio.gather(*calls, return_exceptions=True)
            pools = client._transport._pool  # type: ignore[attr-defined]
            assert pools._room == [4, 4, 2]
            return await asyncio.gather(
                *(exchange(client, Call(server.url, "GET")) for _ in range(20))
            )

    assert are_taken(asyncio.run(run()))
