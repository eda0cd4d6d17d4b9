"""The sum of the parts beside the measured whole: why ten wins of 5 % are not 50 %.

Adding up what every shipped experiment promised overstates: an experiment ships because its
estimate is high, and part of that height was luck. Two corrections stand beside the plain sum:

- *shrunk*: each effect times tau2 / (tau2 + V), tau2 fitted around 0 over all experiments, shipped
  or not. If experiments' true effects are roughly normal around 0, choosing winners afterwards adds
  no bias to it.
- *corrected*: the plain sum less its expected winner's curse, sum of s phi(b - X / s) over all
  experiments, where b is how many standard errors an effect had to show to ship. It assumes nothing
  of other experiments. Source: Lee, Shen (KDD 2018).

Each effect is per exposed unit and is multiplied by the units it reached in the measured period.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from experiments.distributions import normal_density, normal_quantile, normal_tail
from experiments.errors import DataError, PlanError
from experiments.evidence.compare import Interval
from experiments.programme.holdout import Impact
from experiments.programme.meta import Method, PastEffect, between_variance, shrunk


@dataclass(frozen=True, kw_only=True)
class Part:
    """One experiment or campaign among those that may explain the whole.

    Attributes:
        effect: Per exposed unit, on the holdout's metric.
        n_units: Units it reached in the measured period.
        is_shipped: Whether they got it; what was not shipped only informs the corrections.
        threshold: Standard errors its effect had to exceed to ship; None if it would have been kept
            whatever it showed. Above 0 is good: turn the sign of a metric where less is better.
    """

    effect: PastEffect
    n_units: int
    is_shipped: bool = True
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.n_units < 0:
            raise PlanError(
                f"part {self.effect.name!r} reached {self.n_units} units; give 0 or more"
            )


@dataclass(frozen=True)
class Share:
    """What one shipped part adds, in totals over the units it reached."""

    name: str
    n_units: int
    raw: float
    shrunk: float
    luck: float


@dataclass(frozen=True)
class Reconciliation:
    """Measured against the sum of parts.

    Attributes:
        measured: The holdout's total.
        raw: Plain sum of the shipped parts.
        shrunk: The sum to compare with: each effect pulled to 0 by its noise.
        curse: Expected winner's curse of the plain sum, over all parts.
        corrected: raw - curse.
        between_variance: tau2 of the true effects around 0, per unit.
        gap: measured - shrunk, with its interval.
        pvalue: Of measured and shrunk sum being the same.
        reading: One sentence for people.
    """

    measured: Interval
    raw: Interval
    shrunk: Interval
    curse: float
    corrected: float
    between_variance: float
    gap: Interval
    pvalue: float
    shares: tuple[Share, ...]
    reading: str


def reconcile(
    measured: Impact,
    parts: Sequence[Part],
    *,
    alpha: float = 0.05,
    method: Method = "paule_mandel",
) -> Reconciliation:
    """Put the sum of the parts beside the whole.

    Args:
        parts: All experiments of the period, the failed ones too.
    Raises:
        DataError: If nothing was shipped, or the whole does not vary.
    """
    shipped = [part for part in parts if part.is_shipped]
    if not shipped:
        raise DataError("no part was shipped, so there is no sum to compare the whole with")
    if measured.total_std_error == 0:
        raise DataError("the measured total does not vary, so nothing can be compared with it")
    effects = [part.effect for part in parts]
    tau2 = between_variance(effects, method=method, around=0.0)
    posterior = {it.name: it for it in shrunk(effects, tau2=tau2)}
    z = normal_quantile(1 - alpha / 2)
    raw = sum(part.n_units * part.effect.estimate for part in shipped)
    raw_error = sqrt(sum(part.n_units**2 * part.effect.variance for part in shipped))
    pulled = sum(part.n_units * posterior[part.effect.name].estimate for part in shipped)
    pulled_error = sqrt(
        sum(part.n_units**2 * posterior[part.effect.name].variance for part in shipped)
    )
    curse = sum(_luck(part) for part in parts)
    whole = measured.n_treated * (measured.treated - measured.held_out)
    gap, gap_error = whole - pulled, sqrt(measured.total_std_error**2 + pulled_error**2)
    pvalue = 2 * normal_tail(abs(gap) / gap_error)
    return Reconciliation(
        measured=measured.total,
        raw=Interval(raw, raw - z * raw_error, raw + z * raw_error),
        shrunk=Interval(pulled, pulled - z * pulled_error, pulled + z * pulled_error),
        curse=curse,
        corrected=raw - curse,
        between_variance=tau2,
        gap=Interval(gap, gap - z * gap_error, gap + z * gap_error),
        pvalue=pvalue,
        shares=tuple(
            Share(
                part.effect.name,
                part.n_units,
                part.n_units * part.effect.estimate,
                part.n_units * posterior[part.effect.name].estimate,
                _luck(part),
            )
            for part in shipped
        ),
        reading=_reading(gap, pvalue, alpha),
    )


def _luck(part: Part) -> float:
    """E[(X - a) 1{X > b s}] = s phi(b - a / s) for X ~ N(a, s2), with X put in for a."""
    if part.threshold is None:
        return 0.0
    error = sqrt(part.effect.variance)
    return part.n_units * error * normal_density(part.threshold - part.effect.estimate / error)


def _reading(gap: float, pvalue: float, alpha: float) -> str:
    if pvalue > alpha:
        return "The measured whole agrees with the sum of its parts."
    if gap < 0:
        return (
            "The whole is worth less than its parts promised: they wear off, were lucky, or count "
            "a joint gain twice."
        )
    return (
        "The whole is worth more than its parts: something unmeasured adds to it, or each part was "
        "measured beside others that do the same."
    )
