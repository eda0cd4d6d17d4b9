"""What to report once a group sequential experiment has stopped.

Stopping early favours lucky estimates. Ordering outcomes by the look at which they stopped, earlier
crossings first, gives a p-value for every possible effect, and from it an estimate that is too high
as often as too low, with its interval.
Source: Jennison, Turnbull, Group Sequential Methods (2000), chapter 8 (stage-wise ordering).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

from experiments.errors import DataError
from experiments.estimation.estimates import Estimates
from experiments.evidence.boundaries import Continuing
from experiments.evidence.compare import Interval, normal_score, z_score
from experiments.evidence.group_sequential import (
    GroupSequentialPlan,
    critical_values,
    first_crossing,
    informative,
)


@dataclass(frozen=True)
class FinalEstimate:
    """What to report after stopping: stopping early favours extreme estimates, this undoes it.

    Attributes:
        effect: Median-unbiased treatment - control with its interval.
        pvalue: Two-sided; an earlier crossing counts as more extreme (stage-wise ordering).
        stopped_at: The look, from 1.
    """

    effect: Interval
    pvalue: float
    stopped_at: int


def final_estimate(
    looks: Sequence[Estimates],
    *,
    plan: GroupSequentialPlan,
    fractions: Sequence[float],
    is_final: bool = True,
) -> FinalEstimate:
    """The estimate to report once the experiment has stopped: at its first crossing, or now.

    Raises:
        DataError: If nothing varies at the look where it stopped.
    """
    if not looks or len(looks) != len(fractions):
        raise DataError(f"{len(looks)} looks and {len(fractions)} information fractions")
    criticals = critical_values(fractions, plan, plan.alpha, is_final)
    stage = first_crossing([normal_score(look) for look in looks], criticals) or len(looks)
    look = looks[stage - 1]
    z = normal_score(look)
    if z is None or fractions[stage - 1] <= 0:
        raise DataError(f"look {stage}, where the experiment stopped, has no variance to judge by")
    earlier = informative(fractions[:stage])
    if stage - 1 not in earlier:
        raise DataError(f"look {stage} holds no more information than the one before it")
    information = [fractions[place] for place in earlier]
    bounds = [criticals[place] for place in earlier[:-1]]

    def beyond(drift: float) -> float:
        """The chance of an outcome at least as much in favour of the treatment."""
        inside = Continuing(drift=drift)
        chance = 0.0
        for now, bound in zip(information, bounds, strict=False):
            chance += inside.above(bound, information=now)
            inside.proceed(-bound, bound, information=now)
        return chance + inside.above(z, information=information[-1])

    # At information t the statistic's mean is drift * sqrt(t): this is the effect per unit drift.
    root = sqrt(information[-1])
    # Where units are few, t is longer than the deviate that is as rare: so is a standard error.
    plain = z_score(look)
    stretch = plain / z if plain and z else 1.0
    unit = sqrt(look.difference_variance) * stretch * root
    centre = z / root
    lower, middle, upper = (
        _drift_where(beyond, share, centre, root) * unit
        for share in (plan.alpha / 2, 0.5, 1 - plan.alpha / 2)
    )
    above = beyond(0.0)
    return FinalEstimate(Interval(middle, lower, upper), min(1.0, 2 * min(above, 1 - above)), stage)


def _drift_where(
    beyond: Callable[[float], float], share: float, centre: float, root: float
) -> float:
    from scipy import optimize

    reach = 3 / root
    while beyond(centre - reach) > share:
        reach *= 2
    low = centre - reach
    reach = 3 / root
    while beyond(centre + reach) < share:
        reach *= 2
    return float(optimize.brentq(lambda drift: beyond(drift) - share, low, centre + reach))
