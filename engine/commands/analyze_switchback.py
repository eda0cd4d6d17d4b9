"""`antiphon analyze --switchback`: one market, treated in some periods and not in others."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from engine.core.errors import UsageError
from experiments.analysis.readout import Readout
from experiments.metrics import Metric

DESIGNED: Final = (
    "region", "regions", "periods", "starts_at", "level", "seed", "schedule", "freeze", "frozen",
)  # fmt: skip
"""Options of an experiment that was planned, and is reported as one."""
PERIOD_NEEDED: Final = "--switchback needs --period, how long each treatment lasted: 1h"
UNITS = {"m": 60, "h": 3_600, "d": 86_400}


def add_switchback(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--switchback", metavar="TIME_COL",
        help="time was randomized, not units: rows are gathered into periods by this column",
    )  # fmt: skip
    parser.add_argument("--period", metavar="SPAN", help="of --switchback: such as 30m, 1h, 1d")
    parser.add_argument(
        "--carryover", type=int, metavar="N",
        help="of --switchback: earlier periods whose treatment may linger, as declared; default 0",
    )  # fmt: skip
    parser.add_argument(
        "--switch-every", type=int, metavar="N",
        help="of --switchback: a coin was thrown every N periods; default 1",
    )  # fmt: skip
    parser.add_argument(
        "--region", metavar="COL",
        help="of --switchback: column of regions that have coins of their own",
    )  # fmt: skip
    parser.add_argument(
        "--regions", metavar="NAME,…", help="of --switchback: the regions, as planned"
    )
    parser.add_argument(
        "--periods", type=int, metavar="N",
        help="of --switchback: how many are planned; nothing is told before, nothing read after",
    )  # fmt: skip
    parser.add_argument(
        "--starts-at", metavar="TIME", help="of --switchback: the first period's beginning"
    )
    parser.add_argument(
        "--level", metavar="METRIC=NUMBER", action="append", default=[],
        help="of --switchback: about what it is in a period, known beforehand (last month's mean);"
        " the estimate varies with its distance from it",
    )  # fmt: skip
    parser.add_argument(
        "--seed", metavar="TEXT",
        help="of --switchback: a hash of region and period decided; as assigned counts",
    )  # fmt: skip
    parser.add_argument(
        "--schedule", action="store_true",
        help="of --switchback: print which period of which region is treated, by --seed",
    )  # fmt: skip
    parser.add_argument(
        "--freeze", type=Path, metavar="FILE",
        help="of --switchback: write the plan and its hash to a new file, and read no data",
    )  # fmt: skip
    parser.add_argument(
        "--frozen", type=Path, metavar="FILE",
        help="of --switchback: read by the plan that --freeze wrote, whatever else is said",
    )  # fmt: skip


def run_switchback(
    arguments: argparse.Namespace,
    metrics: Sequence[Metric],
    *,
    show: Callable[[Readout, argparse.Namespace], None],
) -> int:
    """Print the effect on each metric; where more was planned, all that a report has."""
    _refuse_odd(arguments, metrics)
    if any(getattr(arguments, name) for name in DESIGNED) or arguments.format == "html":
        from engine.commands.switchback_design import run_design

        seconds = None if arguments.period is None else _seconds(arguments.period)
        if seconds is None and arguments.frozen is None:
            raise UsageError(PERIOD_NEEDED)
        return run_design(arguments, metrics, seconds=seconds, show=show)
    return _run_plain(arguments, metrics)


def _run_plain(arguments: argparse.Namespace, metrics: Sequence[Metric]) -> int:
    import numpy as np

    from engine.readout.datafile_periods import read_periods
    from experiments.estimation.switchback import switchback

    if arguments.period is None:
        raise UsageError(PERIOD_NEEDED)
    every, order = arguments.switch_every or 1, arguments.carryover or 0
    read = read_periods(
        arguments.data, time=arguments.switchback, seconds=_seconds(arguments.period),
        variant=arguments.variant, control=arguments.control, metrics=list(metrics),
    )[""]  # fmt: skip
    n = len(read.treated)
    starts = tuple(range(0, n, every))
    objects: list[dict[str, Any]] = []
    for metric in metrics:
        found = switchback(
            read.outcomes[metric.name], read.treated, starts=starts, order=order,
            alpha=arguments.alpha, rng=np.random.default_rng(1),
        )  # fmt: skip
        objects.append({
            "metric": metric.name, "control": found.estimates.control,
            "treatment": found.estimates.treatment, "estimate": found.effect.estimate,
            "ci_lower": found.effect.ci_lower, "ci_upper": found.effect.ci_upper,
            "std_error": found.std_error, "pvalue": found.pvalue,
            "randomization_pvalue": found.randomization_pvalue,
            "n_washout": found.n_washout, "cautions": list(found.cautions),
        })  # fmt: skip
    design = {
        "periods": n, "treated": sum(read.treated), "rows": sum(read.n_rows),
        "carryover": order, "switch_every": every,
        "alpha": arguments.alpha,
    }  # fmt: skip
    is_json = arguments.json or arguments.format == "json"
    text = (
        json.dumps({"switchback": design, "metrics": objects}, indent=2, allow_nan=False) + "\n"
        if is_json
        else _text(design, objects, markdown=arguments.format == "md")
    )
    if arguments.out is None:
        sys.stdout.write(text)
        return 0
    try:
        arguments.out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{arguments.out}: cannot be written ({error.strerror})") from error
    print(arguments.out)
    return 0


def _text(design: dict[str, Any], objects: list[dict[str, Any]], *, markdown: bool) -> str:
    from experiments.reporting.words import number, p_is, percent

    lines = ["## Switchback" if markdown else "Switchback", ""]
    lines.append(
        f"- {design['periods']:,} periods ({design['treated']:,} treated) of {design['rows']:,}"
        f" rows; carry-over {design['carryover']}, a coin every {design['switch_every']}"
    )
    for it in objects:
        estimate, *end = (
            "none" if it[key] is None else number(it[key], signed=True)
            for key in ("estimate", "ci_lower", "ci_upper")
        )
        lines.append(
            f"- {it['metric']}: {estimate} a period ({percent(1 - design['alpha'])}"
            f" interval {end[0]} to {end[1]}); {p_is(it['pvalue'])}, by assigning anew"
            f" {p_is(it['randomization_pvalue'])}; {it['n_washout']:,} periods of"
            " washout left out"
        )
        lines += [f"- {it['metric']}: {caution}" for caution in it["cautions"]]
    return "\n".join(lines) + "\n"


def _seconds(span: str) -> int:
    number, unit = span[:-1], span[-1:]
    if not number.isdigit() or int(number) < 1 or unit not in UNITS:
        raise UsageError(f'--period: "{span}" is no span; write 30m, 1h or 1d')
    return int(number) * UNITS[unit]


def _refuse_odd(arguments: argparse.Namespace, metrics: Sequence[Metric]) -> None:
    if arguments.connection is not None:
        raise UsageError("--switchback reads a data file, not a --connection")
    if arguments.switch_every is not None and arguments.switch_every < 1:
        raise UsageError(f"--switch-every {arguments.switch_every}: a coin falls every 1 or more")
    for name in ("cluster", "stratum", "cupac", "policy", "weights", "unit"):
        if getattr(arguments, name):
            raise UsageError(f"--{name} is about units; --switchback compares periods")
    for metric in metrics:
        if metric.kind in ("ratio", "quantile") or metric.covariates or metric.cap_share:
            raise UsageError(
                f"--switchback takes the mean of a column in each period; {metric.name} asks for"
                " more. Name a plain column"
            )
