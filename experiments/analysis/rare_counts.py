"""Counts too rare for any variance to be known: read exactly, by the number of events in all."""

from dataclasses import replace

from experiments.analysis.collected import Arms
from experiments.analysis.plan import ExperimentPlan
from experiments.analysis.readout import Comparison, Effect
from experiments.errors import DataError
from experiments.estimation.counts import Counted, Events, counted, exact_rate_ratio, is_rare
from experiments.evidence.compare import Interval

RARE = (
    "few events, so they are read exactly, as if each came independently of the others; the"
    " difference is for as many of them in all as were seen"
)


def rarely_counted(plan: ExperimentPlan, draft: Comparison, arms: Arms) -> Comparison:
    """The comparison by the exact conditional test, where its counts are rare; else as it is.

    Only where it is read once: the exact test pays for no second look.
    """
    (column,) = draft.metric.value_columns
    try:
        pair = [counted(arms[name], column) for name in (plan.control, draft.variant)]
    except DataError:
        return draft
    control, treatment = pair
    if plan.method != "fixed" or not is_rare(control, treatment) or not all(map(_is_whole, pair)):
        return draft
    effect = _exact(control, treatment, draft.effect.std_error, alpha=plan.alpha)
    return replace(
        draft,
        effect=effect,
        unadjusted=effect,
        method="exact conditional test of rare counts",
        notes=(RARE,),
        # One side at alpha is the bound of two sides at twice alpha.
        one_sided=_exact(control, treatment, draft.effect.std_error, alpha=2 * plan.alpha),
    )


def _is_whole(arm: Counted) -> bool:
    """Whether the events can be counted: a column that is no count sums to no whole number."""
    return abs(arm.total - round(arm.total)) < 1e-6


def _exact(control: Counted, treatment: Counted, std_error: float, *, alpha: float) -> Effect:
    events = [Events(round(arm.total), arm.n) for arm in (control, treatment)]
    found = exact_rate_ratio(*events, alpha=alpha)
    total = sum(it.count for it in events)

    def gap(relative: float | None) -> float | None:
        """The difference of the rates at this lift; with no end above, all are the treatment's."""
        if relative is None:
            return total / treatment.n
        ratio = 1 + relative
        rate = total / (control.n + ratio * treatment.n)
        return rate * (ratio - 1)

    lift, difference = found.lift_rel, treatment.mean - control.mean
    if total == 0:
        return Effect(Interval(difference, None, None), lift, found.pvalue, std_error)
    absolute = Interval(difference, gap(lift.ci_lower), gap(lift.ci_upper))
    return Effect(absolute, lift, found.pvalue, std_error)
