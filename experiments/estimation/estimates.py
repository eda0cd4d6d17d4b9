"""What every estimator gives and every test takes: two means, how they vary, and together."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimates:
    """Two estimated means and how they vary.

    Attributes:
        control, treatment: The means.
        control_variance, treatment_variance, covariance: Of those estimated means. After adjustment
            both share the pooled covariate mean, hence a covariance.
        difference_variance: Of treatment - control; kept apart so that it suffers no cancellation.
        n_control, n_treatment: Units.
        degrees_of_freedom: Satterthwaite's, of the difference.
    """

    control: float
    treatment: float
    control_variance: float
    treatment_variance: float
    covariance: float
    difference_variance: float
    n_control: int
    n_treatment: int
    degrees_of_freedom: float


def satterthwaite(variances: Sequence[float], freedoms: Sequence[float]) -> float:
    """Degrees of freedom of a sum of independent variance estimates.

    Source: Satterthwaite (Biometrics Bulletin 2, 1946).
    """
    total = sum(variances)
    if total == 0:
        return float(max(sum(freedoms), 1))
    # Ratios to the total, squared after division: tiny variances would underflow otherwise.
    spent = sum(
        (variance / total) ** 2 / max(freedom, 1)
        for variance, freedom in zip(variances, freedoms, strict=True)
    )
    return 1 / spent
