"""`antiphon scores`: publish what a model says of people, and list what is published."""

import argparse
import json
from pathlib import Path
from typing import Any, Final

from engine.commands.where import add_directory
from engine.core.clocktime import iso

HELP: Final = "publish a model's scores from a file; list the runs"
EXAMPLE: Final = """\
example: antiphon scores load churn scores.csv shop
example: antiphon scores list shop"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    load = actions.add_parser("load", help="make a file the run that segments read from now on")
    load.add_argument("model", metavar="MODEL", help="the model's name, as segments ask for it")
    load.add_argument(
        "file", type=Path, metavar="FILE", help="CSV: user_id,value or, of clusters, …,label"
    )
    listed = actions.add_parser("list", help="every run, the champion of each model first")
    for each in (load, listed):
        add_directory(each)
        each.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when done; 2 with every bad row's line when the file is wrong, and nothing changed."""
    if arguments.action == "list":
        runs = _list(arguments.directory)
        print(json.dumps({"runs": runs}) if arguments.json else _table(runs))
        return 0
    done = _load(arguments.directory, arguments.model, arguments.file)
    if arguments.json:
        print(json.dumps(done))
        return 0
    print(f"{done['model']}: run {done['run']} is what segments read now")
    print(f"people in it: {done['n_scored']:,}")
    if done["n_unknown"]:
        print(f"left out, since nobody here goes by that user id: {done['n_unknown']:,}")
    if done.get("n_refused"):
        print(f"left out, since they refuse to be profiled: {done['n_refused']:,}")
    print(f"asked again at once: {done['n_woken']:,}")
    return 0


def _load(directory: Path, model: str, file: Path) -> dict[str, Any]:
    """Have the running server do it, or do it here when none runs."""
    from engine.local import call
    from engine.opened import opened
    from engine.scores import load_payload
    from engine.steady import present

    payload = {"model": model, "path": str(file.resolve())}
    result = call(directory, "scores_load", payload)
    if result is not None:
        found: dict[str, Any] = result
        return found
    with opened(directory) as it:
        return load_payload(
            it.database, payload, playbook=it.try_playbook(), write=it.write, now=present()
        )


def _list(directory: Path) -> list[dict[str, Any]]:
    from engine.opened import opened
    from engine.scores import listed

    with opened(directory, read_only=True) as it, it.database.read() as connection:
        return listed(connection)


def _table(runs: list[dict[str, Any]]) -> str:
    if not runs:
        return "no model has said anything yet; publish a run with: antiphon scores load"
    rows = [("MODEL", "RUN", "KIND", "STATUS", "PEOPLE", "TOP DECILE FROM", "LOADED")]
    for it in runs:
        top = "" if it["top_decile_from"] is None else f"{it['top_decile_from']:g}"
        rows.append((
            it["model"], str(it["run"]), it["kind"], it["status"], f"{it['n_scores']:,}", top,
            iso(it["created_at"])[:19],
        ))  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
