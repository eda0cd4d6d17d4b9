"""Few conversions, watched all the time, without any approximation.

When units are assigned at fixed shares and the treatment changes nothing, each new conversion is
the treatment's with the chance of its share, whatever came before: a coin of known bias, so the
evidence against it is exact at any count. If the treatment multiplies the rate by r, the bias is
r w / (r w + 1 - w), and the values of r that the coin does not refute are the relative interval.
Refuses nothing about time: rates may drift, as long as they drift alike in both variants.
Source: Lindon, Malek (NeurIPS 2022), arXiv 2011.03567, section on conversions; Robbins (1970) for
the beta-binomial mixture.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, inf, log, log1p

from experiments.distributions import log_beta
from experiments.errors import DataError, PlanError
from experiments.evidence.compare import Interval

FEW_CONVERSIONS = 50
"""Under so many in either variant the normal approximation behind `always_valid` is strained."""


@dataclass(frozen=True)
class ExactConversions:
    """Evidence from conversions alone.

    Attributes:
        log_e_value: Logarithm of the evidence against "no effect"; it may be watched all the time.
        pvalue: Of this look; the smallest over all looks is valid too.
        relative: Treatment rate / control rate - 1, valid at every look.
        absolute: The same in rates, for the conversions seen in total: its sign always agrees, but
            it leaves out how uncertain the total is.
    """

    log_e_value: float
    pvalue: float
    relative: Interval
    absolute: Interval


def exact_conversions(
    control: tuple[int, int],
    treatment: tuple[int, int],
    *,
    treatment_share: float,
    alpha: float,
    planned_conversions: int = 2 * FEW_CONVERSIONS,
    tuned_to: float | None = None,
) -> ExactConversions:
    """Compare conversions, however few, at any look.

    Args:
        control, treatment: Conversions and units; a unit converts at most once.
        treatment_share: The treatment's planned part of the units of both, in (0, 1).
        planned_conversions: In both variants; the interval is tightest there. Fix it before the
            start.
        tuned_to: The alpha at which it is tightest there, where that is another one.
    Raises:
        DataError: If there are more conversions than units, or fewer than none.
        PlanError: If the share or the planned number makes no sense.
    """
    _refuse_impossible(control, treatment)
    if not 0 < treatment_share < 1:
        raise PlanError(f"treatment_share {treatment_share} is not between 0 and 1")
    if not 0 < alpha < 1:
        raise PlanError(f"alpha {alpha} is not between 0 and 1")
    if planned_conversions < 1:
        raise PlanError(f"planned_conversions is {planned_conversions}; it must be at least 1")
    concentration = _concentration(alpha=tuned_to or alpha, planned=planned_conversions)
    missed, hit = control[0], treatment[0]

    def evidence(log_ratio: float) -> float:
        log_odds = log(treatment_share) - log1p(-treatment_share) + log_ratio
        return _log_evidence(hit, missed, log_odds=log_odds, concentration=concentration)

    against_none = evidence(0.0)
    lower, upper = _not_refuted(evidence, hit, missed, treatment_share, limit=-log(alpha))
    estimate = None
    if missed and control[1] and treatment[1]:
        estimate = (hit / treatment[1]) / (missed / control[1]) - 1
    relative = Interval(estimate, lower, upper)
    return ExactConversions(
        log_e_value=against_none,
        pvalue=min(1.0, exp(-max(against_none, 0.0))),
        relative=relative,
        absolute=_absolute(relative, control, treatment, treatment_share),
    )


def _refuse_impossible(control: tuple[int, int], treatment: tuple[int, int]) -> None:
    for name, (conversions, units) in (("control", control), ("treatment", treatment)):
        if not 0 <= conversions <= units:
            raise DataError(
                f"{name}: {conversions} conversions of {units} units; a unit converts at most once"
            )


def _concentration(*, alpha: float, planned: int) -> float:
    """Weight of the mixture in conversions, so that the sequence is tightest as planned.

    In the limit of many conversions it plays the part of 1 / rho squared in `sequential`.
    """
    return max(planned / (-2 * log(alpha) + log(-2 * log(alpha) + 1)), 1.0)


def _log_evidence(hit: int, missed: int, *, log_odds: float, concentration: float) -> float:
    """Beta mixture around the tested bias, against that bias."""
    log_share = -_log1pexp(-log_odds)
    log_rest = -_log1pexp(log_odds)
    a = max(concentration * exp(log_share), 1e-12)
    b = max(concentration * exp(log_rest), 1e-12)
    return log_beta(a + hit, b + missed) - log_beta(a, b) - hit * log_share - missed * log_rest


def _not_refuted(
    evidence: Callable[[float], float], hit: int, missed: int, share: float, *, limit: float
) -> tuple[float | None, float | None]:
    """Lower and upper relative lift at which the evidence stays under the limit."""
    # The evidence is least near the observed odds and grows to both sides.
    centre = log((hit + 0.5) / (missed + 0.5)) - log(share) + log1p(-share)
    if hit + missed == 0 or evidence(centre) >= limit:
        return (-1.0, None)
    lower = _crossing(evidence, centre, -1, limit) if hit else -inf
    upper = _crossing(evidence, centre, +1, limit) if missed else inf
    return (exp(lower) - 1, None if upper == inf else exp(upper) - 1)


def _crossing(
    evidence: Callable[[float], float], inside: float, direction: int, limit: float
) -> float:
    """Where the evidence reaches the limit, on one side; infinite if not within e**64."""
    reach = 0.25
    while evidence(inside + direction * reach) < limit:
        reach *= 2
        if reach > 64:
            return direction * inf
    low, high = 0.0, reach
    for _ in range(60):
        middle = (low + high) / 2
        if evidence(inside + direction * middle) < limit:
            low = middle
        else:
            high = middle
    return inside + direction * high


def _absolute(
    relative: Interval, control: tuple[int, int], treatment: tuple[int, int], share: float
) -> Interval:
    """The relative interval in rates: with a total rate q, control's is q / (1 + w lift)."""
    units = control[1] + treatment[1]
    if not control[1] or not treatment[1]:
        return Interval(None, None, None)
    estimate = treatment[0] / treatment[1] - control[0] / control[1]
    total = (control[0] + treatment[0]) / units

    def at(lift: float | None) -> float:
        return total / share if lift is None else total * lift / (1 + share * lift)

    if total == 0:
        return Interval(estimate, None, None)
    return Interval(estimate, at(relative.ci_lower), at(relative.ci_upper))


def _log1pexp(x: float) -> float:
    return x + log1p(exp(-x)) if x > 0 else log1p(exp(x))
