"""What a quantile needs of the data: its value, and the order statistics around it.

Quantiles do not merge and have no centred moments. Their spread is read off the data itself: the
values at the ranks n (q ± z sqrt(q (1 - q) deff / n)) enclose the quantile, and their distance over
2 z is its standard error. With clusters the ranks move apart by the design effect (deff).
Source: Deng, Knoblich, Lu (KDD 2018), section 4.2, arXiv 1803.06336.
"""

from dataclasses import dataclass
from math import ceil, floor, isfinite, sqrt

from experiments.errors import DataError
from experiments.sums.aggregates import Aggregates

CLUSTER_UNITS = "units in cluster"
"""Column of cluster sums: how many units each cluster has in the variant."""
AT_OR_BELOW = "at or below"
"""Column of a quantile's cluster sums: how many of a cluster's units do not exceed the quantile."""


@dataclass(frozen=True)
class QuantileSums:
    """One variant's quantile of one metric.

    Attributes:
        n: Units.
        q: Which quantile, in (0, 1).
        value: The quantile, interpolated between order statistics (Hyndman and Fan's type 7).
        lower, upper: Order statistics at `rank_lower` and `rank_upper` (1 is the smallest value).
        z: Half-width of the ranks in standard errors; the standard error is
            (upper - lower) / (2 z).
        deff: Design effect of clusters that the ranks allow for; 1 without clusters.
        n_clusters: None without clusters.
        is_cut: Whether a wished rank lay outside 1..n: the sample is too small for this quantile.
    """

    n: int
    q: float
    value: float
    lower: float
    upper: float
    rank_lower: int
    rank_upper: int
    z: float
    deff: float = 1.0
    n_clusters: int | None = None
    is_cut: bool = False

    def __post_init__(self) -> None:
        if not all(map(isfinite, (self.value, self.lower, self.upper))):
            raise DataError("a quantile's values must be finite")
        if not self.lower <= self.value <= self.upper:
            raise DataError(
                f"order statistics {self.lower:g} .. {self.upper:g} do not enclose the quantile"
                f" {self.value:g}"
            )


@dataclass(frozen=True)
class Ranks:
    """Which order statistics a quantile needs, 1 the smallest; `below`, `above` enclose it."""

    below: int
    above: int
    weight: float
    lower: int
    upper: int
    is_cut: bool


def ranks(n: int, *, q: float, z: float, deff: float = 1.0) -> Ranks:
    """The ranks to read from `n` sorted values.

    >>> ranks(100, q=0.5, z=1.96)
    Ranks(below=50, above=51, weight=0.5, lower=40, upper=61, is_cut=False)
    """
    if n < 1:
        raise DataError("a quantile of no unit does not exist")
    position = q * (n - 1) + 1
    below = min(floor(position), n)
    half = z * sqrt(q * (1 - q) * deff * n)
    wished = floor(n * q - half), ceil(n * q + half) + 1
    lower, upper = max(wished[0], 1), min(wished[1], n)
    return Ranks(
        below=below,
        above=min(below + 1, n),
        weight=position - below,
        lower=min(lower, below),
        upper=max(upper, min(below + 1, n)),
        is_cut=(lower, upper) != wished,
    )


def design_effect(clusters: Aggregates, *, q: float) -> float:
    """How much clusters widen a quantile: variance of the share below it over q (1 - q) / n.

    Args:
        clusters: Of the variant's clusters, columns `AT_OR_BELOW` and `CLUSTER_UNITS`.
    Returns:
        At least 1: clusters that happen to look more than random are not a gain.
    """
    size = clusters.mean(CLUSTER_UNITS)
    share = clusters.mean(AT_OR_BELOW) / size
    spread = (
        clusters.variance(AT_OR_BELOW)
        - 2 * share * clusters.covariance(AT_OR_BELOW, CLUSTER_UNITS)
        + share**2 * clusters.variance(CLUSTER_UNITS)
    )
    # Over G clusters the share varies by spread / (G size^2); of G size independent units it would
    # by q (1 - q) / (G size).
    return max(spread / (size * q * (1 - q)), 1.0)
