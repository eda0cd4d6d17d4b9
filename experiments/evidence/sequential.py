"""Intervals and p-values that stay valid however often one looks.

An asymptotic confidence sequence: with probability 1 - alpha the truth lies in *every* interval
over time, so stopping at the first good-looking one is allowed. The price is width. It is tightest
around the planned sample, which must be fixed before the start.
Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas (Annals of Statistics 2024), arXiv 2103.06476
eq. 9. The same as the normal-mixture sequential test of Johari et al. (Operations Research 2022).
"""

from math import exp, expm1, log, log1p, sqrt

from experiments.errors import PlanError
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import Alternative, Test, z_score


def always_valid(
    estimates: Estimates, *, alpha: float, planned_sample: int, tuned_to: float | None = None
) -> Test:
    """The test at this look, for a comparison planned for `planned_sample` units in both variants.

    Its p-value is of this look alone. The smallest one over all looks is valid too
    (`running_pvalue`).

    Args:
        tuned_to: The alpha at which the sequence is tightest, where that is another one: intervals
            of a family at a smaller alpha agree with its p-values only if all have one mixture.
    """
    n = estimates.n_control + estimates.n_treatment
    rho2 = mixture_variance(alpha=tuned_to or alpha, planned_sample=planned_sample)
    z = z_score(estimates)
    pvalue = None if z is None else running_pvalue([log_e_value(z, n=n, rho2=rho2)])
    return Test(
        critical_value(alpha=alpha, n=n, rho2=rho2), pvalue, "asymptotic confidence sequence"
    )


def always_valid_one_sided(
    estimates: Estimates,
    *,
    alpha: float,
    planned_sample: int,
    alternative: Alternative = "greater",
) -> Test:
    """The same for one direction: a bound that holds at every look, for margins and guardrails.

    Source: eq. 134 of the paper, from the mixture over a half-normal.
    """
    n = estimates.n_control + estimates.n_treatment
    # One side at alpha is as wide as two sides at twice alpha, so this is where it is tightest.
    rho2 = mixture_variance(alpha=min(2 * alpha, 0.99), planned_sample=planned_sample)
    z = z_score(estimates)
    pvalue = None
    if z is not None:
        toward = z if alternative == "greater" else -z
        pvalue = one_sided_pvalue(toward, n=n, rho2=rho2)
    return Test(
        one_sided_critical_value(alpha=alpha, n=n, rho2=rho2),
        pvalue,
        "one-sided asymptotic confidence sequence",
    )


def mixture_variance(*, alpha: float, planned_sample: int) -> float:
    """rho squared, which makes the sequence tightest at `planned_sample` units."""
    if not 0 < alpha < 1:
        raise PlanError(f"alpha {alpha} is not between 0 and 1")
    if planned_sample < 2:
        raise PlanError(f"a planned sample of {planned_sample} units is too small; it must be >= 2")
    return (-2 * log(alpha) + log(-2 * log(alpha) + 1)) / planned_sample


def critical_value(*, alpha: float, n: int, rho2: float) -> float:
    """Half width of the interval at n units, in standard errors."""
    scaled = n * rho2
    return sqrt(2 * (scaled + 1) / scaled * log(sqrt(scaled + 1) / alpha))


def one_sided_critical_value(*, alpha: float, n: int, rho2: float) -> float:
    """Distance of the one-sided bound at n units, in standard errors."""
    scaled = n * rho2
    return sqrt(2 * (scaled + 1) / scaled * log1p(sqrt(scaled + 1) / (2 * alpha)))


def one_sided_pvalue(z: float, *, n: int, rho2: float) -> float:
    """The smallest alpha whose one-sided bound lies beyond zero; 1 in the other direction.

    The smallest one over all looks is valid too.
    """
    if z <= 0:
        return 1.0
    scaled = n * rho2
    exponent = scaled * z * z / (2 * (scaled + 1))
    if exponent > 500:  # e to that power overflows, and minus 1 no longer matters.
        return exp(max(log(scaled + 1) / 2 - log(2) - exponent, -700.0))
    return min(1.0, sqrt(scaled + 1) / (2 * expm1(exponent))) if exponent > 0 else 1.0


def log_e_value(z: float, *, n: int, rho2: float) -> float:
    """Logarithm of the evidence against no effect: it exceeds 1/alpha with chance <= alpha, ever.

    Args:
        z: The estimate in standard errors.
        n: Units in both variants.
    """
    scaled = n * rho2
    return scaled * z * z / (2 * (scaled + 1)) - log(scaled + 1) / 2


def running_pvalue(log_e_values: list[float]) -> float:
    """The p-value after several looks: one over the largest evidence so far, at most 1."""
    return min(1.0, exp(-max(0.0, *log_e_values))) if log_e_values else 1.0
