"""How likely the treatment is better, under a flat prior: for reading, not for peeking.

With a flat prior the posterior of the difference is normal around the estimate, and P(better) is
one minus half the two-sided p-value: the same information in friendlier clothes, and just as
invalid if one stops at the first good-looking number.
"""

from dataclasses import dataclass
from math import sqrt

from experiments.distributions import normal_density, normal_tail
from experiments.estimation.estimates import Estimates

NOT_PEEKING_PROOF = (
    "P(better) under a flat prior is 1 - p/2 for a positive effect: it is not peeking-proof. Read"
    " it once, at the planned end; to look earlier use the sequential method."
)


@dataclass(frozen=True)
class Posterior:
    """What is believed of treatment - control.

    Attributes:
        p_better: Probability that the treatment is better in the metric's good direction.
        expected_loss: Average of what is lost if the treatment is shipped but is in truth worse, in
            the metric's units.
    """

    p_better: float
    expected_loss: float


def flat_prior_posterior(estimates: Estimates, *, better: str = "higher") -> Posterior | None:
    """The normal posterior under a flat prior; None when nothing varies."""
    if estimates.difference_variance == 0:
        return None
    sign = 1 if better == "higher" else -1
    mean = sign * (estimates.treatment - estimates.control)
    deviation = sqrt(estimates.difference_variance)
    z = mean / deviation
    loss = deviation * normal_density(z) - mean * normal_tail(z)
    return Posterior(p_better=normal_tail(-z), expected_loss=max(loss, 0.0))
