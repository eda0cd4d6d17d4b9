"""`antiphon plan`: what `apply` would change, and whom it would touch."""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

HELP: Final = "what apply would change, whom it would touch, and what forbids it"
EXAMPLE: Final = "example: antiphon plan shop"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when nothing would change, 1 when something would or it is refused."""
    from engine.opened import is_untouched, opened
    from engine.release import drafts
    from engine.release.planning import plan
    from engine.release.publish import check
    from engine.release.words import as_data, drift, rendered
    from engine.simulation.replay import throwaway
    from engine.steady import present

    workspace = check(arguments.directory).workspace
    if is_untouched(arguments.directory):  # a plan changes nothing: it makes no database either
        with throwaway() as (database, vault, _), database.read() as connection:
            found, under_way = plan(connection, workspace, now=present(), blind=vault.mark), None
    else:
        with opened(arguments.directory) as it, it.database.read() as connection:
            found = plan(connection, workspace, now=present(), blind=it.vault.mark)
            under_way = drafts.current(connection)
    if arguments.json:
        print(json.dumps(as_data(found)))
        return int(bool(found.changes))
    if under_way is not None and under_way.words:
        mine = " (these files)" if under_way.digest == workspace.content_hash else ""
        print(f"A release is being prepared{mine}: {under_way.words}")
    if not found.changes:
        print("\n".join((*drift(found), "Nothing to do: the live release equals these files.")))
        return 0
    print(rendered(found))
    if found.refused:
        print("\n".join(str(problem) for problem in found.refused), file=sys.stderr)
        print("This plan cannot be applied.", file=sys.stderr)
    else:
        print(f"To apply exactly this: antiphon apply --plan {found.id}")
    return 1
