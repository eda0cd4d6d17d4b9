"""`antiphon experiment`: what campaigns were worth, and what a test would need."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from campaigns.problems import advice
from engine.core.errors import UsageError

if TYPE_CHECKING:
    from engine.readout.findings import Findings
    from engine.readout.sizing import Sizing

HELP: Final = "list, report and size experiments and holdouts"
EXAMPLE: Final = """\
examples: antiphon experiment report win-back-nudge shop --format html --out report.html
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
    sized = actions.add_parser("size", help="sample size, smallest visible lift, days")
    sized.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    sized.add_argument("--metric", required=True, metavar="NAME", help="what is to be improved")
    who = sized.add_mutually_exclusive_group(required=True)
    who.add_argument("--segment", metavar="NAME", help="who enters it")
    who.add_argument("--campaign", metavar="NAME", help="who enters it")
    sized.add_argument("--lift", metavar="SHARE", help="a lift to find, as 10%% or 0.1")
    sized.add_argument("--units", type=int, metavar="N", help="in both variants; default: the past")
    sized.add_argument("--power", type=float, default=0.8, help="default 0.8")
    sized.add_argument("--alpha", type=float, default=0.05, help="default 0.05")
    sized.add_argument("--share", type=float, default=0.5, help="of the control; default 0.5")
    sized.add_argument("--comparisons", type=int, default=1, help="variants that share alpha")
    sized.add_argument(
        "--method", choices=("fixed", "sequential"), default="sequential",
        help="fixed: read once, at the end; sequential (default): at any time",
    )  # fmt: skip
    sized.add_argument("--as-of", metavar="TIME", help="by the past up to then; default now")
    sized.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 when there is an answer; 2 with a clear line when there cannot be one."""
    match arguments.action:
        case "list":
            return _list(arguments)
        case "report":
            return _report(arguments)
        case _:
            return _size(arguments)


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
            "kind": study.kind,
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
    from engine.readout.findings import read_out
    from engine.readout.studies import named, studies
    from engine.steady import present

    as_of = instant(arguments.as_of, default=present())
    with opened(arguments.directory, read_only=True) as it:
        playbook = it.playbook()
        chosen = named(studies(playbook.program, playbook.workspace), arguments.name)
        with it.database.read() as connection:
            found = [read_out(connection, study, as_of=as_of) for study in chosen]
    form = "json" if arguments.json else arguments.format
    shown = _shown(found, form, title=f"{playbook_title(arguments)}: what it was worth")
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


def _shown(found: "list[Findings]", form: str, *, title: str) -> str:
    from engine.readout.reports import as_json, as_text, page, sections_of

    match form:
        case "json":
            objects = [as_json(it) for it in found]
            whole = objects[0] if len(objects) == 1 else {"reports": objects}
            return json.dumps(whole, indent=2, allow_nan=False) + "\n"
        case "html":
            return page([part for it in found for part in sections_of(it)], title=title)
        case _:
            return "\n\n".join(as_text(it, markdown=form == "md") for it in found)


def _size(arguments: argparse.Namespace) -> int:
    from campaigns.metrics import compile_metrics
    from engine.opened import instant, opened
    from engine.readout.sizing import past_from, past_units, size
    from engine.steady import present
    from experiments.sizing.power import Design

    as_of = instant(arguments.as_of, default=present())
    with opened(arguments.directory, read_only=True) as it:
        playbook = it.playbook()
        metrics = compile_metrics(playbook.workspace)
        _require(arguments.metric, metrics, "metric")
        if arguments.segment is not None:
            _require(arguments.segment, playbook.program.segments, "segment")
        else:
            _require(arguments.campaign, playbook.program.campaigns, "campaign")
        with it.database.read() as connection:
            units = past_units(
                connection, segment=arguments.segment, campaign=arguments.campaign, before=as_of
            )
            past = past_from(connection, metrics[arguments.metric], units, as_of=as_of)
    design = Design(
        alpha=arguments.alpha,
        power=arguments.power,
        control_share=arguments.share,
        variance_reduction=past.explained_share,
        method=arguments.method,
        comparisons=arguments.comparisons,
    )
    answer = size(
        past,
        design=design,
        units=arguments.units,
        lift=None if arguments.lift is None else _share(arguments.lift),
    )
    if arguments.json:
        print(json.dumps(_size_json(answer)))
    else:
        print("\n".join(_size_lines(answer, power=arguments.power)))
    return 0


def _require(name: str, known: Any, noun: str) -> None:
    if name not in known:
        hint = advice(name, known) or " There is none at all."
        raise UsageError(f'there is no {noun} "{name}".{hint}')


def _share(text: str) -> float:
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        raise UsageError(f"--lift {text}: write a share such as 10% or 0.1") from None
    return value / 100 if text.endswith("%") else value


def _size_json(answer: "Sizing") -> dict[str, Any]:
    needed = answer.needed
    return {
        "past": {
            "units": answer.past.n,
            "mean": answer.past.mean,
            "variance": answer.past.variance,
            "explained_share": answer.past.explained_share,
            "units_per_day": answer.past.units_per_day,
        },
        "units": answer.units,
        "smallest_lift": answer.smallest_lift,
        "needed": needed and {"control": needed.control, "treatment": needed.treatment},
        "days": answer.days,
        "power_at_lift": answer.power_at_lift,
    }


def _size_lines(answer: "Sizing", *, power: float) -> list[str]:
    past = answer.past
    lines = [
        f"the past: {past.n:,} units, {past.units_per_day:.1f} a day, mean {past.mean:.4g}, "
        f"standard deviation {past.variance**0.5:.4g}, covariate explains "
        f"{past.explained_share:.0%}",
        f"{answer.units:,} units find a lift of {answer.smallest_lift:.1%} or more with a power of "
        f"{power:.0%}",
    ]
    if answer.needed is not None:
        lines.append(
            f"the wished lift needs {answer.needed.total:,} units ({answer.needed.control:,} in "
            f"the control), {answer.days:,} days at this rate; {answer.units:,} units find it with "
            f"a power of {answer.power_at_lift:.0%}"
        )
    return lines
