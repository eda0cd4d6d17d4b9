"""`antiphon simulate`: replay history through the real engine, and count what it would do."""

import argparse
import json
from pathlib import Path
from typing import Final

HELP: Final = "replay history on a virtual clock against a throwaway database"
EXAMPLE: Final = "example: antiphon simulate shop win-back --events orders.jsonl.gz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    parser.add_argument(
        "campaign", nargs="?", metavar="CAMPAIGN", help="only this one, even drafts"
    )
    parser.add_argument(
        "--events", required=True, metavar="FILE",
        help="calls in the shape of the tracking API: JSONL, CSV or Parquet, gz and zst too",
    )  # fmt: skip
    parser.add_argument(
        "--map", action="append", default=[], metavar="FIELD=COLUMN",
        help="as in `antiphon ingest`: userId=customer, event==Order Completed",
    )  # fmt: skip
    parser.add_argument(
        "--until", metavar="TIME", help="play on until then; default 30 days after the last event"
    )
    parser.add_argument(
        "--seed", default="0", help="another seed, other opens, clicks and bounces (default 0)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when it was played; 2 when the files cannot be used."""
    from engine.core.clocktime import iso
    from engine.opened import instant
    from engine.progress import Progress
    from engine.publish import check
    from engine.rehearsal import rehearse

    workspace = check(arguments.directory).workspace
    until = None if arguments.until is None else instant(arguments.until, default=0)
    with Progress("Simulating", is_quiet=arguments.json) as progress:
        done = rehearse(
            workspace,
            events=arguments.events,
            mapping=dict(_pair(text) for text in arguments.map),
            campaign=arguments.campaign,
            until=until,
            seed=arguments.seed,
            progress=progress,
        )
    if arguments.json:
        print(json.dumps(done.as_json()))
        return 0
    print(
        f"{done.n_events:,} events of {done.n_people:,} people, "
        f"{iso(done.start)[:10]} to {iso(done.end)[:10]}"
    )
    if done.n_rejected:
        print(f"{done.n_rejected:,} rows were refused; the first: {done.first_error}")
    total = done.counts.total
    print(
        f"{total['sends']:,} sent, {total['ghosts']:,} ghosts of the holdouts, "
        f"{total['deferred']:,} times deferred, {total['dropped']:,} dropped"
    )
    print()
    for line in done.counts.lines():
        print(line)
    return 0


def _pair(text: str) -> tuple[str, str]:
    from engine.core.errors import UsageError

    field, sign, column = text.partition("=")
    if not (field and sign and column):
        raise UsageError(f"--map {text}: write FIELD=COLUMN, or FIELD==CONSTANT")
    return field, column
