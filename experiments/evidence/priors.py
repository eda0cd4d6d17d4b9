"""A prior for the next experiment, from what past ones found (empirical Bayes).

Past estimates scatter more than true effects do, since each carries its own error. What is left
after taking that error out is how much true effects differ, and with it how much of a new estimate
to believe.
Sources: Paule, Mandel (J. Res. Nat. Bur. Stand. 87, 1982); DerSimonian, Laird (Controlled Clinical
Trials 7, 1986).
"""

from collections.abc import Sequence
from math import isfinite
from typing import Literal, get_args

from experiments.errors import DataError, PlanError
from experiments.evidence.bayes import Prior

PriorFit = Literal["paule-mandel", "moments"]

LEAST_EXPERIMENTS = 5
"""Fewer say too little about how much true effects differ."""


def fitted_prior(
    effects: Sequence[float],
    variances: Sequence[float],
    *,
    method: PriorFit = "paule-mandel",
    relative: bool = False,
) -> Prior:
    """The normal distribution that past true effects seem to come from.

    Args:
        effects: Past estimates of treatment - control on one metric, winners and losers alike: a
            prior fitted to what was shipped believes too much.
        variances: Of those estimates.
        relative: The effects are shares of the control mean, and so is the prior.
    Raises:
        DataError: If there are too few, one has no variance, or they vary no more than chance.
        PlanError: If the method is unknown.
    """
    if method not in get_args(PriorFit):
        raise PlanError(
            f"method {method!r} is unknown; allowed are {', '.join(get_args(PriorFit))}"
        )
    if len(effects) != len(variances):
        raise DataError(f"{len(effects)} effects, but {len(variances)} variances")
    if len(effects) < LEAST_EXPERIMENTS:
        raise DataError(
            f"{len(effects)} past effects are too few for a prior; at least {LEAST_EXPERIMENTS}"
        )
    if not all(isfinite(each) for each in effects) or not all(each > 0 for each in variances):
        raise DataError("every past effect needs a finite value and a variance above 0")
    spread = (
        _moments(effects, variances) if method == "moments" else _paule_mandel(effects, variances)
    )
    if spread <= 0:
        raise DataError(
            "past effects vary no more than their own errors do, so a prior fitted to them would"
            " overrule any new data; collect more experiments or state a prior"
        )
    return Prior(_weighted_mean(effects, variances, spread), spread, relative)


def _weighted_mean(effects: Sequence[float], variances: Sequence[float], spread: float) -> float:
    weights = [1 / (variance + spread) for variance in variances]
    return sum(w * e for w, e in zip(weights, effects, strict=True)) / sum(weights)


def _heterogeneity(effects: Sequence[float], variances: Sequence[float], spread: float) -> float:
    """Weighted squares around the weighted mean; its expectation is one less than the number."""
    mean = _weighted_mean(effects, variances, spread)
    return sum(
        (effect - mean) ** 2 / (variance + spread)
        for effect, variance in zip(effects, variances, strict=True)
    )


def _moments(effects: Sequence[float], variances: Sequence[float]) -> float:
    weights = [1 / variance for variance in variances]
    total = sum(weights)
    excess = _heterogeneity(effects, variances, 0.0) - (len(effects) - 1)
    return max(excess / (total - sum(w * w for w in weights) / total), 0.0)


def _paule_mandel(effects: Sequence[float], variances: Sequence[float]) -> float:
    wanted = len(effects) - 1
    if _heterogeneity(effects, variances, 0.0) <= wanted:
        return 0.0
    high = max(variances)
    while _heterogeneity(effects, variances, high) > wanted:
        high *= 2
    low = 0.0
    for _ in range(100):
        middle = (low + high) / 2
        if _heterogeneity(effects, variances, middle) > wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2
