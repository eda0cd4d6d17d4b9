"""`antiphon keys`: write keys of the tracking API."""

import argparse
import json
from pathlib import Path
from typing import Any, Final

from engine.core.clocktime import iso

HELP: Final = "create, list and revoke write keys of the tracking API"
EXAMPLE: Final = 'example: antiphon keys create shop --kind browser --label "web shop"'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key and print it, this once")
    create.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    create.add_argument(
        "--kind",
        choices=("server", "browser"),
        default="server",
        help="server: everything (default); browser: public, appends behaviour only",
    )
    create.add_argument("--label", default="", help="what it is for, to tell keys apart later")
    listed = actions.add_parser("list", help="every key ever made; never the key itself")
    listed.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    revoke = actions.add_parser("revoke", help="refuse a key from now on")
    revoke.add_argument("id", help="its id, as in: antiphon keys list")
    revoke.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    visitor = actions.add_parser(
        "visitor",
        help="print the key (HMAC-SHA256) by which your server proves a user id to a browser",
    )
    visitor.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    for each in (create, listed, revoke, visitor):
        each.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when done; 2 with a clear line when it cannot be."""
    match arguments.action:
        case "create":
            payload = {"kind": arguments.kind, "label": arguments.label}
            made = _ask(arguments.directory, "keys_create", payload)
            print(json.dumps(made) if arguments.json else made["key"])
        case "list":
            found = _ask(arguments.directory, "keys_list", None)
            print(json.dumps(_dated(found)) if arguments.json else _table(found["keys"]))
        case "visitor":
            key = _visitor_key(arguments.directory)
            print(json.dumps({"key": key}) if arguments.json else key)
        case _:
            revoked = _ask(arguments.directory, "keys_revoke", {"id": arguments.id})
            print(json.dumps(revoked) if arguments.json else f"{arguments.id} is revoked")
    return 0


def _visitor_key(directory: Path) -> str:
    """Made from ANTIPHON_SECRET_KEY, so it is the same wherever that is."""
    from engine.settings import read_settings, visitor_key

    return visitor_key(read_settings(directory))


def _ask(directory: Path, name: str, payload: Any) -> Any:
    """Have the running server do it, or do it here when none runs."""
    from engine import write_keys
    from engine.local import call

    result = call(directory, name, payload)
    if result is not None:
        return result
    from engine.settings import read_settings
    from engine.store.database import Database
    from engine.store.migrate import upgrade

    database = Database(read_settings(directory).database_url)
    try:
        upgrade(database)
        with database.write() as connection:
            return write_keys.OPERATIONS[name](connection, payload)
    finally:
        database.close()


def _dated(found: dict[str, Any]) -> dict[str, Any]:
    """The answer with its instants as ISO 8601, as every `--json` has them."""
    keys = [
        {
            name: iso(value) if name.endswith("_at") and value is not None else value
            for name, value in key.items()
        }
        for key in found["keys"]
    ]
    return {"keys": keys}


def _table(keys: list[dict[str, Any]]) -> str:
    if not keys:
        return "no key yet; make one with: antiphon keys create"
    rows = [("ID", "KIND", "CREATED", "STATE", "LABEL")]
    for key in keys:
        state = "revoked" if key["revoked_at"] is not None else "usable"
        rows.append((key["id"], key["kind"], iso(key["created_at"])[:19], state, key["label"]))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
