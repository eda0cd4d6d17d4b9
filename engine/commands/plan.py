"""`antiphon plan`: what `apply` would change, and whom it would touch."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Final

HELP: Final = "what apply would change, and how many people are inside what changes"
EXAMPLE: Final = "example: antiphon plan shop"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when nothing would change, 1 when something would."""
    from campaigns.plan import render_plan
    from engine.impact import people_inside
    from engine.opened import opened
    from engine.publish import check, plan

    checked = check(arguments.directory)
    with opened(arguments.directory) as it, it.database.read() as connection:
        changes = plan(connection, checked.workspace)
        inside = people_inside(connection, changes)
    if arguments.json:
        print(json.dumps({"changes": [asdict(each) for each in changes], "inside": inside}))
        return int(bool(changes))
    if not changes:
        print("Nothing to do: the live release equals these files.")
        return 0
    print(render_plan(changes))
    for campaign, people in inside.items():
        print(f'{people:,} people are inside "{campaign}"; they finish on the version they are on.')
    return int(bool(changes))
