"""What one cloud without groups would look like: the yardstick for a silhouette.

K-Means cuts any cloud into parts, and a long one into quite stable parts; a silhouette of 0.4 may
be no more than the cloud's length. So groups must be told apart better than parts of a cloud that
has the same spread, correlations, lopsidedness and flatness in every feature, but one middle.
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SHAPE_LEAST: Final = 1.0
"""Of a beta or a gamma distribution: below it there would be a second peak, or a pole."""
DISTINCT_MOST: Final = 30
"""A feature of no more values (a count) lies in lumps of itself; with one peak it is drawn as it
is, lumps and all."""
NORMAL_ENOUGH: Final = 0.05
"""Skewness and excess kurtosis smaller than this are a normal's."""


def cloud(scaled: "Floats", *, rng: "np.random.Generator") -> "Floats":
    """As many points as given, drawn from one such cloud; shape as given.

    Normals of the given rank correlations, each then bent to the one-peaked Pearson distribution
    (beta or gamma) of its feature's own skewness and kurtosis: a Gaussian copula.
    """
    import numpy as np
    from scipy.special import ndtr

    drawn = rng.multivariate_normal(
        np.zeros(scaled.shape[1]), _normal_correlation(scaled), len(scaled), method="eigh"
    )
    for i in range(scaled.shape[1]):
        column = scaled[:, i]
        mean, deviation = float(column.mean()), float(column.std())
        if deviation == 0:
            drawn[:, i] = mean
            continue
        if _is_lumpy(column):
            share = ndtr(drawn[:, i])
            drawn[:, i] = np.quantile(column, share, method="inverted_cdf")
            continue
        z = (column - mean) / deviation
        skewness, excess = float((z**3).mean()), float((z**4).mean()) - 3
        drawn[:, i] = mean + deviation * _bent(drawn[:, i], skewness=skewness, excess=excess)
    return np.asarray(drawn)


def _bent(normal: "Floats", *, skewness: float, excess: float) -> "Floats":
    """Standard normals made as lopsided and flat as asked; mean 0, variance 1.

    Source: Johnson, Kotz, Balakrishnan, Continuous Univariate Distributions (1995), 25.4.
    """
    import numpy as np
    from scipy.special import betaincinv, gammaincinv, ndtr

    if abs(skewness) < NORMAL_ENOUGH and excess > -NORMAL_ENOUGH:
        return normal
    side = -1.0 if skewness < 0 else 1.0
    share = ndtr(side * normal)
    room = 6 + 3 * skewness**2 - 2 * (excess + 3)
    if room < NORMAL_ENOUGH:
        if abs(skewness) < NORMAL_ENOUGH:
            return normal
        shape = max(4 / skewness**2, SHAPE_LEAST)
        return np.asarray(side * (gammaincinv(shape, share) - shape) / np.sqrt(shape))
    both = 6 * (excess + 2 - skewness**2) / room
    lean = (both + 2) * abs(skewness)
    lean /= np.sqrt(lean**2 + 16 * (both + 1))
    low, high = (max(both / 2 * (1 + sign * lean), SHAPE_LEAST) for sign in (-1, 1))
    mean, total = low / (low + high), low + high
    variance = low * high / (total**2 * (total + 1))
    return np.asarray(side * (betaincinv(low, high, share) - mean) / np.sqrt(variance))


def _is_lumpy(column: "Floats") -> bool:
    """Few values, and how often they occur rises to one peak and falls."""
    import numpy as np

    values, counts = np.unique(column, return_counts=True)
    if not 2 < len(values) <= DISTINCT_MOST:
        return False
    peak = int(counts.argmax())
    # A few fewer or more in a tail are chance, not a second peak.
    slack = 3 * np.sqrt(counts[:-1] + counts[1:])
    steps = np.diff(counts)
    return bool((steps[:peak] > -slack[:peak]).all() and (steps[peak:] < slack[peak:]).all())


def _normal_correlation(scaled: "Floats") -> "Floats":
    """The correlations of normals whose ranks correlate as these columns' do."""
    import numpy as np
    from scipy.stats import rankdata

    ranks = rankdata(scaled, axis=0)
    spearman = np.atleast_2d(np.corrcoef(ranks, rowvar=False))
    correlation = 2 * np.sin(np.pi / 6 * spearman)
    values, vectors = np.linalg.eigh(correlation)
    return np.asarray((vectors * np.maximum(values, 1e-9)) @ vectors.T)
