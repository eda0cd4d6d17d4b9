"""What if the caps or the quiet hours were others? A program altered for one simulation.

The text of a command line is read by the language's own readers, so `--caps` and `--quiet-hours`
say exactly what the same words say in antiphon.yaml.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from campaigns.durations import parse_span, parse_wall_time
from campaigns.problems import advice
from campaigns.reading import Text
from campaigns.workspace import Workspace
from engine.core.errors import UsageError
from engine.core.model.campaigns import Cap, Program, QuietHours

NONE: Final = "none"
Alter = Callable[[Program], Program]


def what_if(workspace: Workspace, *, caps: str | None, quiet_hours: str | None) -> Alter | None:
    """The change that a command line asks for, or None if it asks for none.

    Args:
        caps: `none`, or caps joined by commas: `email 2/7d, offers 1/1d, 3/30d`. A word before the
            number is a channel or a topic of the workspace.
        quiet_hours: `none`, or a span of local time: `22:00-08:00`.
    Raises:
        UsageError: If they cannot be read.
    """
    if caps is None and quiet_hours is None:
        return None
    changes: dict[str, object] = {}
    if caps is not None:
        changes["caps"] = (
            () if caps == NONE else tuple(_cap(one, workspace) for one in caps.split(","))
        )
    if quiet_hours is not None:
        changes["quiet_hours"] = None if quiet_hours == NONE else _quiet(quiet_hours)
    return lambda program: msgspec.structs.replace(program, **changes)


def _cap(text: str, workspace: Workspace) -> Cap:
    *names, rate = text.split()
    count, slash, span = rate.partition("/")
    if len(names) > 1 or not slash or not count.isdecimal():
        raise UsageError(
            f'--caps: "{text}" is no cap. Write [CHANNEL or TOPIC] MAX/SPAN, such as email 3/7d'
        )
    channels = {str(name) for name in workspace.settings.channels}
    topics = {str(name) for name in workspace.settings.topics}
    name = names[0] if names else None
    if name is not None and name not in channels | topics:
        hint = advice(name, channels | topics)
        raise UsageError(f'--caps: "{name}" is neither a channel nor a topic.{hint}')
    try:
        per = parse_span(Text(span))
    except ValueError as error:
        raise UsageError(f"--caps: {error}") from error
    return Cap(
        int(count),
        per,
        channel=name if name in channels else None,
        topic=name if name not in channels else None,
    )


def _quiet(text: str) -> QuietHours:
    begins, dash, ends = text.partition("-")
    try:
        if not dash:
            raise ValueError(f'"{text}" is no span of the day')
        return QuietHours(parse_wall_time(Text(begins)), parse_wall_time(Text(ends)))
    except ValueError as error:
        raise UsageError(f"--quiet-hours: {error}. Write none, or 22:00-08:00") from error
