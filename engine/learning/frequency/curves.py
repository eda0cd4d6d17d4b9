"""What each dose is worth against the smallest, and the curve through them.

More messages never bring fewer conversions nor fewer unsubscribes on average, so both are fitted
as curves that only rise (isotonic); their difference may turn. A quadratic through the same means
tells where between two tested doses the best may lie: a hint for the next trial, nothing to act on.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from engine.learning.frequency.doses import Doses, Worth
from experiments.estimation.estimates import Estimates, satterthwaite
from experiments.evidence.compare import Interval, absolute_lift, welch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ALPHA: Final = 0.05


@dataclass(frozen=True)
class Point:
    """One dose.

    Attributes:
        n: People who drew it.
        outcome, unsubscribed, sends: Means per person.
        gain: Net worth per person above the smallest dose, with its interval; 0 of itself.
        fitted: Net worth above the smallest by the rising curves.
    """

    dose: int
    n: int
    outcome: float
    unsubscribed: float
    sends: float
    gain: Interval
    fitted: float


@dataclass(frozen=True)
class Curve:
    """Every dose, ascending; `peak` is where a quadratic has its top, None if at no inner dose."""

    points: tuple[Point, ...]
    peak: float | None

    def words(self) -> list[str]:
        """Each dose in a sentence."""
        first = self.points[0]
        found = [f"at most {first.dose}: {first.n:,} people, what the others are held against"]
        for it in self.points[1:]:
            low, high = it.gain.ci_lower, it.gain.ci_upper
            told = "" if low is None or high is None else f" ({low:+.4g} to {high:+.4g})"
            found.append(
                f"at most {it.dose}: {it.n:,} people, {it.gain.estimate or 0.0:+.4g} a person"
                f"{told}; {it.unsubscribed:.2%} unsubscribed"
            )
        return found


def curve(doses: Doses, worth: Worth, *, alpha: float = ALPHA) -> Curve:
    """The worth of each dose; intervals are of each against the smallest (Welch)."""
    import numpy as np

    levels, net = doses.levels, doses.net(worth)
    rows = [doses.dose == it for it in levels]
    outcome = np.array([doses.outcome[it].mean() for it in rows])
    gone = np.array([doses.unsubscribed[it].mean() for it in rows])
    sends = np.array([doses.sends[it].mean() for it in rows])
    n = np.array([float(it.sum()) for it in rows])
    fitted = (
        worth.outcome * rising(outcome, n)
        - worth.unsubscribe * rising(gone, n)
        - worth.send * rising(sends, n)
    )
    points = []
    for place, dose in enumerate(levels):
        gain = Interval(0.0, 0.0, 0.0)
        if place:
            compared = two_means(net[rows[0]], net[rows[place]])
            gain = absolute_lift(compared, critical=welch(compared, alpha=alpha).critical)
        points.append(
            Point(
                dose,
                int(n[place]),
                float(outcome[place]),
                float(gone[place]),
                float(sends[place]),
                gain,
                float(fitted[place] - fitted[0]),
            )
        )
    return Curve(tuple(points), _peak(levels, [float(net[it].mean()) for it in rows], n))


def rising(values: Any, weights: Any) -> "Floats":
    """The nearest curve that never falls: neighbours out of order are pooled (isotonic)."""
    import numpy as np

    pools: list[list[float]] = []  # [mean, weight, members]
    for value, weight in zip(values, weights, strict=True):
        pools.append([float(value), float(weight), 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, total, members = pools.pop()
            last = pools[-1]
            last[0] = (last[0] * last[1] + mean * total) / (last[1] + total)
            last[1] += total
            last[2] += members
    return np.repeat([it[0] for it in pools], [int(it[2]) for it in pools])


def two_means(control: Any, treatment: Any) -> Estimates:
    """Independent samples as estimates."""
    n_c, n_t = len(control), len(treatment)
    var_c, var_t = float(control.var(ddof=1)) / n_c, float(treatment.var(ddof=1)) / n_t
    return Estimates(
        control=float(control.mean()),
        treatment=float(treatment.mean()),
        control_variance=var_c,
        treatment_variance=var_t,
        covariance=0.0,
        difference_variance=var_c + var_t,
        n_control=n_c,
        n_treatment=n_t,
        degrees_of_freedom=satterthwaite([var_c, var_t], [n_c - 1, n_t - 1]),
    )


def _peak(levels: tuple[int, ...], means: list[float], n: "Floats") -> float | None:
    import numpy as np

    if len(levels) < 3:
        return None
    square, slope, _ = np.polyfit(levels, means, 2, w=np.sqrt(n))
    if square >= 0:
        return None
    top = float(-slope / (2 * square))
    return top if levels[0] < top < levels[-1] else None
