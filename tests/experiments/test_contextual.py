"""Linear Thompson sampling: beliefs beside scikit-learn's ridge, chances beside brute force."""

import time

import numpy as np
import pytest
from scipy import special
from sklearn.linear_model import Ridge

from experiments.bandits.contextual import (
    LinearPolicy,
    LinearSums,
    Version,
    drawn_arms,
    learnt_version,
)
from experiments.bandits.contextual_worth import worth_of_context
from experiments.bandits.off_policy import Logged
from experiments.errors import DataError, PlanError
from tests.experiments.contextual_runs import DRIFTING, POLICY, play
from tests.experiments.uplift_runs import hillstrom_units


def some_units(n: int = 600, *, n_arms: int = 3, seed: int = 1):
    rng = np.random.default_rng(seed)
    contexts, chosen = rng.normal(0, 1, (n, 2)), rng.integers(0, n_arms, n)
    outcomes = 0.3 + chosen * 0.1 * contexts[:, 0] + rng.normal(0, 0.5, n)
    return contexts, chosen, outcomes


def sums_of(contexts, chosen, outcomes, *, n_arms: int = 3) -> LinearSums:
    return LinearSums.empty(n_arms=n_arms, n_features=contexts.shape[1]).add(
        contexts, chosen, outcomes
    )


def test_each_arms_coefficients_are_a_ridge_regressions():
    contexts, chosen, outcomes = some_units()

    found = sums_of(contexts, chosen, outcomes).coefficients(penalty=2.0)

    design = np.column_stack([np.ones(len(contexts)), contexts])
    for arm in range(3):
        own = chosen == arm
        oracle = Ridge(alpha=2.0, fit_intercept=False).fit(design[own], outcomes[own])
        assert found[arm] == pytest.approx(oracle.coef_, abs=1e-8)


def test_sums_of_batches_are_those_of_the_whole():
    contexts, chosen, outcomes = some_units()
    whole = sums_of(contexts, chosen, outcomes)

    parts = sums_of(contexts[:100], chosen[:100], outcomes[:100]).add(
        contexts[100:], chosen[100:], outcomes[100:]
    )

    assert parts.gram == pytest.approx(whole.gram)
    assert parts.coefficients(penalty=1.0) == pytest.approx(whole.coefficients(penalty=1.0))
    left = outcomes - np.array(
        [
            whole.coefficients(penalty=1e-9)[a] @ (1, *x)
            for a, x in zip(chosen, contexts, strict=True)
        ]
    )
    expected = (left**2).sum() / (len(left) - 9)
    assert whole.noise(penalty=1e-9) == pytest.approx(expected, rel=1e-6)


def test_of_two_arms_the_chance_is_the_normal_one():
    contexts, chosen, outcomes = some_units(n_arms=2)
    sums = sums_of(contexts, chosen, outcomes, n_arms=2)
    policy = LinearPolicy(floor=0.01, draws=40_000)

    found = learnt_version(sums, policy, rng=np.random.default_rng(2)).chances(contexts[:20])

    # The difference of two normal scores is normal: its chance to be above 0 is known.
    design = np.column_stack([np.ones(20), contexts[:20]])
    means = design @ sums.coefficients(penalty=1.0).T
    inverse = np.linalg.inv(sums.gram + np.eye(3))
    variance = sums.noise(penalty=1.0) * np.einsum("ni,kij,nj->n", design, inverse, design)
    exact = special.ndtr((means[:, 1] - means[:, 0]) / np.sqrt(variance))
    assert found[:, 1] == pytest.approx(0.01 + 0.98 * exact, abs=0.01)


def test_chances_are_the_shares_of_draws_above_a_floor():
    version = Version(np.random.default_rng(3).normal(0, 1, (50, 4, 3)), floor=0.04)
    contexts = np.random.default_rng(4).normal(0, 1, (30, 2))

    found = version.chances(contexts)

    wins = np.zeros((30, 4))
    for coefficients in version.drawn:
        for row, x in enumerate(contexts):
            wins[row, int(np.argmax(coefficients @ (1, *x)))] += 1 / 50
    assert found == pytest.approx(0.04 + (1 - 4 * 0.04) * wins, abs=1e-12)
    assert found.sum(axis=1) == pytest.approx(np.ones(30))


def test_nothing_is_learnt_before_every_arm_has_its_units_nor_where_nothing_varies():
    contexts, chosen, outcomes = some_units(n=60)
    few = sums_of(contexts, np.where(chosen == 2, 0, chosen), outcomes)
    alike = sums_of(*some_units()[:2], np.zeros(600))

    for sums in (few, alike):
        version = learnt_version(sums, LinearPolicy(), rng=np.random.default_rng(1))
        assert version.chances(contexts) == pytest.approx(np.full((60, 3), 1 / 3))


def test_the_same_sums_and_generator_give_the_same_version_and_it_keeps():
    sums = sums_of(*some_units())

    one, other = (learnt_version(sums, LinearPolicy(), rng=np.random.default_rng(5)) for _ in "ab")
    again = Version.of(one.arrays())

    contexts = some_units()[0]
    assert np.array_equal(one.chances(contexts), other.chances(contexts))
    assert np.array_equal(one.chances(contexts), again.chances(contexts))


