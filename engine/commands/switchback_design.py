"""`antiphon analyze --switchback` of a planned experiment: its schedule, its hash, its report."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any, Final

from engine.core.clocktime import iso
from engine.core.errors import UsageError
from experiments.analysis.plan import (
    ExperimentPlan,
    canonical,
    canonical_json,
    differences,
    digest,
    frozen,
    held_to,
)
from experiments.analysis.readout import Readout
from experiments.metrics import Metric

TREATED = "treated"
"""Name of the variant until a file tells its own."""
ALPHA: Final = 0.05
CORRECTION: Final = "holm"
"""What the command says where nobody said anything: no difference from a frozen plan."""


def run_design(
    arguments: argparse.Namespace,
    metrics: Sequence[Metric],
    *,
    seconds: int | None,
    show: Callable[[Readout, argparse.Namespace], None],
) -> int:
    """Print the schedule, freeze the plan, or read the file by it.

    Args:
        seconds: A period's; None where only the frozen plan says it.
    """
    from engine.readout.switchback_readout import read_switchback

    if arguments.method != "fixed":
        raise UsageError(
            f"--method {arguments.method}: a switchback is read once, at its end, by the fixed"
            " method: periods come one by one, and each look would be one of its own coins"
        )
    if arguments.freeze is not None and arguments.frozen is not None:
        raise UsageError("--freeze writes a plan and --frozen reads one; say one of them")
    kept = None if arguments.frozen is None else _kept(arguments.frozen)
    plan = _plan(arguments, metrics, seconds=seconds, kept=json.loads(kept) if kept else {})
    if arguments.schedule:
        if kept is not None:
            _refuse_conflict(arguments.frozen, json.loads(kept), plan)
            plan, _ = held_to(kept, plan)
        sys.stdout.write(_schedule(plan))
    if arguments.freeze is not None:
        _freeze(arguments.freeze, plan)
    if arguments.schedule or arguments.freeze is not None:
        return 0
    readout = read_switchback(
        arguments.data, plan, kept=kept, time=arguments.switchback, region=arguments.region,
        variant=arguments.variant,
    )  # fmt: skip
    show(readout, arguments)
    return 0


def _plan(
    arguments: argparse.Namespace,
    metrics: Sequence[Metric],
    *,
    seconds: int | None,
    kept: Mapping[str, Any],
) -> ExperimentPlan:
    """What the command says; where it says nothing, what was frozen."""
    design: dict[str, str | int] = {"coin every": 1, "carry-over": 0, **kept.get("design", {})}
    for name, said in (
        ("period in seconds", seconds),
        ("coin every", arguments.switch_every),
        ("carry-over", arguments.carryover),
    ):
        if said is not None:
            design[name] = said
    if arguments.regions is not None:
        design["regions"] = ", ".join(_regions(arguments.regions))
    if arguments.periods is not None:
        if arguments.periods < 2:
            raise UsageError(f"--periods {arguments.periods}: at least 2 are needed")
        design["periods"] = arguments.periods
    if arguments.seed:
        design["seed"] = arguments.seed
    if arguments.starts_at:
        period = int(design["period in seconds"])
        design["first period"] = _moment(arguments.starts_at, seconds=period)
    for name, level in _levels(arguments.level, metrics).items():
        design[f"level of {name}"] = level
    coins = None
    if "periods" in design:
        n_regions = len(str(design.get("regions", "")).split(", "))
        coins = -(-int(design["periods"]) // int(design["coin every"])) * n_regions
    return ExperimentPlan(
        name=kept.get("name") or arguments.data.name.split(".")[0],
        control=arguments.control,
        weights={arguments.control: 1, TREATED: 1},
        metrics=[replace(it, covariates=()) for it in metrics],
        method="fixed",
        alpha=_said(arguments.alpha, ALPHA, kept.get("alpha", ALPHA)),
        correction=_said(arguments.correction, CORRECTION, kept.get("correction", CORRECTION)),
        planned_sample=coins,
        smallest_lift=_said(arguments.smallest_lift, None, kept.get("smallest_lift")),
        design=design,
    )


def _said(said: Any, unsaid: Any, planned: Any) -> Any:
    return planned if said == unsaid else said


def _regions(given: str) -> tuple[str, ...]:
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


def _refuse_conflict(path: Path, kept: Mapping[str, Any], plan: ExperimentPlan) -> None:
    """A schedule is played: who says another one than was frozen must not be given either."""
    parts = ("design", "alpha", "planned_sample")
    for it in differences(
        {part: kept.get(part) for part in parts},
        {part: canonical(plan).get(part) for part in parts},
    ):
        what = it.what.removeprefix("design ")
        raise UsageError(
            f"{path} was frozen with {what} {it.frozen}, and the command says {it.now}; leave that"
            " out, or leave out --frozen"
        )


def _freeze(path: Path, plan: ExperimentPlan) -> None:
    """Write the plan beside its hash, which a later edit does not keep true."""
    sha = digest(frozen(plan))
    text = json.dumps({"sha256": sha, "plan": canonical(plan)}, indent=2, sort_keys=True) + "\n"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError(
            f"{path} is there already, and a frozen plan is never overwritten; give another name"
        ) from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from error
    print(f"{path}: frozen, sha256 {sha}", file=sys.stderr)


def _kept(path: Path) -> str:
    """The canonical plan of a file that is as it was frozen."""
    from engine.readout.switchback_readout import is_design

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as a frozen plan") from error
    except (ValueError, RecursionError):
        found = None
    content = found.get("plan") if isinstance(found, dict) else None
    if not isinstance(content, dict) or not is_design(content):
        raise UsageError(f"{path}: the file is no frozen plan of a switchback; --freeze writes it")
    text = canonical_json(content)
    if found.get("sha256") != digest(text):
        raise UsageError(
            f"{path} was edited since it was frozen: its sha256 says"
            f" {str(found.get('sha256'))[:64]}, its plan has {digest(text)}. Put it back, or freeze"
            " another plan under another name"
        )
    return text
