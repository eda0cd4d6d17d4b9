"""EASE is the ridge inverse of its paper, kept whole, and top lists are what sorting gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, random_array

from engine.learning.recommenders import ease
from engine.learning.recommenders.batches import top_by_factors, top_by_weights
from engine.learning.recommenders.ease import RIDGE, damped, fit_ease, weights_of
from engine.learning.recommenders.engines import Ease
from engine.learning.recommenders.likings import likings
from engine.learning.recommenders.tastes import Taste
from tests.learning.recommender_shop import movielens


def some_table(seed: int, users: int = 80, items: int = 30) -> csr_array:
    rng = np.random.default_rng(seed)
    return csr_array(
        random_array((users, items), density=0.15, rng=rng, data_sampler=rng.exponential)
    )


def by_the_paper(table: csr_array) -> np.ndarray:
    """Steck 2019, in float64: minimise |X - XB|^2 + ridge |B|^2 with a zero diagonal."""
    x = table.toarray()
    gram = x.T @ x
    inverse = np.linalg.inv(gram + RIDGE * np.diag(gram).mean() * np.eye(len(gram)))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return np.asarray(weights)


@pytest.mark.parametrize("items", [1, 2, 30, 600])
def test_the_weights_are_the_dense_closed_form(items: int) -> None:
    table = some_table(1, items=items)

    found = weights_of(fit_ease(table), items)

    assert np.abs(found - by_the_paper(table)).max() < 1e-6


@pytest.mark.parametrize("users", [1, 7, 40, 299])
def test_few_people_and_many_items_are_learnt_alike_by_people_and_by_items(users: int) -> None:
    table = some_table(6, users=users, items=600)
    near = ease._near_one(table)
    step = RIDGE * float((near.data**2).sum()) / 600

    by_people, by_items = ease._by_people(near, step), ease._by_items(near, step)

    assert np.array_equal(fit_ease(table), by_people), "the way that is taken"
    found, expected = weights_of(by_people, 600), weights_of(by_items, 600)
    assert np.abs(found - expected).max() < 1e-8
    assert np.abs(found - by_the_paper(table)).max() < 1e-6
    lists, others = (top_by_weights(table, it, n=10) for it in (found, expected))
    assert np.array_equal(lists.items, others.items)


def test_as_many_people_as_half_the_items_is_where_the_way_changes() -> None:
    small, large = some_table(7, users=300, items=600), some_table(7, users=301, items=600)
    near = ease._near_one(large)

    assert np.abs(weights_of(fit_ease(small), 600) - by_the_paper(small)).max() < 1e-6
    by_items = ease._by_items(near, RIDGE * float((near.data**2).sum()) / 600)
    assert np.array_equal(fit_ease(large), by_items)


def test_each_column_solves_its_own_ridge_regression_without_itself() -> None:
    table = some_table(2, items=12)
    x, ridge = table.toarray(), 0.0
    ridge = RIDGE * float(np.diag(x.T @ x).mean())

    found = weights_of(fit_ease(table), 12)

    for item in range(12):
        others = np.delete(np.arange(12), item)
        a = x[:, others]
        solved = np.linalg.solve(a.T @ a + ridge * np.eye(11), a.T @ x[:, item])
        assert found[others, item] == pytest.approx(solved, abs=1e-6)


@pytest.mark.parametrize("half_lives", [20, 70, 100, 300, 600, 1_000])
def test_likings_that_have_all_but_faded_teach_the_same_to_the_last_bit(half_lives: int) -> None:
    # A shop that fell silent: P of a hundred half-lives on is beyond float32, and B was NaN.
    table = some_table(4)
    faded = csr_array(table)
    faded.data = table.data * 2.0**-half_lives

    assert np.array_equal(weights_of(fit_ease(faded), 30), weights_of(fit_ease(table), 30))


def test_a_unit_of_weight_changes_no_weight() -> None:
    table = some_table(3)

    assert weights_of(fit_ease(table), 30) == pytest.approx(
        weights_of(fit_ease(table * 7.0), 30), abs=1e-6
    )


def test_real_ratings_give_the_closed_form_and_the_same_lists() -> None:
    rows = movielens()
    liked = likings(rows, half_life=2**62, cap=20, now=int(rows.times.max()), per_day_max=None)
    table = liked.table()
    counts = np.diff(table.tocsc().indptr)
    table = table[:, np.sort(np.argsort(-counts, kind="stable")[:800])]
    table.data = damped(table.data)
    exact = by_the_paper(table)

    found = weights_of(fit_ease(table), 800)
    lists = top_by_weights(table, found, n=10)

    assert np.abs(found - exact).max() < 1e-6
    scores = np.where(table.toarray() > 0, -np.inf, table @ exact)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    is_same = (lists.items == expected).all(axis=1) | (lists.items < 0).any(axis=1)
    assert is_same.mean() >= 0.999


def test_scores_are_the_sum_of_their_effects() -> None:
    table = some_table(4)
    engine = Ease(np.arange(3, 33), fit_ease(table), 40)
    liked = Taste(np.asarray([1, 5, 9, 30]), np.asarray([2.0, 1.0, 0.5, 3.0]))

    scores = engine.scores(liked)

    for item in np.flatnonzero(scores > -np.inf):
        assert sum(engine.effects(liked, int(item)).values()) == pytest.approx(
            scores[item], rel=1e-4, abs=1e-7
        )
    assert (scores[:3] == -np.inf).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 12), users=st.integers(1, 600))
def test_lists_in_blocks_are_what_sorting_every_score_gives(seed: int, n: int, users: int) -> None:
    rng = np.random.default_rng(seed)
    p, q, bias = rng.normal(size=(users, 4)), rng.normal(size=(9, 4)), rng.normal(size=9)
    seen = csr_array(random_array((users, 9), density=0.3, rng=rng))

    found = top_by_factors(p, q, bias, seen=seen, n=n)

    scores = (p.astype(np.float32) @ q.astype(np.float32).T + bias.astype(np.float32)).astype(float)
    scores[seen.toarray() > 0] = -np.inf
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :n]
    is_told = np.take_along_axis(scores, expected, axis=1) > -np.inf
    assert np.array_equal(found.items, np.where(is_told, expected, -1))


def test_lists_are_those_of_implicit_on_the_same_arrays() -> None:
    topk = pytest.importorskip("implicit.cpu.topk")
    rng = np.random.default_rng(5)
    p = rng.normal(size=(700, 16)).astype(np.float32)
    q = rng.normal(size=(300, 16)).astype(np.float32)
    seen = csr_array(random_array((700, 300), density=0.05, rng=rng, dtype=np.float32))

    found = top_by_factors(p, q, np.zeros(300), seen=seen, n=10)
    from scipy.sparse import csr_matrix

    theirs, scores = topk.topk(q, p, 10, filter_query_items=csr_matrix(seen))

    assert (found.items == theirs).all(axis=1).mean() >= 0.999
    assert found.scores == pytest.approx(scores, abs=1e-4)


def test_what_nothing_speaks_for_is_left_open() -> None:
    table = csr_array(np.asarray([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))

    found = top_by_weights(table, weights_of(fit_ease(table), 3), n=3)

    assert found.items.tolist() == [[-1, -1, -1], [-1, -1, -1]]
