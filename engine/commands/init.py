"""`antiphon init`: a new workspace with a working first campaign."""

import argparse
import shutil
from pathlib import Path
from typing import Final

from engine.core.errors import UsageError

HELP: Final = "a new workspace with a working first campaign"
EXAMPLE: Final = "example: antiphon init shop && cd shop && antiphon check && antiphon test"

IGNORED: Final = "# Antiphon's database, secret and outbox: never committed.\n.antiphon/\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("directory", type=Path, metavar="DIR", help="a folder to make or fill")


def run(arguments: argparse.Namespace) -> int:
    """0 when the workspace is there; 2 when something else already is."""
    directory: Path = arguments.directory
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(f'"{directory}" exists and is not empty. Name a new folder.')
    source = Path(__file__).parents[2] / "campaigns" / "examples" / "starter"
    shutil.copytree(source, directory, dirs_exist_ok=True)
    (directory / ".gitignore").write_text(IGNORED)
    print(f"{directory} is a workspace. Next:")
    print(f"  cd {directory}")
    print("  antiphon check     # errors with file and line")
    print("  antiphon test      # its own expectations, on a virtual clock")
    print("  antiphon apply     # make it live")
    print("  antiphon keys create   # a write key for your SDK")
    print("  antiphon serve     # API, engine and pages")
    return 0
