"""Matured cohorts into beliefs, and beliefs into the next vector.

Even for learning, an arm's plain average would follow the days on which it was used. Beliefs
therefore come from the same scores as the read-out, under weights common to all arms, so that a
sale on the day one arm led does not crown it.
"""

from collections.abc import Sequence
from typing import Final

from experiments.bandits.beliefs import NormalBelief
from experiments.bandits.log import Batch
from experiments.bandits.policies import Policy, even_vector, next_vector
from experiments.bandits.weighted import arm_values

WARM_UP: Final = 30
"""Units per arm before anything is learnt: the normal approximation needs a sum of some length."""


def beliefs_from(cohorts: Sequence[Batch], arms: Sequence[str]) -> tuple[NormalBelief, ...] | None:
    """What is believed of each arm, in the order given; None while there is too little to say.

    Args:
        cohorts: Matured ones that may be learnt from: without the explored slice.
    """
    if any(sum(it.of(arm).n for it in cohorts) < WARM_UP for arm in arms):
        return None
    moments = {arm: sum(it.of(arm).moment for it in cohorts) for arm in arms}
    n = sum(it.of(arm).n for it in cohorts for arm in arms)
    overall = sum(moments.values()) / n
    if overall == 0:
        return None  # Nothing varies, so nothing is known about how sure one may be.
    values = arm_values(cohorts, arms)
    return tuple(
        # An arm that happened not to vary yet is as uncertain as the arms are together.
        NormalBelief(it.mean, max(it.variance, 0.0 if moments[arm] else overall / it.n))
        for arm, it in values.items()
    )


def learnt_vector(
    cohorts: Sequence[Batch], arms: Sequence[str], policy: Policy, *, update: int = 1
) -> tuple[int, ...]:
    """The next vector in basis points, in the order of `arms`: even while there is too little."""
    beliefs = beliefs_from(cohorts, arms)
    if beliefs is None:
        return even_vector(len(arms))
    return next_vector(beliefs, policy, update=update)
