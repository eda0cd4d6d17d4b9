"""A prior taken into two means: what is believed of both once the effect has a prior.

The control's mean keeps a flat prior, the difference gets a normal one. The joint posterior is
normal, so it is again two means with their variances and covariance, and every interval made of
them (Fieller's too) agrees with the posterior's own tail.

With D the observed difference of variance V, c the observed control mean, k = Cov(c, D) / V, prior
N(m, T) and w = T / (T + V): the difference is N(w D + (1 - w) m, w V), and the control follows it
by c + k (difference - D).
"""

from dataclasses import replace

from experiments.analysis.plan import PriorBelief
from experiments.estimation.estimates import Estimates


def believed(estimates: Estimates, prior: PriorBelief | None) -> Estimates:
    """The posterior's two means; the same estimates for a flat prior or where nothing varies.

    Args:
        prior: Of the relative lift; on the absolute scale it is a share of the control's mean.
    """
    variance = estimates.difference_variance
    if prior is None or variance <= 0 or estimates.control == 0:
        return estimates
    scale = abs(estimates.control)
    prior_variance = (prior.deviation * scale) ** 2
    weight = prior_variance / (prior_variance + variance)
    difference = estimates.treatment - estimates.control
    after = weight * difference + (1 - weight) * prior.mean * scale
    with_difference = estimates.covariance - estimates.control_variance
    follows = with_difference / variance
    control = estimates.control + follows * (after - difference)
    control_variance = estimates.control_variance - follows * with_difference * (1 - weight)
    joint = weight * with_difference
    return replace(
        estimates,
        control=control,
        treatment=control + after,
        control_variance=control_variance,
        treatment_variance=control_variance + 2 * joint + weight * variance,
        covariance=control_variance + joint,
        difference_variance=weight * variance,
    )
