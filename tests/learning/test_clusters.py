"""Groups planted are found, groups that are not there are refused, and arrays say it all."""

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from campaigns.models import ClusterModel
from engine.learning.artifact import pack, unpack
from engine.learning.clusters import Clusters, Refused, finding, fit, placing
from engine.learning.matrix import Matrix
from tests.learning.clusters_people import (
    RFM,
    cdnow,
    noise,
    online_retail,
    planted,
    shoppers,
)


def a_model(**given: object) -> ClusterModel:
    return ClusterModel("shoppers", **{"k": (2, 7), **given})  # type: ignore[arg-type]


def found(
    matrix: Matrix, *, seed: int = 1, before: Clusters | None = None, **given: object
) -> Clusters:
    return fit(matrix, a_model(**given), rng=np.random.default_rng(seed), before=before)


@pytest.mark.parametrize("algorithm", ["kmeans", "gmm", "dbscan", "hdbscan"])
def test_planted_groups_are_found_with_their_number(algorithm: str) -> None:
    matrix, truth = planted(n=1_500)

    clusters = found(matrix, algorithm=algorithm)

    assert len(clusters.groups) == 4
    groups = clusters.assign(matrix).groups
    inside = groups > 0
    assert inside.mean() > 0.9
    assert adjusted_rand_score(truth[inside], groups[inside]) > 0.95
    assert clusters.chosen.stability > 0.95


def test_skewed_shoppers_are_found_although_whales_would_pull_the_means() -> None:
    matrix, truth = shoppers()
    values = matrix.values.copy()
    values[:3, 2] = 1e7  # three whales
    clusters = found(Matrix(matrix.ids, RFM, values), k=(2, 6))

    assigned = clusters.assign(Matrix(matrix.ids, RFM, values))

    assert min(group.n for group in clusters.groups) >= 0.02 * len(matrix.ids)
    assert adjusted_rand_score(truth, assigned.groups) > 0.9
    assert clusters.preparation.is_logged.tolist()[1:] == [True, True]


@pytest.mark.parametrize("kind", ["normal", "uniform", "long", "skewed"])
@pytest.mark.parametrize("d", [3, 5])
def test_one_cloud_is_refused_with_the_numbers(kind: str, d: int) -> None:
    matrix = noise(kind=kind, d=d, n=1_000)

    with pytest.raises(Refused) as refused:
        found(matrix, k=(2, 5))

    assert "2 groups:" in refused.value.why
    assert "needed" in refused.value.why or "one cloud" in refused.value.why
    assert "min_stability" in refused.value.mend


@pytest.mark.parametrize("algorithm", ["gmm", "dbscan", "hdbscan"])
def test_one_cloud_is_refused_by_the_other_algorithms_too(algorithm: str) -> None:
    with pytest.raises(Refused):
        found(noise(d=4, n=800), algorithm=algorithm, k=(2, 4))


def test_who_asks_for_one_number_of_a_long_cloud_gets_the_cut() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(size=(1_000, 3)) * (4.0, 1.0, 1.0)
    values[:, 1] += values[:, 0]
    matrix = Matrix(np.arange(1_000), ("a", "b", "c"), values)

    assert len(found(matrix, k=(2, 2)).groups) == 2
    with pytest.raises(Refused, match="one cloud"):
        found(matrix, k=(2, 3))


def test_centres_place_as_scikit_learn_does() -> None:
    points = np.random.default_rng(2).normal(size=(3_000, 4))
    theirs = KMeans(5, n_init=10, random_state=7).fit(points)

    ours = finding.centres(points, 5, seed=7)

    others = np.random.default_rng(3).normal(size=(2_000, 4)) * 3
    assert np.abs(ours.centres - theirs.cluster_centers_).max() < 1e-9
    assert (placing.place(ours, points)[0] == theirs.labels_).all()
    assert (placing.place(ours, others)[0] == theirs.predict(others)).all()


def test_components_are_as_likely_as_scikit_learn_says() -> None:
    matrix, _ = planted(spread=1.5)
    points = matrix.values
    theirs = GaussianMixture(3, n_init=10, random_state=7, init_params="kmeans").fit(points)

    ours = finding.components(points, 3, seed=7)

    places, sure = placing.place(ours, points)
    likely = theirs.predict_proba(points)
    assert (places == theirs.predict(points)).all()
    assert np.abs(sure - likely.max(axis=1)).max() < 1e-9
    zeros = np.zeros(len(points), dtype=np.int64)
    assert np.abs(placing.sureness(ours, points, zeros) - likely[:, 0]).max() < 1e-9
    assert finding.criterion(points, ours) == pytest.approx(theirs.bic(points), rel=1e-9)


