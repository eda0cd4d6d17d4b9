"""`antiphon deliverability`: what reached people, by recipient domain, campaign, channel, day."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.core.errors import UsageError

if TYPE_CHECKING:
    from engine.readout.deliverability import Cell

HELP: Final = "what was delivered, bounced and complained about, by recipient domain or else"
EXAMPLE: Final = """\
example: antiphon deliverability shop --days 30
example: antiphon deliverability shop --campaign win-back --by day,domain"""

DAYS: Final = 7
DAYS_MAX: Final = 366
BY: Final = ("day", "channel", "provider", "campaign", "domain")
_COLUMNS: Final = (
    ("delivered", "delivered"), ("hard", "hard_bounces"), ("soft", "soft_bounces"),
    ("blocked", "blocked"), ("complaint", "complained"), ("opened", "opened"),
    ("clicked", "clicked"),
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    parser.add_argument("--campaign", metavar="NAME", help="only of this campaign")
    parser.add_argument(
        "--days", type=int, default=DAYS, metavar="N",
        help=f"messages of so many days, today in UTC included (default: {DAYS})",
    )  # fmt: skip
    parser.add_argument(
        "--by", default="channel,domain", metavar="WORDS",
        help=f"split by some of {', '.join(BY)} (default: channel,domain)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0, also when nothing was sent."""
    from engine.core.clocktime import iso
    from engine.core.model.instants import DAY
    from engine.opened import opened
    from engine.readout.deliverability import deliverability
    from engine.steady import present

    by = _split(arguments.by)
    if not 1 <= arguments.days <= DAYS_MAX:
        raise UsageError(f"--days: found {arguments.days}, allowed are 1 to {DAYS_MAX}")
    since = (present() // DAY - arguments.days + 1) * DAY
    with opened(arguments.directory, read_only=True) as it, it.database.read() as connection:
        if arguments.campaign is not None:
            _require_known(arguments.campaign, connection)
        cells = deliverability(connection, by=by, since=since, campaign=arguments.campaign)
    if arguments.json:
        rows = [{**each.by, **_counted(each)} for each in cells]
        print(json.dumps({"since": iso(since), "rows": rows}))
        return 0
    for line in _table(by, cells):
        print(line)
    if not cells:
        print(f"nothing was sent since {iso(since)[:10]}")
    return 0


def _split(words: str) -> list[str]:
    by = [word.strip() for word in words.split(",") if word.strip()]
    wrong = [word for word in by if word not in BY]
    if wrong or len(set(by)) < len(by):
        found = wrong[0] if wrong else words
        raise UsageError(f'--by: found "{found}", allowed are {", ".join(BY)}, each once')
    return by


def _counted(cell: "Cell") -> dict[str, int]:
    return {name: getattr(cell.figures, name) for name in cell.figures.__struct_fields__}


def _table(by: list[str], cells: "list[Cell]") -> list[str]:
    """Counts of what was sent, shares of it for the rest."""
    head = [*by, "sent", *(title for title, _ in _COLUMNS)]
    rows = [
        [
            *(each.by[name] for name in by),
            f"{each.figures.sent:,}",
            *(f"{each.figures.share(name):.2%}" for _, name in _COLUMNS),
        ]
        for each in cells
    ]
    if not rows:
        return []
    widths = [max(len(row[n]) for row in (head, *rows)) for n in range(len(head))]
    return [
        "  ".join(
            f"{text:<{width}}" if n < len(by) else f"{text:>{width}}"
            for n, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    ]


def _require_known(campaign: str, connection: object) -> None:
    """A misspelt name is an error and not an empty answer."""
    from campaigns.problems import advice
    from engine.store.connection import Connection

    assert isinstance(connection, Connection)
    rows = connection.execute("SELECT DISTINCT campaign FROM campaign_version")
    known = [row[0] for row in rows]
    if campaign not in known:
        raise UsageError(f'there is no applied campaign "{campaign}".{advice(campaign, known)}')