def test_arms_are_drawn_by_their_chances():
    chances = np.tile([0.2, 0.5, 0.3], (200_000, 1))

    arms = drawn_arms(chances, np.random.default_rng(6).random(200_000))

    assert np.bincount(arms) / 200_000 == pytest.approx([0.2, 0.5, 0.3], abs=0.005)
    assert drawn_arms([[0.5, 0.5]] * 3, [0.0, 0.5, 1 - 1e-16]).tolist() == [0, 1, 1]


def test_it_learns_to_choose_by_context():
    log = play(DRIFTING, POLICY, rng=np.random.default_rng(7))

    later = log.version >= 6
    plus = log.contexts[:, 0] > 0

    assert (log.chosen[later & plus] == 1).mean() > 0.6
    assert (log.chosen[later & ~plus] == 2).mean() > 0.6


def test_ten_thousand_contexts_take_well_under_a_second():
    version = Version(np.random.default_rng(8).normal(0, 1, (256, 5, 11)), floor=0.02)
    contexts = np.random.default_rng(9).normal(0, 1, (10_000, 10))
    began = time.process_time()

    version.chances(contexts)

    assert time.process_time() - began < 2.0  # 0.13 s of gemm, and the ties


@pytest.mark.parametrize(
    ("contexts", "chosen", "outcomes", "words"),
    [
        ([[np.nan, 0]], [0], [1], "missing or infinite"),
        ([[0, 0, 0]], [0], [1], r"\(n, 2\) is expected"),
        ([[0, 0]], [3], [1], "outside 0 to 2"),
        ([[0, 0]], [0], [np.inf], "window has closed"),
        ([[0, 0]], [0, 1], [1], "give one of each"),
    ],
)
def test_units_that_cannot_be_learnt_from_are_refused(contexts, chosen, outcomes, words):
    with pytest.raises(DataError, match=words):
        LinearSums.empty(n_arms=3, n_features=2).add(contexts, chosen, outcomes)


def test_policies_that_cannot_be_read_are_refused():
    for arguments in ({"floor": 0.0}, {"penalty": 0.0}, {"draws": 1}):
        with pytest.raises(PlanError):
            LinearPolicy(**arguments)
    with pytest.raises(PlanError, match="impossible"):
        learnt_version(
            sums_of(*some_units()), LinearPolicy(floor=0.4), rng=np.random.default_rng(1)
        )


# --- does context pay -----------------------------------------------------------------------------


def randomised(effects_by_context: float, *, n: int = 9_000, seed: int = 1):
    """Three arms drawn evenly; arm 1 is best on one side of the context, arm 2 on the other."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.choice((-1.0, 1.0), n), rng.normal(0, 1, n)])
    chosen = rng.integers(0, 3, n)
    rates = np.column_stack(
        [np.full(n, 0.2), 0.22 + effects_by_context * x[:, 0], 0.22 - effects_by_context * x[:, 0]]
    )
    outcomes = (rng.random(n) < rates[np.arange(n), chosen]).astype(float)
    return x, Logged.of(chosen, outcomes, np.full((n, 3), 1 / 3)), rates


def test_context_is_accepted_where_it_chooses_the_arm():
    contexts, logged, rates = randomised(0.08)

    found = worth_of_context(contexts, logged, rng=np.random.default_rng(1))

    assert found.is_accepted, found.why
    assert found.gain.ci_lower <= 0.08 <= found.gain.ci_upper
    assert rates.max(axis=1).mean() - rates.mean(axis=0).max() == pytest.approx(0.08, abs=0.003)


def test_context_that_tells_nothing_is_refused():
    n_accepted = 0
    for seed in range(20):
        contexts, logged, _ = randomised(0.0, n=3_000, seed=seed)
        n_accepted += worth_of_context(
            contexts, logged, rng=np.random.default_rng(seed)
        ).is_accepted

    assert n_accepted <= 2


def test_an_arm_that_is_best_for_everybody_leaves_nothing_to_choose():
    rng = np.random.default_rng(3)
    chosen = rng.integers(0, 2, 2_000)
    logged = Logged.of(chosen, chosen + rng.normal(0, 0.01, 2_000), np.full((2_000, 2), 0.5))

    found = worth_of_context(rng.normal(0, 1, (2_000, 2)), logged, rng=rng)

    assert not found.is_accepted
    assert "the same arm for everybody" in found.why


def test_context_needs_units_in_every_arm():
    contexts, logged, _ = randomised(0.1, n=120)

    with pytest.raises(DataError, match="at least 50"):
        worth_of_context(contexts, logged, rng=np.random.default_rng(1))
    with pytest.raises(DataError, match="give one each"):
        worth_of_context(contexts[1:], logged, rng=np.random.default_rng(1))


def test_the_three_arms_of_2008_are_not_worth_choosing_by_context():
    mens, womens = (hillstrom_units(it) for it in ("Mens E-Mail", "Womens E-Mail"))
    rest = mens.rows(~mens.treated)
    parts = rest, mens.rows(mens.treated), womens.rows(womens.treated)
    contexts = np.concatenate([it.features for it in parts])
    chosen = np.repeat(np.arange(3), [it.n for it in parts])
    outcomes = np.concatenate([it.outcome for it in parts])
    logged = Logged.of(chosen, outcomes, np.full((len(chosen), 3), 1 / 3))

    for seed in range(3):
        found = worth_of_context(contexts, logged, rng=np.random.default_rng(seed))
        assert not found.is_accepted
        assert abs(found.gain.estimate) < 0.004, found.why
