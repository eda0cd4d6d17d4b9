"""A file of a switchback by its frozen plan, as a readout with all its faces.

What a readout calls units are coins here: a coin decides about a span of periods, so the sample
ratio is of coins, and the planned sample is how many of them were to be thrown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.core.errors import UsageError
from engine.readout.collecting import engine_version
from engine.readout.datafile_periods import Periods, read_periods
from experiments.analysis.analyze import analyze
from experiments.analysis.collected import Collected, Estimated, hash_of
from experiments.analysis.plan import ExperimentPlan, held_to
from experiments.analysis.readout import Readout
from experiments.estimation.estimates import Estimates
from experiments.estimation.switchback_regions import (
    Region,
    Regions,
    is_treated,
    switchback_regions,
)
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates

SEED = 1
"""Of the assignments drawn anew: the same file gives the same report."""
FIELDS = ("period in seconds", "coin every", "carry-over")
OTHERWISE_MAX: Final = 0.05
"""Share of coins that may be played otherwise than drawn, and a verdict still be given.

The effect as assigned is then about (1 - 2 * share) of the effect as played: at most a tenth less,
which is little beside an interval. Beyond, it is no measure of what would be shipped.
"""


def read_switchback(
    path: Path,
    plan: ExperimentPlan,
    *,
    kept: str | None,
    time: str,
    region: str | None,
    variant: str,
) -> Readout:
    """Read a file by its plan.

    Args:
        plan: What the command says.
        kept: What was frozen, which decides where there is any.
        time, region, variant: Columns.
    Raises:
        UsageError: If the file or the frozen plan is none of a switchback.
    """
    settled, record = held_to(kept, plan)
    design = settled.design
    seconds, every, order = (int(design[name]) for name in FIELDS)
    first = design.get("first period")
    metrics = list(settled.metrics)
    found = read_periods(
        path, time=time, seconds=seconds, variant=variant, control=settled.control,
        metrics=metrics, region=region,
        first=None if first is None else int(datetime.fromisoformat(str(first)).timestamp()),
        n_max=None if "periods" not in design else int(design["periods"]),
    )  # fmt: skip
    _refuse_other_regions(path, design, found)
    n = len(next(iter(found.values())).treated)
    starts = tuple(range(0, n, every))
    played = {name: it.treated for name, it in found.items()}
    assigned, n_otherwise = _as_assigned(played, design, starts, n=n)
    treatment = settled.treatments[0]
    estimated: dict[tuple[str, str], Estimated] = {}
    rng = np.random.default_rng(SEED)
    for metric in metrics:
        level = _level(found, metric, planned=float(design.get(f"level of {metric.name}", 0.0)))
        read = switchback_regions(
            {name: Region([value - level for value in it.outcomes[metric.name]], assigned[name])
             for name, it in found.items()},
            starts=starts, order=order, alpha=settled.alpha, rng=rng,
        )  # fmt: skip
        estimated[metric.name, treatment] = Estimated(
            _at_level(read.estimates, level), "switchback", read.randomization_pvalue, _said(read)
        )
    coins = {
        name: _coins(found, assigned, metrics, starts, n, arm)
        for arm, name in enumerate((settled.control, treatment))
    }
    return analyze(
        settled,
        coins,
        notes=_notes(found, n, starts, n_otherwise),
        collected=Collected(
            estimated=estimated, record=record, snapshot=hash_of(coins),
            engine_version=engine_version(),
            counted="coins",
            withheld=_withheld(n_otherwise, len(starts) * len(found)),
        ),
    )  # fmt: skip


def _at_level(estimates: Estimates, level: float) -> Estimates:
    """Both means where they were; a number known beforehand adds no variance."""
    return replace(
        estimates, control=estimates.control + level, treatment=estimates.treatment + level
    )


def is_design(content: Mapping[str, Any]) -> bool:
    """Whether a frozen plan is one of a switchback."""
    design = content.get("design")
    return (
        isinstance(design, dict)
        and all(type(design.get(name)) is int for name in FIELDS)
        and bool(content.get("weights"))
        and isinstance(content.get("metrics"), dict)
        and "control" in content
    )


def _level(found: Mapping[str, Periods], metric: Metric, *, planned: float) -> float:
    """What is subtracted; of a metric that never varies all of it, or the coins alone would show.

    Whatever the coins say, such a metric's effect is 0.
    """
    values = {value for it in found.values() for value in it.outcomes[metric.name]}
    return values.pop() if len(values) == 1 else planned


def _withheld(n_otherwise: int, n_coins: int) -> str:
    if n_otherwise <= OTHERWISE_MAX * n_coins:
        return ""
    return (
        f"{n_otherwise:,} of {n_coins:,} coins were played otherwise than the seed says, more than"
        f" {OTHERWISE_MAX:.0%}; as assigned the numbers hold, but they are not the effect of what"
        " would be shipped".replace("%", " %")
    )


def _refuse_other_regions(
    path: Path, design: Mapping[str, str | int], found: Mapping[str, Periods]
) -> None:
    planned = str(design.get("regions", ""))
    if planned and sorted(planned.split(", ")) != sorted(found):
        raise UsageError(
            f"{path}: the plan is of the regions {planned}; the file holds"
            f" {', '.join(sorted(filter(None, found))) or 'no regions (say --region COLUMN)'}"
        )


def _as_assigned(
    played: Mapping[str, Sequence[int]],
    design: Mapping[str, str | int],
    starts: Sequence[int],
    *,
    n: int,
) -> tuple[Mapping[str, Sequence[int]], int]:
    """What each period was assigned to, and how many coins were played otherwise."""
    seed = design.get("seed")
    if seed is None:
        return played, 0
    found: dict[str, list[int]] = {}
    otherwise = 0
    for name, row in played.items():
        found[name] = []
        for start, end in zip(starts, (*starts[1:], n), strict=True):
            coin = int(is_treated(str(seed), name, start))
            otherwise += any(one != coin for one in row[start:end])
            found[name] += [coin] * (end - start)
    return found, otherwise


def _coins(
    found: Mapping[str, Periods],
    assigned: Mapping[str, Sequence[int]],
    metrics: Sequence[Metric],
    starts: Sequence[int],
    n: int,
    arm: int,
) -> Aggregates:
    """One row a coin: the mean of what its periods did."""
    columns: dict[str, list[float]] = {it.value_columns[0]: [] for it in metrics}
    for name, it in found.items():
        for start, end in zip(starts, (*starts[1:], n), strict=True):
            if assigned[name][start] != arm:
                continue
            for metric in metrics:
                values = it.outcomes[metric.name][start:end]
                columns[metric.value_columns[0]].append(sum(values) / len(values))
    return Aggregates.from_columns(columns)


def _said(read: Regions) -> tuple[str, ...]:
    said = [f"{read.n_washout:,} periods of washout are left out"] if read.n_washout else []
    return (*said, *read.cautions)


def _notes(
    found: Mapping[str, Periods], n: int, starts: Sequence[int], n_otherwise: int
) -> list[str]:
    n_coins = len(starts) * len(found)
    where = "" if len(found) == 1 else f" in each of {len(found):,} regions"
    rows = sum(sum(it.n_rows) for it in found.values())
    said = []
    if n_otherwise:
        said.append(
            f"{n_otherwise:,} of {n_coins:,} coins were played otherwise than the seed says; their"
            " periods count as assigned."
        )
    said.append(
        f"Time was randomized: {n:,} periods{where}, {rows:,} rows. Coins are counted, each of"
        " which decided about the periods up to the next."
    )
    late = {at for it in found.values() for at in it.late}
    n_late = sum(sum(it.late.values()) for it in found.values())
    if late:
        periods = "1 period" if len(late) == 1 else f"{len(late):,} periods"
        rows_late = "1 row" if n_late == 1 else f"{n_late:,} rows"
        said.append(f"{periods} came after the planned end and are not read: {rows_late}.")
    return said
