"""`antiphon campaign`: what runs and who is inside; pause, resume, drain, unenrol."""

import argparse
import json
from pathlib import Path
from typing import Any, Final

from engine.commands.where import add_directory

HELP: Final = "list campaigns; pause, resume, drain one, or unenrol its people"
EXAMPLE: Final = """\
example: antiphon campaign list shop
example: antiphon campaign pause win-back --why "the code has run out" shop
example: antiphon campaign resume win-back shop
example: antiphon campaign drain win-back shop
example: antiphon campaign unenrol win-back --step waiting shop"""

_WHAT: Final = {
    "pause": "everyone inside holds where they are, nobody enters",
    "resume": "end a pause or a drain",
    "drain": "nobody enters any more, those inside finish",
    "unenrol": "those inside leave: all, those at a step, or one profile",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = actions.add_parser("list", help="every campaign, its state and who is inside")
    _add_common(listed)
    for name, what in _WHAT.items():
        action = actions.add_parser(name, help=what)
        action.add_argument("campaign", metavar="NAME", help="the campaign")
        if name == "unenrol":
            action.add_argument("--step", metavar="STEP", help="only those who stand there")
            action.add_argument("--profile", metavar="ID", help="only this person")
        action.add_argument("--why", default="", metavar="TEXT", help="kept and shown to all")
        _add_common(action)


def _add_common(parser: argparse.ArgumentParser) -> None:
    add_directory(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when it is so, whether or not anything had to change."""
    return _list(arguments) if arguments.action == "list" else _act(arguments)


def _list(arguments: argparse.Namespace) -> int:
    from engine.core.clocktime import iso
    from engine.opened import opened
    from engine.release.roll_call import campaigns

    with opened(arguments.directory, read_only=True) as it, it.database.read() as connection:
        found = campaigns(connection)
    if arguments.json:
        listed = [
            {**each._asdict(), "since": iso(each.since) if each.since else None} for each in found
        ]
        print(json.dumps({"campaigns": listed}))
        return 0
    width = max((len(each.name) for each in found), default=0)
    for each in found:
        older = f" ({each.n_older:,} on older versions)" if each.n_older else ""
        people = f"{each.n_inside:,} inside{older}"
        print(f"{each.name:<{width}}  {each.state:<9} {each.version:<12}  {people}")
        if each.since:
            why = f": {each.why}" if each.why else ""
            whom = "by an operator" if each.by == "operator" else "automatically"
            print(f"{'':<{width}}  {each.held} {whom} since {iso(each.since)[:19]}Z{why}")
    if not found:
        print("nothing is applied yet")
    return 0


def _act(arguments: argparse.Namespace) -> int:
    from engine.local import call

    order = {
        "action": arguments.action,
        "campaign": arguments.campaign,
        "step": getattr(arguments, "step", None),
        "profile": getattr(arguments, "profile", None),
        "why": arguments.why,
    }
    done: dict[str, Any] | None = call(arguments.directory, "campaign", order)
    if done is None:
        done = _act_here(arguments.directory, order)
    if arguments.json:
        print(json.dumps(done))
    else:
        print(_said(arguments.action, arguments.campaign, done))
    return 0


def _said(action: str, campaign: str, done: dict[str, Any]) -> str:
    n = done["n_people"]
    people = f"{n:,} {'person' if n == 1 else 'people'}"
    if action == "unenrol":
        return f'"{campaign}": {people} will leave.' if n else f'"{campaign}": nobody is there.'
    state = {"paused": "paused", "draining": "draining", "": "running again"}[done["held"]]
    if not done["release"]:
        before = "not held by an operator" if not done["held"] else f"{state} already"
        return f'"{campaign}" is {before}; {people} inside.'
    what = {"paused": "holding where they are", "draining": "finishing", "": "going on"}
    return f'"{campaign}" is {state}; {people} inside, {what[done["held"]]}.'


def _act_here(directory: Path, order: dict[str, Any]) -> dict[str, Any]:
    from engine.opened import nothing_applied, opened
    from engine.release import releases
    from engine.release.operating import carry_out_payload
    from engine.steady import present

    with opened(directory) as it:
        with it.database.read() as connection:
            live = releases.live(connection)
            if live is None:
                raise nothing_applied(directory)
            workspace = releases.workspace_of(connection, live.digest)
        return it.write(
            lambda connection: carry_out_payload(
                connection, order, workspace=workspace, now=present()
            )
        )
