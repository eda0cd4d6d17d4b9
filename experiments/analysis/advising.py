"""Judged comparisons into a decision: what the rules need to know of each variant."""

from collections.abc import Sequence

from experiments.analysis.collected import Collected
from experiments.analysis.decision import Arm, Choice, Decision, Traffic, decide
from experiments.analysis.judging import is_negligible
from experiments.analysis.looking import days_left
from experiments.analysis.plan import ExperimentPlan
from experiments.analysis.readout import Comparison, Word

NOTHING_PLANNED = (
    "no primary metric of the plan is read, and what came after it was frozen decides nothing"
)


def advised(
    plan: ExperimentPlan,
    comparisons: Sequence[Comparison],
    *,
    n: int,
    collected: Collected,
    withheld: str = "",
    otherwise: str = "",
    awaited: str = "",
) -> Decision:
    """What to do next, by the rules of `decision`.

    Args:
        n: Units in all variants.
        withheld, otherwise, awaited: Why no number may be shown, where none may.
    """
    deciding = plan.deciding
    of_it = {it.variant: it for it in comparisons if it.metric.name == deciding.name}
    refuted = [it.verdict.rule for it in of_it.values() if it.verdict.word is Word.WITHHELD]
    arms = [
        _arm(plan, variant, found, [it for it in comparisons if it.variant == variant])
        for variant, found in of_it.items()
    ]
    leader = max(arms, key=lambda arm: arm.gain, default=None)
    treated = plan.weights[leader.variant] if leader else 1
    left = days_left(plan, n, collected)
    decision = decide(
        arms,
        metric=deciding.label,
        traffic=Traffic(
            units_per_day=collected.units_per_day,
            days_left=left,
            horizon_weeks=plan.horizon_weeks,
            treated_share=treated / (treated + plan.weights[plan.control]),
            # Two rules of one kind: what is read once, or has spent its alpha, may not go on.
            may_extend=plan.method == "sequential" or bool(left),
        ),
        smallest_lift=plan.smallest_lift,
        withheld=withheld or ("" if otherwise else next(iter(refuted), "")),
        otherwise=otherwise,
        awaited=awaited,
        lifts_abs={variant: found.effect.lift_abs for variant, found in of_it.items()},
    )
    if arms and deciding.role == "exploratory" and decision.choice is not Choice.STOP:
        return Decision(
            choice=Choice.INCONCLUSIVE, rule="undecided", reason=NOTHING_PLANNED,
            metric=deciding.label,
        )  # fmt: skip
    return decision


def _arm(
    plan: ExperimentPlan, variant: str, deciding: Comparison, everything: Sequence[Comparison]
) -> Arm:
    primary = [it for it in everything if it.metric.role == "primary"] or [deciding]
    guards = [it for it in everything if it.metric.role == "guardrail"]
    gain, variance = _gain(deciding)
    directions = [_direction(it) for it in primary]
    estimates = deciding.estimates
    return Arm(
        variant=variant,
        gain=gain,
        variance=variance,
        n=estimates.n_control + estimates.n_treatment if estimates else 0,
        is_better=1 in directions,
        is_worse=-1 in directions,
        is_harmful=any(it.verdict.word is Word.HARM for it in guards),
        is_safe=all(
            it.verdict.word is Word.SAFE for it in guards if it.metric.name in plan.margins
        ),
        is_negligible=all(is_negligible(plan, it) for it in primary),
        better_on=_better_on(primary),
        is_guarded=bool(guards),
        harmed=tuple(it.metric.label for it in guards if it.verdict.word is Word.HARM),
    )


def _better_on(primary: Sequence[Comparison]) -> tuple[str, ...]:
    """Said where there are several primary metrics: the first is not always the one that rose."""
    if len(primary) == 1:
        return ()
    return tuple(it.metric.label for it in primary if _direction(it) == 1)


def _direction(found: Comparison) -> int:
    """1 if an effect in the good direction was detected, -1 in the bad one, else 0."""
    if found.verdict.word is not Word.EFFECT or found.metric.role == "exploratory":
        return 0
    rises = (found.effect.lift_abs.estimate or 0.0) > 0
    return 1 if rises == (found.metric.better == "higher") else -1


def _gain(found: Comparison) -> tuple[float, float]:
    """Mean and variance of the gain in the good direction, by the plan's prior or a flat one."""
    estimates = found.estimates
    if estimates is None:
        return 0.0, 0.0
    sign = 1 if found.metric.better == "higher" else -1
    mean, variance = estimates.treatment - estimates.control, estimates.difference_variance
    return sign * mean, variance
