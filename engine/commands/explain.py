"""`antiphon explain`: the whole story of one message."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.core.errors import UsageError

if TYPE_CHECKING:
    from engine.reading import Moment
    from engine.story import MessageStory

HELP: Final = "the whole story of one message: event, version, assignment, gates, attempts, echo"
EXAMPLE: Final = "example: antiphon explain 4711 shop"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("message", type=int, metavar="MESSAGE", help="a message's id")
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when the message exists, 2 when it does not."""
    from engine.opened import opened
    from engine.release.publish import load_playbook
    from engine.shown import plain
    from engine.story import message_story, told

    with opened(arguments.directory, read_only=True) as it:
        live = load_playbook(it.database, vault=it.vault, environ=None)
        with it.database.read() as connection:
            is_possible = 0 < arguments.message < 2**63  # beyond it no database has an id
            story = (
                message_story(
                    connection,
                    arguments.message,
                    program=live.program if live else None,
                    segments=live.segments if live else None,
                )
                if is_possible
                else None
            )
    if story is None:
        raise UsageError(f"there is no message {arguments.message}; see: antiphon messages")
    if arguments.json:
        print(json.dumps(plain(story)))
        return 0
    for line in (*_head(story), *map(_line, told(story))):
        print(line)
    return 0


def _head(story: "MessageStory") -> list[str]:
    from engine.core.clocktime import iso
    from engine.core.model.instants import NEVER

    it = story.message
    lines = [
        f"message {it.id}: {it.status}" + (f", because {it.reason}" if it.reason else ""),
        f"  to       {it.profile} by {it.channel or 'nothing'}, template {it.template or 'none'}"
        + (f" ({it.template_hash})" if it.template_hash else ""),
        f"  from     {it.campaign}/{it.step}, version {it.version}"
        + (f", variant {it.variant}" if it.variant else ""),
    ]
    if it.due_at != it.at:
        lines.append(f"  due      {iso(it.due_at)}")
    if it.expires_at < NEVER:
        lines.append(f"  expires  {iso(it.expires_at)}")
    return [*lines, ""]


def _line(moment: "Moment") -> str:
    from engine.core.clocktime import iso

    detail = f": {moment.detail}" if moment.detail else ""
    return f"  {iso(moment.at)}  {moment.title}{detail}"
