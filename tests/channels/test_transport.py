"""HTTP out: where it may go, and what came of it, against a real server on this machine."""

import asyncio
import gzip
import socket
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from channels.base import Ambiguous, NotSent, Receipt, RefusedBy, Throttled
from channels.calls import Answer, Call
from channels.egress import EgressRefused, EgressRules, check_url, is_public
from channels.receipts import receipt_of
from channels.transport import exchange, open_client

NOW = 1_772_445_600_000_000
LOCAL = EgressRules(schemes=("http",), ports=None, allow_loopback=True)
Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


async def served(
    handler: Handler, *, rules: EgressRules = LOCAL, host: str = "127.0.0.1", **options: Any
) -> tuple[Answer | Receipt, list[bytes]]:
    """POST once to a server that reads the request and then does as `handler` says."""
    requests: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        try:
            await handler(requests[-1], writer)
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_client(rules=rules, timeout_seconds=0.5, **options) as client:
        answer_or = await exchange(client, Call(f"http://{host}:{port}/x", body=b"hi"))
        if isinstance(answer_or, Answer):
            return receipt_of(answer_or, now=NOW) or answer_or, requests
        return answer_or, requests


def saying(status: str, body: str = "", headers: str = "") -> Handler:
    async def handler(request: bytes, writer: asyncio.StreamWriter) -> None:
        text = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n{body}"
        writer.write(text.encode())
        await writer.drain()

    return handler


def test_a_2xx_is_left_for_the_provider_to_read() -> None:
    result, requests = asyncio.run(served(saying("202 Accepted", '{"id": "7"}')))

    assert isinstance(result, Answer)
    assert result.json() == {"id": "7"}
    assert requests[0].startswith(b"POST /x HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        ("429 Too Many", "Retry-After: 30\r\n", Throttled(30.0, "why")),
        ("429 Too Many", "Retry-After: Mon, 02 Mar 2026 10:01:00 GMT\r\n", Throttled(60.0, "why")),
        ("429 Too Many", "Retry-After: Mon, 02 Mar 2026 09:00:00 GMT\r\n", Throttled(0.0, "why")),
        ("429 Too Many", "Retry-After: soon\r\n", Throttled(None, "why")),
        ("503 Busy", "Retry-After: 5\r\n", Throttled(5.0, "why")),
        ("503 Busy", "", Ambiguous("http 503: why")),
        ("500 Oops", "", Ambiguous("http 500: why")),
        ("400 Bad", "", RefusedBy("message", "http 400", "why")),
        ("422 Bad", "", RefusedBy("message", "http 422", "why")),
        ("401 Who", "", RefusedBy("config", "http 401", "why")),
        ("404 Where", "", RefusedBy("config", "http 404", "why")),
    ],
)
def test_a_status_becomes_a_receipt(status: str, headers: str, expected: Receipt) -> None:
    result, _ = asyncio.run(served(saying(status, "why", headers)))

    assert result == expected


def test_a_redirect_is_not_followed() -> None:
    moved = saying("307 Moved", "", "Location: http://169.254.169.254/latest\r\n")

    result, requests = asyncio.run(served(moved))

    assert isinstance(result, RefusedBy)
    assert result.code == "http 307"
    assert len(requests) == 1


def test_silence_and_resets_after_the_request_are_ambiguous() -> None:
    async def silent(request: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1)

    async def reset(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def half(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()

    for handler in (silent, reset, half):
        result, _ = asyncio.run(served(handler))
        assert isinstance(result, Ambiguous)


def test_an_answer_without_end_is_cut_off() -> None:
    async def endless(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(64):
            writer.write(b"x" * 65536)
            await writer.drain()

    result, _ = asyncio.run(served(endless))

    assert result == Ambiguous("the answer is larger than 1 MB")


def test_an_answer_without_end_is_cut_off_also_when_it_comes_packed() -> None:
    packed = gzip.compress(b"x" * 20_000_000)

    async def handler(request: bytes, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
        writer.write(head.encode() + packed)
        await writer.drain()

    tracemalloc.start()
    result, _ = asyncio.run(served(handler))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert result == Ambiguous("the answer is larger than 1 MB")
    assert peak < 6_000_000


def test_a_packed_answer_is_read_and_a_broken_one_is_in_doubt() -> None:
    whole = gzip.compress(b'{"id": "7"}')

    def packed(body: bytes) -> Handler:
        async def handler(request: bytes, writer: asyncio.StreamWriter) -> None:
            head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n"
            writer.write(head.encode() + b"\r\n" + body)
            await writer.drain()

        return handler

    good, requests = asyncio.run(served(packed(whole)))
    broken, _ = asyncio.run(served(packed(b"no gzip at all")))

    assert isinstance(good, Answer)
    assert good.json() == {"id": "7"}
    assert b"Accept-Encoding: gzip, deflate\r\n" in requests[0]
    assert broken == Ambiguous("the answer cannot be unpacked")


def test_nobody_listening_means_not_sent() -> None:
    async def refused() -> Answer | Receipt:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}/"
            async with open_client(rules=LOCAL) as client:
                return await exchange(client, Call(url, "GET"))

    assert isinstance(asyncio.run(refused()), NotSent)


def test_a_name_that_resolves_to_this_machine_is_refused_without_connecting() -> None:
    guarded = EgressRules(schemes=("http",), ports=None)

    result, requests = asyncio.run(served(saying("200 OK"), rules=guarded, host="localhost"))

    assert isinstance(result, RefusedBy)
    assert (result.scope, result.code) == ("config", "egress")
    assert requests == []


def test_a_local_name_is_reached_only_if_loopback_is_allowed() -> None:
    result, _ = asyncio.run(served(saying("200 OK"), host="localhost"))

    assert isinstance(result, Answer)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://example.com:22/",
        "https://user:pass@example.com/",
        "https://",
        "https://[::1]/",
        "https://127.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://example.com:99999/",
    ],
)
def test_a_url_we_may_not_call_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(EgressRefused) as refusal:
        check_url(url, rules=EgressRules())

    assert "pass@" not in str(refusal.value)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", True),
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("2a00:1450:4001:81b::200e", True),
        *((address, False) for address in (
            "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.0.1", "169.254.169.254",
            "172.16.0.1", "172.31.255.255", "192.168.1.1", "198.18.0.1", "203.0.113.7",
            "224.0.0.1", "255.255.255.255", "::", "::1", "::ffff:8.8.8.8", "::127.0.0.1",
            "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::1", "2001:0:7f00:1::1", "fc00::1",
            "fd12::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2001:db8::1", "100::1",
            "127.1", "0x7f.1", "localhost", "",
        )),
    ],
)  # fmt: skip
def test_only_public_addresses_are_public(address: str, expected: bool) -> None:
    assert is_public(address) is expected
