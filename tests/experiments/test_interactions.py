"""Two experiments on the same people."""

import os

import numpy as np
import pytest
from scipy import stats

from experiments.errors import DataError
from experiments.metrics import Metric
from experiments.programme.interactions import Pair, independence_pvalue, interactions
from experiments.sums.aggregates import Aggregates

SCALE = float(os.environ.get("ANTIPHON_TEST_SCALE", "1"))
SPEND = Metric(name="spend")


def a_pair(
    rng: np.random.Generator,
    *,
    n: int = 2_000,
    arms: tuple[int, int] = (2, 2),
    together: float = 0.0,
    name: str = "b",
) -> Pair:
    first, second = rng.integers(0, arms[0], n), rng.integers(0, arms[1], n)
    spend = rng.gamma(1, 5, n) + 0.5 * first + 0.3 * second + together * first * second
    cells = {}
    for i in range(arms[0]):
        for j in range(arms[1]):
            chosen = spend[(first == i) & (second == j)]
            if len(chosen):
                cells[f"a{i}", f"b{j}"] = Aggregates.from_columns({"spend": chosen})
    return Pair("a", name, ("a0", "b0"), SPEND, cells)


def test_two_by_two_is_the_z_test_of_one_effect_against_the_other() -> None:
    pair = a_pair(np.random.default_rng(1), together=1.0)

    (found,) = interactions([pair])

    cell = {key: (it.mean("spend"), it.variance("spend") / it.n) for key, it in pair.cells.items()}
    effect_in = [cell["a1", it][0] - cell["a0", it][0] for it in ("b0", "b1")]
    error = np.sqrt(sum(variance for _, variance in cell.values()))
    z = (effect_in[1] - effect_in[0]) / error
    (contrast,) = found.contrasts
    assert contrast.difference.estimate == pytest.approx(effect_in[1] - effect_in[0], rel=1e-12)
    assert contrast.std_error == pytest.approx(error, rel=1e-12)
    assert found.pvalue == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-9)


def test_more_arms_are_the_wald_test_of_all_interaction_terms() -> None:
    import statsmodels.api as sm

    rng = np.random.default_rng(2)
    first, second = rng.integers(0, 3, 900), rng.integers(0, 2, 900)
    spend = rng.gamma(1, 5, 900) + 0.7 * first * second
    cells = {
        (f"a{i}", f"b{j}"): Aggregates.from_columns({"spend": spend[(first == i) & (second == j)]})
        for i in range(3)
        for j in range(2)
    }

    (found,) = interactions([Pair("a", "b", ("a0", "b0"), SPEND, cells)])

    # The saturated model with HC2-like variances per cell is exactly the cells' own variances.
    dummies = [first == 1, first == 2, second == 1]
    dummies += [dummies[0] & dummies[2], dummies[1] & dummies[2]]
    design = np.column_stack([np.ones(900), *[it.astype(float) for it in dummies]])
    fit = sm.OLS(spend, design).fit(cov_type="HC2")
    wald = fit.wald_test(np.eye(6)[4:], use_f=False, scalar=True)
    assert found.pvalue == pytest.approx(float(wald.pvalue), rel=1e-9)
    assert len(found.contrasts) == 2


def test_independent_experiments_raise_as_few_alarms_as_promised() -> None:
    rng = np.random.default_rng(3)
    runs = int(150 * SCALE)
    single, any_alarm = [], []
    for _ in range(runs):
        found = interactions([a_pair(rng, n=600, name=f"b{i}") for i in range(8)])
        single += [it.pvalue < 0.05 for it in found]
        any_alarm.append(any(it.interacts for it in found))
        assert all(it.is_independent or it.independence_pvalue < 0.001 for it in found)

    assert np.mean(single) == pytest.approx(0.05, abs=0.02)
    assert np.mean(any_alarm) < 0.11


def test_a_real_interaction_stands_out_among_many_pairs() -> None:
    rng = np.random.default_rng(4)
    pairs = [a_pair(rng, name=f"b{i}") for i in range(20)]
    pairs.append(a_pair(rng, name="culprit", together=3.0))

    found = interactions(pairs)

    surest = min(found, key=lambda it: it.pvalue_adjusted)
    assert (surest.second, surest.interacts) == ("culprit", True)
    # Of those found a twentieth may be false: that is what the correction promises.
    assert sum(it.interacts for it in found) <= 2


def test_independence_is_pearsons_chi_square_without_correction() -> None:
    counts = {("a0", "b0"): 50, ("a0", "b1"): 30, ("a1", "b0"): 20, ("a1", "b1"): 45}

    found = independence_pvalue(counts)

    oracle = stats.chi2_contingency([[50, 30], [20, 45]], correction=False).pvalue
    assert found == pytest.approx(oracle, rel=1e-9)
    assert independence_pvalue({("a0", "b0"): 5, ("a0", "b1"): 7}) is None
    with pytest.raises(DataError, match="impossible"):
        independence_pvalue({("a0", "b0"): -1})


def test_an_experiment_that_decides_who_sees_the_other_is_told() -> None:
    rng = np.random.default_rng(5)
    sizes = {("a0", "b0"): 500, ("a0", "b1"): 300, ("a1", "b0"): 300, ("a1", "b1"): 500}
    cells = {it: Aggregates.from_columns({"spend": rng.gamma(1, 1, n)}) for it, n in sizes.items()}

    (found,) = interactions([Pair("a", "b", ("a0", "b0"), SPEND, cells)])

    assert not found.is_independent


def test_pairs_that_hardly_meet_say_why_they_are_not_read() -> None:
    rng = np.random.default_rng(6)
    thin = a_pair(rng, n=24)
    alone = Pair(
        "a", "b", ("a0", "b0"), SPEND,
        {it: sums for it, sums in a_pair(rng).cells.items() if it[0] == "a0"},
    )  # fmt: skip
    still = Pair(
        "a", "b", ("a0", "b0"), SPEND,
        {it: Aggregates.from_columns({"spend": [1.0] * 20}) for it in a_pair(rng).cells},
    )  # fmt: skip

    found = interactions([thin, alone, still, a_pair(rng)])

    assert [it.pvalue is None for it in found] == [True, True, True, False]
    assert "at least 10 are needed" in found[0].why_not
    assert found[1].why_not == "a has units in 1 arm only"
    assert found[2].why_not == "the metric does not vary"
    assert found[3].pvalue_adjusted == found[3].pvalue  # the unread ones are not counted
