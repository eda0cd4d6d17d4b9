"""Few conversions, believed exactly: beta posteriors and the chance that one exceeds the other.

By quadrature, to about ten digits, instead of by draws. Worth it where counts are small and the
normal posterior of `bayes` is rough; with hundreds of conversions both agree.
"""

from dataclasses import dataclass
from math import pi, sqrt
from typing import TYPE_CHECKING

from experiments.errors import DataError, PlanError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]

NEGLIGIBLE = 1e-16
"""Probability left out at either end of the integral."""


@dataclass(frozen=True)
class BetaPosterior:
    """What is believed of two conversion rates.

    Attributes:
        p_better: Probability that the treatment's rate is better.
        expected_loss: Average of the rate lost if the treatment is shipped but is in truth worse.
        expected_loss_of_control: Average of the rate lost by keeping the control.
        control, treatment: Posterior mean rates.
    """

    p_better: float
    expected_loss: float
    expected_loss_of_control: float
    control: float
    treatment: float


def conversion_posterior(
    *,
    control: tuple[int, int],
    treatment: tuple[int, int],
    prior: tuple[float, float] = (1.0, 1.0),
    better: str = "higher",
) -> BetaPosterior:
    """The exact comparison of two conversion rates.

    Args:
        control, treatment: Conversions and units.
        prior: Of either rate, as the two parameters of a beta distribution; (1, 1) is uniform.
    Raises:
        DataError: If there are more conversions than units, or fewer than none.
        PlanError: If a prior parameter is not above 0.
    """
    if not (prior[0] > 0 and prior[1] > 0):
        raise PlanError(f"a beta prior of {prior} is not one; both numbers must be above 0")
    shapes = []
    for name, (conversions, units) in (("control", control), ("treatment", treatment)):
        if not 0 <= conversions <= units:
            raise DataError(
                f"{name}: {conversions} conversions of {units} units; a unit converts at most once"
            )
        shapes.append((prior[0] + conversions, prior[1] + units - conversions))
    (a_c, b_c), (a_t, b_t) = shapes
    mean_c, mean_t = a_c / (a_c + b_c), a_t / (a_t + b_t)
    # E[(t - c) 1(t > c)] splits into two such chances, with one more conversion in each.
    above, with_t, with_c = (
        float(each)
        for each in chance_of_exceeding(
            [a_t, a_t + 1, a_t], [b_t, b_t, b_t], [a_c, a_c, a_c + 1], [b_c, b_c, b_c]
        )
    )
    gain = max(mean_t * with_t - mean_c * with_c, 0.0)
    loss = max(gain - (mean_t - mean_c), 0.0)
    if better == "lower":
        above, gain, loss = 1 - above, loss, gain
    return BetaPosterior(above, loss, gain, mean_c, mean_t)


def chance_of_exceeding(
    a: "ArrayLike", b: "ArrayLike", other_a: "ArrayLike", other_b: "ArrayLike"
) -> "Numbers":
    """P(X > Y) for X ~ Beta(a, b), Y ~ Beta(other_a, other_b), on arrays.

    On the scale of log odds the integrand is smooth and dies out at both ends, where the trapezoid
    rule converges geometrically.
    """
    import numpy as np
    from scipy import special

    a, b, other_a, other_b = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(each, dtype=float)) for each in (a, b, other_a, other_b))
    )
    if not all(np.all(each > 0) for each in (a, b, other_a, other_b)):
        raise DataError("every parameter of a beta distribution must be above 0")
    low = _log_odds(special.betaincinv(a, b, NEGLIGIBLE))
    high = -_log_odds(special.betaincinv(b, a, NEGLIGIBLE))
    # Half the smaller deviation per step (on this scale) leaves an error of e**-79.
    narrow = np.minimum(_deviation(a, b), _deviation(other_a, other_b))
    n_points = int(min(np.max((high - low) / (narrow / 2)), 20_000)) + 2
    points = low[..., None] + (high - low)[..., None] * np.linspace(0, 1, n_points)
    share = special.expit(points)
    log_density = (
        a[..., None] * special.log_expit(points)
        + b[..., None] * special.log_expit(-points)
        - special.betaln(a, b)[..., None]
    )
    density = np.exp(log_density)
    below = special.betainc(other_a[..., None], other_b[..., None], share)
    # Dividing by the same rule's total takes out what the ends and the rounding left.
    chances: Numbers = (density * below).sum(axis=-1) / density.sum(axis=-1)
    return chances


def _log_odds(share: "Numbers") -> "Numbers":
    import numpy as np

    odds: Numbers = np.log(np.maximum(share, 1e-300)) - np.log1p(-np.minimum(share, 1 - 1e-16))
    return odds


def _deviation(a: "Numbers", b: "Numbers") -> "Numbers":
    """Of the log odds of a beta variable."""
    import numpy as np
    from scipy import special

    found: Numbers = np.minimum(
        np.sqrt(special.polygamma(1, a) + special.polygamma(1, b)), pi / sqrt(3)
    )
    return found
