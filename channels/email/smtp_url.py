"""The server that an SMTP URL names, and whether a password would travel in the clear."""

from typing import Final, Literal, cast
from urllib.parse import parse_qs, unquote, urlsplit

from msgspec import Struct

from engine.core.errors import UsageError

StartTls = Literal["always", "if_offered", "never"]

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Server(Struct, frozen=True):
    """What the URL says."""

    host: str
    port: int
    user: str | None
    password: str | None
    is_tls: bool
    starttls: StartTls

    def __repr__(self) -> str:
        return f"Server({self.host}:{self.port})"  # there is a password in it


def read_url(url: str) -> Server:
    """The server that an SMTP URL names.

    Raises:
        UsageError: It is no such URL, or would send a password in clear over a network.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UsageError("the SMTP url cannot be read: smtp://user:pass@host:587") from None
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path not in ("", "/"):
        raise UsageError("the SMTP url must be smtp://user:pass@host:587 or smtps://…:465")
    query = parse_qs(parts.query, keep_blank_values=True)
    is_local = parts.hostname in _LOOPBACK
    starttls = query.pop("starttls", ["if_offered" if is_local else "always"])[-1]
    if query:
        raise UsageError(f'the SMTP url knows only "starttls", not "{next(iter(query))}"')
    if starttls not in ("always", "if_offered", "never"):
        raise UsageError(f'starttls is always, if_offered or never, not "{starttls}"')
    is_tls = parts.scheme == "smtps"
    if parts.username and not is_tls and starttls != "always" and not is_local:
        raise UsageError("the SMTP url has a password: use smtps:// or starttls=always")
    return Server(
        host=parts.hostname,
        port=port or (465 if is_tls else 587),
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        is_tls=is_tls,
        starttls=cast(StartTls, starttls),
    )
