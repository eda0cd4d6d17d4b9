"""Ranks of recency, frequency and money: ties equal, cuts kept, names for people."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from engine.learning.artifact import pack, unpack
from engine.learning.lifetime.rfm import CELLS, NAMES, Rfm, cells, fit_rfm
from engine.learning.refusals import Refused
from tests.learning.buyers import cdnow_summary

FIVE = np.arange(1.0, 6.0)


def test_ranks_are_those_of_average_rank_in_fifths() -> None:
    rng = np.random.default_rng(1)
    recency, often = rng.uniform(0, 300, 997), rng.poisson(1.0, 997).astype(float)
    money = rng.gamma(2, 40, 997)

    found = fit_rfm(recency, often, money).scores(recency, often, money)

    for place, column in enumerate((-recency, often, money)):
        expected = np.ceil(5 * stats.rankdata(column, method="average") / 997 - 1e-9)
        assert (found[:, place] == expected).all()
    assert np.bincount(found[:, 2]).tolist() == [0, 199, 199, 200, 199, 200]


def test_cdnow_where_six_in_ten_never_came_back_has_ranks_all_the_same() -> None:
    known = cdnow_summary()
    recency, often = 7 * (known["T"] - known["t_x"]), known["x"]

    scores = fit_rfm(recency, often, known["zbar"]).scores(recency, often, known["zbar"])

    # 59.9 % have no repeat purchase: their mean rank is 0.2996, so all are of the second fifth.
    assert np.mean(often == 0) == pytest.approx(0.599, abs=0.001)
    assert set(scores[often == 0, 1].tolist()) == {2}
    assert set(scores[often > 0, 1].tolist()) == {4, 5}
    assert set(cells(scores)) <= set(NAMES)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=5, max_size=60), st.integers(0, 2**31))
def test_equal_people_score_equally_and_the_kept_cuts_repeat_the_ranking(
    often: list[int], seed: int
) -> None:
    given_ = np.array(often, dtype=float)
    rng = np.random.default_rng(seed)
    money, recency = np.round(rng.normal(0, 3, len(often))), np.round(rng.uniform(0, 5, len(often)))

    rfm = fit_rfm(recency, given_, money)
    scores = rfm.scores(recency, given_, money)
    rows = np.c_[recency, given_, money]
    alone = np.vstack([rfm.scores(row[:1], row[1:2], row[2:]) for row in rows])

    assert (alone == scores).all()
    for place, column in enumerate((-recency, given_, money)):
        assert all(len(set(scores[column == it, place].tolist())) == 1 for it in set(column))
        assert (np.diff(scores[np.argsort(column, kind="stable"), place]) >= 0).all()
    assert scores.min() >= 1
    assert scores.max() <= 5


def test_somebody_new_is_scored_by_what_was_kept() -> None:
    rfm = fit_rfm(FIVE * 10, FIVE, FIVE * 100)

    again = Rfm.of(unpack(pack(rfm.artifact())))
    scores = again.scores([0.0, 9_000.0, 33.0], [99.0, 0.0, 3.4], [1e9, -50.0, 349.0])

    assert scores.tolist() == [[5, 5, 5], [1, 1, 1], [3, 3, 3]]
    assert cells(scores) == ["champions", "lost", "need attention"]
    assert rfm.words()[1] == "frequency is cut at 1.5, 2.5, 3.5, 4.5"


def test_who_never_bought_has_no_rank_and_a_name_of_their_own() -> None:
    recency = np.array([1.0, np.nan, 3.0, 4.0, 5.0, 6.0])

    rfm = fit_rfm(recency, np.array([1.0, 0.0, 2.0, 3.0, 4.0, 5.0]), np.full(6, 10.0))
    scores = rfm.scores(recency, np.ones(6), np.full(6, 10.0))

    assert scores[1].tolist() == [0, 0, 0]
    assert cells(scores)[1] == "never bought"
    assert set(scores[recency > 0, 2].tolist()) == {3}  # all spent alike: the middle rank


def test_every_combination_of_ranks_has_a_name() -> None:
    every = np.stack(np.meshgrid(*[np.arange(1, 6)] * 3), axis=-1).reshape(-1, 3)

    found = cells(every)

    assert set(found) == set(NAMES) - {"never bought"}
    assert all(len(row) == 5 for row in CELLS.values())


def test_whoever_returned_more_than_they_kept_ranks_lowest_by_money() -> None:
    money = np.array([-80.0, 0.0, 10.0, 20.0, 30.0])

    scores = fit_rfm(FIVE, FIVE, money).scores(FIVE, FIVE, money)

    assert scores[:, 2].tolist() == [1, 2, 3, 4, 5]


def test_too_few_buyers_and_senseless_numbers_are_refused() -> None:
    with pytest.raises(Refused, match="4 people have bought"):
        fit_rfm(FIVE[:4], FIVE[:4], FIVE[:4])
    with pytest.raises(Refused, match="row 2 has a recency of 3 days and a monetary of nan"):
        fit_rfm(FIVE, FIVE, np.array([1.0, 2.0, np.nan, 4.0, 5.0]))
    with pytest.raises(ValueError, match="not one row a person"):
        fit_rfm(FIVE, FIVE[:3], FIVE)
