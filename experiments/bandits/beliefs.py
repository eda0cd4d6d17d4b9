"""How likely each arm is the best one, by quadrature: the same answer every time, no random draws.

P(k is best) is the integral of arm k's density times every other arm's distribution function.
Gauss-Hermite nodes laid out by arm k alone miss the steps of arms that are known much better (off
by several percent at 32 nodes), so the line is cut where any belief bends and each piece gets
Gauss-Legendre nodes: as exact for one wide belief among narrow ones as for equals.
Source: Scott (Applied Stochastic Models in Business and Industry 2010), for the integral.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import Any, Final, Literal, TypeAlias

from experiments.errors import DataError

ARMS_MAX: Final = 200
NODES: Final = 16
"""Per piece; a piece is at most three standard deviations of some belief wide."""

_CUTS: Final = (-8.5, -6.0, -4.0, -2.5, -1.25, 0.0, 1.25, 2.5, 4.0, 6.0, 8.5)
"""Where a normal belief is cut, in standard deviations; others are cut at the same tails."""
_FLOOR: Final = 1e-300


@dataclass(frozen=True)
class NormalBelief:
    """What is believed of an arm's mean: normal around an estimate."""

    mean: float
    variance: float

    def __post_init__(self) -> None:
        if not (isfinite(self.mean) and isfinite(self.variance) and self.variance > 0):
            raise DataError(
                f"a belief with mean {self.mean} and variance {self.variance} says nothing; both"
                " must be finite and the variance positive"
            )


@dataclass(frozen=True)
class BetaBelief:
    """What is believed of an arm's rate: Beta(1 + successes, 1 + failures) under a flat prior.

    Attributes:
        a, b: Of the Beta distribution; at least 1 each, so that its density is bounded.
    """

    a: float
    b: float

    def __post_init__(self) -> None:
        if not (isfinite(self.a) and isfinite(self.b) and self.a >= 1 and self.b >= 1):
            raise DataError(f"Beta({self.a}, {self.b}) is no belief; both must be at least 1")

    @classmethod
    def of_counts(cls, successes: int, n: int) -> "BetaBelief":
        """The belief after `successes` among n units."""
        if not 0 <= successes <= n:
            raise DataError(f"{successes} successes among {n} units are impossible")
        return cls(1.0 + successes, 1.0 + n - successes)


Belief: TypeAlias = NormalBelief | BetaBelief


def p_best(
    beliefs: Sequence[Belief], *, better: Literal["higher", "lower"] = "higher"
) -> tuple[float, ...]:
    """Probability of each arm to be the best, summing to 1 (to 1e-9 before it is made exact).

    >>> [round(share, 4) for share in p_best([NormalBelief(0, 1), NormalBelief(1, 1)])]
    [0.2398, 0.7602]

    Raises:
        DataError: If there is no belief, or more than ARMS_MAX.
    """
    if not 1 <= len(beliefs) <= ARMS_MAX:
        raise DataError(f"{len(beliefs)} arms; allowed are 1 to {ARMS_MAX}")
    if len(beliefs) == 1:
        return (1.0,)
    import numpy as np

    shapes = [_shape(it if better == "higher" else _mirrored(it)) for it in beliefs]
    lowest = max(shape.cuts[0] for shape in shapes)  # Below it, somebody else is surely better.
    highest = max(shape.cuts[-1] for shape in shapes)
    inner = {cut for shape in shapes for cut in shape.cuts if lowest < cut < highest}
    borders = np.array([lowest, *sorted(inner), highest])
    places, widths = _legendre()
    half = np.diff(borders)[:, None] / 2
    at = (borders[:-1, None] + half * (1 + places)).ravel()
    step = (half * widths).ravel()
    logs = np.array([shape.log_below(at) for shape in shapes])
    everyone = logs.sum(axis=0)
    shares = [
        float(np.sum(step * np.exp(shape.log_density(at) + everyone - own)))
        for shape, own in zip(shapes, logs, strict=True)
    ]
    total = sum(shares)
    return tuple(share / total for share in shares)


@dataclass(frozen=True)
class _Shape:
    """A belief as the integral sees it."""

    cuts: tuple[float, ...]
    log_density: Any
    log_below: Any


def _shape(belief: Belief) -> _Shape:
    import numpy as np
    from scipy import special

    if isinstance(belief, NormalBelief):
        mean, spread = belief.mean, belief.variance**0.5
        constant = -np.log(spread * np.sqrt(2 * np.pi))
        return _Shape(
            tuple(mean + spread * cut for cut in _CUTS),
            lambda x: constant - ((x - mean) / spread) ** 2 / 2,
            lambda x: special.log_ndtr((x - mean) / spread),
        )
    a, b = belief.a, belief.b
    # Above the middle a share near 1 would be rounded; there the tail is inverted instead.
    low = [float(special.betaincinv(a, b, special.ndtr(cut))) for cut in _CUTS if cut <= 0]
    high = [float(1 - special.betaincinv(b, a, special.ndtr(-cut))) for cut in _CUTS if cut > 0]
    constant = -special.betaln(a, b)
    return _Shape(
        tuple(low + high),
        lambda x: constant + special.xlogy(a - 1, x) + special.xlog1py(b - 1, -x),
        lambda x: np.log(np.maximum(special.betainc(a, b, x), _FLOOR)),
    )


def _mirrored(belief: Belief) -> Belief:
    if isinstance(belief, NormalBelief):
        return NormalBelief(-belief.mean, belief.variance)
    return BetaBelief(belief.b, belief.a)


@lru_cache(maxsize=1)
def _legendre() -> tuple[Any, Any]:
    import numpy as np

    return np.polynomial.legendre.leggauss(NODES)
