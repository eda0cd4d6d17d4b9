"""E-mail through an SMTP server: `url: smtp://user:pass@host:587`.

Impure: it opens connections. One recipient a transaction, so that every message has its own
answer. aiosmtplib does not pipeline, so speed comes from several connections. What is certain is
said so: before the body leaves us a failure is `not_sent`, after it `ambiguous`.
"""

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import aiosmtplib
import msgspec
from aiosmtplib import (
    SMTPAuthenticationError,
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)
from msgspec import Struct

from channels.addresses import normal_email
from channels.base import (
    Accepted,
    Ambiguous,
    Capabilities,
    Channel,
    Clock,
    NotSent,
    OutMessage,
    Random,
    Receipt,
    RefusedBy,
    Throttled,
)
from channels.callbacks import Callback, Echo
from channels.email.mime import Refusal, Sender, address_of, build_email, message_id
from channels.email.smtp_replies import mask_addresses, receipt_of_reply
from channels.email.smtp_url import Server, read_url
from engine.core.errors import Unreadable, UsageError


class SmtpSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The channel's map in antiphon.yaml.

    Args:
        url: smtp://[user:pass@]host[:587][?starttls=always|if_offered|never] or smtps:// (465).
            `starttls` is `always`, and `if_offered` for a server on this machine.
        from_, reply_to: Used where the template names none: `Shop <hello@shop.example>`.
        pool: Connections at once.
        timeout_seconds: For each answer of the server.
    """

    url: str
    from_: str = msgspec.field(default="", name="from")
    reply_to: str = ""
    domain: str = ""
    list_id: str = ""
    feedback: str = ""
    unsubscribe_mailbox: str = ""
    pool: int = 5
    messages_per_connection: int = 100
    idle_seconds: float = 60.0
    timeout_seconds: float = 60.0
    ca_file: str | None = None


def open_channel(
    channel: Channel,
    settings: Mapping[str, Any],
    *,
    directory: Path,
    rng: Random,
    now: Clock,
) -> "Smtp":
    """SMTP for e-mail. Nothing is connected before the first message.

    Raises:
        UsageError: The settings cannot be used. The message never holds the URL: it has a secret.
    """
    try:
        parsed = msgspec.convert(dict(settings), SmtpSettings)
    except msgspec.ValidationError as error:
        raise UsageError(f"channels.{channel}: {error}") from None
    if parsed.pool < 1 or parsed.messages_per_connection < 1 or parsed.timeout_seconds <= 0:
        raise UsageError(f"channels.{channel}: pool, limits and time-outs are above 0")
    return Smtp(parsed, read_url(parsed.url), now=now)


class _Connection:
    """One connection and how much it was used; times are the event loop's seconds."""

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        self.client = client
        self.n_sent = 0
        self.used_at = 0.0


