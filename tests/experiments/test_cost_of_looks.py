"""What several looks cost: Jennison and Turnbull (2000), tables 2.2 and 2.4."""

import numpy as np
import pytest

from experiments.errors import PlanError
from experiments.evidence.spending import Spending
from experiments.sizing.looks import crossing_chances, looks_cost, spent_boundaries
from experiments.sizing.power import Design, Outcome, achieved_power, sample_size

FIVE = tuple(i / 5 for i in range(1, 6))
POCOCK = {2: 2.178, 5: 2.413}
OBRIEN_FLEMING = {2: 1.977, 5: 2.040}


@pytest.mark.parametrize(
    ("n", "power", "published"),
    [(2, 0.8, 1.110), (5, 0.8, 1.229), (2, 0.9, 1.100), (5, 0.9, 1.207)],
)
def test_pococks_inflation_is_the_published_one(n: int, power: float, published: float) -> None:
    fractions = [i / n for i in range(1, n + 1)]

    found = looks_cost(fractions, [POCOCK[n]] * n, alpha=0.05, power=power)

    assert found.inflation == pytest.approx(published, abs=0.001)


@pytest.mark.parametrize(
    ("n", "power", "published"),
    [(2, 0.8, 1.008), (5, 0.8, 1.028), (2, 0.9, 1.007), (5, 0.9, 1.026)],
)
def test_obrien_and_flemings_inflation_is_the_published_one(
    n: int, power: float, published: float
) -> None:
    fractions = [i / n for i in range(1, n + 1)]
    critical = [OBRIEN_FLEMING[n] / t**0.5 for t in fractions]

    found = looks_cost(fractions, critical, alpha=0.05, power=power)

    assert found.inflation == pytest.approx(published, abs=0.001)


def test_one_look_costs_nothing() -> None:
    found = looks_cost([1.0], [1.959964], alpha=0.05, power=0.8)

    assert found.inflation == pytest.approx(1.0, abs=1e-5)
    assert found.expected_share == pytest.approx(1.0)


def test_crossing_chances_are_those_of_simulated_paths() -> None:
    rng = np.random.default_rng(1)
    critical = spent_boundaries(FIVE, spending=Spending("pocock"), alpha=0.05)
    steps = rng.normal(2.0 / 5, np.sqrt(1 / 5), (200_000, 5)).cumsum(axis=1)
    crossed = np.abs(steps / np.sqrt(FIVE)) > np.array(critical)
    first = np.where(crossed.any(axis=1), crossed.argmax(axis=1), 5)

    found = crossing_chances(FIVE, critical, drift=2.0)

    assert list(found) == pytest.approx([np.mean(first == i) for i in range(5)], abs=0.004)


def test_stopping_early_saves_on_average_what_the_largest_sample_costs() -> None:
    critical = spent_boundaries(FIVE, spending=Spending("pocock"), alpha=0.05)

    found = looks_cost(FIVE, critical, alpha=0.05, power=0.9)

    assert found.inflation > 1.1
    assert found.inflation * found.expected_share < 0.85
    assert found.expected_share_if_none > 0.95
    assert sum(found.stop_chances) == pytest.approx(0.9, abs=1e-9)


def test_a_group_sequential_design_lies_between_one_look_and_any_number() -> None:
    outcome = Outcome.proportion(0.1)
    n = {
        method: sample_size(outcome, lift=0.2, design=Design(method=method, looks=looks)).total
        for method, looks in (("fixed", ()), ("group_sequential", FIVE), ("sequential", ()))
    }

    assert n["fixed"] < n["group_sequential"] < 1.05 * n["fixed"]
    assert n["group_sequential"] < n["sequential"]
    design = Design(method="group_sequential", looks=FIVE)
    found = achieved_power(outcome, lift=0.2, n=n["group_sequential"], design=design)
    assert found == pytest.approx(0.8, abs=1e-3)


def test_looks_out_of_order_are_refused() -> None:
    with pytest.raises(PlanError, match="must rise, and end at 1"):
        Design(method="group_sequential", looks=(0.5, 0.4, 1.0))
    with pytest.raises(PlanError, match="must rise, and end at 1"):
        Design(method="group_sequential")
    with pytest.raises(PlanError, match="belong to"):
        Design(looks=(0.5, 1.0))
    with pytest.raises(PlanError, match="one each"):
        looks_cost([0.5, 1.0], [2.0], alpha=0.05, power=0.8)
