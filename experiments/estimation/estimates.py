"""What every estimator gives and every test takes: two means, how they vary, and together."""

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