class Smtp:
    """A pool of connections to one server."""

    name = "email.smtp"
    channel: Channel = "email"
    # SMTP has no keys: a retry after an ambiguous outcome may be a duplicate. Bounces come by
    # mail, which another part reads.
    capabilities = Capabilities()

    def __init__(self, settings: SmtpSettings, server: Server, *, now: Clock) -> None:
        self.settings = settings
        self.server = server
        self.now = now
        self.sender = _sender(settings)
        self._idle: list[_Connection] = []
        self._room: asyncio.Semaphore | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tls: ssl.SSLContext | None = None

    async def deliver(self, message: OutMessage) -> Receipt:
        try:
            to = normal_email(message.to)
        except ValueError as error:
            return RefusedBy("recipient", "address", str(error))
        try:
            sender = address_of((message.from_ or self.sender.from_).rpartition("<")[2].rstrip(">"))
            raw = build_email(message, sender=self.sender, at=self.now())
        except Refusal as error:
            return RefusedBy("message", "compose", str(error))
        async with self._slot():
            connection = await self._ready()
            if not isinstance(connection, _Connection):
                return connection
            is_reusable = False
            try:
                receipt, is_reusable = await self._transact(connection, sender, to, raw)
            finally:
                # Also when cancelled: a connection in the middle of something is not reused.
                self._give_back(connection, is_reusable)
        if isinstance(receipt, Accepted):
            return Accepted(message_id(message, domain=self.sender.domain).strip("<>"))
        return receipt

    async def close(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            try:
                await connection.client.quit(timeout=2)
            except (SMTPException, OSError):
                connection.client.close()

    async def read_callback(self, callback: Callback) -> Echo:
        raise Unreadable("email.smtp has no webhook; bounces come back by mail")

    # --- the pool -------------------------------------------------------------------------------

    def _slot(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        if self._room is None or self._loop is not loop:
            # Connections of a loop that has ended cannot be used, nor closed politely.
            self._idle.clear()
            self._loop, self._room = loop, asyncio.Semaphore(self.settings.pool)
        return self._room

    async def _ready(self) -> _Connection | Receipt:
        """A connection that has just answered, or a new one, or why there is none."""
        loop = asyncio.get_running_loop()
        while self._idle:
            connection = self._idle.pop()
            is_stale = loop.time() - connection.used_at > self.settings.idle_seconds
            try:
                if not is_stale and connection.client.is_connected:
                    # Also clears the last transaction; a server that hung up is noticed here,
                    # where nothing is at stake.
                    await connection.client.rset()
                    return connection
            except (SMTPException, OSError):
                pass
            connection.client.close()
        return await self._connect()

    async def _connect(self) -> _Connection | Receipt:
        server = self.server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.is_tls,
            start_tls={"always": True, "if_offered": None, "never": False}[server.starttls]
            if not server.is_tls
            else False,
            tls_context=self._tls_context(),
            timeout=self.settings.timeout_seconds,
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
            return NotSent(f"cannot connect to {server.host}:{server.port}: {_words(error)}")
        return _Connection(client)

    def _tls_context(self) -> ssl.SSLContext:
        # 20 ms to make: once a provider, never once a connection.
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=self.settings.ca_file)
        return self._tls

    def _give_back(self, connection: _Connection, is_reusable: bool) -> None:
        connection.n_sent += 1
        connection.used_at = asyncio.get_running_loop().time()
        if is_reusable and connection.n_sent < self.settings.messages_per_connection:
            self._idle.append(connection)
        else:
            connection.client.close()

    # --- one transaction ------------------------------------------------------------------------

    async def _transact(
        self, connection: _Connection, sender: str, to: str, raw: bytes
    ) -> tuple[Receipt, bool]:
        """MAIL, RCPT, DATA: the outcome, and whether the connection can be used again."""
        client = connection.client
        body = _Body(client)
        try:
            options = await self._mail_options(client, to, sender, raw)
            if isinstance(options, RefusedBy):
                return options, True
            encoding = "utf-8" if "SMTPUTF8" in options else "ascii"
            await client.mail(sender, options=options, encoding=encoding)
            await client.rcpt(to, encoding=encoding)
            with body:
                await client.data(raw)
        except SMTPSenderRefused as error:
            if error.code < 500:
                return Throttled(None, _shown(error)), error.code != 421
            return RefusedBy("config", str(error.code), mask_addresses(error.message)), True
        except (SMTPRecipientRefused, SMTPDataError) as error:
            return receipt_of_reply(error.code, error.message), error.code != 421
        except SMTPResponseException as error:  # an answer we cannot place
            return (Ambiguous if body.has_left else NotSent)(_shown(error)), False
        except (SMTPServerDisconnected, SMTPTimeoutError, OSError) as error:
            return (Ambiguous if body.has_left else NotSent)(_words(error)), False
        except (SMTPException, ValueError) as error:
            return (Ambiguous if body.has_left else NotSent)(_words(error)), False
        return Accepted(""), True

    async def _mail_options(
        self, client: aiosmtplib.SMTP, to: str, sender: str, raw: bytes
    ) -> list[str] | RefusedBy:
        options: list[str] = []
        if not (to.isascii() and sender.isascii()):
            if not client.supports_extension("smtputf8"):
                text = "the server takes no addresses beyond ASCII (SMTPUTF8)"
                return RefusedBy("recipient", "smtputf8", text, "undetermined")
            options.append("SMTPUTF8")
        limit = client.esmtp_extensions.get("size", "")
        if limit.isdigit() and 0 < int(limit) < len(raw):
            return RefusedBy("message", "size", f"the message is over {limit} bytes", "message")
        if client.supports_extension("size"):
            options.append(f"SIZE={len(raw)}")
        if not raw.isascii() and client.supports_extension("8bitmime"):
            options.append("BODY=8BITMIME")
        return options


class _Body:
    """Tells whether the body left us while inside: DATA's second write is the body.

    aiosmtplib hides the 354 between two writes in one call, and its errors do not say on which
    side of it they happened; everything hangs on that.
    """

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        self._client = client
        self.n_writes = 0

    @property
    def has_left(self) -> bool:
        return self.n_writes >= 2

    def __enter__(self) -> None:
        self._protocol = cast(Any, self._client.protocol)
        if self._protocol is None:
            raise SMTPServerDisconnected("connection lost")
        write = self._protocol.write

        def counted(data: bytes) -> None:
            self.n_writes += 1
            write(data)

        self._protocol.write = counted

    def __exit__(self, *_: object) -> None:
        del self._protocol.write


def _shown(error: SMTPResponseException) -> str:
    return f"{error.code} {mask_addresses(error.message)}"


def _words(error: Exception) -> str:
    return mask_addresses(str(error)) or type(error).__name__


def _sender(settings: SmtpSettings) -> Sender:
    for name in ("domain", "list_id", "feedback", "unsubscribe_mailbox", "from_", "reply_to"):
        value = getattr(settings, name)
        if not value.isprintable():
            raise UsageError(f"channels.email.{name.rstrip('_')} holds a control character")
    if settings.feedback and not 5 <= len(settings.feedback) <= 15:
        raise UsageError("channels.email.feedback has 5 to 15 characters")
    domain = settings.domain
    if not domain and settings.from_:
        try:
            domain = address_of(settings.from_.rpartition("<")[2].rstrip("> ")).split("@")[1]
        except Refusal as error:
            raise UsageError(f"channels.email.from: {error}") from None
    return Sender(
        domain=domain or "localhost.localdomain",
        from_=settings.from_,
        reply_to=settings.reply_to,
        list_id=settings.list_id,
        feedback=settings.feedback,
        unsubscribe_mailbox=settings.unsubscribe_mailbox,
    )
