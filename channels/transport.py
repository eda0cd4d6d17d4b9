"""HTTP out, once for every provider: one client factory, one way to class what came of a call.

Impure: it resolves names and opens connections. The client connects to the address it has checked
and follows no redirect. httpx slows with many connections per client, so a provider opens several
small clients rather than one large one.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterable
from typing import Any, Final

import httpcore
import httpx

from channels.base import Ambiguous, NotSent, Receipt, RefusedBy
from channels.calls import Answer, Call
from channels.egress import EgressRefused, EgressRules, check_address, check_url

CONNECTIONS: Final = 8
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
        ca_file: Certificates to trust instead of the usual ones, for gateways of one's own.
    """
    return httpx.AsyncClient(
        transport=_GuardedTransport(rules, connections=connections, http2=http2, ca_file=ca_file),
        base_url=base_url,
        headers={"User-Agent": "antiphon", **(headers or {})},
        timeout=httpx.Timeout(timeout_seconds),
        follow_redirects=False,
        trust_env=False,  # a proxy from the environment would connect where we did not check
    )


class _GuardedTransport(httpx.AsyncHTTPTransport):
    def __init__(
        self, rules: EgressRules, *, connections: int, http2: bool, ca_file: str | None
    ) -> None:
        super().__init__(trust_env=False)
        self.rules = rules
        trusted = (
            httpx.create_ssl_context(trust_env=False)
            if ca_file is None
            else ssl.create_default_context(cafile=ca_file)
        )
        # httpx offers no seam for the network below its pool; httpcore does. Rewriting the URL to
        # the checked address was refused: the pool would share connections between hosts.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trusted,
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=30.0,
            http2=http2,
            network_backend=_GuardedNetwork(rules),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        check_url(str(request.url), rules=self.rules)
        return await super().handle_async_request(request)


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
    except Exception as error:  # the client has several for what cannot be written
        return RefusedBy("message", "request", f"the request cannot be written: {error}")
    try:
        response = await client.send(request, stream=True)
        try:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > BODY_BYTES:
                    return Ambiguous("the answer is larger than 1 MB")
        finally:
            await response.aclose()
    except EgressRefused as error:
        return RefusedBy("config", "egress", str(error))
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        return NotSent(f"cannot connect: {error or type(error).__name__}")
    except (httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
        return NotSent(f"the request cannot be written: {error}")
    except httpx.HTTPError as error:
        # The bytes may have arrived: a reset, a timeout or half an answer proves nothing.
        return Ambiguous(f"{type(error).__name__}: {error}")
    headers = {name.lower(): value for name, value in response.headers.multi_items()}
    return Answer(response.status_code, headers, bytes(body))
