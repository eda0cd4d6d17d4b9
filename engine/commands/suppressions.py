"""`antiphon suppressions`: addresses that are never reached, whatever a campaign wants."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from engine.core.model.instants import Instant
    from engine.store.suppressions import Suppression

HELP: Final = "addresses that are never reached: list, add, remove, import, export"
EXAMPLE: Final = """example: antiphon suppressions list shop --channel email
         antiphon suppressions add shop ada@example.com --channel email --reason "by letter"
         antiphon suppressions remove shop ada@example.com --channel email
         antiphon suppressions import shop old-tool.csv --channel email
         antiphon suppressions export shop suppressed.csv"""

PAGE: Final = 1_000
ERRORS_SHOWN: Final = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = actions.add_parser("list", help="addresses by their hash, why, since and until when")
    added = actions.add_parser("add", help="reach an address no more")
    removed = actions.add_parser("remove", help="reach it again; what it withdrew stays withdrawn")
    imported = actions.add_parser("import", help="a CSV with address (or address_hash) and more")
    exported = actions.add_parser("export", help="all of them as CSV: hashes, no addresses")
    for each in (listed, added, removed, imported, exported):
        each.add_argument("directory", type=Path, metavar="DIR", help="the workspace")
    for each in (added, removed):
        each.add_argument("address", help="the address; it is hashed and kept nowhere")
    for each in (imported, exported):
        each.add_argument("file", metavar="FILE", help="a CSV file")
    for each, is_required in (
        (listed, False), (added, True), (removed, True), (imported, False), (exported, False),
    ):  # fmt: skip
        each.add_argument(
            "--channel", choices=("email", "sms", "push", "web"), required=is_required,
            help="of which kind the addresses are",
        )  # fmt: skip
    for each in (added, imported):
        each.add_argument("--reason", default="by hand", help="why, in a few words")
    added.add_argument("--until", metavar="WHEN", help="a day or an instant; without it for good")
    listed.add_argument("--limit", type=int, default=100, metavar="N", help="at most so many")
    for each in (listed, added, removed, imported, exported):
        each.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when done. remove: 1 if it was not suppressed. import: 1 if a line was refused."""
    return {
        "list": _list, "add": _add, "remove": _remove, "import": _import, "export": _export,
    }[arguments.action](arguments)  # fmt: skip


def _list(arguments: argparse.Namespace) -> int:
    from engine.core.clocktime import iso
    from engine.opened import opened
    from engine.store.suppressions import listed

    with opened(arguments.directory, read_only=True) as it, it.database.read() as connection:
        found = listed(connection, limit=max(1, arguments.limit), channel=arguments.channel)
    rows = [
        {
            "address_hash": each.address_hash, "channel": each.channel, "reason": each.why,
            "since": iso(each.at), "until": None if each.until is None else iso(each.until),
            "source": each.by,
        }
        for each in found
    ]  # fmt: skip
    if arguments.json:
        print(json.dumps({"suppressions": rows}))
        return 0
    for row in rows:
        until = f"until {row['until'][:10]}" if row["until"] else "for good"
        print(
            f"{row['address_hash']}  {row['channel']:<5}  {str(row['since'])[:19]}  {until:<16}  "
            f"{row['reason']} ({row['source']})"
        )
    if not rows:
        print("no address is suppressed")
    return 0


def _add(arguments: argparse.Namespace) -> int:
    from engine.steady import present
    from engine.store.suppressions import Suppression
    from engine.suppression_file import address_key, instant_of

    key = address_key(_vault(arguments.directory), arguments.channel, arguments.address)
    until = None if arguments.until is None else instant_of(arguments.until)
    row = Suppression(key, arguments.channel, arguments.reason, "operator", present(), until)
    done = _ask(arguments.directory, "suppressions_add", {"rows": [_plain(row)]})
    print(json.dumps(done) if arguments.json else "it is reached no more")
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    from engine.suppression_file import address_key

    key = address_key(_vault(arguments.directory), arguments.channel, arguments.address)
    done = _ask(arguments.directory, "suppressions_remove", {"hashes": [key]})
    words = "it is reached again" if done["removed"] else "it was not suppressed"
    print(json.dumps(done) if arguments.json else words)
    return int(not done["removed"])


def _import(arguments: argparse.Namespace) -> int:
    from engine.steady import present
    from engine.suppressing import ROWS_MAX
    from engine.suppression_file import Defaults, open_list, rows_of

    now: Instant = present()
    name = Path(arguments.file).name[:100]
    defaults = Defaults(arguments.channel, arguments.reason, f"file {name}", now)
    vault = _vault(arguments.directory)
    n_added, n_wrong, waiting = 0, 0, []
    with open_list(Path(arguments.file)) as file:
        for row in rows_of(file, vault=vault, defaults=defaults):
            if isinstance(row, str):
                n_wrong += 1
                if n_wrong <= ERRORS_SHOWN:
                    print(f"{arguments.file}, {row}", file=sys.stderr)
            else:
                waiting.append(_plain(row))
            if len(waiting) == ROWS_MAX:
                _ask(arguments.directory, "suppressions_add", {"rows": waiting})
                n_added, waiting = n_added + len(waiting), []
    if waiting:
        _ask(arguments.directory, "suppressions_add", {"rows": waiting})
        n_added += len(waiting)
    done = {"added": n_added, "refused": n_wrong}
    print(json.dumps(done) if arguments.json else f"{n_added:,} suppressed, {n_wrong:,} refused")
    return int(bool(n_wrong))


def _export(arguments: argparse.Namespace) -> int:
    from engine.opened import opened
    from engine.suppression_file import write_csv

    with (
        opened(arguments.directory, read_only=True) as it,
        Path(arguments.file).open("w", encoding="utf-8", newline="") as file,
    ):
        n = write_csv(_pages(it, arguments.channel), file)
    done = {"exported": n}
    print(json.dumps(done) if arguments.json else f"{n:,} written to {arguments.file}")
    return 0


def _pages(it: Any, channel: str | None) -> Iterator["Suppression"]:
    from engine.store.suppressions import listed

    after = b""
    with it.database.read() as connection:
        while found := listed(connection, after=after, limit=PAGE, channel=channel):
            yield from found
            after = bytes.fromhex(found[-1].address_hash)


def _vault(directory: Path) -> Any:
    import secrets

    from engine.settings import read_settings
    from engine.vault import Vault

    return Vault({1: read_settings(directory).secret_key}, entropy=secrets.token_bytes)


def _plain(row: "Suppression") -> Any:
    import msgspec

    return msgspec.to_builtins(row)


def _ask(directory: Path, name: str, payload: Any) -> Any:
    """Have the running server do it, or do it here when none runs."""
    from engine.local import call

    done = call(directory, name, payload)
    if done is not None:
        return done
    from engine.opened import opened
    from engine.steady import present
    from engine.suppressing import OPERATIONS

    with opened(directory) as it:
        return it.write(lambda connection: OPERATIONS[name](connection, payload, now=present()))
