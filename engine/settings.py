"""Every setting of the engine, read once from the environment, checked, then frozen.

A setting is one field here and one row of `docs/settings.md` (a test compares them). The secret
is never printed: `repr` leaves it out. Read next: `serve`.
"""

import hmac
import logging
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from engine.core.errors import UsageError

log = logging.getLogger("antiphon.settings")

DIRECTORY: Final = ".antiphon"
REHEARSAL: Final = "rehearsal.json"
"""What `simulate --keep` leaves in the folder above, and marks it by (`engine.rehearsed`)."""
_OWN: Final = frozenset({"database_url", "secret_key", "link_keys"})
SECRET_CHARACTERS_MIN: Final = 16


def _setting(
    help_text: str, *, default: Any, smallest: float | None = None, shown: str | None = None
) -> Any:
    shown = str(default) if shown is None else shown
    return field(
        default=default, metadata={"help": help_text, "smallest": smallest, "shown": shown}
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What one engine process was told. The variable of `public_url` is ANTIPHON_PUBLIC_URL."""

    directory: Path = field(default=Path(), metadata={"internal": True})
    database_url: str = _setting(
        "Where everything is kept: a `sqlite:///` path or a `postgresql://` address.",
        default="",
        shown="SQLite in `DIR/.antiphon/antiphon.db`",
    )
    stream_url: str = _setting(
        "Where events come from. Empty means the database itself, the only stream there is yet; "
        "anything else is refused.",
        default="",
        shown="empty",
    )
    public_url: str = _setting(
        "The address under which people's mail readers reach `/u/…` and `/t/…`. "
        "Set it before the first real message.",
        default="",
        shown="the address `serve` listens on",
    )
    secret_key: str = field(
        default="",
        repr=False,
        metadata={
            "help": "What personal data is encrypted and links are signed with: at least 16 "
            "characters. Without it `DIR/.antiphon/secret` is created on the first run "
            "(mode 600). Keep a copy: without it, personal data cannot be read again.",
            "shown": "created in `DIR/.antiphon/secret`",
        },
    )
    link_keys: str = field(
        default="",
        repr=False,
        metadata={
            "help": "Keys that sign links instead, newest first: `2:SECRET,3:SECRET`, each with a "
            "number from 2 to 255 and at least 16 characters. The first signs; links signed with "
            "any other of them, or with the secret (number 1), still work. Keep an old one for as "
            "long as its links should.",
            "shown": "empty: links are signed with the secret",
        },
    )
    event_bytes_max: int = _setting("Largest single event, as JSON.", default=32_768, smallest=1024)
    batch_bytes_max: int = _setting(
        "Largest body of one request, also after unpacking gzip.", default=512_000, smallest=1024
    )
    batch_events_max: int = _setting("Most events in one batch.", default=2_500, smallest=1)
    queue_events_max: int = _setting(
        "Events that may wait for their commit. One more is answered 503 with Retry-After.",
        default=50_000,
        smallest=1,
    )
    commit_wait_seconds_max: float = _setting(
        "When the oldest waiting request is older than this, new ones are answered 503.",
        default=5.0,
        smallest=0.01,
    )
    key_events_per_second_max: float = _setting(
        "Events a second that one write key may send, over a burst of ten seconds; beyond it "
        "429 with Retry-After. 0 means no limit.",
        default=0.0,
        smallest=0,
    )
    free_bytes_min: int = _setting(
        "When the disk of the SQLite file has less room, events are answered 503; opt-outs "
        "still work.",
        default=64_000_000,
        smallest=0,
    )
    connections_max: int = _setting(
        "Open HTTP connections; one more is answered 503.", default=2_000, smallest=1
    )
    tick_batch: int = _setting(
        "Events and timers played in one transaction at most: larger ones are cheaper, and a "
        "commit of the API waits for no longer than one takes.",
        default=2_000,
        smallest=1,
    )
    tick_idle_seconds: float = _setting(
        "How long the engine rests when nothing is due.", default=0.05, smallest=0.001
    )
    lease_seconds: float = _setting(
        "How long an `antiphon worker` keeps its share without a word. After the death of one the "
        "others take over at most a quarter later than that. No call of a provider may last longer "
        "than a third of it.",
        default=60.0,
        smallest=0.2,
    )
    webhook_local: int = _setting(
        "1 lets webhook steps call http:// and this machine itself, for tests and gateways.",
        default=0,
        smallest=0,
    )
    drain_seconds_max: float = _setting(
        "How long a stopping server waits for requests under way.", default=20.0, smallest=0
    )


def link_key(settings: Settings) -> bytes:
    """What the tokens of `/u/…` and `/t/…` links are signed with, where no other key is set."""
    return hmac.digest(settings.secret_key.encode(), b"antiphon links 1", "sha256")


def link_ring(settings: Settings) -> dict[int, bytes]:
    """Every key that links may be signed with, by its number; the first signs new ones.

    Raises:
        UsageError: A number is taken, or out of range, or a key is too short.
    """
    ring: dict[int, bytes] = {}
    for place, part in enumerate(filter(None, settings.link_keys.split(",")), start=1):
        number, _, secret = part.strip().partition(":")
        id = int(number) if number.isascii() and number.isdigit() and len(number) < 4 else 0
        if not 2 <= id <= 255 or id in ring or len(secret) < SECRET_CHARACTERS_MIN:
            raise UsageError(
                f"{variable('link_keys')}: part {place} is not NUMBER:SECRET with a number of its "
                f"own from 2 to 255 and at least {SECRET_CHARACTERS_MIN} characters"
            )
        ring[id] = hmac.digest(secret.encode(), b"antiphon links 1", "sha256")
    ring[1] = link_key(settings)
    return ring


def visitor_key(settings: Settings) -> str:
    """What proves to a browser key that a page speaks for a user: HMAC-SHA256 of the user id under
    this text, in hexadecimal. For the operator's own servers only."""
    return hmac.digest(settings.secret_key.encode(), b"antiphon visitors 1", "sha256").hex()


def variable(name: str) -> str:
    """The environment variable of a setting: `public_url` -> `ANTIPHON_PUBLIC_URL`."""
    return f"ANTIPHON_{name.upper()}"


def public_settings() -> list[tuple[str, str, str]]:
    """(variable, default as documented, help) of every setting, in order."""
    rows = []
    for item in fields(Settings):
        if "internal" in item.metadata:
            continue
        rows.append((variable(item.name), item.metadata["shown"], item.metadata["help"]))
    return rows


def read_settings(directory: Path, *, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings for one workspace; creates its `.antiphon` folder and secret when missing.

    A rehearsal's database and secrets are its own: nothing there reaches what is played in earnest.

    Raises:
        UsageError: A variable is not a number, is too small, or the secret is too short.
    """
    values: dict[str, Any] = {}
    is_rehearsal = (directory / DIRECTORY / REHEARSAL).exists()
    for item in fields(Settings):
        if "internal" in item.metadata or (is_rehearsal and item.name in _OWN):
            continue
        text = environ.get(variable(item.name), "").strip()
        if text:
            values[item.name] = _parse(text, item.name, item.type, item.metadata.get("smallest"))
    if "stream_url" in values:
        raise UsageError(
            f"ANTIPHON_STREAM_URL: found {values['stream_url']!r}, but the only stream there is "
            "yet is the database itself. Unset the variable."
        )
    folder = _own_folder(directory)
    values.setdefault("database_url", f"sqlite:///{folder / 'antiphon.db'}")
    values.setdefault("public_url", "")
    values["public_url"] = values["public_url"].rstrip("/")
    values["secret_key"] = _checked_secret(values.get("secret_key", "")) or _kept_secret(folder)
    return Settings(directory=directory.resolve(), **values)


def _own_folder(directory: Path) -> Path:
    if not directory.is_dir():
        raise UsageError(f"{directory}: not a directory. Make one with: antiphon init {directory}")
    folder = directory.resolve() / DIRECTORY
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _parse(text: str, name: str, kind: Any, smallest: float | None) -> Any:
    if kind is str or kind == "str":
        return text
    wanted = int if kind is int or kind == "int" else float
    try:
        number = wanted(text)
    except ValueError:
        word = "a whole number" if wanted is int else "a number"
        raise UsageError(f"{variable(name)}: found {text!r}, expected {word}") from None
    if smallest is not None and not number >= smallest:
        raise UsageError(f"{variable(name)}: found {text}, the smallest allowed is {smallest:g}")
    return number


def _checked_secret(secret: str) -> str:
    if secret and len(secret) < SECRET_CHARACTERS_MIN:
        raise UsageError(
            f"ANTIPHON_SECRET_KEY: found {len(secret)} characters, at least "
            f"{SECRET_CHARACTERS_MIN} are needed. Make one with: "
            'python -c "import secrets; print(secrets.token_urlsafe(48))"'
        )
    return secret


def _kept_secret(folder: Path) -> str:
    """The secret in the workspace, made on the first run. Two processes starting at once agree:
    the file appears whole (link of a finished file), and whoever comes second reads it."""
    path = folder / "secret"
    if not path.exists():
        unfinished = folder / f"secret.{os.getpid()}.{secrets.token_hex(4)}"
        descriptor = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(unfinished, path)
        except FileExistsError:
            pass
        else:
            log.warning(
                "%s was created. It encrypts personal data: keep a copy in a safe place, or set "
                "ANTIPHON_SECRET_KEY.",
                path,
            )
        finally:
            unfinished.unlink()
    return _checked_secret(path.read_text().strip())
