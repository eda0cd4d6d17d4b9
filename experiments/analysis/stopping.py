"""What a group sequential comparison is worth once its test has stopped.

The interval at the look's boundary answers "may we stop?"; `final_estimate` answers "how large is
it?". Both are shown, and they differ most where the test stopped early.
"""

from dataclasses import replace

from experiments.analysis.collected import Collected
from experiments.analysis.comparing import means_of, planned_pair
from experiments.analysis.few_units import is_too_few
from experiments.analysis.looking import Seen, between_looks
from experiments.analysis.plan import ExperimentPlan
from experiments.analysis.readout import Comparison
from experiments.errors import DataError
from experiments.evidence.compare import normal_score
from experiments.evidence.group_sequential import (
    GroupSequentialPlan,
    critical_values,
    first_crossing,
)
from experiments.evidence.spending import Spending
from experiments.evidence.stopped import final_estimate


def with_final(
    plan: ExperimentPlan, draft: Comparison, shown: Seen, collected: Collected
) -> Comparison:
    """The comparison with its final estimate, if its test stopped at a look or has ended.

    None is given to a guardrail, which is watched between the looks; to sums that are known as of
    now alone; and where it is not known how the earlier looks stood.
    """
    main, metric = draft.estimates, draft.metric
    if plan.method != "group_sequential" or metric.role == "guardrail" or main is None:
        return draft
    if between_looks(plan, metric, collected) or collected.estimated or is_too_few(plan, main):
        return draft
    if shown.fractions and shown.earlier:
        return draft  # The earlier looks are stand-ins, which pay for alpha and tell nothing else.
    looks = [*(means_of(plan, metric, draft.variant, it).main for it in shown.earlier), main]
    planned = planned_pair(plan, draft.variant)
    known = shown.fractions or [(it.n_control + it.n_treatment) / planned for it in looks]
    fractions, is_last = [min(it, 1.0) for it in known], known[-1] >= 1
    test = GroupSequentialPlan(
        alpha=plan.alpha, spending=Spending(plan.spending, plan.spending_parameter)
    )
    criticals = critical_values(fractions, test, plan.alpha, is_last)
    has_crossed = first_crossing([normal_score(it) for it in looks], criticals) is not None
    if not (has_crossed or is_last or collected.is_at_end):
        return draft
    try:
        final = final_estimate(looks, plan=test, fractions=fractions, is_final=is_last)
    except DataError:
        return draft  # A look without variance or without news: there is nothing to estimate by.
    return replace(draft, final=final)
