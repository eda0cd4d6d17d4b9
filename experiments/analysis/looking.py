"""What may be seen when: nothing before a single look is due, and looks as they were planned.

A fixed-sample p-value that is read every morning until it is small is wrong most of the time it is
right. So `fixed` and `bayesian` show no effect before their end, and `group_sequential` shows the
data as they stood at its last planned look; `sequential` may be seen at any time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil

from experiments.analysis.collected import Arms, Collected
from experiments.analysis.plan import ExperimentPlan
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates


@dataclass(frozen=True)
class Seen:
    """The sums that may be shown.

    Attributes:
        arms: As of the last look that is due.
        earlier: As of the looks before it, for evidence that remembers.
        fractions: Of the planned sample at each look, where the sums do not tell.
        awaited: When numbers come; "" if they may be shown.
    """

    arms: Arms
    earlier: tuple[Arms, ...] = ()
    fractions: tuple[float, ...] = ()
    awaited: str = ""
    note: str = ""


def seen(plan: ExperimentPlan, arms: Arms, collected: Collected) -> Seen:
    """What of the sums may be looked at now."""
    if plan.method == "group_sequential":
        return _planned_looks(plan, arms, collected)
    if plan.method in ("fixed", "bayesian"):
        return Seen(arms, awaited=_end_awaited(plan, arms, collected))
    return Seen(arms)


def days_left(plan: ExperimentPlan, n: int, collected: Collected) -> float | None:
    """Days until the planned end, or else the planned sample; None if neither can be told."""
    if plan.ends_at is not None and collected.as_of is not None:
        return max((plan.ends_at - collected.as_of).total_seconds() / 86_400, 0.0)
    if plan.planned_sample is None or collected.is_open_ended:
        return None
    missing = plan.planned_sample - n
    if missing <= 0:
        return 0.0
    return missing / collected.units_per_day if collected.units_per_day else None


def _end_awaited(plan: ExperimentPlan, arms: Arms, collected: Collected) -> str:
    if collected.is_at_end:
        return ""
    n = sum(part.n for part in arms.values())
    once = f"the {plan.method} method is read once"
    if plan.ends_at is not None and collected.as_of is not None:
        comes = plan.ends_at + collected.window
        if collected.as_of >= comes:
            return ""
        after = ", once the last units' windows have closed" if collected.window else ""
        left = ceil((comes - collected.as_of).total_seconds() / 86_400)
        return f"{once}: numbers come on {_on(comes)}{after}, in {left} day{'s'[: left != 1]}"
    if plan.planned_sample is not None and n < plan.planned_sample:
        left_days = days_left(plan, n, collected)
        when = "" if left_days is None else f", in about {ceil(left_days)} days"
        wanted = f"{plan.planned_sample:,} {collected.counted}"
        return f"{once}: numbers come at {wanted}, there are {n:,}{when}"
    return ""


def _planned_looks(plan: ExperimentPlan, arms: Arms, collected: Collected) -> Seen:
    """The sums as of each planned look that is reached; without days, only as they are now."""
    assert plan.planned_sample is not None
    total = sum(part.n for part in arms.values())
    reached = [share for share in plan.looks if total >= share * plan.planned_sample]
    if not reached:
        first = ceil(plan.looks[0] * plan.planned_sample)
        return Seen(
            arms, awaited=f"the first look is due at {first:,} units; there are {total:,} so far"
        )
    if not collected.days:
        # How the earlier looks stood is not known, but what they cost is.
        note = f"read as look {len(reached)} of {len(plan.looks)}; the earlier ones were paid for"
        before = tuple(arms for _ in reached[1:])
        return Seen(arms, before, fractions=tuple(reached), note=note)
    looks = _as_of_looks([share * plan.planned_sample for share in reached], collected)
    note = (
        f"Look {len(reached)} of {len(plan.looks)}: what came after it is not read before the next"
        if len(reached) < len(plan.looks)
        else f"The last of {len(plan.looks)} looks."
    )
    return Seen(looks[-1], tuple(looks[:-1]), note=note)


def _as_of_looks(wanted: Sequence[float], collected: Collected) -> list[Arms]:
    """Cumulative sums at the end of the first day on which each number of units was there."""
    looks: list[Arms] = []
    left = list(wanted)
    for arms in cumulative(collected.days).values():
        n = sum(part.n for part in arms.values())
        if left and n >= left[0]:
            # A day that passes two looks is one look: the later one.
            while left and n >= left[0]:
                left.pop(0)
            looks.append(arms)
    return looks


def between_looks(plan: ExperimentPlan, metric: Metric, collected: Collected) -> tuple[str, ...]:
    """What to say of sums that are there once only: as of now, where the look was before."""
    if plan.method != "group_sequential" or not collected.days:
        return ()
    if metric.kind != "quantile" and not collected.clusters and not collected.strata:
        return ()
    return ("read as of now, not as of its planned look: valid only if read at the looks alone",)


def cumulative(days: Mapping[str, Arms]) -> dict[str, Arms]:
    """Per day, the sums of all units that were countable by its end."""
    until: dict[str, Arms] = {}
    so_far: dict[str, Aggregates] = {}
    for day, arms in days.items():
        for name, part in arms.items():
            so_far[name] = so_far[name].merge(part) if name in so_far else part
        until[day] = dict(so_far)
    return until


def _on(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
