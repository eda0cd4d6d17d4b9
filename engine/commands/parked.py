"""`antiphon parked`: poison items that were put aside so that the others could go on."""

import argparse
import json
from pathlib import Path
from typing import Final

HELP: Final = "poison items that were put aside so that the others could go on"
EXAMPLE: Final = "example: antiphon parked list shop"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = actions.add_parser("list", help="what was put aside, and why")
    listed.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    listed.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when nothing is parked, 1 when something is."""
    from engine.core.clocktime import iso
    from engine.opened import opened

    with opened(arguments.directory, read_only=True) as it, it.database.read() as connection:
        rows = connection.execute(
            "SELECT k.id, k.kind, p.external_id, k.ref, k.reason, k.attempts, k.parked_at "
            "FROM parked k LEFT JOIN profile p ON p.id = k.profile_id "
            "WHERE k.replayed_at IS NULL ORDER BY k.id"
        )
    names = ("id", "kind", "profile", "ref", "reason", "attempts", "parked_at")
    parked = [dict(zip(names, (*row[:-1], iso(row[-1])), strict=True)) for row in rows]
    if arguments.json:
        print(json.dumps({"parked": parked}))
    else:
        for each in parked:
            at, who = each["parked_at"][:19], each["profile"]
            print(f"{each['id']:>6}  {at}  {each['kind']:<10} {who}  {each['reason']}")
        if not parked:
            print("nothing is parked")
    return int(bool(parked))
