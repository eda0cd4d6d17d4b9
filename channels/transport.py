"""HTTP out, once for every provider: one client factory, one way to class what came of a call.

Impure: it resolves names and opens connections. The client connects to the address it has checked
and follows no redirect. A pool of httpcore's slows down with the square of its connections, so a
client spreads its calls over several small pools.
"""

import asyncio
import socket
import ssl
import zlib
from collections.abc import Iterable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import h2.errors
import h2.events
import httpcore
import httpx

from channels.base import Ambiguous, NotSent, Receipt, RefusedBy
from channels.calls import Answer, Call
from channels.egress import EgressRefused, EgressRules, check_address, check_url

CONNECTIONS: Final = 64
"""Calls at once: at 50 ms each they carry what one processor can ask, about 1,000 a second."""

POOL_CONNECTIONS: Final = 4
"""Of one pool. A hundred in one pool take 15 ms of work a call, 25 pools of four 0.6 ms
(`benchmarks/http_out.py`): for each call httpcore looks at every pair of its connections."""
TIMEOUT_SECONDS: Final = 10.0
BODY_BYTES: Final = 1024 * 1024


def open_client(
    *,
    rules: EgressRules,
    base_url: str = "",
    headers: dict[str, str] | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
    connections: int = CONNECTIONS,
    http2: bool = False,
    ca_file: str | None = None,
) -> httpx.AsyncClient:
    """A client that reaches only what the rules allow. Close it; open few: TLS costs 20 ms.

    Args:
        connections: Calls at once. Over HTTP/2 they share one connection, and what bounds them is
            what the other side allows, 100 at most.
        ca_file: Certificates to trust instead of the usual ones, for gateways of one's own.
    """
    return httpx.AsyncClient(
        transport=_GuardedTransport(rules, connections=connections, http2=http2, ca_file=ca_file),
        base_url=base_url,
        headers={"User-Agent": "antiphon", "Accept-Encoding": "gzip, deflate", **(headers or {})},
        timeout=httpx.Timeout(timeout_seconds),
        follow_redirects=False,
        # Nobody's cookies are kept: they would come back with others' calls, and more each time.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        trust_env=False,  # a proxy from the environment would connect where we did not check
    )


class StreamRefused(httpx.RemoteProtocolError):
    """The other side says that it has not looked at a request (HTTP/2)."""


