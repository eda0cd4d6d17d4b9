"""Groups keep their numbers and labels; people keep theirs until two runs say otherwise."""

from itertools import permutations

import numpy as np
import pytest

from campaigns.models import ClusterModel
from engine.learning.clusters import Clusters, Standing, fit, hold, transitions
from engine.learning.clusters.describing import Group, described, slug, titled
from engine.learning.clusters.matching import matched
from engine.learning.matrix import Matrix
from tests.learning.clusters_people import RFM, planted, shoppers


def found(matrix: Matrix, *, k: int, seed: int = 1, before: Clusters | None = None) -> Clusters:
    model = ClusterModel("shoppers", k=(k, k))
    return fit(matrix, model, rng=np.random.default_rng(seed), before=before)


def test_refits_keep_numbers_and_labels_although_the_library_permutes_them() -> None:
    matrix, _ = shoppers()
    first = found(matrix, k=3)

    for seed in range(2, 7):
        later = found(shoppers(seed=seed)[0], k=3, seed=seed, before=first)
        assert sorted((it.id, it.label) for it in later.groups) == sorted(
            (it.id, it.label) for it in first.groups
        )
        agree = first.assign(matrix).groups == later.assign(matrix).groups
        assert agree.mean() > 0.97
        assert later.past == {}


def test_a_group_that_is_no_more_leaves_its_number_and_label_behind() -> None:
    matrix, truth = planted(n=2_000, k=4)
    first = found(matrix, k=4)
    stays = truth != 2
    gone = set(first.assign(matrix).groups[truth == 2].tolist())

    second = found(Matrix(matrix.ids[stays], matrix.names, matrix.values[stays]), k=3, before=first)
    third = found(matrix, k=4, before=second)

    assert {it.id for it in second.groups} == {1, 2, 3, 4} - gone
    assert set(second.past) == gone
    assert {it.id for it in third.groups} == ({1, 2, 3, 4} - gone) | {5}
    assert len({it.label for it in third.groups} | set(third.past.values())) == 5


def test_other_features_begin_with_new_numbers() -> None:
    matrix, _ = planted(n=800, k=3)
    first = found(matrix, k=3)
    renamed = Matrix(matrix.ids, tuple(f"g{i}" for i in range(5)), matrix.values)

    second = found(renamed, k=3, before=first)

    assert {it.id for it in second.groups} == {4, 5, 6}
    assert set(second.past) == {1, 2, 3}


def test_matching_is_the_least_way_altogether() -> None:
    rng = np.random.default_rng(3)
    before = rng.normal(size=(5, 3)) * 10
    now = (before + rng.normal(size=(5, 3)) * 0.2)[[3, 0, 4, 1, 2]]

    ids = matched(before, now, [11, 12, 13, 14, 15])

    best = min(
        permutations(range(5)),
        key=lambda order: sum(np.linalg.norm(before[order[i]] - now[i]) for i in range(5)),
    )
    assert ids == [11 + i for i in best]


def test_a_centre_beyond_half_way_to_the_next_is_another_group() -> None:
    before = np.array([[0.0, 0.0], [10.0, 0.0]])

    assert matched(before, np.array([[4.9, 0.0], [10.0, 0.0]]), [1, 2]) == [1, 2]
    assert matched(before, np.array([[0.0, 5.1], [10.0, 0.0]]), [1, 2]) == [None, 2]
    assert matched(before, np.array([[0.0, 1.0]]), [1, 2]) == [1]


