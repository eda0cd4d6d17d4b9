"""E-mail through an SMTP server: `url: smtp://user:pass@host:587`.

Impure: it makes the connections' talk. One recipient a transaction, so that every message has its
own answer. aiosmtplib does not pipeline, so speed comes from several connections. What is certain
is said so: before the body leaves us a failure is `not_sent`, after it `ambiguous`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import aiosmtplib
from aiosmtplib import (
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)

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
from channels.callbacks import UNREADABLE, Callback, Echo, check_token
from channels.email.bounces import mask_addresses, receipt_of_reply
from channels.email.dkim import DkimSigner
from channels.email.headers import Refusal, mailbox_of, message_id
from channels.email.mime import build_email
from channels.email.returned import read_returned
from channels.email.sender import EmailSettings, sender_of
from channels.email.smtp_pool import Connection, Pool, words_of
from channels.email.smtp_url import Server, read_url
from channels.email.verp import messages_in_mail, return_path
from channels.settings import check_filled, read_settings
from engine.core.errors import Forged, Unreadable, UsageError

# SMTP has no keys: a retry after an ambiguous outcome may be a duplicate.
CAPABILITIES: Final = Capabilities(
    webhook="token",
    reports=frozenset({"bounced", "deferred", "complained", "autoresponded"}),
    docs="https://www.rfc-editor.org/rfc/rfc5321",
)
"""What it reports comes back by mail, which a mail server hands on to `/webhooks/{channel}`."""


class SmtpSettings(EmailSettings, frozen=True, kw_only=True):
    """The channel's map in antiphon.yaml.

    Args:
        url: smtp://[user:pass@]host[:587][?starttls=always|if_offered|never] or smtps:// (465).
            `starttls` is `always`, and `if_offered` for a server on this machine.
        pool: Connections at once.
        messages_per_connection: Then a new one; also after 421.
        idle_seconds: A connection unused for longer is closed.
        timeout_seconds: For each answer of the server.
        ca_file: Certificates to trust instead of the system's.
        bounce_domain: Bounces go to a signed address of each message there; "": to `from`.
        bounce_secret: Signs those addresses.
        webhook_token: What the mail server shows when it hands a returned mail on to us.
        dkim_domain: Every mail is signed for this domain; "": the server signs, or nobody.
        dkim_selector: The name under `_domainkey` where the domain publishes the key.
        dkim_key_file: The private key: RSA of 2,048 bits, PEM, without a password.
    """

    url: str
    pool: int = 5
    messages_per_connection: int = 100
    idle_seconds: float = 60.0
    timeout_seconds: float = 60.0
    ca_file: str | None = None
    bounce_domain: str = ""
    bounce_secret: str = ""
    webhook_token: str = ""
    dkim_domain: str = ""
    dkim_selector: str = ""
    dkim_key_file: str = ""


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
    read = read_settings(SmtpSettings, settings, channel=channel)
    if read.pool < 1 or read.messages_per_connection < 1 or read.timeout_seconds <= 0:
        raise UsageError(f"channels.{channel}: pool, limits and time-outs are above 0")
    if read.bounce_domain:
        check_filled(read, "bounce_secret", channel=channel)
        try:
            normal_email(f"bounce@{read.bounce_domain}")
        except ValueError as error:
            raise UsageError(f"channels.{channel}.bounce_domain: {error}") from None
    return Smtp(read, read_url(read.url), now=now, signer=_signer(read, channel))


def _signer(settings: SmtpSettings, channel: Channel) -> DkimSigner | None:
    if not settings.dkim_domain and not settings.dkim_key_file:
        return None
    check_filled(settings, "dkim_domain", "dkim_selector", "dkim_key_file", channel=channel)
    try:
        return DkimSigner(
            domain=settings.dkim_domain,
            selector=settings.dkim_selector,
            pem=Path(settings.dkim_key_file).read_bytes(),
        )
    except OSError as error:
        raise UsageError(f"channels.{channel}.dkim_key_file: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"channels.{channel}: {error}") from None


class Smtp:
    """A pool of connections to one server."""

    name = "email.smtp"
    channel: Channel = "email"
    capabilities = CAPABILITIES

    def __init__(
        self, settings: SmtpSettings, server: Server, *, now: Clock, signer: DkimSigner | None
    ) -> None:
        self.settings = settings
        self.now = now
        self.signer = signer
        self.sender = sender_of(settings, channel=self.channel)
        self._pool = Pool(
            server,
            size=settings.pool,
            messages_max=settings.messages_per_connection,
            idle_seconds=settings.idle_seconds,
            timeout_seconds=settings.timeout_seconds,
            ca_file=settings.ca_file,
        )

    async def deliver(self, message: OutMessage) -> Receipt:
        try:
            to = normal_email(message.to)
        except ValueError as error:
            return RefusedBy("recipient", "address", str(error))
        at = self.now()
        try:
            raw = build_email(message, sender=self.sender, at=at)
        except Refusal as error:
            return RefusedBy("message", "compose", str(error))
        if self.signer is not None:
            raw = self.signer.signed(raw, at=at)
        sender = self._return_path(message)
        async with self._pool.slot():
            receipt, was_used = await self._deliver_once(message, sender, to, raw)
            if was_used and isinstance(receipt, NotSent):
                # The server hung up on a connection that it had kept: that says nothing of this
                # mail, which has not left us.
                receipt, _ = await self._deliver_once(message, sender, to, raw)
        if isinstance(receipt, Accepted):
            return Accepted(message_id(message, domain=self.sender.domain).strip("<>"))
        return receipt

    async def _deliver_once(
        self, message: OutMessage, sender: str, to: str, raw: bytes
    ) -> tuple[Receipt, bool]:
        """What came of one connection, and whether it had carried a mail before."""
        connection = await self._pool.take()
        if not isinstance(connection, Connection):
            return connection, False
        was_used, is_reusable = connection.n_sent > 0, False
        receipt: Receipt | None = None
        try:
            receipt, is_reusable = await self._transact(
                connection, sender, to, raw, envelope=f"m{message.id}"
            )
        finally:
            # Also when cancelled: a connection in the middle of something is not reused.
            self._pool.give_back(
                connection, is_reusable=is_reusable, is_clean=isinstance(receipt, Accepted)
            )
        return receipt, was_used

    async def close(self) -> None:
        await self._pool.close()

    async def read_callback(self, callback: Callback) -> Echo:
        """A mail that came back, as its bytes: believed only about messages whose signed return
        path is in it."""
        settings = self.settings
        if not settings.webhook_token:
            raise Forged("email.smtp takes no returned mail: set webhook_token and bounce_domain")
        check_token(callback, settings.webhook_token)
        ours = messages_in_mail(
            callback.body, domain=settings.bounce_domain, secrets=[settings.bounce_secret]
        )
        message = ours[0] if len(ours) == 1 else None
        try:
            return Echo(read_returned(callback.body, message=message, now=self.now()))
        except UNREADABLE as error:
            raise Unreadable(f"the mail cannot be read: {type(error).__name__}") from None

    def _return_path(self, message: OutMessage) -> str:
        """Where a bounce of this message goes."""
        domain, secret = self.settings.bounce_domain, self.settings.bounce_secret
        if domain:
            return return_path(message.id, domain=domain, secret=secret)
        return mailbox_of(message.from_ or self.sender.from_).address

    # --- one transaction ------------------------------------------------------------------------

    async def _transact(
        self, connection: Connection, sender: str, to: str, raw: bytes, *, envelope: str
    ) -> tuple[Receipt, bool]:
        """MAIL, RCPT, DATA: the outcome, and whether the connection can be used again."""
        client = connection.client
        body = _Body(client)
        try:
            options = await self._mail_options(client, to, sender, raw)
            if isinstance(options, RefusedBy):
                return options, True
            encoding = "utf-8" if "SMTPUTF8" in options else "ascii"
            asked: list[str] = []
            if client.supports_extension("dsn") and to.isascii():
                # RFC 3461: the report names our message, and holds its headers only.
                options += ["RET=HDRS", f"ENVID={envelope}"]
                asked = ["NOTIFY=FAILURE,DELAY", f"ORCPT=rfc822;{_xtext(to)}"]
            await client.mail(sender, options=options, encoding=encoding)
            await client.rcpt(to, options=asked, encoding=encoding)
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
            return (Ambiguous if body.has_left else NotSent)(words_of(error)), False
        except (SMTPException, ValueError) as error:
            return (Ambiguous if body.has_left else NotSent)(words_of(error)), False
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


def _xtext(text: str) -> str:
    """RFC 3461, 4: everything outside the printable ASCII, "+" and "=" as +XX."""
    return "".join(
        character if "!" <= character <= "~" and character not in "+=" else f"+{ord(character):02X}"
        for character in text
    )
