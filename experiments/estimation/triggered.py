"""Triggered analysis: compare only units that the change could reach, then dilute to everybody.

A unit that would have been treated alike in every variant carries noise and no effect. Leaving it
out is sharper, and honest only if the trigger is known for every variant (the ghost record) and
not moved by the treatment: `validity` checks both signs of that. The effect on everybody is the
triggered one times the share triggered, not the triggered one.
Source: Deng, Hu, "Diluted treatment effect estimation for trigger analysis in online controlled
experiments" (WSDM 2015).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from experiments.errors import DataError
from experiments.estimation.cuped import unadjusted
from experiments.estimation.estimates import Estimates
from experiments.estimation.ratio import Moments
from experiments.evidence.compare import Interval, absolute_lift, welch
from experiments.evidence.srm import SampleRatio, sample_ratio
from experiments.metrics import Metric

COMPLEMENT_ALARM_BELOW = 0.01
"""p-value of an effect where there can be none, under which the trigger is not believed."""


@dataclass(frozen=True)
class TriggerValidity:
    """Whether a triggered effect may be shown.

    Attributes:
        srm: Of triggered units against the planned weights.
        complement: Effect among units not triggered, which must be 0.
        complement_pvalue: None when their outcome does not vary, or there are none.
        reasons: What is wrong, in words; empty when `passed`.
    """

    srm: SampleRatio
    complement: Interval
    complement_pvalue: float | None
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the trigger."""
        return not self.reasons


def diluted(triggered: Estimates, *, metric: Metric, untriggered: Moments | None) -> Estimates:
    """Means of everybody, from an effect measured on the triggered only.

    With r the share triggered of N units: untriggered units have one mean in both variants, so
    m_a = r mean_a + (1 - r) rest, and of the difference Delta_all = r Delta,
    Var = r**2 Var(Delta) + Delta**2 r (1 - r) / N, for r was sampled too.

    Args:
        triggered: The effect among them.
        metric: A mean, proportion or count; the others do not dilute by the share of units.
        untriggered: Of units not triggered, both variants together; None if there are none.
    Raises:
        DataError: If the metric is a ratio or a quantile.
    """
    if metric.kind in ("ratio", "quantile"):
        raise DataError(
            f"metric {metric.name!r}: a {metric.kind} of everybody is not a mix of those triggered"
            " and the others by their numbers, so it cannot be diluted; read it on everybody"
        )
    if untriggered is None or untriggered.n == 0:
        return triggered
    n_triggered = triggered.n_control + triggered.n_treatment
    n = n_triggered + untriggered.n
    share = n_triggered / n
    rest = untriggered.mean
    rest_variance = (1 - share) ** 2 * untriggered.variance / untriggered.n
    control, treatment = triggered.control - rest, triggered.treatment - rest
    mixing = share * (1 - share) / n
    return Estimates(
        control=rest + share * control,
        treatment=rest + share * treatment,
        control_variance=share**2 * triggered.control_variance
        + rest_variance
        + mixing * control**2,
        treatment_variance=share**2 * triggered.treatment_variance
        + rest_variance
        + mixing * treatment**2,
        covariance=share**2 * triggered.covariance + rest_variance + mixing * control * treatment,
        difference_variance=share**2 * triggered.difference_variance
        + mixing * (treatment - control) ** 2,
        n_control=round(triggered.n_control / share),
        n_treatment=round(triggered.n_treatment / share),
        degrees_of_freedom=triggered.degrees_of_freedom,
    )


def validity(
    *,
    triggered: Mapping[str, int],
    weights: Mapping[str, int],
    control_rest: Moments | None,
    treatment_rest: Moments | None,
) -> TriggerValidity:
    """Check a trigger: the planned shares among the triggered, no effect among the others.

    Args:
        triggered: Triggered units per variant; its names are those of `weights`.
        control_rest, treatment_rest: The metric among units not triggered; None if too few.
    Raises:
        DataError: If nobody was triggered.
    """
    srm = sample_ratio(triggered, weights=weights)
    reasons = []
    if not srm.passed:
        reasons.append(
            f"sample ratio mismatch among the triggered (p = {srm.pvalue:.2g}): the treatment moved"
            " who is triggered, or triggers were lost in one variant"
        )
    complement, pvalue = Interval(None, None, None), None
    if control_rest is not None and treatment_rest is not None:
        rest = unadjusted(control_rest, treatment_rest)
        test = welch(rest, alpha=COMPLEMENT_ALARM_BELOW)
        complement, pvalue = absolute_lift(rest, critical=test.critical), test.pvalue
        differs = rest.control != rest.treatment
        if (pvalue is not None and pvalue < COMPLEMENT_ALARM_BELOW) or (pvalue is None and differs):
            said = "no variation at all" if pvalue is None else f"p = {pvalue:.2g}"
            reasons.append(
                f"units that were not triggered differ between variants ({said}): the trigger"
                " misses units that the change reaches"
            )
    return TriggerValidity(srm, complement, pvalue, tuple(reasons))
