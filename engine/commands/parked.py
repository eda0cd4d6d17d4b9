"""`antiphon parked`: poison items that were put aside so that the others could go on."""

import argparse
import json
from pathlib import Path
from typing import Any, Final

HELP: Final = "poison items that were put aside, and why"
EXAMPLE: Final = "example: antiphon parked replay shop 3 4"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = actions.add_parser("list", help="what was put aside, and why")
    listed.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    replayed = actions.add_parser("replay", help="put items back, once their cause is mended")
    replayed.add_argument(
        "items", nargs="*", metavar="DIR|ID",
        help="the workspace, then the numbers of items as in: antiphon parked list; without "
        "numbers all of them",
    )  # fmt: skip
    for each in (listed, replayed):
        each.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """list: 1 when something is parked. replay: 1 when an item could not be put back."""
    return _list(arguments) if arguments.action == "list" else _replay(arguments)


def _list(arguments: argparse.Namespace) -> int:
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


def _replay(arguments: argparse.Namespace) -> int:
    from engine.local import call

    directory, ids = _split(arguments.items)
    done = call(directory, "parked_replay", {"ids": ids})
    if done is None:
        done = _replay_here(directory, ids)
    if arguments.json:
        print(json.dumps(done))
    else:
        print(f"{len(done['replayed'])} put back{_numbers(done['replayed'])}")
        if done["gone"]:
            print(f"no longer there, and closed:{_numbers(done['gone'])}")
        if done["unknown"]:
            print(f"not parked:{_numbers(done['unknown'])}. See: antiphon parked list")
    return int(bool(done["gone"] or done["unknown"]))


def _split(items: list[str]) -> tuple[Path, list[int]]:
    """The workspace and the numbers; only the first may be a folder.

    Raises:
        UsageError: If anything else is no number.
    """
    from engine.core.errors import UsageError

    has_folder = bool(items) and not items[0].isdigit()
    numbers = items[1:] if has_folder else items
    for each in numbers:
        if not (each.isascii() and each.isdigit() and len(each) < 19):
            raise UsageError(
                f'found "{each[:40]}" where the number of a parked item stands. '
                "See them with: antiphon parked list"
            )
    return Path(items[0]) if has_folder else Path(), [int(each) for each in numbers]


def _replay_here(directory: Path, ids: list[int]) -> Any:
    """No server runs: what is put back is played by the next `serve` or `tick`."""
    import msgspec

    from engine.opened import opened
    from engine.steady import present
    from engine.store.events import EventLog
    from engine.ticking.replaying import replay

    with opened(directory) as it, it.database.write() as connection:
        return msgspec.to_builtins(replay(connection, ids, log=EventLog(), now=present()))


def _numbers(ids: list[int]) -> str:
    return "" if not ids else " " + ", ".join(map(str, ids))
