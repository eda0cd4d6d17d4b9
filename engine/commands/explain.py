"""`antiphon explain`: the whole story of one message."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.core.errors import UsageError

if TYPE_CHECKING:
    from engine.reading import MessageStory

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
    from engine.reading import message_story
    from engine.shown import plain

    with opened(arguments.directory, read_only=True) as it, it.database.read() as connection:
        is_possible = 0 < arguments.message < 2**63  # beyond it no database has an id
        story = message_story(connection, arguments.message) if is_possible else None
    if story is None:
        raise UsageError(f"there is no message {arguments.message}; see: antiphon messages")
    print(json.dumps(plain(story)) if arguments.json else _told(story))
    return 0


def _told(story: "MessageStory") -> str:
    from engine.core.clocktime import iso
    from engine.core.model import NEVER

    it = story.message
    lines = [
        f"message {it.id}: {it.status}" + (f", because {it.reason}" if it.reason else ""),
        f"  to       {it.profile} by {it.channel or 'nothing'}, template {it.template or 'none'}",
        f"  from     {it.campaign}/{it.step}, version {it.version}"
        + (f", variant {it.variant}" if it.variant else ""),
        f"  decided  {iso(it.at)}" + (f", due {iso(it.due_at)}" if it.due_at != it.at else ""),
    ]
    if it.expires_at < NEVER:
        lines.append(f"  expires  {iso(it.expires_at)}")
    if story.trigger_event is not None:
        trigger = story.trigger_event
        lines.append(f"  trigger  {trigger.title} at {iso(trigger.at)}  {trigger.detail}".rstrip())
    if story.enrollment is not None:
        entered = story.enrollment
        held = f", held out by {entered.held_by}" if entered.held_by else ""
        lines.append(f"  entered  {iso(entered.entered_at)}, now {entered.status}{held}")
    for exposure in story.exposures:
        share = f"{exposure['probability']:.1%}"
        lines.append(
            f"  assigned {exposure['experiment']}: {exposure['variant']} (probability {share}, "
            f"phase {exposure['phase']}) at {iso(exposure['at'])}"
        )
    for attempt in story.attempts:
        answer = attempt.outcome or "no answer yet"
        detail = f": {attempt.detail}" if attempt.detail else ""
        lines.append(
            f"  attempt  {attempt.number} by {attempt.provider} at {iso(attempt.started_at)}, "
            f"{answer}{detail}"
        )
    if story.delivery is not None:
        lines.append(f"  echo     {story.delivery['status']} at {iso(story.delivery['at'])}")
    return "\n".join(lines)