def test_core_points_keep_the_group_that_dbscan_gave_them_and_far_points_have_none() -> None:
    from sklearn.cluster import DBSCAN

    matrix, _ = planted(n=1_000, d=3)
    ours = finding.by_density(matrix.values, smallest=20)
    assert ours is not None
    theirs = DBSCAN(eps=ours.reach[0], min_samples=7).fit(matrix.values)

    places, sure = placing.place(ours, matrix.values)

    cores = theirs.core_sample_indices_
    assert adjusted_rand_score(theirs.labels_[cores], places[cores]) == 1.0
    assert (sure[cores] == 1.0).all()
    far, far_sure = placing.place(ours, np.full((1, 3), 1e3))
    assert far.tolist() == [placing.OUTSIDE]
    assert far_sure[0] > 0.99


@pytest.mark.parametrize("algorithm", ["kmeans", "gmm", "hdbscan", "rfm"])
def test_what_was_kept_says_the_same(algorithm: str) -> None:
    matrix, _ = shoppers(n=1_000)
    clusters = found(matrix, algorithm=algorithm, k=(3, 3))

    again = Clusters.of(unpack(pack(clusters.artifact())))

    one, other = clusters.assign(matrix), again.assign(matrix)
    assert (one.groups == other.groups).all()
    assert (one.confidence == other.confidence).all()
    assert again.groups == clusters.groups
    assert again.names == clusters.names
    assert [it.plain() for it in again.trials] == [it.plain() for it in clusters.trials]
    assert (again.confidence(matrix, one.groups) == one.confidence).all()


def test_a_person_is_placed_the_same_alone_and_among_others() -> None:
    matrix, _ = planted(spread=1.2)
    clusters = found(matrix, k=(4, 4), min_stability=0.5)
    everybody = clusters.assign(matrix)

    for row in (0, 7, 1_234):
        alone = clusters.assign(
            Matrix(matrix.ids[row : row + 1], matrix.names, matrix.values[row : row + 1])
        )
        assert alone.groups[0] == everybody.groups[row]
        assert alone.confidence[0] == everybody.confidence[row]


def test_the_order_of_people_changes_no_bit() -> None:
    matrix, _ = planted(n=800)
    order = np.random.default_rng(9).permutation(len(matrix.ids))
    shuffled = Matrix(matrix.ids[order], matrix.names, matrix.values[order])

    one, other = found(matrix, k=(3, 5)), found(shuffled, k=(3, 5))

    assert pack(one.artifact()) == pack(other.artifact())


def test_the_seed_of_pythons_hashes_changes_no_bit() -> None:
    script = (
        "import hashlib, numpy as np\n"
        "from campaigns.models import ClusterModel\n"
        "from engine.learning.clusters import fit\n"
        "from tests.learning.clusters_people import planted\n"
        "from engine.learning.artifact import pack\n"
        "model = ClusterModel('shoppers', k=(3, 4))\n"
        "clusters = fit(planted(n=300)[0], model, rng=np.random.default_rng(1))\n"
        "print(hashlib.sha256(pack(clusters.artifact())).hexdigest())\n"
    )

    runs = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "4242")
    ]
    digests = {run.communicate()[0] for run in runs}

    assert [run.returncode for run in runs] == [0, 0]
    assert len(digests) == 1


def test_columns_may_come_in_any_order_and_with_others_beside() -> None:
    matrix, _ = planted(n=800)
    clusters = found(matrix, k=(4, 4))
    names = (*reversed(matrix.names), "another")
    values = np.column_stack([matrix.values[:, ::-1], np.full(len(matrix.ids), np.nan)])

    asked = clusters.assign(Matrix(matrix.ids, names, values))

    assert (asked.groups == clusters.assign(matrix).groups).all()
    with pytest.raises(Refused, match="f4"):
        clusters.assign(Matrix(matrix.ids, matrix.names[:-1], matrix.values[:, :-1]))


@pytest.mark.parametrize("n", [0, 1, 49])
def test_too_few_people_are_refused(n: int) -> None:
    matrix, _ = planted(n=100)

    with pytest.raises(Refused, match="groups need 50 at least"):
        found(Matrix(matrix.ids[:n], matrix.names, matrix.values[:n]))


def test_people_who_are_all_alike_are_refused() -> None:
    matrix = Matrix(np.arange(200), ("a", "b"), np.full((200, 2), 3.0))

    with pytest.raises(Refused, match="a is left out: all alike; b is left out: all alike"):
        found(matrix)


