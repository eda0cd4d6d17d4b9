"""`antiphon apply`: make the workspace's files the live ones."""

import argparse
import json
from pathlib import Path
from typing import Any, Final

HELP: Final = "make the workspace's files the live ones, in one step"
EXAMPLE: Final = """\
example: antiphon apply shop
example: antiphon apply shop --plan 4-9d2f41c07be83a65"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    parser.add_argument(
        "--plan", metavar="ID", help="only what `antiphon plan` showed under this id"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when the files are live, whether or not anything changed; 2 when they have errors, would
    strand people, or are not what --plan names."""
    import os

    from campaigns.load import read_bundle
    from engine.local import call
    from engine.release.publish import check

    check(arguments.directory, environ=os.environ)
    files = read_bundle(arguments.directory)
    payload = {
        "files": {path: data.decode("utf-8") for path, data in files.items()},
        "plan": arguments.plan,
    }
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
    print(went_live(done))
    return 0


def went_live(done: dict[str, Any]) -> str:
    """The last line of a command that made a release."""
    n = done["woken"]
    who = f"; {n:,} {'person' if n == 1 else 'people'} will meet it" if n else ""
    return f"Release {done['release']} is live{who}."


def _apply_here(directory: Path, payload: dict[str, Any]) -> dict[str, Any]:
    from engine.opened import opened
    from engine.progress import Progress
    from engine.release.backfill import Backfilling
    from engine.release.publish import apply_files
    from engine.steady import present

    with opened(directory) as it, Progress("backfilling") as progress:
        backfilling = Backfilling(
            it.database,
            vault=it.vault,
            write=it.write,
            told=lambda under_way: progress(under_way.done_share),
        )
        return apply_files(
            it.database,
            payload,
            write=it.write,
            now=present,
            blind=it.vault.mark,
            build=lambda: backfilling.run(clock=present),
        )
