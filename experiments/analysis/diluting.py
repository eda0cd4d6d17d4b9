"""A triggered comparison carried over to everybody, where the trigger can be believed.

The effect among those whom the change could reach is not the effect on everyone: it is diluted by
the others. Whoever collects the triggered units gives the others' sums beside them
(`Collected.untriggered`), which also prove the trigger: among them nothing may differ.
"""

from dataclasses import replace

from experiments.analysis.collected import Collected
from experiments.analysis.comparing import effect_of, evidence_of
from experiments.analysis.few_units import is_too_few
from experiments.analysis.plan import ExperimentPlan
from experiments.analysis.readout import Comparison, Diluted
from experiments.errors import DataError
from experiments.estimation.ratio import Moments, moments
from experiments.estimation.triggered import diluted, validity
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates


def with_diluted(plan: ExperimentPlan, draft: Comparison, collected: Collected) -> Comparison:
    """The comparison with its effect on everybody, or why it has none.

    Nothing is added where the units that were not triggered are not given.
    """
    rest = collected.untriggered
    if not {plan.control, draft.variant} <= set(rest):
        return draft
    return replace(draft, diluted=_diluted(plan, draft, collected))


def _diluted(plan: ExperimentPlan, draft: Comparison, collected: Collected) -> Diluted:
    rest, metric, main = collected.untriggered, draft.metric, draft.estimates
    pair = rest[plan.control], rest[draft.variant]
    if main is None or draft.one_sided is not None or is_too_few(plan, main):
        return Diluted(None, why_not="so few are compared by themselves alone")
    if collected.clusters or plan.method == "group_sequential":
        how = "clusters" if collected.clusters else "planned looks"
        return Diluted(None, why_not=f"those triggered are read by {how}, which everybody is not")
    try:
        # First: a ratio or a quantile is refused with its reason, whatever the others look like.
        diluted(main, metric=metric, untriggered=None)
        whole = diluted(main, metric=metric, untriggered=_moments(pair[0].merge(pair[1]), metric))
        checked = validity(
            triggered={plan.control: main.n_control, draft.variant: main.n_treatment},
            weights={name: plan.weights[name] for name in (plan.control, draft.variant)},
            control_rest=_moments(pair[0], metric),
            treatment_rest=_moments(pair[1], metric),
        )
    except DataError as error:
        return Diluted(None, why_not=str(error))
    if not checked.passed:
        return Diluted(None, validity=checked, why_not="; ".join(checked.reasons))
    n = main.n_control + main.n_treatment
    share = n / (n + pair[0].n + pair[1].n)
    test = evidence_of(plan, draft.variant, [whole])
    return Diluted(effect_of(whole, test), share=share, validity=checked)


def _moments(part: Aggregates, metric: Metric) -> Moments | None:
    if part.n < 2 or not set(metric.value_columns) <= set(part.columns):
        return None
    return moments(part, metric, covariates=())
