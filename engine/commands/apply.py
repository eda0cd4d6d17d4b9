"""`antiphon apply`: make the workspace's files the live ones."""

import argparse
import json
from pathlib import Path
from typing import Any, Final

HELP: Final = "make the workspace's files the live ones, in one step"
EXAMPLE: Final = "example: antiphon apply shop"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when the files are live, whether or not anything changed; 2 when they have errors."""
    import os

    from campaigns.load import read_bundle
    from engine.local import call
    from engine.publish import check

    check(arguments.directory, environ=os.environ)
    files = read_bundle(arguments.directory)
    payload = {"files": {path: data.decode("utf-8") for path, data in files.items()}}
    done: dict[str, Any] | None = call(arguments.directory, "apply", payload)
    if done is None:
        done = _apply_here(arguments.directory, payload)
    if arguments.json:
        print(json.dumps(done))
        return 0
    if not done["plan"]:
        print(f"Nothing to do: release {done['release']} is live and equals these files.")
        return 0
    print(done["plan"])
    n = done["woken"]
    who = f"; {n:,} {'person' if n == 1 else 'people'} will meet it" if n else ""
    print(f"Release {done['release']} is live{who}.")
    return 0


def _apply_here(directory: Path, payload: dict[str, Any]) -> dict[str, Any]:
    from engine.opened import opened
    from engine.publish import apply_files
    from engine.steady import present

    with opened(directory) as it, it.database.write() as connection:
        return apply_files(connection, payload, now=present())
