"""The yardsticks agree with scikit-learn's, and the sample is a fair one."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, silhouette_score

from engine.learning.clusters.choosing import Trial, best_first, stratified
from engine.learning.clusters.clouds import cloud
from engine.learning.clusters.finding import knee
from engine.learning.clusters.judging import adjusted_rand, agreement, silhouettes
from tests.learning.clusters_people import noise, planted


def test_silhouettes_of_several_groupings_are_scikit_learns() -> None:
    points = planted(n=1_300, spread=1.5)[0].values
    rng = np.random.default_rng(1)
    groupings = [rng.integers(0, k, len(points)) * 3 for k in (2, 5, 9)]

    ours = silhouettes(points, groupings)

    theirs = [silhouette_score(points, labels) for labels in groupings]
    assert ours == pytest.approx(theirs, abs=1e-12)


def test_outliers_do_not_count_and_one_alone_counts_nothing() -> None:
    points = planted(n=300)[0].values
    labels = np.arange(300) % 3
    labels[0] = 7
    labels[1:50] = -1

    ours = silhouettes(points, [labels])[0]

    inside = labels >= 0
    assert ours == pytest.approx(silhouette_score(points[inside], labels[inside]), abs=1e-12)
    assert np.isnan(silhouettes(points, [np.zeros(300, dtype=int)])[0])


@pytest.mark.parametrize("seed", range(5))
def test_the_adjusted_rand_index_is_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = rng.integers(-1, 4, 500)
    other = np.where(rng.random(500) < 0.5, one, rng.integers(0, 3, 500))

    assert adjusted_rand(one, other) == pytest.approx(adjusted_rand_score(one, other), abs=1e-12)


def test_agreement_is_the_mean_over_pairs() -> None:
    same, other = np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0])

    assert agreement([same, other, same]) == 1.0
    assert adjusted_rand(np.zeros(4, dtype=int), np.zeros(4, dtype=int)) == 1.0


def test_a_stratified_sample_follows_the_first_component() -> None:
    points = np.random.default_rng(1).lognormal(size=(20_000, 2))

    drawn = stratified(points, 1_000, rng=np.random.default_rng(2))

    assert len(set(drawn.tolist())) == 1_000
    for q in (0.1, 0.5, 0.99):
        cut = np.quantile(points[:, 0], q)
        assert np.mean(points[drawn, 0] <= cut) == pytest.approx(q, abs=0.0011)


@pytest.mark.parametrize("kind", ["normal", "uniform", "skewed", "counts", "long"])
def test_a_cloud_has_the_moments_it_was_given(kind: str) -> None:
    given = noise(kind=kind, n=20_000, d=3).values

    drawn = cloud(given, rng=np.random.default_rng(3))

    z = (given - given.mean(0)) / given.std(0)
    zd = (drawn - drawn.mean(0)) / drawn.std(0)
    assert drawn.mean(0) == pytest.approx(given.mean(0), abs=0.05 * given.std(0).max())
    assert drawn.std(0) == pytest.approx(given.std(0), rel=0.05)
    assert (zd**3).mean(0) == pytest.approx((z**3).mean(0), abs=0.15)
    assert np.corrcoef(drawn.T) == pytest.approx(np.corrcoef(given.T), abs=0.03)


def test_the_knee_is_where_distances_turn_upwards() -> None:
    distances = np.concatenate([np.linspace(0.9, 1.0, 900), np.linspace(1.0, 6.0, 100)])

    assert knee(distances) == pytest.approx(1.0, abs=0.05)
    assert knee(np.ones(50)) == 1.0


def test_a_mixture_is_ranked_by_silhouette_and_criterion() -> None:
    trials = [
        Trial(2, 0.47, 0.3, bic=900.0),
        Trial(3, 0.48, 0.3, bic=500.0),
        Trial(4, 0.40, 0.2, bic=480.0),
        Trial(5, 0.60, 0.0, bic=1.0, why="too small"),
    ]

    assert [it.k for it in best_first(trials)] == [3, 4, 2]
