"""A folder that `simulate --keep` left: how it is known, what is refused on it, and its clock.

It holds a copy of a workspace, played on invented time: messages that nobody was sent, opens that
nobody made. So it is marked twice, in its folder and in its database, and whatever could send from
it is refused. It has a database and a secret of its own, whatever the environment says, and it is
always the instant at which it ended.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Final

import msgspec

from engine.core.clocktime import iso
from engine.core.errors import UsageError
from engine.core.model.instants import Instant
from engine.settings import DIRECTORY, REHEARSAL
from engine.store.connection import Connection
from engine.store.database import Database

SETTING: Final = "rehearsal"
_MAIN: Final = "<main>\n"
"""Where a page's text begins (`experiments.reporting.html`)."""
PLAYING: Final = frozenset({"serve", "web", "worker", "flows", "tick", "send-test"})
"""Commands that play or send; `scheduler` begins runs, unless it only lists."""


class Mark(msgspec.Struct, frozen=True):
    """What was rehearsed.

    Attributes:
        workspace: The name of its folder; `events` that of the file.
        ends: The instant up to which it was played, and at which it stands.
    """

    workspace: str
    events: str
    begins: Instant
    ends: Instant
    seed: str

    def said(self) -> str:
        """The mark in a sentence, without its end."""
        return (
            f'a rehearsal of "{self.workspace}" from {iso(self.begins)[:10]} to '
            f"{iso(self.ends)[:10]} (seed {self.seed}): nothing in it was sent to anybody"
        )


def mark_of(directory: Path) -> Mark | None:
    """What a folder is a rehearsal of; None for any other.

    Raises:
        UsageError: If its mark cannot be read: nothing tells any more what it is.
    """
    path = directory / DIRECTORY / REHEARSAL
    try:
        return msgspec.json.decode(path.read_bytes(), type=Mark)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{path} cannot be read ({error}); simulate anew, with --keep") from None


def leave(directory: Path, connection: Connection, mark: Mark) -> None:
    """Mark a folder, its pages and its database."""
    text = msgspec.json.encode(mark)
    (directory / DIRECTORY / REHEARSAL).write_bytes(text)
    _mark_pages(directory, mark)
    connection.execute(
        "INSERT INTO setting (name, value) VALUES (?, ?) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (SETTING, text.decode()),
    )


def _mark_pages(directory: Path, mark: Mark) -> None:
    """Let every page say it; commands may have written some anew."""
    said = escape(f"This is {mark.said()}.")
    note = f'{_MAIN}<p class="intro"><strong>Rehearsal.</strong> {said}</p>\n'
    for path in sorted((directory / DIRECTORY / "reports").glob("*.html")):
        text = path.read_text("utf-8")
        if note not in text:
            path.write_text(text.replace(_MAIN, note, 1), "utf-8")


def require_in_earnest(database: Database) -> None:
    """Refuse to play or send from the database of a rehearsal, wherever it was copied to.

    Raises:
        UsageError: If it is one.
    """
    with database.read() as connection:
        found = connection.execute("SELECT value FROM setting WHERE name = ?", (SETTING,))
    if found:
        raise _refused("this database", msgspec.json.decode(found[0][0], type=Mark))


@contextmanager
def in_its_time(
    directory: Path, *, command: str, is_looking: bool = False
) -> Iterator[Mark | None]:
    """Run a command on a folder; on a rehearsal with its clock, or not at all.

    Args:
        is_looking: Whether a command that could begin something only looks.
    Raises:
        UsageError: If the command would play or send from a rehearsal.
    """
    mark = mark_of(directory)
    if mark is None:
        yield None
        return
    if command in PLAYING or (command == "scheduler" and not is_looking):
        raise _refused(f'"{directory}"', mark)
    from engine.steady import standing_at

    try:
        with standing_at(mark.ends):
            yield mark
    finally:
        _mark_pages(directory, mark)


def _refused(what: str, mark: Mark) -> UsageError:
    return UsageError(
        f"{what} is {mark.said()}, and nothing ever is. Look at it with `experiment report`, "
        f"`explain`, `model list`; to send, serve the workspace itself"
    )
