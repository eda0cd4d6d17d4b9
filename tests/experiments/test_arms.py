"""Many arms beside one control: Dunnett's published table and scipy."""

import numpy as np
import pytest
from scipy import stats

from experiments.errors import PlanError
from experiments.sizing.arms import best_control_weight, dunnett_critical
from experiments.sizing.power import Design, Outcome, sample_size

DUNNETT_1964 = {1: 1.96, 2: 2.21, 3: 2.35, 4: 2.44, 5: 2.51, 6: 2.57, 7: 2.61, 8: 2.65, 9: 2.69}
"""Two-sided 5 %, infinitely many degrees of freedom."""


@pytest.mark.parametrize(("arms", "published"), DUNNETT_1964.items())
def test_the_critical_value_is_in_dunnetts_table(arms: int, published: float) -> None:
    assert dunnett_critical(alpha=0.05, arms=arms) == pytest.approx(published, abs=0.0051)


@pytest.mark.parametrize(("arms", "control_weight"), [(2, 1.0), (4, 2.0), (3, 0.5)])
def test_the_critical_value_leaves_alpha_outside_by_scipys_normal(
    arms: int, control_weight: float
) -> None:
    critical = dunnett_critical(alpha=0.1, arms=arms, control_weight=control_weight)

    correlation = 1 / (1 + control_weight)
    matrix = np.full((arms, arms), correlation) + (1 - correlation) * np.eye(arms)
    inside = stats.multivariate_normal(cov=matrix, abseps=1e-9, releps=1e-9, maxpts=10**6).cdf(
        np.full(arms, critical), lower_limit=np.full(arms, -critical)
    )
    assert inside == pytest.approx(0.9, abs=1e-5)


def test_sharing_by_dunnett_costs_a_little_less_than_by_bonferroni() -> None:
    outcome = Outcome.proportion(0.1)

    n = {
        sharing: sample_size(outcome, lift=0.2, design=Design(comparisons=5, sharing=sharing)).total
        for sharing in ("bonferroni", "dunnett")
    }

    assert 0.9 * n["bonferroni"] < n["dunnett"] < n["bonferroni"]


def test_the_square_root_rule_makes_the_sharpest_comparisons_of_a_fixed_total() -> None:
    def variance(weight: float, arms: int) -> float:
        return (weight + arms) * (1 / weight + 1)

    for arms in (1, 3, 8):
        best = best_control_weight(arms)
        others = [variance(weight, arms) for weight in np.linspace(0.2, 6, 60)]
        assert variance(best, arms) <= min(others) + 1e-9


def test_a_plan_for_several_arms_counts_the_control_once() -> None:
    size = sample_size(Outcome.proportion(0.1), lift=0.2, design=Design(comparisons=3))

    assert size.total_of(3) == size.control + 3 * size.treatment


def test_impossible_plans_for_arms_are_refused() -> None:
    with pytest.raises(PlanError, match="nothing to compare"):
        dunnett_critical(alpha=0.05, arms=0)
    with pytest.raises(PlanError, match="above 0"):
        dunnett_critical(alpha=0.05, arms=2, control_weight=0)
    with pytest.raises(PlanError, match="dunnett is for one two-sided look"):
        Design(sharing="dunnett", method="sequential")
