"""CUPED (controlled experiments using pre-experiment data): less noise, the same effect.

Regressing an outcome on what was known of each unit before exposure removes the part of its
variance that the past explains. Covariates must be measured before exposure; nothing in the numbers
can tell, so whoever builds the aggregates answers for it.

- `lin` (default): a regression within each variant. In large samples never less precise than no
  adjustment, also for unequal variants. Source: Lin (Annals of Applied Statistics 7, 2013).
- `pooled`: one coefficient for both variants, as published. Source: Deng, Xu, Kohavi, Walker (WSDM
  2013).
"""

from collections.abc import Sequence
from typing import Literal

from experiments.estimation.covariates import independent, restricted
from experiments.estimation.estimates import Estimates, satterthwaite
from experiments.estimation.ratio import Moments

Adjust = Literal["lin", "pooled", "none"]


def unadjusted(control: Moments, treatment: Moments) -> Estimates:
    """The plain means and their Welch variances."""
    return _estimates(control, treatment, ((), ()), (control.variance, treatment.variance), 0)


def adjusted(
    control: Moments, treatment: Moments, *, total: Moments, adjust: Literal["lin", "pooled"]
) -> Estimates:
    """Means of both variants as if their covariates had the same, pooled mean.

    Covariates that cannot be used (`covariates.usable` says which and why) are left out.

    Args:
        total: Moments of both variants' units together, which `pooled` takes its coefficient from.
    """
    arms = (control, treatment)
    kept, _ = independent(arms)
    control, treatment = arms = (restricted(control, kept), restricted(treatment, kept))
    if not kept:
        return unadjusted(control, treatment)
    if adjust == "pooled":
        # One coefficient, from all units at once; variances as if it were known.
        theta = _coefficients(restricted(total, kept))
        residuals = tuple(_residual_variance(arm, theta) for arm in arms)
        return _estimates(control, treatment, (theta, theta), (residuals[0], residuals[1]), 0)
    thetas = (_coefficients(control), _coefficients(treatment))
    k = len(kept)
    # Each regression spent k degrees of freedom: without this, small variants look too sure.
    lin = tuple(
        _residual_variance(arm, theta) * (arm.n - 1) / (arm.n - 1 - k)
        for arm, theta in zip(arms, thetas, strict=True)
    )
    return _estimates(control, treatment, thetas, (lin[0], lin[1]), k)


def _estimates(
    control: Moments,
    treatment: Moments,
    thetas: tuple[tuple[float, ...], tuple[float, ...]],
    residuals: tuple[float, float],
    k: int,
) -> Estimates:
    """Put together means m_a = mean(y - theta_a x)_a + theta_a xbar, xbar the pooled mean.

    xbar varies too. With e = y - theta x, N units in all and W = Var(xbar):
        Var(m_a)      = var(e)_a / n_a + 2 theta_a cov(e, x)_a / N + theta_a' W theta_a
        Cov(m_c, m_t) = theta_t cov(e, x)_c / N + theta_c cov(e, x)_t / N + theta_c' W theta_t
    In the difference xbar cancels if the thetas agree, and leaves Lin's
    (theta_t - theta_c)' W (theta_t - theta_c) if they do not.
    """
    n = control.n + treatment.n
    arms = (control, treatment)
    means, plain, links = [], [], []
    for arm, other, theta, residual in zip(arms, arms[::-1], thetas, residuals, strict=True):
        gaps = [
            (b - a) * other.n / n
            for a, b in zip(arm.covariate_means, other.covariate_means, strict=True)
        ]
        means.append(arm.mean + _dot(theta, gaps) if theta else arm.mean)
        plain.append(residual / arm.n)
        links.append(_residual_covariances(arm, theta) if theta else ())
    theta_c, theta_t = thetas
    between = (
        [
            [(control.n * c + treatment.n * t) / n**2 for c, t in zip(row_c, row_t, strict=True)]
            for row_c, row_t in zip(
                control.covariate_covariances, treatment.covariate_covariances, strict=True
            )
        ]
        if theta_c
        else []
    )
    spread = [t - c for c, t in zip(theta_c, theta_t, strict=True)]
    difference = (
        sum(plain)
        + 2 * (_dot(spread, links[1]) - _dot(spread, links[0])) / n
        + _quadratic(spread, between, spread)
    )
    return Estimates(
        control=means[0],
        treatment=means[1],
        control_variance=plain[0]
        + 2 * _dot(theta_c, links[0]) / n
        + _quadratic(theta_c, between, theta_c),
        treatment_variance=plain[1]
        + 2 * _dot(theta_t, links[1]) / n
        + _quadratic(theta_t, between, theta_t),
        covariance=(_dot(theta_t, links[0]) + _dot(theta_c, links[1])) / n
        + _quadratic(theta_c, between, theta_t),
        difference_variance=max(difference, 0.0),
        n_control=control.n,
        n_treatment=treatment.n,
        degrees_of_freedom=satterthwaite(plain, [arm.n - 1 - k for arm in arms]),
    )


def _coefficients(moments: Moments) -> tuple[float, ...]:
    """Least squares of the outcome on covariates that are independent of each other.

    Brought to unit variance first, so that precision does not depend on units.
    """
    import numpy as np

    covariances = np.array(moments.covariate_covariances, dtype=float)
    scales = np.sqrt(np.diag(covariances))
    standard = covariances / np.outer(scales, scales)
    links = np.array(moments.outcome_covariances, dtype=float) / scales
    theta = np.linalg.solve(standard, links) / scales
    return tuple(float(value) for value in theta)


def _residual_variance(arm: Moments, theta: Sequence[float]) -> float:
    explained = 2 * _dot(theta, arm.outcome_covariances)
    return max(arm.variance - explained + _quadratic(theta, arm.covariate_covariances, theta), 0.0)


def _residual_covariances(arm: Moments, theta: Sequence[float]) -> tuple[float, ...]:
    return tuple(
        with_outcome - _dot(theta, row)
        for with_outcome, row in zip(
            arm.outcome_covariances, arm.covariate_covariances, strict=True
        )
    )


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def _quadratic(
    left: Sequence[float], matrix: Sequence[Sequence[float]], right: Sequence[float]
) -> float:
    return sum(a * _dot(row, right) for a, row in zip(left, matrix, strict=True))
