"""Switchback experiments: one market, treated in some periods and not in others, at random.

Where units cannot be kept apart (couriers, prices, a shared stock) time is what is randomized. At
each declared start a coin decides for all periods up to the next start. A treatment may linger:
`order` is the number of earlier periods that can still matter, declared before the outcomes are
seen. It is never chosen here, and one chosen too small biases the estimate.
Source: Bojinov, Simchi-Levi, Zhao (Management Science 69, 2023).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress, pairwise
from math import prod
from typing import TYPE_CHECKING, Any

from experiments.errors import DataError, PlanError
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import Interval, absolute_lift, normal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STARTS_ALL = 12
"""Up to so many coins the randomization test takes every assignment rather than drawing some."""

OUTCOME_MAX = 1e100
CHANCE_MIN = 1e-12
"""Beyond these a square leaves the range of a float, or no window is ever seen whole."""


@dataclass(frozen=True)
class Switchback:
    """The lag-`order` effect: a period treated, and all that lingers too, against none of it.

    Attributes:
        estimates: The two Horvitz-Thompson means; their variance of the difference is conservative.
        effect: treatment - control with its interval, in units of the outcome.
        std_error: The square root of the conservative variance.
        pvalue: Normal; at most alpha exactly when the interval excludes 0. None without variance.
        randomization_pvalue: Of no effect in any period (Fisher's sharp null), at any horizon.
        n_washout: Periods left out: too early, or treated in a part of the last `order` + 1 only.
        cautions: What to know before believing it.
    """

    estimates: Estimates
    effect: Interval
    std_error: float
    pvalue: float | None
    randomization_pvalue: float
    n_washout: int
    cautions: tuple[str, ...]


@dataclass(frozen=True)
class _Chunk:
    """Periods whose windows (themselves and `order` before) span the same coins: one outcome."""

    first: int
    last: int
    total: float
    n: int


def optimal_starts(n_periods: int, *, order: int) -> tuple[int, ...]:
    """The periods, from 0, at which a fair coin may switch: the least worst-case variance.

    Every period at order 0; else 0, then each multiple of the order from the second on, but for the
    last one. Source: Bojinov, Simchi-Levi, Zhao (2023).

    Raises:
        PlanError: If the order is negative, or the horizon no multiple of it or under four of it.
    """
    if order < 0:
        raise PlanError(f"a carry-over order of {order} is below 0; 0 says that nothing lingers")
    if n_periods < max(4 * order, 2):
        raise PlanError(
            f"{n_periods} periods are too few for carry-over order {order}; at least"
            f" {max(4 * order, 2)} are needed"
        )
    if order == 0:
        return tuple(range(n_periods))
    if n_periods % order:
        longer = -(-n_periods // order) * order
        raise PlanError(
            f"{n_periods} periods are no multiple of the carry-over order {order}; plan {longer}"
        )
    return (0, *range(2 * order, n_periods - order, order))


def switchback(
    outcomes: Sequence[float],
    treated: Sequence[int],
    *,
    starts: Sequence[int],
    order: int,
    alpha: float,
    rng: np.random.Generator,
    probabilities: float | Sequence[float] = 0.5,
    draws: int = 9_999,
) -> Switchback:
    """Estimate the lag-`order` effect from one outcome per period.

    The estimate is unbiased whatever the outcomes, but it varies with their level: subtracting one
    number known beforehand (last month's mean) from all of them leaves the effect and helps a lot.

    Args:
        outcomes: One per period, in time.
        treated: 1 or 0 per period; constant from one start to the next.
        starts: Periods, from 0, at which a coin was thrown. See `optimal_starts`.
        probabilities: Of treatment at each start, as thrown.
        rng: Draws assignments when there are too many to take all.
    Raises:
        DataError: If outcomes or assignment are not what such an experiment gives.
        PlanError: If order, starts, probabilities, alpha or draws cannot be.
    """
    _refuse_plan(len(outcomes), starts, order, alpha, draws)
    shares = _shares(probabilities, len(starts))
    picked = _picked(outcomes, treated, starts)
    chunks = _chunks(outcomes, starts, order)
    n = len(outcomes) - order
    coins = [shares, [1 - share for share in shares]]
    _refuse_rare(chunks, coins)
    pure = [[_is_pure(chunk, picked, arm) for chunk in chunks] for arm in (1, 0)]
    means = [
        sum(c.total / _chance(side, c.first, c.last) for c in compress(chunks, kept)) / n
        for side, kept in zip(coins, pure, strict=True)
    ]
    own = [_variance(chunks, kept, side) for side, kept in zip(coins, pure, strict=True)]
    shared = sum(_crossed(chunks, kept, side) for side, kept in zip(coins, pure, strict=True))
    counts = [sum(chunk.n for chunk in compress(chunks, kept)) for kept in pure]
    estimates = Estimates(
        control=means[1],
        treatment=means[0],
        control_variance=own[1] / n**2,
        treatment_variance=own[0] / n**2,
        covariance=-shared / 2 / n**2,
        difference_variance=(own[0] + own[1] + shared) / n**2,
        n_control=counts[1],
        n_treatment=counts[0],
        degrees_of_freedom=float(max(len(starts) - 1, 1)),
    )
    test = normal(estimates, alpha=alpha)
    return Switchback(
        estimates=estimates,
        effect=absolute_lift(estimates, critical=test.critical),
        std_error=estimates.difference_variance**0.5,
        pvalue=test.pvalue,
        randomization_pvalue=_randomization(chunks, picked, shares, rng=rng, draws=draws),
        n_washout=len(outcomes) - sum(counts),
        cautions=tuple(
            f"no period was wholly {word} for {order + 1} in a row: its mean of 0 is no measurement"
            for word, count in zip(("treated", "untreated"), counts, strict=True)
            if count == 0
        )
        + _constant(outcomes),
    )


def _constant(outcomes: Sequence[float]) -> tuple[str, ...]:
    if len(set(outcomes)) > 1:
        return ()
    return (
        "every period has the same outcome: nothing varies, so an estimate other than 0 would be"
        " of the coins alone",
    )


def reassigned(
    outcomes: Sequence[float],
    coins: NDArray[Any],
    *,
    starts: Sequence[int],
    order: int,
    probability: float = 0.5,
) -> NDArray[Any]:
    """What the estimate would be, had no treatment mattered, for each row of other coins.

    Args:
        coins: Shape (n, starts), 1 for treatment.
    """
    import numpy as np

    chances = np.full(len(starts), probability)
    found: NDArray[Any] = _signed(_chunks(outcomes, starts, order), coins, chances)
    return found / (len(outcomes) - order)


def _refuse_plan(n: int, starts: Sequence[int], order: int, alpha: float, draws: int) -> None:
    if order < 0:
        raise PlanError(f"a carry-over order of {order} is below 0; 0 says that nothing lingers")
    if n <= order:
        raise DataError(f"{n} periods are too few for order {order}; at least {order + 1} needed")
    rising = all(before < after for before, after in pairwise(starts))
    if not starts or starts[0] != 0 or not rising or starts[-1] >= n:
        raise PlanError(f"starts {list(starts)} must rise from 0 and stay below {n} periods")
    if not 0 < alpha < 1 or draws < 1:
        raise PlanError(f"alpha {alpha:g} must lie between 0 and 1, and draws ({draws}) be above 0")


def _shares(probabilities: float | Sequence[float], n: int) -> list[float]:
    shares = [probabilities] * n if isinstance(probabilities, int | float) else [*probabilities]
    if len(shares) != n:
        raise PlanError(f"{len(shares)} probabilities for {n} starts; give one for each")
    for share in shares:
        if not 0 < share < 1:  # Not a number neither.
            raise PlanError(f"a probability of {share:g} leaves nothing to chance; give 0 < p < 1")
    return shares


def _picked(outcomes: Sequence[float], treated: Sequence[int], starts: Sequence[int]) -> list[int]:
    """What each coin said."""
    if len(treated) != len(outcomes):
        raise DataError(f"{len(outcomes)} outcomes but {len(treated)} assignments; give one each")
    for at, value in enumerate(outcomes):
        if not abs(value) < OUTCOME_MAX:  # Not a number neither.
            raise DataError(
                f"period {at}: outcome {value}; a number below {OUTCOME_MAX:g} is needed"
            )
    current, thrown = 0, set(starts)
    for at, value in enumerate(treated):
        current = value if at in thrown else current
        if value not in (0, 1) or value != current:
            raise DataError(f"period {at}: treated = {value}; it is 0 or 1, and changes at starts")
    return [int(treated[start]) for start in starts]


def _chunks(outcomes: Sequence[float], starts: Sequence[int], order: int) -> list[_Chunk]:
    spans: dict[tuple[int, int], list[float]] = {}
    for at in range(order, len(outcomes)):
        span = bisect_right(starts, at - order) - 1, bisect_right(starts, at) - 1
        spans.setdefault(span, []).append(float(outcomes[at]))
    return [_Chunk(*span, sum(values), len(values)) for span, values in spans.items()]


def _refuse_rare(chunks: list[_Chunk], coins: list[list[float]]) -> None:
    least = min(_chance(side, chunk.first, chunk.last) for side in coins for chunk in chunks)
    if least < CHANCE_MIN:
        raise PlanError(
            f"some period and those it may still feel are alike with chance {least:.3g} only;"
            " throw fewer coins, as `optimal_starts` does"
        )


def _is_pure(chunk: _Chunk, picked: Sequence[int], arm: int) -> bool:
    return all(coin == arm for coin in picked[chunk.first : chunk.last + 1])


def _chance(side: Sequence[float], first: int, last: int) -> float:
    return prod(side[first : last + 1])


def _variance(chunks: list[_Chunk], kept: list[bool], side: Sequence[float]) -> float:
    """Unbiased for one arm's sum; where that comes out below 0, what 2 a b <= a**2 + b**2 gives."""
    diagonal = crossed = bounded = 0.0
    for at, one in enumerate(chunks):
        mine = _chance(side, one.first, one.last)
        if kept[at]:
            diagonal += (one.total / mine) ** 2 * (1 - mine)
        for other, seen in zip(chunks[at + 1 :], kept[at + 1 :], strict=True):
            if other.first > one.last:
                break  # Windows move forward: none later shares a coin with this one.
            theirs = _chance(side, other.first, other.last)
            both = _chance(side, one.first, other.last)
            excess = both / (mine * theirs) - 1
            if kept[at] and seen:
                crossed += 2 * one.total * other.total * excess / both
            bounded += excess * (kept[at] * one.total**2 / mine + seen * other.total**2 / theirs)
    unbiased = diagonal + crossed
    return unbiased if unbiased >= 0 else diagonal + bounded


def _crossed(chunks: list[_Chunk], kept: list[bool], side: Sequence[float]) -> float:
    """One arm's part in the bound of the arms' covariance: both are never seen on shared coins."""
    return sum(
        one.total**2
        / _chance(side, one.first, one.last)
        * sum(other.first <= one.last and one.first <= other.last for other in chunks)
        for one in compress(chunks, kept)
    )


def _randomization(
    chunks: list[_Chunk],
    picked: list[int],
    shares: list[float],
    *,
    rng: np.random.Generator,
    draws: int,
) -> float:
    """How often the coins would show as large an estimate if no period's treatment mattered."""
    import numpy as np

    chances = np.array(shares)
    found = _sizes(chunks, np.array([picked]), chances)[0] * (1 - 1e-12)
    if len(shares) <= STARTS_ALL:
        coins = np.arange(2 ** len(shares))[:, None] >> np.arange(len(shares)) & 1
        odds = np.where(coins == 1, chances, 1 - chances).prod(axis=1)
        return min(float(odds[_sizes(chunks, coins, chances) >= found].sum()), 1.0)
    as_large, batch = 0, max(1_000_000 // len(chunks), 1)
    for start in range(0, draws, batch):
        coins = (rng.random((min(batch, draws - start), len(shares))) < chances).astype(int)
        as_large += int((_sizes(chunks, coins, chances) >= found).sum())
    return (as_large + 1) / (draws + 1)  # The assignment that happened is one of them.


def _sizes(chunks: list[_Chunk], coins: NDArray[Any], chances: NDArray[Any]) -> NDArray[Any]:
    """|estimate|, up to the number of periods, for each row of coins."""
    import numpy as np

    sizes: NDArray[Any] = np.abs(_signed(chunks, coins, chances))
    return sizes


def _signed(chunks: list[_Chunk], coins: NDArray[Any], chances: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    found = np.zeros(len(coins))
    for chunk in chunks:
        span = slice(chunk.first, chunk.last + 1)
        found += chunk.total * coins[:, span].all(axis=1) / chances[span].prod()
        found -= chunk.total * (1 - coins[:, span]).all(axis=1) / (1 - chances[span]).prod()
    return found
