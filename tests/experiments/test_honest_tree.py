"""A tree of effects: what is planted is found, what is not is not, and its intervals hold."""

from functools import partial

import numpy as np
import pytest
from scipy import stats

from experiments.errors import DataError
from experiments.programme.heterogeneity import EXPLORATORY
from experiments.programme.honest_tree import honest_tree
from experiments.programme.tree_growing import Column, Condition, grown
from tests.experiments.uplift_runs import HILLSTROM_FEATURES, hillstrom_units
from tests.rig.sizes import scaled


def people(
    *, seed: int, n: int = 4_000, among_young: float = 0.5, among_rest: float = 0.5
) -> tuple[list[Column], np.ndarray, np.ndarray]:
    """Units with an age (some unknown), a country and noise; effects differ at 40, or do not."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(18, 80, n)
    effect = np.where(age <= 40, among_young, among_rest)
    treated = rng.random(n) < 0.5
    country = rng.choice(["FR", "DE", "", "IT"], n)
    outcome = 3 + rng.normal(0, 1, n) + treated * effect
    shown = np.where(rng.random(n) < 0.05, np.nan, age)
    columns = [
        Column("age", shown), Column("country", country), Column("noise", rng.normal(0, 1, n)),
        Column("always the same", np.ones(n)), Column("never known", np.full(n, np.nan)),
    ]  # fmt: skip
    return columns, treated, outcome


def test_a_planted_difference_is_found_where_it_is():
    columns, treated, outcome = people(seed=1, among_young=1.0, among_rest=0.0)

    found = honest_tree(columns, treated, outcome, rng=np.random.default_rng(1))

    split = found.paths[0][0]
    assert split.column == "age"
    assert split.limit == pytest.approx(40, abs=5)
    assert found.dimension is not None
    assert found.dimension.pvalue < 1e-6
    by_leaf = {it.level: it.lift_abs for it in found.dimension.levels}
    young = by_leaf[next(it for it in by_leaf if it.startswith("age at most"))]
    assert young.ci_lower > 0.7


def test_a_leaf_is_the_welch_estimate_of_units_that_did_not_choose_it():
    columns, treated, outcome = people(seed=2, among_young=1.0, among_rest=0.0)

    found = honest_tree(columns, treated, outcome, rng=np.random.default_rng(3))

    judging = np.random.default_rng(3).permutation(len(outcome))[found.n_grown :]
    by_name = {it.name: it.values[judging] for it in columns}
    assert sum(it.n_control + it.n_treatment for it in found.leaves.values()) == len(judging)
    for path, its in zip(found.paths, found.leaves.values(), strict=True):
        inside = np.logical_and.reduce(
            [it.at(Column(it.column, by_name[it.column])) for it in path]
        )
        y, w = outcome[judging][inside], treated[judging][inside]
        oracle = stats.ttest_ind(y[w], y[~w], equal_var=False)
        gap = its.treatment - its.control
        assert gap == pytest.approx(y[w].mean() - y[~w].mean(), abs=1e-9)
        assert gap / its.difference_variance**0.5 == pytest.approx(oracle.statistic, rel=1e-9)


def test_it_never_claims_a_finding():
    columns, treated, outcome = people(seed=1, among_young=1.0, among_rest=0.0)

    found = honest_tree(columns, treated, outcome, rng=np.random.default_rng(1)).dimension

    assert found is not None
    assert not found.is_declared
    assert not found.differs
    assert found.watermark == EXPLORATORY


def test_where_effects_are_alike_a_difference_is_found_with_chance_alpha_at_most():
    n_runs, n_found, n_split = scaled(300), 0, 0
    for seed in range(n_runs):
        columns, treated, outcome = people(seed=seed, n=1_200)
        its = honest_tree(columns, treated, outcome, rng=np.random.default_rng(seed)).dimension
        n_split += its is not None
        n_found += its is not None and its.pvalue <= 0.05

    assert n_found / n_runs <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / n_runs)
    assert n_split / n_runs < 0.5


def grown_anyway(seed: int, *, n: int = 800) -> tuple[bool, bool] | None:
    """A tree made to split where all effects are alike: does its test reject, do intervals hold?"""
    columns, treated, outcome = people(seed=seed, n=n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.programme.tree_growing.CHANCE", 20.0)
        its = honest_tree(columns, treated, outcome, rng=np.random.default_rng(seed), arm_min=20)
    if its.dimension is None:
        return None
    held = [it.lift_abs.ci_lower <= 0.5 <= it.lift_abs.ci_upper for it in its.dimension.levels]
    return its.dimension.pvalue <= 0.05, all(held)


def test_the_judging_half_is_not_fooled_by_any_search():
    every = [grown_anyway(seed) for seed in range(scaled(300))]
    found = [it for it in every if it is not None]

    n = len(found)
    assert n > 0.8 * len(every)
    noise = 3 * np.sqrt(0.05 * 0.95 / n)
    assert sum(it for it, _ in found) / n <= 0.05 + noise
    assert sum(it for _, it in found) / n >= 0.95 - noise  # of all leaves together


def test_the_searched_half_would_have_been_fooled():
    """Why honesty is needed: the same leaves, judged by the units that chose them."""
    n_found = 0
    for seed in range(40):
        columns, treated, outcome = people(seed=seed, n=800)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("experiments.programme.tree_growing.CHANCE", 20.0)
            paths = grown(columns, treated, outcome, depth=1, arm_min=20, n_other=800)
        if len(paths) == 1:
            continue
        inside = paths[0][0].at(next(it for it in columns if it.name == paths[0][0].column))
        effects, variances = [], []
        for side in (inside, ~inside):
            arms = outcome[side & treated], outcome[side & ~treated]
            effects.append(arms[0].mean() - arms[1].mean())
            variances.append(sum(it.var(ddof=1) / len(it) for it in arms))
        n_found += abs(effects[0] - effects[1]) > 1.96 * sum(variances) ** 0.5

    assert n_found / 40 > 0.3


def test_units_whose_value_is_unknown_turn_the_other_way():
    ages, words = (
        Column("age", np.array([30.0, np.nan, 50.0])),
        Column("c", np.array(["a", "", "b"])),
    )

    assert Condition("age", 40.0, holds=True).at(ages).tolist() == [True, False, False]
    assert Condition("age", 40.0, holds=False).at(ages).tolist() == [False, True, True]
    assert Condition("c", "a", holds=False).at(words).tolist() == [False, True, True]
    assert Condition("age", 40.0, holds=False).words == "age above 40"
    assert Condition("c", "a", holds=False).words == "c is not a"
    flag = Column("vip", np.array([1.0, 0.0, np.nan]))
    is_vip = Condition("vip", 1.0, holds=True, is_exact=True)
    assert is_vip.at(flag).tolist() == [True, False, False]
    assert is_vip.words == "vip is 1"


def test_the_same_generator_gives_the_same_tree():
    build = partial(honest_tree, *people(seed=4, among_young=1.0))

    assert build(rng=np.random.default_rng(1)) == build(rng=np.random.default_rng(1))


def test_nothing_worth_a_split_is_said_so():
    columns, treated, outcome = people(seed=5)

    found = honest_tree(columns[3:], treated, outcome, rng=np.random.default_rng(1))

    assert found.dimension is None
    assert found.why_not.startswith("no split of the units was worth making")
    assert list(found.leaves) == ["everyone"]


def test_an_outcome_that_never_varies_gives_no_tree():
    columns, treated, outcome = people(seed=6)

    found = honest_tree(columns, treated, outcome * 0, rng=np.random.default_rng(1))

    assert found.dimension is None


def test_what_cannot_be_divided_is_refused():
    columns, treated, outcome = people(seed=7, n=600)
    build = partial(honest_tree, rng=np.random.default_rng(1))

    with pytest.raises(DataError, match="1 to 3"):
        build(columns, treated, outcome, depth=4)
    with pytest.raises(DataError, match="distinct"):
        build([columns[0], columns[0]], treated, outcome)
    with pytest.raises(DataError, match="one a unit each"):
        build(columns, treated[1:], outcome)
    with pytest.raises(DataError, match="window is open"):
        build(columns, treated, np.where(outcome > 3, np.nan, outcome))
    with pytest.raises(DataError, match="need 200"):
        build(columns, np.arange(600) < 100, outcome)
    with pytest.raises(DataError, match="infinite"):
        build([Column("x", np.full(600, np.inf))], treated, outcome)


def test_the_womens_mail_of_2008_works_for_those_who_bought_womens_things():
    units = hillstrom_units("Womens E-Mail")
    columns = [
        Column(name, units.features[:, place]) for place, name in enumerate(HILLSTROM_FEATURES)
    ]

    found = honest_tree(columns, units.treated, units.outcome, rng=np.random.default_rng(1))

    assert found.paths[0][0].words == "womens is 1"
    assert found.dimension is not None
    assert found.dimension.pvalue < 1e-6
