"""`antiphon analyze --switchback`: one market, treated in some periods and not in others."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from engine.core.errors import UsageError
from experiments.metrics import Metric

UNITS = {"m": 60, "h": 3_600, "d": 86_400}


def add_switchback(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--switchback", metavar="TIME_COL",
        help="time was randomized, not units: rows are gathered into periods by this column",
    )  # fmt: skip
    parser.add_argument("--period", metavar="SPAN", help="of --switchback: such as 30m, 1h, 1d")
    parser.add_argument(
        "--carryover", type=int, default=0, metavar="N",
        help="of --switchback: earlier periods whose treatment may linger, as declared; default 0",
    )  # fmt: skip
    parser.add_argument(
        "--switch-every", type=int, default=1, metavar="N",
        help="of --switchback: a coin was thrown every N periods; default 1",
    )  # fmt: skip


def run_switchback(arguments: argparse.Namespace, metrics: Sequence[Metric]) -> int:
    """Print the effect on each metric."""
    import numpy as np

    from engine.readout.datafile_periods import read_periods
    from experiments.estimation.switchback import switchback

    _refuse_odd(arguments, metrics)
    read = read_periods(
        arguments.data, time=arguments.switchback, seconds=_seconds(arguments.period),
        variant=arguments.variant, control=arguments.control, metrics=list(metrics),
    )  # fmt: skip
    n = len(read.treated)
    starts = tuple(range(0, n, arguments.switch_every))
    objects: list[dict[str, Any]] = []
    for metric in metrics:
        found = switchback(
            read.outcomes[metric.name], read.treated, starts=starts, order=arguments.carryover,
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
        "carryover": arguments.carryover, "switch_every": arguments.switch_every,
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
    from experiments.reporting.words import percent, pvalue_text

    lines = ["## Switchback" if markdown else "Switchback", ""]
    lines.append(
        f"- {design['periods']:,} periods ({design['treated']:,} treated) of {design['rows']:,}"
        f" rows; carry-over {design['carryover']}, a coin every {design['switch_every']}"
    )
    for it in objects:
        end = ["none" if it[key] is None else f"{it[key]:+.5g}" for key in ("ci_lower", "ci_upper")]
        lines.append(
            f"- {it['metric']}: {it['estimate']:+.5g} a period ({percent(1 - design['alpha'])}"
            f" interval {end[0]} to {end[1]}); p = {pvalue_text(it['pvalue'])}, by assigning anew"
            f" p = {pvalue_text(it['randomization_pvalue'])}; {it['n_washout']:,} periods of"
            " washout left out"
        )
        lines += [f"- {it['metric']}: {caution}" for caution in it["cautions"]]
    return "\n".join(lines) + "\n"


def _seconds(span: str | None) -> int:
    if span is None:
        raise UsageError("--switchback needs --period, how long each treatment lasted: 1h")
    number, unit = span[:-1], span[-1:]
    if not number.isdigit() or int(number) < 1 or unit not in UNITS:
        raise UsageError(f'--period: "{span}" is no span; write 30m, 1h or 1d')
    return int(number) * UNITS[unit]


def _refuse_odd(arguments: argparse.Namespace, metrics: Sequence[Metric]) -> None:
    if arguments.connection is not None:
        raise UsageError("--switchback reads a data file, not a --connection")
    if arguments.format == "html":
        raise UsageError("--switchback is shown as text, md or json")
    if arguments.switch_every < 1:
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
