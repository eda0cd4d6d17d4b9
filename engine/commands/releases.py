"""`antiphon releases`: what was played when, newest first."""

import argparse
import json
from pathlib import Path
from typing import Final

HELP: Final = "what was played when, newest first: applied files, rollbacks, operators' orders"
EXAMPLE: Final = "example: antiphon releases shop --limit 5"

LISTED: Final = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    parser.add_argument(
        "--limit", type=int, default=LISTED, metavar="N", help=f"how many (default: {LISTED})"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0, also when nothing was applied yet."""
    from engine.core.clocktime import iso
    from engine.core.errors import UsageError
    from engine.opened import opened
    from engine.release import releases

    if arguments.limit < 1:
        raise UsageError(f"--limit {arguments.limit}: at least 1")
    with opened(arguments.directory, read_only=True) as it, it.database.read() as connection:
        found = releases.history(connection, limit=arguments.limit)
    if arguments.json:
        listed = [{**each._asdict(), "applied_at": iso(each.applied_at)} for each in found]
        print(json.dumps({"releases": listed}))
        return 0
    for number, each in enumerate(found):
        mark = "*" if number == 0 else " "
        at = iso(each.applied_at)[:19].replace("T", " ")
        print(f"{mark} {each.number:>4}  {at}  {each.kind:<9}  {each.digest}")
        for line in each.summary:
            print(f"          {line}")
    if not found:
        print("nothing is applied yet")
    return 0
