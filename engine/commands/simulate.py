"""`antiphon simulate`: replay history through the real engine, and count what it would do."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.core.errors import UsageError

if TYPE_CHECKING:
    from campaigns.workspace import Workspace
    from engine.simulation.rehearsal import Rehearsed
    from engine.simulation.what_if import Alter

HELP: Final = "replay history on a virtual clock: what would be sent, what models would learn"
EXAMPLE: Final = """\
example: antiphon simulate shop win-back --events orders.jsonl.gz
example: antiphon simulate shop --events orders.jsonl.gz --caps "email 2/7d" --quiet-hours none
example: antiphon simulate shop --events orders.jsonl.gz --against shop-as-it-was
example: antiphon simulate shop --events orders.jsonl.gz --keep shop-rehearsed"""
SCHEDULES: Final = ("all", "no-models", "none")


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
    parser.add_argument(
        "--caps", metavar="CAPS",
        help='what if these were the caps: none, or "email 3/7d, offers 1/1d, 5/30d"',
    )  # fmt: skip
    parser.add_argument(
        "--quiet-hours", metavar="SPAN", help="what if these were quiet: none, or 22:00-08:00"
    )
    parser.add_argument(
        "--against", type=Path, metavar="DIR", help="play this workspace too, and compare with it"
    )
    parser.add_argument(
        "--schedules", choices=SCHEDULES, default=SCHEDULES[0],
        help="what begins at its instant: all, all but the training of models (faster), or none; "
        "default all",
    )  # fmt: skip
    parser.add_argument(
        "--train-every", metavar="SPAN",
        help="train each model no more often than this, such as 7d: faster, and models are older",
    )  # fmt: skip
    parser.add_argument(
        "--keep", type=Path, metavar="DIR",
        help="leave workspace and database in this new folder: other commands read it, none sends",
    )  # fmt: skip
    parser.add_argument(
        "--force", action="store_true", help="with --keep: an older rehearsal there may go"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when it was played; 2 when the files cannot be used."""
    from engine.release.publish import check
    from engine.simulation.what_if import what_if

    workspace = check(arguments.directory).workspace
    alter = what_if(workspace, caps=arguments.caps, quiet_hours=arguments.quiet_hours)
    _require_one(arguments, is_altered=alter is not None)
    if arguments.against is not None and alter is not None:
        raise UsageError("--against compares two workspaces: leave out --caps and --quiet-hours")
    done = _played(arguments, workspace, arguments.directory.resolve().name)
    if arguments.against is not None:
        name = arguments.against.resolve().name
        other = _played(arguments, check(arguments.against).workspace, name)
        return _print_both(arguments, other, done, (name, arguments.directory.resolve().name))
    if alter is not None:
        changed = _played(arguments, workspace, "what if", alter=alter)
        return _print_both(arguments, done, changed, ("as it is", "what if"))
    if arguments.json:
        print(json.dumps(done.as_json()))
        return 0
    _print_head(done)
    total = done.counts.total
    print(
        f"{total['sends']:,} sent, {total['ghosts']:,} ghosts of the holdouts, "
        f"{total['deferred']:,} times deferred, {total['dropped']:,} dropped"
    )
    print()
    for line in done.counts.lines():
        print(line)
    _print_schedules("SCHEDULES", done)
    if done.kept is not None:
        print(f"\nThe rehearsal:  {done.kept}    (antiphon experiment report all {done.kept})")
    return 0


def _require_one(arguments: argparse.Namespace, *, is_altered: bool) -> None:
    """Refuse to keep what no files say, or one of two."""
    if arguments.keep is None:
        if arguments.force:
            raise UsageError("--force replaces what --keep left: it needs --keep DIR")
        return
    if is_altered or arguments.against is not None or arguments.campaign is not None:
        raise UsageError(
            "--keep leaves one whole workspace as its files say: leave out CAMPAIGN, --against, "
            "--caps and --quiet-hours, and change the files instead"
        )


def _print_schedules(title: str, done: "Rehearsed") -> None:
    from engine.simulation.ran import lines

    if done.which == "none":
        print(f"\n{title}: none was to begin")
        return
    print(f"\n{title}")
    for line in lines(done.ran):
        print(line)


def _played(
    arguments: argparse.Namespace,
    workspace: "Workspace",
    title: str,
    *,
    alter: "Alter" = lambda program: program,
) -> "Rehearsed":
    from engine.opened import instant
    from engine.progress import Progress
    from engine.simulation.rehearsal import rehearse

    until = None if arguments.until is None else instant(arguments.until, default=0)
    with Progress(f"Simulating {title}", is_quiet=arguments.json) as progress:
        return rehearse(
            workspace,
            title=title,
            events=arguments.events,
            mapping=dict(_pair(text) for text in arguments.map),
            campaign=arguments.campaign,
            until=until,
            seed=arguments.seed,
            progress=progress,
            alter=alter,
            which=arguments.schedules,
            trains_every=_span(arguments.train_every),
            keep=arguments.keep,
            is_forced=arguments.force,
        )


def _print_head(done: "Rehearsed") -> None:
    from engine.core.clocktime import iso

    print(
        f"{done.n_events:,} events of {done.n_people:,} people, "
        f"{iso(done.start)[:10]} to {iso(done.end)[:10]}"
    )
    if done.n_rejected:
        print(f"{done.n_rejected:,} rows were refused; the first: {done.first_error}")


def _print_both(
    arguments: argparse.Namespace, before: "Rehearsed", after: "Rehearsed", names: tuple[str, str]
) -> int:
    from engine.simulation.difference import difference, lines

    if arguments.json:
        found = {
            "before": before.as_json(),
            "after": after.as_json(),
            "change": difference(before.counts, after.counts),
        }
        print(json.dumps(found))
        return 0
    _print_head(after)
    print()
    for line in lines(before.counts, after.counts, names=names):
        print(line)
    for name, done in zip(names, (before, after), strict=True):
        _print_schedules(f'SCHEDULES, "{name}"', done)
    return 0


def _span(text: str | None) -> int:
    """A span of exact time, in microseconds; 0 for none."""
    from campaigns.durations import parse_span
    from campaigns.reading import Text

    if text is None:
        return 0
    try:
        return int(parse_span(Text(text)))
    except ValueError as error:
        raise UsageError(f"--train-every: {error}") from error


def _pair(text: str) -> tuple[str, str]:
    field, sign, column = text.partition("=")
    if not (field and sign and column):
        raise UsageError(f"--map {text}: write FIELD=COLUMN, or FIELD==CONSTANT")
    return field, column
