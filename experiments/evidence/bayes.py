"""What to believe of the difference: a posterior, flat or with a prior on the effect.

It is Student's t, with the degrees of freedom of the units or clusters that tell the variance, and
so as good as normal with more than a few hundred of them (Box, Tiao, Bayesian Inference in
Statistical Analysis, 1973, 2.5). A prior narrows it and keeps the tails, which errs towards doubt.

With a flat prior P(better) is one minus half the two-sided p-value: the same information in
friendlier clothes, and just as invalid if one stops at the first good-looking number. A prior
fitted to past experiments (`priors`) shrinks what looks too good; it does not make peeking safe.
Everything is a closed form: no draws, so the same data gives the same number.
"""

from dataclasses import dataclass
from math import erfc, inf, isfinite, isinf, pi, sqrt
from typing import TYPE_CHECKING

from experiments.distributions import t_density, t_quantile, t_tail
from experiments.errors import DataError, PlanError
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

NOT_PEEKING_PROOF = (
    "P(better) under a flat prior is 1 - p/2 for a positive effect: it is not peeking-proof. Read"
    " it once, at the planned end; to look earlier use the sequential method."
)


@dataclass(frozen=True)
class Prior:
    """A normal belief about treatment - control, held before the data.

    Attributes:
        mean, variance: In the metric's units, or as a share of the control mean if `relative`.
    """

    mean: float
    variance: float
    relative: bool = False

    def __post_init__(self) -> None:
        if not (isfinite(self.mean) and 0 < self.variance < inf):
            raise PlanError(
                f"a prior of mean {self.mean} and variance {self.variance} is not one; the variance"
                " must be above 0. For no prior leave it out"
            )

    def in_units_of(self, control: float) -> "Prior":
        """The same belief in the metric's units, given the control mean.

        Raises:
            DataError: If it is relative to a control mean of 0.
        """
        if not self.relative:
            return self
        if control == 0:
            raise DataError("the prior is relative, but the control mean is 0; give it in units")
        return Prior(self.mean * abs(control), self.variance * control * control)


@dataclass(frozen=True)
class Posterior:
    """What is believed of treatment - control.

    Attributes:
        p_better: Probability that the treatment is better in the metric's good direction.
        expected_loss: Average of what is lost if the treatment is shipped but is in truth worse, in
            the metric's units.
        expected_loss_of_control: Average of what is lost by keeping the control.
        mean, deviation: Of the posterior; the mean is nearer to the prior's than the estimate is.
        credible: The mean with the central interval of probability 1 - alpha.
        rope_share: Probability of a difference too small to matter (in the region of practical
            equivalence); None if no region was given.
    """

    p_better: float
    expected_loss: float
    expected_loss_of_control: float
    mean: float
    deviation: float
    credible: Interval
    rope_share: float | None = None


def flat_prior_posterior(estimates: Estimates, *, better: str = "higher") -> Posterior | None:
    """The posterior under a flat prior; None when nothing varies."""
    return posterior(estimates, better=better)


def posterior(
    estimates: Estimates,
    *,
    prior: Prior | None = None,
    better: str = "higher",
    rope: tuple[float, float] | None = None,
    alpha: float = 0.05,
) -> Posterior | None:
    """The posterior of treatment - control; None when nothing varies.

    Args:
        prior: None for a flat one.
        rope: Lowest and highest difference that do not matter, in the metric's units.
    Raises:
        PlanError: If the region is upside down.
    """
    variance = estimates.difference_variance
    if variance == 0:
        return None
    mean = estimates.treatment - estimates.control
    if prior is not None:
        here = prior.in_units_of(estimates.control)
        weight = here.variance / (here.variance + variance)
        mean = weight * mean + (1 - weight) * here.mean
        variance *= weight
    deviation = sqrt(variance)
    z = mean / deviation if better == "higher" else -mean / deviation
    freedom = estimates.degrees_of_freedom
    above, below = _above(z, freedom), _above(-z, freedom)
    losses = [inf, inf]  # At one degree of freedom the tails have no mean.
    if freedom > 1:
        # Of Student's t as of the normal, to which it tends: the tail beyond z times how far.
        beyond = t_density(z, degrees_of_freedom=freedom)
        if not isinf(freedom):
            beyond *= (freedom + z * z) / (freedom - 1)
        losses = [deviation * (beyond - z * above), deviation * (beyond + z * below)]
    radius = t_quantile(1 - alpha / 2, degrees_of_freedom=freedom) * deviation
    share = None
    if rope is not None:
        _refuse_upside_down(rope)
        ends = [_above((end - mean) / deviation, freedom) for end in rope]
        share = ends[0] - ends[1]
    return Posterior(
        p_better=below,
        expected_loss=max(losses[0], 0.0),
        expected_loss_of_control=max(losses[1], 0.0),
        mean=mean,
        deviation=deviation,
        credible=Interval(mean, mean - radius, mean + radius),
        rope_share=share,
    )


@dataclass(frozen=True)
class Posteriors:
    """`Posterior` for many comparisons at once; every attribute is an array of the same shape."""

    p_better: "NDArray[np.float64]"
    expected_loss: "NDArray[np.float64]"
    expected_loss_of_control: "NDArray[np.float64]"
    mean: "NDArray[np.float64]"
    deviation: "NDArray[np.float64]"
    rope_share: "NDArray[np.float64] | None" = None


def posteriors(
    differences: "ArrayLike",
    variances: "ArrayLike",
    *,
    prior: Prior | None = None,
    better: str = "higher",
    rope: tuple[float, float] | None = None,
) -> Posteriors:
    """`posterior` on arrays: one prior (in the metric's units), many differences.

    Raises:
        DataError: If a variance is not above 0.
        PlanError: If the prior is relative, or the region upside down.
    """
    import numpy as np
    from scipy import special

    mean, variance = np.broadcast_arrays(
        np.asarray(differences, dtype=float), np.asarray(variances, dtype=float)
    )
    if not np.all(variance > 0):
        raise DataError("every difference needs a variance above 0")
    if prior is not None:
        if prior.relative:
            raise PlanError("bring a relative prior into units first, by `in_units_of`")
        weight = prior.variance / (prior.variance + variance)
        mean = weight * mean + (1 - weight) * prior.mean
        variance = weight * variance
    deviation = np.sqrt(variance)
    z = mean / deviation * (1 if better == "higher" else -1)
    density = np.exp(-z * z / 2) / sqrt(2 * pi)
    share = None
    if rope is not None:
        _refuse_upside_down(rope)
        share = special.ndtr((rope[1] - mean) / deviation) - special.ndtr(
            (rope[0] - mean) / deviation
        )
    return Posteriors(
        p_better=special.ndtr(z),
        expected_loss=np.maximum(deviation * (density - z * special.ndtr(-z)), 0.0),
        expected_loss_of_control=np.maximum(deviation * (density + z * special.ndtr(z)), 0.0),
        mean=np.array(mean),
        deviation=deviation,
        rope_share=share,
    )


def _above(z: float, freedom: float) -> float:
    """P(T > z); of the normal from the standard library, with nothing to import on the way."""
    return erfc(z / sqrt(2)) / 2 if isinf(freedom) else t_tail(z, degrees_of_freedom=freedom)


def _refuse_upside_down(rope: tuple[float, float]) -> None:
    if not rope[0] < rope[1]:
        raise PlanError(f"the region {rope} is upside down; give its lowest difference first")
