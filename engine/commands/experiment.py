"""`antiphon experiment`: what campaigns were worth, and what a test would need."""

import argparse
import json
import os
import sys
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, Final

from engine.commands.experiment_caps import add_caps, run_caps
from engine.commands.experiment_orders import add_orders, run_order
from engine.commands.experiment_policy import add_policy, run_policy
from engine.commands.experiment_programme import (
    add_programme,
    run_interactions,
    run_programme,
)
from engine.commands.experiment_size import add_size, run_size
from engine.commands.experiment_update import add_update, run_update
from engine.core.errors import UsageError

if TYPE_CHECKING:
    from engine.readout.findings import Findings

HELP: Final = "list, report, size, start, stop and conclude experiments and holdouts"
EXAMPLE: Final = """\
examples: antiphon experiment report win-back-nudge shop --format html --out report.html
          antiphon experiment conclude win-back-nudge shop --winner reminder
          antiphon experiment size shop --metric orders-14d --campaign win-back --power 0.95"""
FORMATS: Final = ("text", "html", "md", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = actions.add_parser("list", help="experiments and holdouts with their exposures")
    listed.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    listed.add_argument("--json", action="store_true", help="print one JSON object")
    report = actions.add_parser("report", help="what was found, with its uncertainty")
    report.add_argument("name", metavar="NAME", help="an experiment, a campaign's holdout, or all")
    report.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    report.add_argument("--format", choices=FORMATS, default="text", help="default text")
    report.add_argument("--json", action="store_true", help="the same as --format json")
    report.add_argument("--as-of", metavar="TIME", help="as it stood then; default now")
    report.add_argument("--out", type=Path, metavar="FILE", help="write there instead")
    report.add_argument(
        "--among", metavar="WHO", default="exposed",
        help="exposed (default) or reachable: only those an arm could have reached",
    )  # fmt: skip
    report.add_argument(
        "--explore", metavar="TRAIT", action="append", default=[],
        help="traits.NAME among which a tree may look for people with other effects; repeat for"
        " several. What it finds is a hint, never a result",
    )  # fmt: skip
    add_orders(actions)
    add_size(actions)
    add_programme(actions)
    add_update(actions)
    add_policy(actions)
    add_caps(actions)


def run(arguments: argparse.Namespace) -> int:
    """0 when there is an answer; 2 with a clear line when there cannot be one."""
    match arguments.action:
        case "list":
            return _list(arguments)
        case "report":
            return _report(arguments)
        case "start" | "stop" | "conclude" | "acknowledge":
            return run_order(arguments)
        case "programme":
            return run_programme(arguments)
        case "interactions":
            return run_interactions(arguments)
        case "policy":
            return run_policy(arguments)
        case "update":
            return run_update(arguments)
        case "caps":
            return run_caps(arguments)
        case _:
            return run_size(arguments)


def _list(arguments: argparse.Namespace) -> int:
    from engine.core.clocktime import iso
    from engine.opened import opened
    from engine.readout.studies import studies

    with opened(arguments.directory, read_only=True) as it:
        playbook = it.playbook()
        found = studies(playbook.program, playbook.workspace)
        with it.database.read() as connection:
            rows = connection.execute(
                "SELECT experiment, phase, variant, count(*), min(at) FROM exposure "
                "GROUP BY experiment, phase, variant"
            )
    exposed: dict[tuple[str, int], dict[str, int]] = {}
    since: dict[tuple[str, int], int] = {}
    for experiment, phase, variant, n, first in rows:
        exposed.setdefault((experiment, phase), {})[variant] = n
        since[experiment, phase] = min(first, since.get((experiment, phase), first))
    listed: list[dict[str, Any]] = [
        {
            "name": study.name,
            "kind": study.shown_kind,
            "campaign": study.campaign,
            "phase": study.phase,
            "method": study.method,
            "metrics": [definition.name for definition, _ in study.metrics],
            "exposed": {
                name: exposed.get((study.name, study.phase), {}).get(name, 0)
                for name in study.weights
            },
            "since": iso(since[study.name, study.phase])
            if (study.name, study.phase) in since
            else None,
        }
        for study in found
    ]
    if arguments.json:
        print(json.dumps({"experiments": listed}))
        return 0
    for it_ in listed:
        arms = ", ".join(f"{name} {n:,}" for name, n in it_["exposed"].items())
        began = f"since {it_['since'][:10]}" if it_["since"] else "nobody exposed yet"
        print(f"{it_['name']:<32} {it_['kind']:<18} {arms}  {began}")
    if not listed:
        print("no experiment and no holdout has a metric to be judged by yet")
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from engine.opened import instant, opened
    from engine.readout.exposures import require_before_treatment
    from engine.readout.findings import among_reachable, read_out
    from engine.readout.studies import named, studies
    from engine.steady import present

    require_before_treatment(arguments.among)
    as_of = instant(arguments.as_of, default=present())
    with opened(arguments.directory, read_only=True) as it:
        playbook = it.playbook()
        phases = playbook.program.experiments
        chosen = named(studies(playbook.program, playbook.workspace), arguments.name)
        with it.database.read() as connection:
            found = [
                read_out(
                    connection,
                    study,
                    as_of=as_of,
                    experiment=phases.get((study.name, study.phase)),
                    explore=arguments.explore,
                )
                for study in chosen
            ]
    if arguments.among == "reachable":
        found = [among_reachable(each) for each in found]
    form = "json" if arguments.json else arguments.format
    to_screen = arguments.out is None and sys.stdout.isatty()
    shown = _shown(
        found, form, title=f"{playbook_title(arguments)}: what it was worth", to_screen=to_screen
    )
    if arguments.out is None:
        sys.stdout.write(shown)
        return 0
    try:
        arguments.out.write_text(shown, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{arguments.out}: cannot be written ({error.strerror})") from error
    print(arguments.out)
    return 0


def playbook_title(arguments: argparse.Namespace) -> str:
    """What the page is about."""
    return "Everything that was tested" if arguments.name == "all" else str(arguments.name)


def _shown(found: "list[Findings]", form: str, *, title: str, to_screen: bool) -> str:
    from engine.readout.reports import as_json, as_text, page, sections_of

    width = get_terminal_size().columns if to_screen else None
    colour = to_screen and not os.environ.get("NO_COLOR")

    match form:
        case "json":
            objects = [as_json(it) for it in found]
            whole = objects[0] if len(objects) == 1 else {"reports": objects}
            return json.dumps(whole, indent=2, allow_nan=False) + "\n"
        case "html":
            return page([part for it in found for part in sections_of(it)], title=title)
        case _:
            return "\n\n".join(
                as_text(it, markdown=form == "md", width=width, colour=colour) for it in found
            )