class _GuardedTransport(httpx.AsyncHTTPTransport):
    def __init__(
        self, rules: EgressRules, *, connections: int, http2: bool, ca_file: str | None
    ) -> None:
        trusted = (
            httpx.create_ssl_context(trust_env=False)
            if ca_file is None
            else ssl.create_default_context(cafile=ca_file)
        )
        super().__init__(verify=trusted, trust_env=False)  # or it would read them all once more
        self.rules = rules
        self.is_http2 = http2
        # httpx offers no seam for the network below its pool; httpcore does. Rewriting the URL to
        # the checked address was refused: the pool would share connections between hosts.
        sizes = [connections] if http2 else _pool_sizes(connections)
        self._pool: Any = _Pools(  # httpx asks nothing of a pool but what this has
            [
                httpcore.AsyncConnectionPool(
                    ssl_context=trusted,
                    max_connections=size,
                    max_keepalive_connections=size,
                    keepalive_expiry=30.0,
                    http2=http2,
                    network_backend=_GuardedNetwork(rules),
                )
                for size in sizes
            ]
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        check_url(str(request.url), rules=self.rules)
        if not self.is_http2:
            return await super().handle_async_request(request)
        stream = _Stream()
        request.extensions["trace"] = stream
        try:
            return await super().handle_async_request(request)
        except (httpx.NetworkError, httpx.ProtocolError) as error:
            if stream.is_unprocessed(error.__cause__):
                why = f"the connection ended before it was read: {error or type(error).__name__}"
                raise StreamRefused(why) from error
            if isinstance(error, httpx.LocalProtocolError) and stream.has_begun:
                # An answer that we refuse (headers without end) is called our fault, too.
                raise httpx.RemoteProtocolError("the answer breaks the protocol") from error
            raise


def _pool_sizes(connections: int) -> list[int]:
    """
    >>> _pool_sizes(10), _pool_sizes(3)
    ([4, 4, 2], [3])
    """
    full, rest = divmod(connections, POOL_CONNECTIONS)
    return [POOL_CONNECTIONS] * full + ([rest] if rest else [])


class _Pools:
    """Several small pools as one: a call goes to the one that has most room.

    Until the first pool is half full all calls are its own, so that few calls keep few
    connections warm.
    """

    def __init__(self, pools: list[httpcore.AsyncConnectionPool]) -> None:
        self._pools = pools
        self._room = [pool._max_connections for pool in pools]

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        room = self._room
        at = 0 if len(room) == 1 or room[0] > POOL_CONNECTIONS / 2 else room.index(max(room))
        room[at] -= 1
        try:
            response = await self._pools[at].handle_async_request(request)
        except BaseException:
            room[at] += 1
            raise
        response.stream = _Counted(response.stream, room, at)
        return response

    async def aclose(self) -> None:
        for pool in self._pools:
            await pool.aclose()

    async def __aenter__(self) -> "_Pools":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class _Counted:
    """An answer's body; its connection is free again when it is closed."""

    def __init__(self, stream: Any, room: list[int], at: int) -> None:
        self._stream, self._room, self._at = stream, room, at
        self._is_open = True

    def __aiter__(self) -> Any:
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        if self._is_open:
            self._is_open = False
            self._room[self._at] += 1
            await self._stream.aclose()


class _Stream:
    """How far a request came on its HTTP/2 connection, as httpcore's trace tells it."""

    number = 0
    has_begun = is_http1 = False

    async def __call__(self, name: str, info: dict[str, Any]) -> None:
        if name == "http2.send_request_headers.started":
            self.number, self.has_begun = info["stream_id"], False
        elif name == "http2.send_request_headers.complete":
            self.has_begun = True
        elif name.startswith("http11."):  # the other side knew no HTTP/2
            self.is_http1 = True

    def is_unprocessed(self, error: BaseException | None) -> bool:
        """Whether a failure proves that nobody has looked at the request (RFC 9113, 6.8, 8.7).

        What broke before its headers were out has no end, and so nobody could act on it: our
        calls have bodies, which come after.
        """
        if self.is_http1:
            return False
        if not self.has_begun:
            return True
        event = error.args[0] if error is not None and error.args else None
        if isinstance(event, h2.events.StreamReset):
            return event.error_code == h2.errors.ErrorCodes.REFUSED_STREAM
        if isinstance(event, h2.events.ConnectionTerminated):
            return self.number > (event.last_stream_id or 0)
        return False


class _GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Resolves, checks every address, and connects to one of those it checked."""

    def __init__(self, rules: EgressRules) -> None:
        self.rules = rules
        self.inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            resolving = asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = await asyncio.wait_for(resolving, timeout)
        except OSError as error:
            raise httpcore.ConnectError(f"cannot resolve the host: {error.strerror}") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            check_address(address, rules=self.rules)
        for last, address in enumerate(addresses, start=1):
            try:
                return await self.inner.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if last == len(addresses):
                    raise
        raise httpcore.ConnectError("the host has no address")

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise EgressRefused("unix sockets are not reachable")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


UNWRITABLE: Final = (
    "the request cannot be written: its address or a header holds what HTTP does not carry, such "
    "as the line end of a file that a key was read from"
)
"""The library's own words repeat the header, and with it our key."""


# --- what came of a call ------------------------------------------------------------------------


async def exchange(client: httpx.AsyncClient, call: Call) -> Answer | Receipt:
    """Make a call: its answer whatever the status, or the receipt that the failure decides.

    Never raises for the network or the other side.
    """
    try:
        request = client.build_request(
            call.method,
            call.url,
            headers=dict(call.headers),
            content=call.body or None,
            timeout=call.timeout_seconds or httpx.USE_CLIENT_DEFAULT,
        )
    except Exception:  # the client has several for what cannot be written
        return RefusedBy("message", "request", UNWRITABLE)
    try:
        response = await client.send(request, stream=True)
        try:
            body = await _body(response)
        finally:
            await response.aclose()
    except EgressRefused as error:
        return RefusedBy("config", "egress", str(error))
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        return NotSent(f"cannot connect: {error or type(error).__name__}")
    except StreamRefused as error:
        return NotSent(str(error))
    except (httpx.UnsupportedProtocol, httpx.LocalProtocolError):
        return NotSent(UNWRITABLE)
    except zlib.error:
        return Ambiguous("the answer cannot be unpacked")
    except httpx.HTTPError as error:
        # The bytes may have arrived: a reset, a timeout or half an answer proves nothing.
        return Ambiguous(f"{type(error).__name__}: {error}")
    if body is None:
        return Ambiguous("the answer is larger than 1 MB")
    headers = {name.lower(): value for name, value in response.headers.multi_items()}
    return Answer(response.status_code, headers, body)


async def _body(response: httpx.Response) -> bytes | None:
    """The body, unpacked; None if there is no end of it.

    httpx would unpack whatever came in one piece: of 100 kB on the wire it makes 100 MB.
    """
    is_packed = response.headers.get("content-encoding", "").lower() in ("gzip", "deflate")
    unpack = zlib.decompressobj(wbits=47) if is_packed else None
    body = bytearray()
    async for chunk in response.aiter_raw():
        room = BODY_BYTES + 1 - len(body)
        body += unpack.decompress(chunk, room) if unpack is not None else chunk
        if len(body) > BODY_BYTES:
            return None
    return bytes(body)
