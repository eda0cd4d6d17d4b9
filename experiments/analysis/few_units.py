"""From how many units on a variance may be believed; methods that take it for known wait so long.

Looked at from two units a variant on, a sequence planned for 200 units claims an effect in 6.5 % of
experiments that have none, and one planned for 10 in 15 %; from ten units on neither passes 5 %
(tests/experiments/test_few_units.py). Student's t allows for few units, but not for few that happen
to be all alike.
"""

from typing import Final

from experiments.analysis.plan import ExperimentPlan
from experiments.estimation.estimates import Estimates
from experiments.metrics import Metric

FEW_UNITS: Final = 10
"""Units of a variant; of degrees of freedom, which clusters make fewer, one less."""


def is_too_few(plan: ExperimentPlan, estimates: Estimates) -> bool:
    """Whether the plan's evidence has to wait for more units."""
    few = min(estimates.n_control, estimates.n_treatment) < FEW_UNITS
    if plan.method == "fixed":
        return few and min(estimates.control_variance, estimates.treatment_variance) <= 0
    return few or estimates.degrees_of_freedom < FEW_UNITS - 1


def waits(plan: ExperimentPlan, estimates: Estimates) -> tuple[str, ...]:
    """What to say beside a comparison that has to wait; nothing beside another."""
    if not is_too_few(plan, estimates):
        return ()
    least = min(estimates.n_control, estimates.n_treatment)
    if least >= FEW_UNITS:
        said = "too few independent units or clusters for this method: no effect is told yet"
        if plan.method in ("sequential", "group_sequential"):
            said += (
                ". What so few can tell, only one look can: the randomization test of the fixed"
                " method"
            )
        return (said,)
    return (f"only {least} units in a variant: no effect is told from under {FEW_UNITS}",)


def stands_still(metric: Metric, plain: Estimates) -> tuple[str, ...]:
    """Said where one variant alone varies: data lost or filled in look like that.

    A share of 0 or of 1 is none of it: few conversions have their own words.
    """
    variances = plain.control_variance, plain.treatment_variance
    if metric.kind == "proportion" or (min(variances) > 0) == (max(variances) > 0):
        return ()
    is_control = variances[0] <= 0
    side, value = ("control", plain.control) if is_control else ("treatment", plain.treatment)
    return (
        f"every unit of the {side} has the same value, {value:g}, and the other variant varies:"
        " look for values lost or filled in before believing the difference",
    )
