"""`antiphon migrate`: bring the database to this program's schema."""

import argparse
from pathlib import Path
from typing import Final

HELP: Final = "bring the database to this program's schema"
EXAMPLE: Final = "example: antiphon migrate shop"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")


def run(arguments: argparse.Namespace) -> int:
    """0 when the schema is current."""
    from engine.opened import opened
    from engine.store.migrate import current

    with opened(arguments.directory) as it:
        print(f"the database has schema {current(it.database)}, which is this program's")
    return 0
