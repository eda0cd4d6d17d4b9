"""`antiphon scheduler`: begin what is due by the table of schedules; or show that table."""

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any, Final

HELP: Final = "begin what schedules say, beside workers (PostgreSQL); --list shows them"
EXAMPLE: Final = """\
examples: antiphon scheduler shop
          antiphon scheduler shop --list"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    parser.add_argument(
        "--list", action="store_true", help="show what runs when and what came of it; start nothing"
    )
    parser.add_argument("--json", action="store_true", help="with --list: print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Keep schedules until stopped; 0 after a clean stop."""
    if arguments.list or arguments.json:
        return _list(arguments)
    from engine.scheduling.process import keep_schedules

    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    for talkative in ("apscheduler", "httpx"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    return keep_schedules(arguments.directory, announce=lambda text: print(text, flush=True))


def _list(arguments: argparse.Namespace) -> int:
    from engine.core.clocktime import iso
    from engine.opened import opened
    from engine.scheduling.shown import shown
    from engine.steady import present

    with opened(arguments.directory, read_only=True) as it:
        found: list[dict[str, Any]] = shown(it.database, it.playbook(), now=present())
    if arguments.json:
        print(json.dumps({"schedules": found}))
        return 0
    for each in found:
        following = each["next"] or "never again"
        print(f"{each['name']:<24} {each['job']:<20} {each['when']:<28} next {following}")
        for last in each["runs"]:
            when = last["finished_at"] or f"held until {iso(last['held_until'])}"
            print(
                f"    {last['fire_at']} {last['engine']}: {last['result'] or 'under way'} ({when})"
            )
    return 0
