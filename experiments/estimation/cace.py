"""Complier average causal effect (CACE): the effect on units whom being assigned made receive.

Assignment is random, receiving is not: comparing those who received compares different people. The
effect of assignment over its effect on receiving is the effect on those who receive because of it,
if assignment changes nothing else (exclusion) and keeps nobody from receiving (monotonicity).
Sources: Imbens, Angrist (Econometrica 62, 1994); Fieller (JRSS B 16, 1954) for the interval.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

from experiments.errors import DataError
from experiments.estimation.cuped import adjusted, unadjusted
from experiments.estimation.estimates import Estimates
from experiments.estimation.proportions import successes
from experiments.estimation.ratio import weighted
from experiments.evidence.compare import Interval, relative_lift, welch
from experiments.sums.aggregates import Aggregates

WEAK_BELOW = 10.0
"""First-stage F under which a ratio of effects says little. Staiger, Stock (Econometrica 1997)."""


@dataclass(frozen=True)
class Complier:
    """The effect on compliers, in units of the outcome.

    Attributes:
        effect: With Fieller's interval, which excludes 0 exactly when that of assignment does.
        std_error: By the delta method, for display.
        pvalue: Of no effect: that of the effect of assignment.
        compliers_share: Units whom assignment made receive, of all.
        first_stage_f: How surely assignment changed receiving: (difference / its error) squared.
    """

    effect: Interval
    std_error: float
    pvalue: float | None
    compliers_share: float
    first_stage_f: float


def complier_effect(
    control: Aggregates,
    treatment: Aggregates,
    *,
    outcome: str,
    received: str,
    alpha: float,
    covariates: tuple[str, ...] = (),
) -> Complier:
    """Two-stage least squares with one binary instrument, from sums.

    Args:
        control, treatment: Of everybody assigned, received or not, with the pair (outcome,
            received) among their moments.
        outcome, received: Columns; `received` is 0 or 1 (delivered, opened, used).
        covariates: Measured before exposure; both stages are adjusted for them (Lin).
    Raises:
        DataError: If `received` is not 0 or 1, assignment hardly changed it, or made it rarer.
    """
    arms = (control, treatment)
    # Of a sum of columns the variance holds their covariance; scaled, so that it is not lost.
    scale = sqrt(max(part.variance(outcome) for part in arms)) or 1.0
    spread = sqrt(max(part.variance(received) for part in arms)) or 1.0

    def effect_on(weights: Mapping[str, float]) -> Estimates:
        parts = [
            weighted(
                part,
                weights,
                mean=sum(weight * part.mean(name) for name, weight in weights.items()),
                covariates=covariates,
            )
            for part in (*arms, control.merge(treatment))
        ]
        if not covariates:
            return unadjusted(parts[0], parts[1])
        return adjusted(parts[0], parts[1], total=parts[2], adjust="lin")

    for part in arms:
        if part.n < 2:
            raise DataError(f"{part.n} units are too few for a variance")
        successes(part, received)  # Refuses anything but zeros and ones.
    assigned = effect_on({outcome: 1.0})
    receiving = effect_on({received: 1.0})
    share = receiving.treatment - receiving.control
    strength = _strength(share, receiving.difference_variance)
    if share <= 0 or strength < WEAK_BELOW:
        raise DataError(
            f"assignment changed {received!r} by {share:.4g} (first-stage F = {strength:.1f}); at"
            f" least F = {WEAK_BELOW:g} upwards is needed before the effect on those who received"
            " can be told"
        )
    both = effect_on({outcome: 1 / scale, received: 1 / spread})
    shared = (
        both.difference_variance
        - assigned.difference_variance / scale**2
        - receiving.difference_variance / spread**2
    ) * (scale * spread / 2)
    value = (assigned.treatment - assigned.control) / share
    test = welch(assigned, alpha=alpha)
    # Fieller's interval of a ratio is that of the lift of one mean over another, plus 1.
    lift = relative_lift(_as_ratio(assigned, receiving, shared), critical=test.critical)
    variance = (
        assigned.difference_variance - 2 * value * shared + value**2 * receiving.difference_variance
    ) / share**2
    return Complier(
        effect=Interval(
            value,
            None if lift.ci_lower is None else lift.ci_lower + 1,
            None if lift.ci_upper is None else lift.ci_upper + 1,
        ),
        std_error=sqrt(max(variance, 0.0)),
        pvalue=test.pvalue,
        compliers_share=share,
        first_stage_f=strength,
    )


def _strength(share: float, variance: float) -> float:
    if variance == 0:
        return float("inf") if share else 0.0  # Everybody did as assigned, or nobody differs.
    return share * share / variance


def _as_ratio(top: Estimates, below: Estimates, shared: float) -> Estimates:
    """Two effects in the place of two means: Fieller's theorem does not mind what they are."""
    return Estimates(
        control=below.treatment - below.control,
        treatment=top.treatment - top.control,
        control_variance=below.difference_variance,
        treatment_variance=top.difference_variance,
        covariance=shared,
        difference_variance=top.difference_variance + below.difference_variance - 2 * shared,
        n_control=below.n_control,
        n_treatment=top.n_treatment,
        degrees_of_freedom=top.degrees_of_freedom,
    )
