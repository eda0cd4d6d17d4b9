"""Effects of a contextual bandit's log: formulas beside brute force, coverage by simulation."""

from math import sqrt

import numpy as np
import pytest

from experiments.bandits.contextual import LinearPolicy, Version
from experiments.bandits.contextual_inference import policy_contrast, policy_mean
from experiments.bandits.contextual_log import ContextualLog
from experiments.errors import DataError, PlanError
from tests.experiments.contextual_runs import (
    CONTROL,
    DRIFTING,
    HONEST,
    POLICY,
    UNCHANGED,
    ContextualWorld,
    by_sign,
    coverages,
    play,
)
from tests.rig.sizes import scaled

SMALL = ContextualWorld(DRIFTING.effects, n_versions=5, n_each=120)


def a_log(seed: int = 1, world: ContextualWorld = SMALL) -> ContextualLog:
    return play(world, LinearPolicy(floor=0.05, draws=32), rng=np.random.default_rng(seed))


def unit_scores(log: ContextualLog) -> np.ndarray:
    """Scores unit by unit, each version's guess fitted anew on all units before it."""
    scores = np.empty((log.n, 3))
    for i in range(log.n):
        x = np.array([1.0, *log.contexts[i]])
        past = log.version < log.version[i]
        for arm in range(3):
            own = past & (log.chosen == arm)
            guess = 0.0
            if own.any():
                design = np.column_stack([np.ones(own.sum()), log.contexts[own]])
                at = np.linalg.solve(design.T @ design + np.eye(3), design.T @ log.outcomes[own])
                guess = float(at @ x)
            is_own = log.chosen[i] == arm
            scores[i, arm] = guess + is_own * (log.outcomes[i] - guess) / log.chances[i, arm]
    return scores


def contrast_scores(log: ContextualLog) -> np.ndarray:
    return ((by_sign(log.contexts) - CONTROL) * unit_scores(log)).sum(axis=1)


@pytest.mark.parametrize(("weights", "power"), [("stable", 0.5), ("minimum", 1.0), ("uniform", 0)])
def test_weights_by_version_are_the_published_formula_unit_by_unit(weights, power):
    log = a_log()
    apart = by_sign(log.contexts) - CONTROL

    found = policy_contrast(log, by_sign(log.contexts), against=CONTROL, weights=weights)

    scores, h = contrast_scores(log), np.empty(log.n)
    for i in range(log.n):
        before = log.version < log.version[i]
        rows = before if before.any() else log.version == log.version[i]
        chances = log.versions[log.version[i]].chances(log.contexts[rows])
        h[i] = (apart[rows] ** 2 / chances).sum(axis=1).mean() ** -power
    estimate = (h * scores).sum() / h.sum()
    assert found.treatment - found.control == pytest.approx(estimate, abs=1e-9)
    variance = (h**2 * (scores - estimate) ** 2).sum() / h.sum() ** 2
    assert found.difference_variance == pytest.approx(variance, rel=1e-9)
    parts = found.control_variance + found.treatment_variance - 2 * found.covariance
    assert parts == pytest.approx(variance, rel=1e-6)


def test_weights_by_context_are_the_published_formula_unit_by_unit():
    log = a_log(2)
    apart = by_sign(log.contexts) - CONTROL

    found = policy_contrast(log, by_sign(log.contexts), against=CONTROL, weights="contextual")

    every = [log.versions[it].chances(log.contexts) for it in log.version]
    h = np.array([(apart**2 / chances).sum(axis=1) ** -0.5 for chances in every])  # h[t, s]
    shares = h / h.sum(axis=0)
    parts = np.diag(shares) * contrast_scores(log)
    assert found.treatment - found.control == pytest.approx(parts.sum(), abs=1e-9)
    variance = ((parts - shares @ parts) ** 2).sum()
    assert found.difference_variance == pytest.approx(variance, rel=1e-9)


def test_one_step_weights_are_the_published_formula_unit_by_unit():
    log = a_log(3)
    apart = by_sign(log.contexts) - CONTROL

    found = policy_contrast(log, by_sign(log.contexts), against=CONTROL, weights="one_step")

    scores, h = contrast_scores(log), np.zeros(log.n)
    for place in range(1, 5):
        past = log.version < place
        chances = log.versions[place].chances(log.contexts[past])
        guessed = np.empty((past.sum(), 3))
        design = np.column_stack([np.ones(past.sum()), log.contexts[past]])
        for arm in range(3):
            own = log.chosen[past] == arm
            gram = design[own].T @ design[own] + np.eye(3)
            at = np.linalg.solve(gram, design[own].T @ log.outcomes[past][own])
            guessed[:, arm] = design @ at
        rows = np.arange(past.sum()), log.chosen[past]
        gradient = (apart[past] * guessed).sum(axis=1) + apart[past][rows] / chances[rows] * (
            log.outcomes[past] - guessed[rows]
        )
        ratio = chances[rows] / log.chances[past][rows]
        centre = np.average(gradient, weights=ratio)
        h[log.version == place] = np.average((gradient - centre) ** 2, weights=ratio) ** -0.5
    estimate = (h * scores).sum() / h.sum()
    assert found.treatment - found.control == pytest.approx(estimate, abs=1e-9)
    assert found.difference_variance == pytest.approx(
        (h**2 * (scores - estimate) ** 2).sum() / h.sum() ** 2, rel=1e-9
    )


