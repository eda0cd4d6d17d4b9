"""`antiphon analyze --switchback` of a planned experiment: its schedule, its hash, its report."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path

from engine.core.clocktime import iso
from engine.core.errors import UsageError
from experiments.analysis.plan import ExperimentPlan, digest, frozen
from experiments.analysis.readout import Readout
from experiments.metrics import Metric

TREATED = "treated"
"""Name of the variant until a file tells its own."""


def run_design(
    arguments: argparse.Namespace,
    metrics: Sequence[Metric],
    *,
    seconds: int,
    show: Callable[[Readout, argparse.Namespace], None],
) -> int:
    """Print the schedule, freeze the plan, or read the file by it."""
    from engine.readout.switchback_readout import read_switchback

    if arguments.method != "fixed":
        raise UsageError(
            f"--method {arguments.method}: a switchback is read once, at its end, by the fixed"
            " method: periods come one by one, and each look would be one of its own coins"
        )
    plan = _plan(arguments, metrics, seconds=seconds)
    if arguments.schedule:
        sys.stdout.write(_schedule(plan))
    if arguments.freeze is not None:
        _freeze(arguments.freeze, plan)
    if arguments.schedule or arguments.freeze is not None:
        return 0
    kept = None if arguments.frozen is None else _kept(arguments.frozen)
    readout = read_switchback(
        arguments.data, plan, kept=kept, time=arguments.switchback, region=arguments.region,
        variant=arguments.variant,
    )  # fmt: skip
    show(readout, arguments)
    return 0


def _plan(
    arguments: argparse.Namespace, metrics: Sequence[Metric], *, seconds: int
) -> ExperimentPlan:
    design: dict[str, str | int] = {
        "period in seconds": seconds, "coin every": arguments.switch_every,
        "carry-over": arguments.carryover,
    }  # fmt: skip
    regions = _regions(arguments.regions)
    if regions:
        design["regions"] = ", ".join(regions)
    if arguments.periods is not None:
        if arguments.periods < 2:
            raise UsageError(f"--periods {arguments.periods}: at least 2 are needed")
        design["periods"] = arguments.periods
    if arguments.seed:
        design["seed"] = arguments.seed
    if arguments.starts_at:
        design["first period"] = _moment(arguments.starts_at, seconds=seconds)
    for name, level in _levels(arguments.level, metrics).items():
        design[f"level of {name}"] = level
    coins = None
    if arguments.periods is not None:
        coins = -(-arguments.periods // arguments.switch_every) * max(len(regions), 1)
    return ExperimentPlan(
        name=arguments.data.name.split(".")[0],
        control=arguments.control,
        weights={arguments.control: 1, TREATED: 1},
        metrics=[replace(it, covariates=()) for it in metrics],
        method="fixed",
        alpha=arguments.alpha,
        correction=arguments.correction,
        planned_sample=coins,
        smallest_lift=arguments.smallest_lift,
        design=design,
    )


def _regions(given: str | None) -> tuple[str, ...]:
    if given is None:
        return ()
    found = tuple(part.strip() for part in given.split(","))
    if not all(found) or len(set(found)) < len(found):
        raise UsageError(f'--regions: "{given}" is not NAME,NAME,…, each of them once')
    return found


def _levels(given: Sequence[str], metrics: Sequence[Metric]) -> dict[str, str]:
    """Metric -> a number, as it was written."""
    found: dict[str, str] = {}
    for text in given:
        name, _, number = (part.strip() for part in text.partition("="))
        try:
            is_number = isfinite(float(number))
        except ValueError:
            is_number = False
        if name not in [it.name for it in metrics] or not is_number:
            raise UsageError(f'--level: "{text}" is not METRIC=NUMBER, of a metric that is read')
        found[name] = number
    return found


def _moment(given: str, *, seconds: int) -> str:
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        raise UsageError(f"--starts-at {given}: write a time such as 2026-03-01T06:00Z") from None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    whole = int(at.timestamp())
    if whole % seconds:
        raise UsageError(
            f"--starts-at {given}: periods begin at whole multiples of --period since 1970, which"
            " this is not"
        )
    return iso(whole * 1_000_000)


def _schedule(plan: ExperimentPlan) -> str:
    from experiments.estimation.switchback_regions import schedule

    design = plan.design
    if "seed" not in design or "periods" not in design:
        raise UsageError("--schedule needs --seed, which decides, and --periods, how many")
    n, every = int(design["periods"]), int(design["coin every"])
    regions = str(design.get("regions", "")).split(", ")
    found = schedule(
        str(design["seed"]), regions=regions, n_periods=n, starts=tuple(range(0, n, every))
    )
    lines = ["region,period,treated"]
    lines += [f"{name},{at},{one}" for name, row in found.items() for at, one in enumerate(row)]
    return "\n".join(lines) + "\n"


def _freeze(path: Path, plan: ExperimentPlan) -> None:
    text = frozen(plan)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from error
    print(f"{path}: frozen, sha256 {digest(text)}", file=sys.stderr)


def _kept(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as a frozen plan") from error
