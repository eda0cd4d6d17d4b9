"""Many variants against one control: a correction that knows they share it.

All differences contain the same control mean, so they err together, and a plain division of alpha
gives away power. The largest of them follows a multivariate t distribution whose correlation has
one factor, the control; two one-dimensional integrals give its tail, with no draws. It is a test to
be read once: under many looks correct always-valid p-values by `multiplicity` instead.
Source: Dunnett (JASA 50, 1955).
"""

from collections import Counter
from collections.abc import Sequence
from math import floor, inf, lgamma, log, sqrt
from typing import TYPE_CHECKING

from experiments.errors import DataError
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import Test, z_score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

NORMAL_FROM = 1e6
"""Degrees of freedom from which t is the normal distribution to all digits shown."""

FEW_DEGREES = 30

MANY = 64
"""With more variants correlations are rounded down (safe) and p-values interpolated (to 1e-3 of
themselves), so that ten thousand take seconds."""

_PIECES = 8
_POINTS_PER_PIECE = 12


def dunnett(estimates: Sequence[Estimates], *, alpha: float) -> list[Test]:
    """One test per variant, all with the same critical value, that together err with chance alpha.

    Each p-value is at most alpha exactly when the interval at the shared critical value leaves out
    zero, and both may be read as adjusted already.

    Args:
        estimates: Every variant against the same control, on one metric.
    Raises:
        DataError: Without any variant.
    """
    if not estimates:
        raise DataError("no variant to compare with the control")
    zs = [z_score(each) for each in estimates]
    moving = [each for each, z in zip(estimates, zs, strict=True) if z is not None]
    # Each difference has its own degrees of freedom; the fewest make all of them safe.
    freedom = min((each.degrees_of_freedom for each in moving), default=inf)
    loadings = Counter(_loading(each) for each in moving)
    if len(loadings) > MANY:
        loadings = Counter(floor(each * MANY) / MANY for each in loadings.elements())
    critical = _critical(loadings, freedom, alpha) if moving else inf
    pvalues = _pvalues([abs(z) for z in zs if z is not None], loadings, freedom)
    remaining = iter(pvalues)
    return [Test(critical, None if z is None else next(remaining), "Dunnett") for z in zs]


def _loading(estimates: Estimates) -> float:
    """Correlation of a difference with the control mean, which it shares with the others."""
    shared = estimates.control_variance - estimates.covariance
    return sqrt(min(max(shared / estimates.difference_variance, 0.0), 1.0 - 1e-12))


def _pvalues(distances: Sequence[float], loadings: Counter[float], freedom: float) -> list[float]:
    """Each distance's p-value; of very many, read off a curve through as many as MANY of them."""
    if len(distances) <= MANY:
        return [_beyond(distance, loadings, freedom) for distance in distances]
    import numpy as np
    from scipy import interpolate

    knots = [float(each) for each in np.linspace(min(distances), max(distances) + 1e-9, MANY)]
    logs = [log(max(_beyond(knot, loadings, freedom), 1e-300)) for knot in knots]
    curve = interpolate.PchipInterpolator(knots, logs)
    return [float(each) for each in np.minimum(np.exp(curve(distances)), 1.0)]


def _beyond(limit: float, loadings: Counter[float], freedom: float) -> float:
    """The chance that any difference is more than `limit` standard errors off."""
    import numpy as np
    from scipy import special

    scales, scale_weights = _scales(freedom)
    shared, shared_weights = _pieces(-8.5, 8.5)
    shared_weights = shared_weights * np.exp(-shared * shared / 2) / sqrt(2 * np.pi)
    edge = (limit * scales)[:, None]
    log_inside = np.zeros((len(scales), len(shared)))
    for loading, times in loadings.items():
        own = sqrt(1 - loading * loading)
        pulled = (loading * shared)[None, :]
        inside = special.ndtr((edge - pulled) / own) - special.ndtr((-edge - pulled) / own)
        log_inside += times * np.log(np.maximum(inside, 1e-300))
    # One minus the product, where the product is near one: the digits of a small p-value.
    outside = -np.expm1(log_inside)
    return min(max(float(scale_weights @ outside @ shared_weights), 0.0), 1.0)


def _critical(loadings: Counter[float], freedom: float, alpha: float) -> float:
    from scipy import optimize

    high = 4.0
    while _beyond(high, loadings, freedom) > alpha:
        high *= 2
    return float(
        optimize.brentq(
            lambda limit: _beyond(limit, loadings, freedom) - alpha, 0.0, high, xtol=1e-10
        )
    )


def _scales(freedom: float) -> "tuple[Numbers, Numbers]":
    """Points of the estimated over the true standard error, and their probabilities."""
    import numpy as np

    if freedom >= NORMAL_FROM:
        return np.array([1.0]), np.array([1.0])
    # sqrt(chi-square / freedom) has density c s**(freedom - 1) exp(-freedom s**2 / 2).
    spread = 1 / sqrt(2 * freedom)
    low, high = max(1 - 9 * spread, 1e-12), 1 + max(9, 6 + 12 / freedom) * spread
    if freedom < FEW_DEGREES:
        # A large limit is met by small scales only: pieces that shrink towards zero find them.
        edges = low + (high - low) * np.linspace(0, 1, 3 * _PIECES + 1) ** 2
        points, weights = _rule(edges)
    else:
        points, weights = _pieces(low, high)
    log_constant = log(2) + freedom / 2 * log(freedom / 2) - lgamma(freedom / 2)
    log_density = log_constant + (freedom - 1) * np.log(points) - freedom * points**2 / 2
    return points, weights * np.exp(log_density)


def _pieces(low: float, high: float) -> "tuple[Numbers, Numbers]":
    import numpy as np

    return _rule(np.linspace(low, high, _PIECES + 1))


def _rule(edges: "Numbers") -> "tuple[Numbers, Numbers]":
    """Gauss-Legendre between each edge and the next."""
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(_POINTS_PER_PIECE)
    half, middle = np.diff(edges) / 2, (edges[:-1] + edges[1:]) / 2
    points = (middle[:, None] + half[:, None] * nodes[None, :]).ravel()
    return points, (half[:, None] * weights[None, :]).ravel()