def test_a_policys_own_worth_is_read_beside_nothing():
    log = a_log(4, ContextualWorld(DRIFTING.effects, first=0.3, last=0.3, n_versions=8))

    found = policy_mean(log, by_sign(log.contexts), weights="stable")

    assert found.control == 0
    assert found.control_variance == 0
    assert found.treatment == pytest.approx(0.42, abs=4 * sqrt(found.difference_variance))


def test_effects_are_covered_under_a_drift_where_plain_averages_fail():
    n_runs = scaled(100)

    found = coverages(DRIFTING, POLICY, n_runs=n_runs, rng=np.random.default_rng(31))

    noise = 3 * sqrt(0.05 * 0.95 / n_runs)
    for name in HONEST:
        its = found[name].reading
        assert its.coverage >= min(0.92, 0.95 - noise), name
        assert abs(its.bias) < 4 * its.standard_error + 0.002, name
    assert found["pooled (refused)"].reading.coverage < 0.7
    assert found["pooled (refused)"].reading.bias > 0.03
    # What weighting is for: the same truth, held by narrower intervals.
    assert found["stable"].width < 0.95 * found["uniform"].width
    assert found["stable"].width < 0.85 * found["inverse propensity"].width


def test_no_effect_is_found_where_there_is_none():
    n_runs = scaled(60)

    found = coverages(UNCHANGED, POLICY, n_runs=n_runs, rng=np.random.default_rng(32), names=HONEST)

    for name in HONEST:
        assert found[name].reading.coverage >= 0.95 - 3 * sqrt(0.05 * 0.95 / n_runs), name


def test_a_log_is_put_in_the_order_of_its_versions():
    log = a_log(5)
    mixed = np.random.default_rng(1).permutation(log.n)

    again = ContextualLog.of(
        contexts=log.contexts[mixed], chosen=log.chosen[mixed], outcomes=log.outcomes[mixed],
        chances=log.chances[mixed], version=log.version[mixed], versions=log.versions,
    )  # fmt: skip

    one, other = (policy_contrast(it, by_sign(it.contexts), against=CONTROL) for it in (log, again))
    assert other.treatment == pytest.approx(one.treatment, abs=1e-12)
    assert other.difference_variance == pytest.approx(one.difference_variance, rel=1e-9)


def columns_of(log: ContextualLog) -> dict[str, object]:
    return {
        "contexts": log.contexts, "chosen": log.chosen, "outcomes": log.outcomes,
        "chances": log.chances, "version": log.version, "versions": log.versions,
    }  # fmt: skip


def test_logs_that_are_not_of_their_versions_are_refused():
    log = a_log(6)
    good = columns_of(log)
    bad = [
        ({"chances": np.full_like(log.chances, 1 / 3)}, "not those the version gives"),
        ({"chances": np.where(log.chances < 0.1, 0, log.chances)}, "without a floor"),
        ({"outcomes": np.where(log.outcomes == 1, np.nan, 0)}, "window is open"),
        ({"chosen": log.chosen + 1}, "outside 0 to 2"),
        ({"version": log.version + 1}, "outside 0 to 4"),
        ({"contexts": log.contexts[1:]}, "do not fit"),
    ]
    for change, words in bad:
        with pytest.raises(DataError, match=words):
            ContextualLog.of(**{**good, **change})  # type: ignore[arg-type]


def test_contrasts_that_mean_nothing_are_refused():
    log = a_log(7)
    one = Version(np.zeros((1, 3, 3)), 0.05)
    first = log.version == 0
    alone = ContextualLog.of(
        contexts=log.contexts[first], chosen=log.chosen[first], outcomes=log.outcomes[first],
        chances=one.chances(log.contexts[first]), version=log.version[first], versions=[one],
    )  # fmt: skip

    with pytest.raises(DataError, match="the same in every context"):
        policy_contrast(log, CONTROL, against=CONTROL)
    with pytest.raises(DataError, match="do not sum to 1"):
        policy_contrast(log, [0.5, 0.5, 0.5], against=CONTROL)
    with pytest.raises(DataError, match="shape"):
        policy_contrast(log, [0.5, 0.5], against=CONTROL)
    with pytest.raises(PlanError, match="stable, minimum"):
        policy_contrast(log, [0, 1, 0], against=CONTROL, weights="best")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="use stable"):
        policy_contrast(alone, [0, 1, 0], against=CONTROL, weights="one_step")
    assert policy_contrast(alone, [0, 1, 0], against=CONTROL).n_treatment > 0
