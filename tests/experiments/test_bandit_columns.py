"""Columns give the cohorts of decisions; chances that were not kept are found out."""

import numpy as np
import pytest
from scipy import stats

from experiments.bandits.columns import cohorts_of_columns
from experiments.bandits.log import ArmSums, Batch, batches
from experiments.bandits.policies import Policy
from experiments.bandits.ratios import bandit_sample_ratio
from experiments.errors import DataError
from tests.experiments.bandit_runs import DRIFTING, run
from tests.experiments.test_bandit_readout import ARMS, a_log
from tests.rig.sizes import scaled


@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_columns_give_the_cohorts_of_the_decisions(offset):
    log = a_log(offset=offset)

    by_columns = cohorts_of_columns(
        arms=ARMS,
        chosen=[ARMS.index(it.arm) for it in log],
        version=[it.version for it in log],
        period=[it.at // 50 for it in log],
        outcomes=[it.outcome for it in log],
        vectors={it.version: it.probabilities for it in log},
    )

    by_decisions = batches(log, period=50)
    assert len(by_columns) == len(by_decisions) == 12
    for one, other in zip(by_columns, by_decisions, strict=True):
        assert (one.version, one.period) == (other.version, other.period)
        for arm in ARMS:
            assert one.of(arm).n == other.of(arm).n
            assert one.of(arm).mean == pytest.approx(other.of(arm).mean, rel=1e-14)
            assert one.of(arm).moment == pytest.approx(other.of(arm).moment, rel=1e-6)


def test_a_million_decisions_are_summed_in_a_moment():
    n = 1_000_000
    rng = np.random.default_rng(1)
    at = np.sort(rng.integers(0, 50, n))

    cohorts = cohorts_of_columns(
        arms=ARMS,
        chosen=rng.integers(0, 3, n),
        version=at // 5,
        period=at,
        outcomes=rng.random(n),
        vectors={v: dict.fromkeys(ARMS, 1 / 3) for v in range(10)},
    )

    assert len(cohorts) == 50
    assert sum(it.n for it in cohorts) == n


def test_columns_that_do_not_fit_are_refused():
    good = {"arms": ARMS, "chosen": [0], "version": [1], "period": [1], "outcomes": [0.5]}
    vectors = {1: dict.fromkeys(ARMS, 1 / 3)}

    assert len(cohorts_of_columns(**good, vectors=vectors)) == 1
    assert cohorts_of_columns(
        arms=ARMS, chosen=[], version=[], period=[], outcomes=[], vectors=vectors
    ) == ()  # fmt: skip
    for change, why in (
        ({"version": [2]}, "version 2: no probability vector was logged"),
        ({"outcomes": [float("nan")]}, "not finite"),
        ({"chosen": [3]}, "an arm outside"),
        ({"period": [1, 2]}, "one entry a unit"),
    ):
        with pytest.raises(DataError, match=why):
            cohorts_of_columns(**{**good, **change}, vectors=vectors)


# --- were the chances kept ----------------------------------------------------------------------


def test_a_bandit_that_keeps_its_chances_raises_no_alarm_though_its_totals_are_lopsided():
    rng = np.random.default_rng(2)
    n_runs, pvalues = scaled(100), []
    for _ in range(n_runs):
        it = bandit_sample_ratio(run(DRIFTING, Policy(), rng=rng))
        pvalues.append(it.pvalue)
        assert it.anytime_pvalue > 0.001
        assert max(it.observed.values()) > 2 * min(it.observed.values())

    assert 0.3 < np.mean(pvalues) < 0.7  # uniform under the truth
    assert np.mean(np.array(pvalues) < 0.1) < 0.1 + 4 * np.sqrt(0.09 / n_runs)


def test_units_lost_in_one_arm_are_found_out():
    rng = np.random.default_rng(3)
    cohorts = []
    for it in run(DRIFTING, Policy(), rng=rng):
        c = it.of("c")
        kept = ArmSums(c.n - c.n // 8, c.mean, c.moment * 7 / 8)
        cohorts.append(Batch(it.version, it.period, it.probabilities, {**it.arms, "c": kept}))

    found = bandit_sample_ratio(cohorts)

    assert not found.passed
    assert found.anytime_pvalue < 0.001


def test_too_few_units_to_compare_are_refused():
    thin = Batch(1, 1, {"a": 0.5, "b": 0.5}, {"a": ArmSums(3, 0.0), "b": ArmSums(4, 0.0)})

    with pytest.raises(DataError, match="before its share can be checked"):
        bandit_sample_ratio([thin])
    with pytest.raises(DataError, match="before its share can be checked"):
        bandit_sample_ratio([])


def test_with_one_vector_it_is_the_usual_chi_square_test():
    chances = {"a": 0.5, "b": 0.3, "c": 0.2}
    arms = {name: ArmSums(n, 0.0) for name, n in (("a", 480), ("b", 330), ("c", 190))}

    found = bandit_sample_ratio([Batch(1, 1, chances, arms)])

    assert found.pvalue == pytest.approx(
        stats.chisquare([480, 330, 190], [500, 300, 200]).pvalue, rel=1e-9
    )


def test_evidence_that_is_watched_all_the_time_hardly_ever_alarms():
    rng = np.random.default_rng(4)
    n_runs, n_alarms = scaled(300), 0
    for _ in range(n_runs):
        cohorts = []
        for version in range(1, 31):  # looked at after every version
            chances = rng.dirichlet((3, 3, 3)) * 0.85 + 0.05
            counts = rng.multinomial(200, chances)
            vector = dict(zip(ARMS, chances.tolist(), strict=True))
            arms = {a: ArmSums(int(n), 0.0) for a, n in zip(ARMS, counts, strict=True)}
            cohorts.append(Batch(version, version, vector, arms))
        looks = [bandit_sample_ratio(cohorts[: k + 1]).anytime_pvalue for k in range(0, 30, 3)]
        n_alarms += min(looks) < 0.05

    assert n_alarms / n_runs <= 0.05
