"""Sample ratio mismatch (SRM): did every variant get the share of units it was promised?

If not, units went missing or were counted twice in one variant, and usually not at random: no
effect can be read from such data. That is why the verdict is withheld and not merely annotated.
For the same question asked of days, sources and dimensions see `populations`.
Sources: Fabijan et al. (KDD 2019) for the test and its threshold; Lindon and Malek (NeurIPS 2022),
arXiv 2011.03567, for watching it continuously.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, log
from typing import Literal

from experiments.distributions import chi_square_tail, log_multivariate_beta
from experiments.errors import DataError, PlanError

ALARM_BELOW = 0.001

LEAST_EXPECTED = 5
"""With fewer units expected in a variant the chi-square test is rough, and the e-value decides."""


@dataclass(frozen=True)
class SampleRatio:
    """Planned against observed units per variant.

    Attributes:
        pvalue: Of the chi-square test; read once, at the planned end.
        expected, observed: Units per variant.
        log_e_value: Evidence against the planned shares that may be watched all the time, as of
            this look.
        anytime_pvalue: The p-value of the largest evidence over all looks given.
        passed: Whether the deciding p-value is at least `alarm_below`.
        decided_by: Which one that is.
        alarm_below: The threshold.
    """

    pvalue: float
    expected: dict[str, float]
    observed: dict[str, int]
    log_e_value: float
    anytime_pvalue: float
    passed: bool
    decided_by: Literal["chi-square", "e-value", "plan"] = "chi-square"
    alarm_below: float = ALARM_BELOW

    @property
    def deciding_pvalue(self) -> float:
        """The p-value that `passed` was read from."""
        return self.pvalue if self.decided_by == "chi-square" else self.anytime_pvalue


def sample_ratio(
    observed: Mapping[str, int],
    *,
    weights: Mapping[str, int],
    earlier: Sequence[Mapping[str, int]] = (),
    watched: bool = False,
    planned_sample: int | None = None,
    alarm_below: float = ALARM_BELOW,
) -> SampleRatio:
    """Compare observed units with planned weights.

    Read once, at the planned end, the chi-square test decides: it is the more powerful. Watched,
    the e-value does: over any number of looks it raises a false alarm with a chance of at most
    `alarm_below`.

    Args:
        weights: Planned, per variant; a weight of 0 promises that nobody is there.
        earlier: What was observed at earlier looks, oldest first, each with all units up to it.
        watched: Whether this is one look of many.
        planned_sample: Units in all variants, fixed before the start; the e-value is most powerful
            there. Without it the evidence is as heavy as one unit per variant, and slower.
    Raises:
        DataError: If the names differ, a count is negative, or nobody or only one variant was
            planned.
        PlanError: If a weight is negative.
    """
    for counts in (*earlier, observed):
        _refuse_impossible(counts, weights)
    total, total_weight = sum(observed.values()), sum(weights.values())
    live = [name for name, weight in weights.items() if weight > 0]
    if total == 0 or len(live) < 2:
        raise DataError(f"{total} units in {len(live)} planned variants give nothing to compare")
    expected = {name: total * weight / total_weight for name, weight in weights.items()}
    if any(observed[name] and not weights[name] for name in observed):
        # Impossible under the plan, however few they are.
        return SampleRatio(0.0, expected, dict(observed), inf, 0.0, False, "plan", alarm_below)
    # Variants of weight 0 carry no information: they count for no degree of freedom.
    statistic = sum((observed[name] - expected[name]) ** 2 / expected[name] for name in live)
    pvalue = chi_square_tail(statistic, degrees_of_freedom=len(live) - 1)
    shares = [weights[name] / total_weight for name in live]
    heaviness = _concentration(len(live), planned_sample=planned_sample, alpha=alarm_below)
    evidences = [
        _log_e_value([counts[name] for name in live], shares, heaviness)
        for counts in (*earlier, observed)
    ]
    anytime = exp(-max(*evidences, 0.0))
    by_evidence = watched or min(expected[name] for name in live) < LEAST_EXPECTED
    return SampleRatio(
        pvalue,
        expected,
        dict(observed),
        evidences[-1],
        anytime,
        (anytime if by_evidence else pvalue) >= alarm_below,
        "e-value" if by_evidence else "chi-square",
        alarm_below,
    )


def _refuse_impossible(counts: Mapping[str, int], weights: Mapping[str, int]) -> None:
    if set(counts) != set(weights):
        raise DataError(
            f"variants {', '.join(sorted(counts))} were observed,"
            f" {', '.join(sorted(weights))} were planned"
        )
    for name, n in counts.items():
        if n < 0:
            raise DataError(f"variant {name!r} has {n} units; a count cannot be negative")
        if weights[name] < 0:
            raise PlanError(f"variant {name!r} has weight {weights[name]}; at least 0 is needed")


def _concentration(n_variants: int, *, planned_sample: int | None, alpha: float) -> float:
    """Weight of the Dirichlet mixture, in units.

    In the limit of many units it plays the part of 1 / rho squared in `sequential`, and is tuned to
    the planned sample in the same way.
    """
    if planned_sample is None:
        return float(n_variants)
    tuned = planned_sample / (-2 * log(alpha) + log(-2 * log(alpha) + 1))
    return max(tuned, float(n_variants))


def _log_e_value(counts: list[int], shares: list[float], concentration: float) -> float:
    """Dirichlet mixture, centred on the planned shares, against the plan itself."""
    alphas = [concentration * share for share in shares]
    mixture = log_multivariate_beta(
        [alpha + count for alpha, count in zip(alphas, counts, strict=True)]
    ) - log_multivariate_beta(alphas)
    plan = sum(count * log(share) for count, share in zip(counts, shares, strict=True))
    return mixture - plan
