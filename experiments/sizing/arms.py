"""Several treatments beside one control: what they share, and how to divide the units.

All differences contain the same control, so they are correlated, and Bonferroni asks a little too
much. Dunnett's critical value is exact: P(max |Z_i| <= c) = 1 - alpha where the Z_i correlate by
l_i l_j with l_i = sqrt(n_i / (n_i + n_0)). Here for the large samples one plans for; the test that
follows uses Student's t.
Source: Dunnett (JASA 50, 1955; Biometrics 20, 1964).
"""

from functools import lru_cache
from math import sqrt

from experiments.distributions import normal_quantile
from experiments.errors import PlanError

NODES = 256
"""Of the quadrature over the control's own deviation."""


def dunnett_critical(
    *, alpha: float, arms: int, control_weight: float = 1.0, arm_weight: float = 1.0
) -> float:
    """Standard errors at which one of `arms` equal treatments differs from the control, two-sided.

    Args:
        control_weight, arm_weight: Planned weights of the control and of each treatment.

    >>> round(dunnett_critical(alpha=0.05, arms=1), 2)
    1.96
    """
    if arms < 1:
        raise PlanError(f"{arms} treatments leave nothing to compare with the control")
    if not 0 < alpha < 1:
        raise PlanError(f"alpha {alpha} is not between 0 and 1")
    if control_weight <= 0 or arm_weight <= 0:
        raise PlanError(
            f"weights {control_weight:g} and {arm_weight:g}: both must be above 0 to plan"
        )
    return _critical(alpha, arms, sqrt(arm_weight / (arm_weight + control_weight)))


def best_control_weight(arms: int) -> float:
    """The control's weight beside treatments of weight 1 that makes every comparison sharpest.

    sqrt(arms): the control is used in all comparisons, each treatment in one. Dunnett (1964).
    """
    if arms < 1:
        raise PlanError(f"{arms} treatments leave nothing to compare with the control")
    return sqrt(arms)


@lru_cache(maxsize=64)
def _critical(alpha: float, arms: int, load: float) -> float:
    """Between one comparison's value and Bonferroni's, by bisection."""
    import numpy as np
    from scipy import special

    # The control's deviation u, standard normal, beyond 9 of which nothing is left.
    base, mass = np.polynomial.legendre.leggauss(NODES)
    u = 9 * base
    mass = mass * 9 * np.exp(-u * u / 2) / np.sqrt(2 * np.pi)
    own = sqrt(1 - load * load)
    low = normal_quantile(1 - alpha / 2)
    high = normal_quantile(1 - alpha / (2 * arms))
    for _ in range(60):
        middle = (low + high) / 2
        inside = special.ndtr((middle + load * u) / own) - special.ndtr((load * u - middle) / own)
        if float(mass @ inside**arms) < 1 - alpha:
            low = middle
        else:
            high = middle
    return (low + high) / 2
