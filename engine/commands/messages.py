"""`antiphon messages`: what was sent, held or dropped, and why."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.core.errors import UsageError

if TYPE_CHECKING:
    from engine.store.connection import Connection

HELP: Final = "messages with their status and the reason, newest first"
EXAMPLE: Final = "example: antiphon messages shop --campaign win-back --status deferred"

COLUMNS: Final = (
    "id", "profile", "campaign", "step", "variant", "channel", "status", "reason", "account", "at",
)  # fmt: skip


STATUSES: Final = (
    "deferred", "queued", "attempting", "sent", "unknown", "failed", "ghost", "dropped",
)  # fmt: skip
"""As in the table `message`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    parser.add_argument("--campaign", metavar="NAME", help="only of this campaign")
    parser.add_argument("--status", choices=STATUSES, metavar="WORD", help=", ".join(STATUSES))
    parser.add_argument("--profile", metavar="ID", help="only to this person")
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="default 100")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0, also when there is none; 2 when the campaign or the person is unknown."""
    from engine.core.clocktime import iso
    from engine.opened import opened

    asked = {
        "m.campaign": arguments.campaign,
        "m.status": arguments.status,
        "p.external_id": arguments.profile,
    }
    if arguments.limit < 1:
        raise UsageError(f"--limit: found {arguments.limit}, the smallest allowed is 1")
    given = {column: value for column, value in asked.items() if value is not None}
    where = " AND ".join(f"{column} = ?" for column in given) or "1 = 1"
    with opened(arguments.directory, read_only=True) as it, it.database.read() as connection:
        rows = connection.execute(
            "SELECT m.id, p.external_id, m.campaign, m.step, m.variant, m.channel, m.status, "
            "m.reason, coalesce((SELECT account FROM attempt WHERE message_id = m.id "
            "ORDER BY number DESC LIMIT 1), m.account), m.at "
            "FROM message m JOIN profile p ON p.id = m.profile_id "
            f"WHERE {where} ORDER BY m.id DESC LIMIT ?",
            (*given.values(), min(arguments.limit, 2**31)),
        )
        if not rows:
            _require_known(connection, arguments)
    messages = [dict(zip(COLUMNS, (*row[:-1], iso(row[-1])), strict=True)) for row in rows]
    if arguments.json:
        print(json.dumps({"messages": messages}))
        return 0
    for each in messages:
        print(_line(each))
    if not messages:
        print("no message is like that" if given else "no message yet")
    return 0


def _require_known(connection: "Connection", arguments: argparse.Namespace) -> None:
    """A misspelt name is an error and not an empty answer."""
    from campaigns.problems import advice
    from engine.reading import find_profile

    campaign, profile = arguments.campaign, arguments.profile
    known = [row[0] for row in connection.execute("SELECT DISTINCT campaign FROM campaign_version")]
    if campaign is not None and campaign not in known:
        raise UsageError(f'there is no applied campaign "{campaign}".{advice(campaign, known)}')
    kinds = ("user", "anonymous")
    if profile is not None and find_profile(connection, profile, kinds=kinds) is None:
        raise UsageError(f'there is no profile with the id "{profile}"')


def _line(it: dict[str, Any]) -> str:
    channel = it["account"] or it["channel"] or "-"
    to = f"{channel:<5} {it['profile']}"
    where = f"{it['campaign']}/{it['step']}" + (f" [{it['variant']}]" if it["variant"] else "")
    return f"{it['id']:>8}  {it['at'][:19]}  {it['status']:<10} {to}  {where}  {it['reason']}"
