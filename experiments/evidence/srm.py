"""Sample ratio mismatch (SRM): did every variant get the share of units it was promised?

If not, units went missing or were counted twice in one variant, and usually not at random: no
effect can be read from such data. That is why the verdict is withheld and not merely annotated.
Sources: Fabijan et al. (KDD 2019) for the test and its threshold; Lindon and Malek (NeurIPS 2022),
arXiv 2011.03567, for watching it continuously.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, inf, log

from experiments.distributions import chi_square_tail, log_multivariate_beta
from experiments.errors import DataError

ALARM_BELOW = 0.001


@dataclass(frozen=True)
class SampleRatio:
    """Planned against observed units per variant.

    Attributes:
        pvalue: Of the chi-square test; read once, at the planned end.
        expected, observed: Units per variant.
        log_e_value: Evidence against the planned shares that may be watched all the time.
        anytime_pvalue: The p-value that belongs to it.
        passed: Whether `pvalue` is at least ALARM_BELOW.
    """

    pvalue: float
    expected: dict[str, float]
    observed: dict[str, int]
    log_e_value: float
    anytime_pvalue: float
    passed: bool


def sample_ratio(observed: Mapping[str, int], *, weights: Mapping[str, int]) -> SampleRatio:
    """Compare observed units with planned weights.

    The chi-square test decides at every look: so strict a threshold errs rarely even over many
    looks, and here a false alarm costs less than a missed one. Whoever watches all the time and
    wants the guarantee reads `anytime_pvalue`.

    Args:
        weights: Planned, per variant; a weight of 0 promises that nobody is there.
    Raises:
        DataError: If the names differ, or nobody or only one variant was planned.
    """
    if set(observed) != set(weights):
        raise DataError(
            f"variants {', '.join(sorted(observed))} were observed,"
            f" {', '.join(sorted(weights))} were planned"
        )
    total, total_weight = sum(observed.values()), sum(weights.values())
    live = [name for name, weight in weights.items() if weight > 0]
    if total == 0 or len(live) < 2:
        raise DataError(f"{total} units in {len(live)} planned variants give nothing to compare")
    expected = {name: total * weight / total_weight for name, weight in weights.items()}
    if any(observed[name] and not weights[name] for name in observed):
        # Impossible under the plan, however few they are.
        return SampleRatio(0.0, expected, dict(observed), inf, 0.0, False)
    # Variants of weight 0 carry no information: they count for no degree of freedom.
    statistic = sum((observed[name] - expected[name]) ** 2 / expected[name] for name in live)
    pvalue = chi_square_tail(statistic, degrees_of_freedom=len(live) - 1)
    evidence = _log_e_value(
        [observed[name] for name in live], [weights[name] / total_weight for name in live]
    )
    anytime = exp(-max(evidence, 0.0))
    passed = pvalue >= ALARM_BELOW
    return SampleRatio(pvalue, expected, dict(observed), evidence, anytime, passed)


def _log_e_value(counts: list[int], shares: list[float]) -> float:
    """Dirichlet mixture, centred on the planned shares, against the plan itself."""
    # As heavy as one unit per variant: weak, and the planned shares are its mean.
    alphas = [len(shares) * share for share in shares]
    mixture = log_multivariate_beta(
        [alpha + count for alpha, count in zip(alphas, counts, strict=True)]
    ) - log_multivariate_beta(alphas)
    plan = sum(count * log(share) for count, share in zip(counts, shares, strict=True))
    return mixture - plan