def test_fewer_kinds_of_people_than_groups_are_told() -> None:
    values = np.repeat([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]], 100, axis=0)
    matrix = Matrix(np.arange(300), ("a", "b"), values)

    with pytest.raises(Refused, match="only 3 different people"):
        found(matrix, k=(5, 5))
    assert len(found(matrix, k=(2, 6)).groups) == 3


def test_an_unknown_column_is_left_out_and_said() -> None:
    matrix, truth = planted(n=800)
    values = np.column_stack([matrix.values, np.full(800, np.nan), np.ones(800)])

    clusters = found(Matrix(matrix.ids, (*matrix.names, "void", "same"), values), k=(4, 4))

    assert clusters.notes == (
        "void is left out: nothing is known",
        "same is left out: all alike",
    )
    assert adjusted_rand_score(truth, clusters.assign(matrix).groups) > 0.95


def test_missing_values_are_a_fact_of_their_own() -> None:
    matrix, _ = shoppers()
    values = matrix.values.copy()
    never = np.arange(len(values)) % 4 == 0
    values[never] = (np.nan, 0.0, 0.0)

    clusters = found(Matrix(matrix.ids, RFM, values), k=(2, 6))

    assert clusters.preparation.names == (*RFM, "recency_days is missing")
    groups = clusters.assign(Matrix(matrix.ids, RFM, values)).groups
    assert len(set(groups[never].tolist())) == 1
    assert not set(groups[never].tolist()) & set(groups[~never].tolist())


def test_sixty_in_a_hundred_without_a_purchase_are_no_trouble() -> None:
    rng = np.random.default_rng(5)
    frequency = np.where(rng.random(2_000) < 0.6, 0, 1 + rng.poisson(4, 2_000)).astype(float)
    money = frequency * rng.lognormal(3, 0.4, 2_000)
    matrix = Matrix(
        np.arange(2_000), ("frequency", "monetary"), np.column_stack([frequency, money])
    )

    clusters = found(matrix, k=(2, 5))

    groups = clusters.assign(matrix).groups
    assert len(set(groups[frequency == 0].tolist())) == 1
    assert np.isfinite(clusters.preparation.scale).all()


def test_a_few_debtors_do_not_stop_the_logarithm_and_make_no_group() -> None:
    matrix, _ = shoppers()
    values = matrix.values.copy()
    values[:40, 2] = -500.0

    clusters = found(Matrix(matrix.ids, RFM, values), k=(2, 5))

    assert clusters.preparation.is_logged[2]
    assert clusters.preparation.lower[2] == 0.0
    groups = clusters.assign(Matrix(matrix.ids, RFM, values)).groups[:40]
    assert np.bincount(groups).max() < 40


def test_an_infinite_value_is_refused() -> None:
    matrix, _ = planted(n=200)
    values = matrix.values.copy()
    values[3, 1] = np.inf

    with pytest.raises(Refused, match="f1 holds an infinite value"):
        found(Matrix(matrix.ids, matrix.names, values))


def test_a_group_too_small_for_a_campaign_is_refused() -> None:
    matrix, _ = planted(n=1_000, k=2)
    values = matrix.values.copy()
    values[:15] += 30.0

    with pytest.raises(
        Refused, match=r"3 groups: its smallest group holds 1.5% .* 5.0% are needed"
    ):
        found(Matrix(matrix.ids, matrix.names, values), k=(3, 3), min_share=0.05)


def test_the_cells_of_rfm_are_named_and_need_the_three() -> None:
    matrix, _ = shoppers()
    values = matrix.values.copy()
    values[:50] = (999.0, 0.0, 0.0)  # never bought, recency filled in
    matrix = Matrix(matrix.ids, RFM, values)

    clusters = found(matrix, algorithm="rfm")

    assigned = clusters.assign(matrix)
    assert set(assigned.labels[:50]) == {"never-bought"}
    best = max((it for it in clusters.groups if it.n), key=lambda it: it.medians["monetary"] or 0)
    assert best.label == "champions"
    with pytest.raises(Refused, match="algorithm rfm reads recency_days"):
        found(planted(n=100)[0], algorithm="rfm")


@pytest.mark.parametrize("shop", [cdnow, online_retail])
def test_a_real_shop_has_stable_groups(shop: Callable[[], Matrix]) -> None:
    matrix = shop()

    one, other = found(matrix, k=(2, 4)), found(matrix, k=(2, 4), seed=2)

    assert one.chosen.stability > 0.9
    assert len(one.groups) == len(other.groups)
    agreed = adjusted_rand_score(one.assign(matrix).groups, other.assign(matrix).groups)
    assert agreed > 0.98
    # Whoever buys often spends most of the money.
    assert max(it.revenue or 0 for it in one.groups) > 0.7