def a_run(groups: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(len(groups)), np.array(groups)


def play(*runs: list[int], needed: int = 2, living: tuple[int, ...] = (1, 2, 3)) -> list[Standing]:
    standing: Standing | None = None
    out = []
    for groups in runs:
        standing = hold(standing, *a_run(groups), runs=needed, living=living)
        out.append(standing)
    return out


def test_one_run_that_differs_changes_nobody() -> None:
    standings = play([1], [2], [1], [2], [3], [2])

    assert [it.published.tolist() for it in standings] == [[1]] * 6


def test_two_runs_in_a_row_do() -> None:
    standings = play([1], [2], [2], [2])

    assert [it.published[0] for it in standings] == [1, 1, 2, 2]
    assert standings[1].pending.tolist() == [2]
    assert standings[1].count.tolist() == [1]
    assert standings[2].count.tolist() == [0]


@pytest.mark.parametrize("needed", [1, 2, 3])
def test_as_many_runs_as_asked(needed: int) -> None:
    standings = play([1], *[[2]] * 4, needed=needed)

    assert [it.published[0] for it in standings].count(1) == needed


def test_new_people_and_those_of_a_group_that_is_gone_move_at_once() -> None:
    first = hold(None, np.array([5, 3]), np.array([1, 2]), runs=2, living=(1, 2))

    second = hold(first, np.array([3, 4, 5]), np.array([3, 1, 3]), runs=2, living=(1, 3))

    assert second.ids.tolist() == [3, 4, 5]
    assert second.published.tolist() == [3, 1, 1]


def test_an_outlier_waits_too() -> None:
    standings = play([0], [1], [1])

    assert [it.published[0] for it in standings] == [0, 0, 1]


def test_a_standing_survives_being_kept() -> None:
    standing = play([1, 2, 3], [2, 2, 1])[-1]

    again = Standing.of(standing.arrays())

    assert transitions(standing, again) == {(1, 1): 1, (2, 2): 1, (3, 3): 1}
    assert again.pending.tolist() == standing.pending.tolist() == [2, -1, 1]


def test_transitions_count_the_people_of_both_runs() -> None:
    before = hold(None, np.arange(4), np.array([1, 1, 2, 2]), runs=1, living=(1, 2))
    now = hold(before, np.arange(1, 6), np.array([1, 1, 2, 1, 1]), runs=1, living=(1, 2))

    assert transitions(before, now) == {(1, 1): 1, (2, 1): 1, (2, 2): 1}


def test_names_say_who_they_are_in_original_units() -> None:
    matrix, _ = shoppers()

    groups = {it.label: it for it in found(matrix, k=3).groups}

    assert len(groups) == 3
    best = max(groups.values(), key=lambda it: it.medians["monetary"] or 0)
    assert "big spenders" in best.title or "frequent buyers" in best.title
    who = matrix.values[:, 1] > 15
    assert best.medians["monetary"] == pytest.approx(np.median(matrix.values[who, 2]), rel=0.02)
    assert best.revenue == pytest.approx(
        matrix.values[who, 2].sum() / matrix.values[:, 2].sum(), rel=0.02
    )
    assert "of the revenue" in best.description
    assert " spent" in best.description


def test_groups_alike_in_words_are_told_apart_by_figures() -> None:
    alike = [
        Group(0, "", "", 10, 0.5, medians={"monetary": money}, z={"monetary": 1.0})
        for money in (400.0, 900.0, 900.0)
    ]

    titles = [it.title for it in titled(alike)]

    assert titles[0] == "big spenders (monetary 400)"
    assert len(set(titles)) == 3


@pytest.mark.parametrize(
    ("days", "told"),
    [
        (1.0, "bought on 1 day; last bought 1 day ago"),
        (27.1, "bought on 27.1 days; last bought 27.1 days ago"),
        (0.1, "bought on 0.10 days; last bought 0.10 days ago"),
        (1_001.0, "bought on 1,001 days; last bought 1,001 days ago"),
    ],
)
def test_one_day_is_a_day_and_any_other_number_are_days(days: float, told: str) -> None:
    both = {"frequency": days, "recency_days": days}

    group = Group(1, "", "", 10, 0.5, medians=both, z={"frequency": 2.0, "recency_days": 1.0})

    assert group.description == f"10 people (50 %). Typically: {told}."


def test_flags_are_told_as_shares() -> None:
    values = np.column_stack([np.repeat([0.0, 1.0], 50), np.arange(100.0)])

    groups = described(
        np.repeat([0, 1], 50), values=values, names=("device=mobile", "frequency"),
        scaled=values, scaled_names=("device=mobile", "frequency"), n_groups=2,
    )  # fmt: skip

    assert groups[1].medians == {"device=mobile": 1.0, "frequency": 74.5}
    assert "100 % on mobile" in groups[1].description
    assert titled(groups)[0].title == "rare buyers, not on mobile"


def test_a_label_is_a_slug_that_nobody_had() -> None:
    assert slug("big spenders, bought lately", []) == "big-spenders-bought-lately"
    assert slug("big spenders", ["big-spenders", "big-spenders-2"]) == "big-spenders-3"
    assert slug("…", []) == "group"
    assert slug("outlier", []) == "outlier-2"
    assert len(slug("x" * 200, [])) <= 64


def test_cells_of_rfm_keep_their_numbers_whatever_was_before() -> None:
    matrix, _ = shoppers()
    before = found(matrix, k=3)
    rfm = ClusterModel("shoppers", algorithm="rfm")

    first = fit(matrix, rfm, rng=np.random.default_rng(1), before=before)
    second = fit(shoppers(seed=2)[0], rfm, rng=np.random.default_rng(2), before=first)

    assert {it.id: it.label for it in first.groups} == {it.id: it.label for it in second.groups}
    assert not {it.id for it in first.groups} & {1, 2, 3}
    assert second.past == {it.id: it.label for it in before.groups}
    assert matrix.names == RFM
