"""`antiphon test`: the workspace's own expectations, on a virtual clock."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Final

HELP: Final = "run tests/*.yaml: given these events, exactly these messages"
EXAMPLE: Final = "example: antiphon test shop"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when every test passes, 1 when one fails."""
    from engine.release.publish import check
    from engine.simulation.trials import run_trials

    is_dumb = os.environ.get("NO_COLOR") or not sys.stdout.isatty() or arguments.json
    green, red, plain = ("", "", "") if is_dumb else ("\x1b[32m", "\x1b[31m", "\x1b[0m")
    outcomes = []
    for outcome in run_trials(check(arguments.directory).workspace):
        outcomes.append(outcome)
        if arguments.json:
            continue
        word = f"{green}ok  {plain}" if outcome.passed else f"{red}FAIL{plain}"
        print(f"{word}  {outcome.name}")
        if outcome.passed:
            continue
        print(f"      {outcome.file}")
        if outcome.problem:
            print(f"      {outcome.problem}")
        for line in outcome.missing:
            print(f"      {red}missing     {plain}{line}")
        for line in outcome.unexpected:
            print(f"      {red}unexpected  {plain}{line}")
        print("      what happened:")
        for line in outcome.timeline or ("nothing",):
            print(f"        {line}")
    failures = [it for it in outcomes if not it.passed]
    if arguments.json:
        shown = [
            {
                "test": it.name, "file": it.file, "missing": it.missing,
                "unexpected": it.unexpected, "problem": it.problem, "timeline": it.timeline,
            }
            for it in failures
        ]  # fmt: skip
        n_passed = len(outcomes) - len(failures)
        print(json.dumps({"passed": n_passed, "failed": len(failures), "failures": shown}))
    elif not outcomes:
        print("there is no test in tests/*.yaml yet")
    else:
        print(f"{len(outcomes) - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0
