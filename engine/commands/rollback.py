"""`antiphon rollback`: play the files of an earlier release again."""

import argparse
import json
from pathlib import Path
from typing import Any, Final

HELP: Final = "play the files of an earlier release again, as a new release"
EXAMPLE: Final = """\
example: antiphon rollback shop
example: antiphon rollback shop --to 7 --dry-run"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    parser.add_argument(
        "--to", type=int, metavar="N", help="the release; else the last one with other files"
    )
    parser.add_argument("--dry-run", action="store_true", help="show the plan and do nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when the earlier files are live; with --dry-run 1 when something would change."""
    if arguments.dry_run:
        return _show(arguments)
    from engine.commands.apply import went_live
    from engine.local import call

    done: dict[str, Any] | None = call(arguments.directory, "rollback", {"to": arguments.to})
    if done is None:
        done = _roll_back_here(arguments.directory, arguments.to)
    if arguments.json:
        print(json.dumps(done))
        return 0
    if not done["plan"]:
        print(f"Nothing to do: release {done['to']} held the files that are live.")
        return 0
    print(done["plan"])
    print(f"{went_live(done)} It plays the files of release {done['to']} again.")
    print("Your folder still holds the newer files: antiphon plan shows the difference.")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from engine.opened import opened
    from engine.release.rolling_back import planned
    from engine.release.words import as_data, rendered
    from engine.steady import present

    with opened(arguments.directory, read_only=True) as it, it.database.read() as connection:
        release, plan = planned(connection, arguments.to, now=present(), blind=it.vault.mark)
    if arguments.json:
        print(json.dumps({"to": release.number, **as_data(plan)}))
    elif plan.changes:
        print(f"Back to release {release.number}:")
        print(rendered(plan))
    else:
        print(f"Nothing to do: release {release.number} held the files that are live.")
    return int(bool(plan.changes))


def _roll_back_here(directory: Path, to: int | None) -> dict[str, Any]:
    import os

    from engine.opened import opened
    from engine.release.rolling_back import roll_back
    from engine.steady import present

    with opened(directory) as it:
        return roll_back(
            it.database, to, write=it.write, now=present, environ=os.environ, blind=it.vault.mark
        )
