"""Connections to one SMTP server: opened when needed, used again, closed when stale or spoilt.

Impure: it opens them. A connection whose last transaction went wrong half-way, or that was told
421, is never used again.
"""

import asyncio
import ssl
from typing import Final

import aiosmtplib
from aiosmtplib import SMTPAuthenticationError, SMTPException

from channels.base import NotSent, Receipt, RefusedBy, Throttled
from channels.email.bounces import mask_addresses
from channels.email.smtp_url import Server

_START_TLS: Final = {"always": True, "if_offered": None, "never": False}
"""aiosmtplib's words for ours."""


FRESH_SECONDS: Final = 1.0
"""A connection that took a mail so lately is used without asking: RSET costs a round trip in five,
and a server that hangs up now does so before the body, when nothing is at stake."""


class Connection:
    """One connection and how much it was used; times are the event loop's seconds.

    `is_clean`: its last mail was accepted, so that no transaction is open.
    """

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        self.client = client
        self.n_sent = 0
        self.used_at = 0.0
        self.is_clean = False


class Pool:
    """At most `size` connections at once.

    Args:
        messages_max: What one connection carries before it is closed.
        idle_seconds: Older ones are closed rather than used.
    """

    def __init__(
        self,
        server: Server,
        *,
        size: int,
        messages_max: int,
        idle_seconds: float,
        timeout_seconds: float,
        ca_file: str | None,
    ) -> None:
        self.server = server
        self.size = size
        self.messages_max = messages_max
        self.idle_seconds = idle_seconds
        self.timeout_seconds = timeout_seconds
        self.ca_file = ca_file
        self._idle: list[Connection] = []
        self._room: asyncio.Semaphore | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tls: ssl.SSLContext | None = None

    def slot(self) -> asyncio.Semaphore:
        """Room for one more connection: held while one is in use."""
        loop = asyncio.get_running_loop()
        if self._room is None or self._loop is not loop:
            # Connections of a loop that has ended cannot be used, nor closed politely.
            self._idle.clear()
            self._loop, self._room = loop, asyncio.Semaphore(self.size)
        return self._room

    async def take(self) -> Connection | Receipt:
        """A connection that answered a moment ago, or a new one, or why there is none."""
        loop = asyncio.get_running_loop()
        while self._idle:
            connection = self._idle.pop()
            idle_seconds = loop.time() - connection.used_at
            try:
                if idle_seconds <= self.idle_seconds and connection.client.is_connected:
                    if not connection.is_clean or idle_seconds > FRESH_SECONDS:
                        # Also clears the last transaction; a server that hung up is noticed here.
                        await connection.client.rset()
                    return connection
            except (SMTPException, OSError):
                pass
            connection.client.close()
        return await self._connect()

    def give_back(self, connection: Connection, *, is_reusable: bool, is_clean: bool) -> None:
        """Whoever took it is done with it."""
        connection.n_sent += 1
        connection.is_clean = is_clean
        connection.used_at = asyncio.get_running_loop().time()
        if is_reusable and connection.n_sent < self.messages_max:
            self._idle.append(connection)
        else:
            connection.client.close()

    async def close(self) -> None:
        """Say goodbye on every idle connection."""
        idle, self._idle = self._idle, []
        for connection in idle:
            try:
                await connection.client.quit(timeout=2)
            except (SMTPException, OSError):
                connection.client.close()

    async def _connect(self) -> Connection | Receipt:
        server = self.server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.is_tls,
            start_tls=False if server.is_tls else _START_TLS[server.starttls],
            tls_context=self._tls_context(),
            timeout=self.timeout_seconds,
        )
        try:
            await client.connect()
        except SMTPAuthenticationError as error:
            client.close()
            text = mask_addresses(error.message)
            if error.code < 500:
                return Throttled(None, f"{error.code} {text}")
            return RefusedBy("config", str(error.code), f"login refused: {text}")
        except ssl.SSLCertVerificationError as error:
            client.close()
            return RefusedBy("config", "tls", f"the server's certificate: {error.verify_message}")
        except (SMTPException, OSError) as error:
            client.close()
            return NotSent(f"cannot connect to {server.host}:{server.port}: {words_of(error)}")
        return Connection(client)

    def _tls_context(self) -> ssl.SSLContext | None:
        # 20 ms to make: once a provider, never once a connection.
        if not self.server.is_tls and self.server.starttls == "never":
            return None
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=self.ca_file)
        return self._tls


def words_of(error: Exception) -> str:
    """What an error says, with addresses masked; its kind where it says nothing."""
    return mask_addresses(str(error)) or type(error).__name__
