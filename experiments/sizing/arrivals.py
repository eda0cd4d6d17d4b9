"""When the units come: from a past of daily counts to a duration in whole weeks.

A test lasts whole weeks, so that every weekday weighs the same, and is read once the last unit's
window has closed. Units may come at once (those who qualify already), at a steady rate with a
weekly rhythm, and at a rate that falls from week to week as the pool empties: people are new only
once, and a history that is read from its beginning shows everyone's first time there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, exp, log, sqrt

from experiments.distributions import normal_tail
from experiments.errors import DataError, PlanError

WEEKS_USED_MAX = 8
"""Older weeks say less about the next ones."""
WEEKS_PLANNED_MAX = 104
FALL_ALPHA = 0.05
"""How sure a fall must be before it is planned with."""


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """New units over the days of an experiment.

    Attributes:
        at_once: Units that qualify on the first day.
        per_day: Units on each of the seven days of the first week, the first day first.
        keeps_share: Each week's arrivals as a share of the week before's; 1 is steady.
    """

    at_once: float = 0.0
    per_day: tuple[float, ...] = (0.0,) * 7
    keeps_share: float = 1.0

    def __post_init__(self) -> None:
        if len(self.per_day) != 7 or min(self.per_day) < 0 or self.at_once < 0:
            raise PlanError("arrivals are seven daily numbers and a start, none of them below 0")
        if not 0 < self.keeps_share <= 1:
            raise PlanError(
                f"each week keeps {self.keeps_share:g} of the one before; it must be in (0, 1]"
            )

    @classmethod
    def steady(cls, units_per_day: float) -> "Arrivals":
        """As many every day."""
        return cls(per_day=(units_per_day,) * 7)

    @property
    def per_week(self) -> float:
        """Units of the first week, without those at once."""
        return sum(self.per_day)

    @property
    def in_all(self) -> float | None:
        """Units that will ever come; None if they never end."""
        if self.keeps_share == 1 and self.per_week:
            return None
        return self.at_once + (self.per_week / (1 - self.keeps_share) if self.per_week else 0.0)

    def by(self, days: float) -> float:
        """Units that have come after so many days."""
        if days <= 0:
            return 0.0
        weeks, rest = divmod(days, 7)
        keeps = float(self.keeps_share)
        whole = weeks if keeps == 1 else (1 - float(keeps**weeks)) / (1 - keeps)
        full_days = int(rest)
        started = sum(self.per_day[:full_days])
        if full_days < 7:
            started += self.per_day[full_days] * (rest - full_days)
        return self.at_once + self.per_week * whole + started * float(keeps**weeks)


def arrivals_from(daily: Sequence[float], *, at_once: float = 0.0) -> Arrivals:
    """What the past's new units per day, oldest first, say of the days to come.

    Whole weeks only, the last eight at most. A fall from week to week is planned with if it is
    clear (log-linear fit of the weekly counts, variance proportional to the mean); a rise never is.
    Raises:
        DataError: If the past holds no whole week, or a count below 0.
    """
    if min(daily, default=0) < 0:
        raise DataError("a day with fewer than 0 new units is impossible")
    n_weeks = min(len(daily) // 7, WEEKS_USED_MAX)
    if n_weeks < 1:
        raise DataError(f"{len(daily)} days are not a whole week; a week is the least to plan by")
    recent = list(daily)[len(daily) - 7 * n_weeks :]
    weekly = [float(sum(recent[7 * i : 7 * i + 7])) for i in range(n_weeks)]
    keeps = _keeps(weekly)
    rhythm = [sum(recent[day::7]) for day in range(7)]
    total = sum(rhythm)
    if keeps == 1:
        next_week = total / n_weeks
    else:
        # Through the middle of the past, carried on by the fall to the week that comes next.
        level = total / sum(keeps**i for i in range(n_weeks))
        next_week = level * keeps**n_weeks
    share = [part / total for part in rhythm] if total else [0.0] * 7
    return Arrivals(
        at_once=at_once, per_day=tuple(next_week * it for it in share), keeps_share=keeps
    )


@dataclass(frozen=True)
class Duration:
    """How long a test takes.

    Attributes:
        enrolling_days: Whole weeks in which units come in.
        window_days: How long the last one is watched.
        n: Units by then, all mature on the last day.
    """

    enrolling_days: int
    window_days: int
    n: int

    @property
    def days(self) -> int:
        """From the start to the day on which it is read."""
        return self.enrolling_days + self.window_days


def duration(n: int, *, arrivals: Arrivals, window_days: float = 0.0) -> Duration:
    """Whole weeks until n units have come, and the wait for the last one's window.

    Raises:
        PlanError: If they never come, or only after two years.
    """
    in_all = arrivals.in_all
    if in_all is not None and in_all < n:
        raise PlanError(
            f"only {in_all:,.0f} units will ever come, {n:,} are needed; widen the audience or "
            "look for a larger lift"
        )
    for weeks in range(1, WEEKS_PLANNED_MAX + 1):
        found = arrivals.by(7 * weeks)
        # A hair's breadth of a unit is rounding, not a reason for another week.
        if found >= n - 1e-6:
            return Duration(7 * weeks, ceil(window_days), int(found + 1e-6))
    raise PlanError(
        f"{n:,} units take more than {WEEKS_PLANNED_MAX} weeks to come; widen the audience or look "
        "for a larger lift"
    )


@dataclass(frozen=True)
class CurvePoint:
    """What could be seen on one day: mature units, and the smallest lift they find."""

    day: int
    n: int
    smallest_lift: float | None


def detectable_by_day(
    smallest_lift: Callable[[int], float],
    *,
    arrivals: Arrivals,
    window_days: float = 0.0,
    weeks: int = 8,
) -> tuple[CurvePoint, ...]:
    """The MDE at the end of each week, units counted once their window has closed.

    Args:
        smallest_lift: n -> MDE, such as `partial(minimum_detectable_lift, outcome, …)`; where it
            refuses (too few units) the point has none.
    """
    points = []
    for day in range(7, 7 * weeks + 1, 7):
        n = int(arrivals.by(day - window_days) + 1e-6)
        try:
            lift = smallest_lift(n) if n >= 2 else None
        except PlanError:
            lift = None
        points.append(CurvePoint(day, n, lift))
    return tuple(points)


def _keeps(weekly: Sequence[float]) -> float:
    """Week over week share, 1 unless the counts clearly fall: a quasi-Poisson line in logs."""
    if len(weekly) < 3 or min(weekly) <= 0:
        return 1.0
    n = len(weekly)
    times = [i - (n - 1) / 2 for i in range(n)]
    level, slope = log(sum(weekly) / n), 0.0
    for _ in range(50):
        means = [exp(level + slope * t) for t in times]
        total = sum(means)
        centre = sum(m * t for m, t in zip(means, times, strict=True)) / total
        information = sum(m * (t - centre) ** 2 for m, t in zip(means, times, strict=True))
        pull = sum((y - m) * (t - centre) for y, m, t in zip(weekly, means, times, strict=True))
        step = pull / information
        slope += step
        level = log(sum(weekly) / sum(exp(slope * t) for t in times))
        if abs(step) < 1e-12:
            break
    spread = sum((y - m) ** 2 / m for y, m in zip(weekly, means, strict=True)) / (n - 2)
    error = sqrt(max(spread, 1.0) / information)
    is_clear = slope < 0 and normal_tail(-slope / error) <= FALL_ALPHA
    return exp(slope) if is_clear else 1.0
