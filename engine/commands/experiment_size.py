"""`antiphon experiment size`: what a test would need, by the shop's own past."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from campaigns.problems import advice
from engine.core.errors import UsageError

if TYPE_CHECKING:
    from engine.readout.sizing import Sizing
    from experiments.sizing.power import Design

METHODS: Final = ("fixed", "sequential", "group_sequential")
SEED: Final = 1
"""Of the simulation: the same question gets the same answer."""


def add_size(actions: Any) -> None:
    """Declare the command line."""
    sized = actions.add_parser("size", help="sample size, smallest visible lift, days")
    sized.add_argument("directory", nargs="?", type=Path, default=Path(), metavar="DIR")
    sized.add_argument("--metric", required=True, metavar="NAME", help="what is to be improved")
    who = sized.add_mutually_exclusive_group(required=True)
    who.add_argument("--segment", metavar="NAME", help="who enters it")
    who.add_argument("--campaign", metavar="NAME", help="who enters it")
    sized.add_argument("--lift", metavar="SHARE", help="a lift to find, as 10%% or 0.1")
    sized.add_argument(
        "--margin", metavar="SHARE", help="a loss to rule out, as 2%%: the test is then one-sided"
    )
    sized.add_argument("--units", type=int, metavar="N", help="in both variants; default: the past")
    sized.add_argument("--power", type=float, default=0.8, help="default 0.8")
    sized.add_argument("--alpha", type=float, default=0.05, help="default 0.05")
    sized.add_argument("--share", type=float, default=0.5, help="of the control; default 0.5")
    sized.add_argument("--comparisons", type=int, default=1, help="variants that share alpha")
    sized.add_argument(
        "--sharing", choices=("bonferroni", "dunnett"), default="bonferroni",
        help="how; dunnett knows that all share one control (default bonferroni)",
    )  # fmt: skip
    sized.add_argument(
        "--method", choices=METHODS, default="sequential",
        help="fixed: read once, at the end; group_sequential: at --looks; sequential (default): "
        "at any time",
    )  # fmt: skip
    sized.add_argument("--looks", type=int, metavar="N", help="evenly spaced; default 4")
    sized.add_argument(
        "--spending", choices=("obrien_fleming", "pocock"), default="obrien_fleming",
        help="of alpha over the looks; default obrien_fleming",
    )  # fmt: skip
    sized.add_argument(
        "--design-effect", type=float, default=1.0, metavar="FACTOR",
        help="what clusters multiply the variance by; default 1",
    )  # fmt: skip
    sized.add_argument(
        "--simulate", action="store_true",
        help="resample the past even where nothing speaks against the formula",
    )  # fmt: skip
    sized.add_argument("--as-of", metavar="TIME", help="by the past up to then; default now")
    sized.add_argument("--json", action="store_true", help="print one JSON object")


def run_size(arguments: argparse.Namespace) -> int:
    """Print the answer."""
    import numpy as np

    from campaigns.metrics import compile_metrics
    from engine.core.model.instants import DAY
    from engine.opened import instant, opened
    from engine.readout.past import past_from, past_units
    from engine.readout.sizing import simulated, size
    from engine.steady import present

    as_of = instant(arguments.as_of, default=present())
    lift, margin = (
        None if text is None else _share(text, flag)
        for text, flag in ((arguments.lift, "--lift"), (arguments.margin, "--margin"))
    )
    design = _design(arguments)  # before anything is read: what was asked may not make sense
    with opened(arguments.directory, read_only=True) as it:
        playbook = it.playbook()
        metrics = compile_metrics(playbook.workspace)
        _require(arguments.metric, metrics, "metric")
        if arguments.segment is not None:
            _require(arguments.segment, playbook.program.segments, "segment")
        else:
            _require(arguments.campaign, playbook.program.campaigns, "campaign")
        definition = metrics[arguments.metric]
        with it.database.read() as connection:
            units = past_units(
                connection, segment=arguments.segment, campaign=arguments.campaign, before=as_of
            )
            past = past_from(connection, definition, units, as_of=as_of)
    design = replace(design, variance_reduction=past.explained_share)
    answer = size(
        past,
        design=design,
        units=arguments.units,
        lift=lift,
        margin=margin,
        better=definition.better,
        window_days=(definition.within or 0) / DAY,
    )
    if margin is None:
        rng = np.random.default_rng(SEED)
        answer = simulated(answer, design=design, lift=lift, rng=rng, always=arguments.simulate)
    if arguments.json:
        print(json.dumps(size_json(answer), allow_nan=False))
    else:
        print("\n".join(size_lines(answer, power=arguments.power, margin=margin)))
    return 0


def size_json(answer: "Sizing") -> dict[str, Any]:
    """The object of `experiment size --json`."""
    needed, long, found = answer.needed, answer.duration, answer.simulated
    return {
        "past": {
            "units": answer.past.n,
            "mean": answer.past.mean,
            "variance": answer.past.variance,
            "explained_share": answer.past.explained_share,
            "units_per_day": answer.past.units_per_day,
            "units_next_week": answer.past.arrivals.per_week,
            "weekly_share_kept": answer.past.arrivals.keeps_share,
        },
        "units": answer.units,
        "smallest_lift": answer.smallest_lift,
        "needed": needed and {"control": needed.control, "treatment": needed.treatment},
        "days": answer.days,
        "duration": None
        if long is None
        else {
            "enrolling_days": long.enrolling_days,
            "window_days": long.window_days,
            "units": long.n,
        },
        "why_never": answer.why_never or None,
        "power_at_lift": answer.power_at_lift,
        "curve": [
            {"day": it.day, "units": it.n, "smallest_lift": it.smallest_lift} for it in answer.curve
        ],
        "doubts": list(answer.doubts.reasons) if answer.doubts else [],
        "simulated": None
        if found is None or answer.simulated_size is None
        else {
            "units": answer.simulated_size.total,
            "lift": answer.simulated_lift,
            "power": found.power,
            "std_error": found.std_error,
            "false_alarm_share": found.false_alarm_share,
            "runs": found.runs,
        },
    }


def size_lines(answer: "Sizing", *, power: float, margin: float | None) -> list[str]:
    """The answer in words."""
    past = answer.past
    wanted = "the wished lift" if margin is None else f'"not worse by more than {margin:.1%}"'
    found = (
        f"find a lift of {answer.smallest_lift:.1%} or more"
        if margin is None
        else f"rule out a loss of {answer.smallest_lift:.1%} or more"
    )
    lines = [
        f"the past: {past.n:,} units, {past.units_per_day:.1f} a day, mean {past.mean:.4g}, "
        f"standard deviation {past.variance**0.5:.4g}, covariate explains "
        f"{past.explained_share:.0%}",
        f"{answer.units:,} units {found} with a power of {power:.0%}",
    ]
    if answer.needed is not None:
        when = (
            f"never: {answer.why_never}"
            if answer.duration is None
            else f"{answer.duration.days:,} days ({answer.duration.enrolling_days:,} for them to "
            f"come, {answer.duration.window_days:,} for the last one's window)"
        )
        lines.append(
            f"{wanted} needs {answer.needed.total:,} units ({answer.needed.control:,} in the "
            f"control), {when}; {answer.units:,} units find it with a power of "
            f"{answer.power_at_lift:.0%}"
        )
    seen = [it for it in answer.curve if it.smallest_lift is not None]
    if seen:
        points = ", ".join(f"day {it.day} {it.smallest_lift:.1%}" for it in seen)
        lines.append(f"smallest {'lift' if margin is None else 'margin'} by day: {points}")
    return lines + _doubt_lines(answer)


def _doubt_lines(answer: "Sizing") -> list[str]:
    lines = [
        f"the formula may flatter: {it}" for it in (answer.doubts.reasons if answer.doubts else ())
    ]
    found = answer.simulated
    if (
        found is not None
        and answer.simulated_size is not None
        and answer.simulated_lift is not None
    ):
        lines.append(
            f"simulated on the past: {answer.simulated_size.total:,} units find a lift of "
            f"{answer.simulated_lift:.1%} in {found.power:.0%} of {found.runs:,} runs, and one "
            f"that is not there in {found.false_alarm_share:.1%}"
        )
    if answer.why_not_simulated:
        lines.append(f"not simulated: {answer.why_not_simulated}")
    return lines


def _design(arguments: argparse.Namespace) -> "Design":
    from experiments.evidence.spending import Spending
    from experiments.sizing.power import Design

    is_grouped = arguments.method == "group_sequential"
    if arguments.looks is not None and not is_grouped:
        raise UsageError("--looks belongs to --method group_sequential; the others need none")
    n_looks = 4 if arguments.looks is None else arguments.looks
    if is_grouped and n_looks < 1:
        raise UsageError(f"--looks {n_looks}: at least 1")
    return Design(
        alpha=arguments.alpha,
        power=arguments.power,
        control_share=arguments.share,
        design_effect=arguments.design_effect,
        method=arguments.method,
        looks=tuple((i + 1) / n_looks for i in range(n_looks)) if is_grouped else (),
        spending=Spending(arguments.spending),
        comparisons=arguments.comparisons,
        sharing=arguments.sharing,
    )


def _require(name: str, known: Any, noun: str) -> None:
    if name not in known:
        hint = advice(name, known) or " There is none at all."
        raise UsageError(f'there is no {noun} "{name}".{hint}')


def _share(text: str, flag: str) -> float:
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        raise UsageError(f"{flag} {text}: write a share such as 10% or 0.1") from None
    return value / 100 if text.endswith("%") else value
