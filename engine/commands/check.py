"""`antiphon check`: read a workspace like a compiler."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Final

HELP: Final = "read a workspace like a compiler: every error with file, line and what is allowed"
EXAMPLE: Final = "example: antiphon check shop"
NO_PUBLIC_URL: Final = (
    "ANTIPHON_PUBLIC_URL is not set here. Where this is served it must be: links in messages lead "
    "there, and providers call it."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when the workspace is right, 1 when it has errors."""
    from campaigns.problems import InvalidWorkspace
    from engine.core.errors import UsageError
    from engine.release.checking import check
    from engine.release.provider_checks import sends_for_real
    from engine.settings import variable

    if not (arguments.directory / "antiphon.yaml").is_file():
        raise UsageError(
            f'"{arguments.directory}" is no workspace: there is no antiphon.yaml in it. Name the '
            "folder of a workspace, or make one: antiphon init DIR"
        )
    try:
        checked = check(arguments.directory)
    except InvalidWorkspace as error:
        if arguments.json:
            errors = [
                {"file": it.file, "line": it.line, "found": it.found, "message": it.message}
                for it in error.problems
            ]
            print(json.dumps({"ok": False, "errors": errors}))
        else:
            print(error, file=sys.stderr)
            n = len(error.problems)
            print(f"{n} error{'s' if n != 1 else ''}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps({"ok": True, "errors": []}))
        return 0
    for notice in checked.workspace.notices:
        print(f"note: {notice}")
    if sends_for_real(checked.workspace) and not os.environ.get(variable("public_url"), "").strip():
        print(f"note: {NO_PUBLIC_URL}")
    counts = {
        "campaign": len(checked.program.campaigns),
        "segment": len(checked.program.segments),
        "template": len(checked.templates),
        "experiment": len(checked.program.experiments),
    }
    print("ok: " + ", ".join(f"{n} {noun}{'' if n == 1 else 's'}" for noun, n in counts.items()))
    return 0
