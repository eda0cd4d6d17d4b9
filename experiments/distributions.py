"""The few distributions the tests need, typed; scipy is imported at the first call only.

`scipy.special` rather than `scipy.stats`: the same numbers, a fraction of the import time.
"""

from math import exp, isinf, lgamma, log1p, pi, sqrt


def normal_tail(z: float) -> float:
    """P(Z > z)."""
    from scipy import special

    return float(special.ndtr(-z))


def normal_quantile(share: float) -> float:
    """z with P(Z <= z) = share."""
    from scipy import special

    return float(special.ndtri(share))


def normal_density(z: float) -> float:
    """Height of the standard normal density at z."""
    return exp(-z * z / 2) / sqrt(2 * pi)


def t_tail(t: float, *, degrees_of_freedom: float) -> float:
    """P(T > t) under Student's t."""
    from scipy import special

    return float(special.stdtr(degrees_of_freedom, -t))


def t_quantile(share: float, *, degrees_of_freedom: float) -> float:
    """t with P(T <= t) = share under Student's t."""
    from scipy import special

    return float(special.stdtrit(degrees_of_freedom, share))


def t_density(t: float, *, degrees_of_freedom: float) -> float:
    """Height of Student's t density at t; the normal's at infinitely many degrees of freedom."""
    if isinf(degrees_of_freedom):
        return normal_density(t)
    nu = degrees_of_freedom
    scale = lgamma((nu + 1) / 2) - lgamma(nu / 2)
    return exp(scale - (nu + 1) / 2 * log1p(t * t / nu)) / sqrt(nu * pi)


def chi_square_tail(statistic: float, *, degrees_of_freedom: int) -> float:
    """P(chi-square > statistic)."""
    from scipy import special

    return float(special.chdtrc(degrees_of_freedom, statistic))


def log_multivariate_beta(alphas: list[float]) -> float:
    """Logarithm of prod(gamma(alpha)) / gamma(sum(alpha))."""
    return sum(map(lgamma, alphas)) - lgamma(sum(alphas))


def log_beta(a: float, b: float) -> float:
    """Logarithm of the beta function."""
    from scipy import special

    return float(special.betaln(a, b))
