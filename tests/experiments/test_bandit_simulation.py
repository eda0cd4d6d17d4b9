"""Bandits on seeded units: effects are covered under drift, the best arm is found, regret falls.

Short here; ANTIPHON_TEST_SCALE makes the runs many. More of it, as a table: `simulations`.
"""

from math import sqrt

import numpy as np
import pytest

from experiments.bandits.policies import WHOLE, Policy
from tests.experiments.bandit_runs import (
    ARMS,
    DRIFTING,
    HONEST,
    World,
    coverages,
    run,
    steady,
)
from tests.rig.sizes import scaled


def test_effects_are_covered_under_a_drifting_base_rate_where_plain_averages_fail():
    n_runs = scaled(150)

    found = coverages(
        DRIFTING,
        Policy(),
        arm="c",
        n_runs=n_runs,
        rng=np.random.default_rng(20),
    )

    noise = 3 * sqrt(0.05 * 0.95 / n_runs)
    for name in HONEST:
        assert found[name].coverage >= min(0.92, 0.95 - noise), name
        assert abs(found[name].bias) < 4 * found[name].standard_error + 0.002, name
    assert found["pooled (refused)"].coverage < 0.7
    assert found["pooled (refused)"].bias > 0.02  # a third of the true effect of 0.06, invented


@pytest.mark.parametrize("algorithm", ["thompson", "top_two"])
def test_the_best_arm_is_found_and_nobody_falls_below_the_floor(algorithm):
    rng = np.random.default_rng(22)
    policy = Policy(algorithm, floor=0.05)
    n_runs, n_found = scaled(40), 0
    for _ in range(n_runs):
        cohorts = run(DRIFTING, policy, rng=rng)
        for it in cohorts:
            assert min(it.probabilities.values()) >= 0.05
            assert sum(round(share * WHOLE) for share in it.probabilities.values()) == WHOLE
        last = cohorts[-1].probabilities
        n_found += max(last, key=last.__getitem__) == "c"

    assert n_found / n_runs > 0.85


def test_less_is_lost_than_by_dividing_evenly():
    rng = np.random.default_rng(23)
    world = World((0.0, 0.02, 0.08), steady, n_days=20, n_a_day=400)
    best = max(world.lifts)
    lost = []
    for _ in range(scaled(30)):
        for it in (cohorts := run(world, Policy(), rng=rng)):
            assert it.n == world.n_a_day
        lost.append(
            sum(
                it.of(arm).n * (best - lift)
                for it in cohorts
                for arm, lift in zip(ARMS, world.lifts, strict=True)
            )
        )

    evenly = world.n_days * world.n_a_day * np.mean([best - lift for lift in world.lifts])
    assert np.mean(lost) < 0.45 * evenly
