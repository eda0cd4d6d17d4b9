"""What everything together was worth: a cumulative holdout against all who were not held out.

All treated units are used, not a sample as large as the holdout: the variance is V_T + V_H, and V_T
is nearly free. Units count as assigned (intention to treat). Take outcomes over a whole period, not
within a window of the first touch: a programme goes on. Read next: `reconcile`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

from experiments.distributions import normal_quantile, normal_tail
from experiments.errors import DataError
from experiments.estimation.cuped import adjusted, unadjusted
from experiments.estimation.estimates import Estimates
from experiments.estimation.ratio import moments
from experiments.evidence.compare import Interval, Test, absolute_lift, relative_lift, welch
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates

Evidence = Callable[[Estimates], Test]


@dataclass(frozen=True)
class Impact:
    """What treated units did beyond what they would have done in silence.

    Attributes:
        n_held_out, n_treated: Units.
        held_out, treated: Means per unit, adjusted where covariates were given.
        per_unit: treated - held out, in the metric's units.
        relative: The same as a share of the held-out mean (Fieller); its bounds may be missing.
        total: `per_unit` times all treated units.
        total_std_error: Of the total.
        pvalue: One for all three; None when nothing varies.
    """

    n_held_out: int
    n_treated: int
    held_out: float
    treated: float
    per_unit: Interval
    relative: Interval
    total: Interval
    total_std_error: float
    pvalue: float | None
    method: str


def total_impact(
    estimates: Estimates, *, alpha: float = 0.05, evidence: Evidence | None = None
) -> Impact:
    """The impact that two means imply; `control` is the held-out side.

    Args:
        evidence: How the difference is judged, such as an always-valid test; Welch by default.
    """
    test = welch(estimates, alpha=alpha) if evidence is None else evidence(estimates)
    per_unit = absolute_lift(estimates, critical=test.critical)
    n = estimates.n_treatment
    return Impact(
        n_held_out=estimates.n_control,
        n_treated=n,
        held_out=estimates.control,
        treated=estimates.treatment,
        per_unit=per_unit,
        relative=relative_lift(estimates, critical=test.critical),
        total=_times(per_unit, n),
        total_std_error=n * sqrt(estimates.difference_variance),
        pvalue=test.pvalue,
        method=test.method,
    )


def holdout_estimates(held_out: Aggregates, treated: Aggregates, metric: Metric) -> Estimates:
    """Both means, adjusted by the metric's covariates (measured before the holdout began).

    A covariate that does not vary on one side, or too few units for a regression, leaves the plain
    means.
    Raises:
        DataError: If a side has fewer than two units.
    """
    for side, part in (("held out", held_out), ("treated", treated)):
        if part.n < 2:
            raise DataError(f"{part.n} units are {side}; at least 2 on each side are needed")
    usable = tuple(
        name
        for name in metric.covariates
        if held_out.variance(name) > 0 and treated.variance(name) > 0
    )
    if min(held_out.n, treated.n) < len(usable) + 3:
        usable = ()
    control, treatment = (moments(it, metric, covariates=usable) for it in (held_out, treated))
    if not usable:
        return unadjusted(control, treatment)
    total = moments(held_out.merge(treated), metric, covariates=usable)
    return adjusted(control, treatment, total=total, adjust="lin")


@dataclass(frozen=True)
class Slice:
    """The impact within one calendar period, or at one tenure since entry."""

    label: str
    impact: Impact | None
    why_not: str = ""


def impact_by(
    slices: Sequence[tuple[str, Aggregates, Aggregates]], metric: Metric, *, alpha: float = 0.05
) -> tuple[Slice, ...]:
    """The impact of each (label, held out, treated); a slice too small says so instead.

    The intervals are of each slice alone: read the pattern, not the one that stands out.
    """
    found = []
    for label, held_out, treated in slices:
        if min(held_out.n, treated.n) < 2:
            why = f"{held_out.n} held-out and {treated.n} treated units are too few"
            found.append(Slice(label, None, why))
            continue
        estimates = holdout_estimates(held_out, treated, metric)
        found.append(Slice(label, total_impact(estimates, alpha=alpha)))
    return tuple(found)


@dataclass(frozen=True)
class Additivity:
    """Whether the whole is the sum of its parts.

    Attributes:
        whole, parts: Totals.
        interaction: whole - parts. Each part is measured while the others run, so above 0 the parts
            reach for the same money (each alone would hardly be missed), and below 0 they help each
            other (each counts the joint gain as its own).
        pvalue: Of no interaction.
    """

    whole: float
    parts: float
    interaction: Interval
    pvalue: float | None


def additivity(whole: Impact, parts: Sequence[Impact], *, alpha: float = 0.05) -> Additivity:
    """Compare the global total with the sum of the programmes' totals.

    The programmes' holdouts lie among units outside the global one. A programme's treated and its
    held-out units both stand in the global holdout's treated mean, with opposite signs in the
    programme's effect, so the two estimates are nearly uncorrelated and variances add.
    """
    if not parts:
        raise DataError("there is no part to add up; give the impact of at least one programme")
    estimate = sum(_estimate(part) for part in parts)
    gap = _estimate(whole) - estimate
    error = sqrt(whole.total_std_error**2 + sum(part.total_std_error**2 for part in parts))
    if error == 0:
        return Additivity(_estimate(whole), estimate, Interval(gap, None, None), None)
    radius = normal_quantile(1 - alpha / 2) * error
    return Additivity(
        _estimate(whole),
        estimate,
        Interval(gap, gap - radius, gap + radius),
        2 * normal_tail(abs(gap) / error),
    )


def _estimate(impact: Impact) -> float:
    return impact.n_treated * (impact.treated - impact.held_out)


def _times(interval: Interval, factor: float) -> Interval:
    def scaled(value: float | None) -> float | None:
        return None if value is None else value * factor

    return Interval(scaled(interval.estimate), scaled(interval.ci_lower), scaled(interval.ci_upper))
