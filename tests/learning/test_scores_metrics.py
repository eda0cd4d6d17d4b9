"""Metrics of scores: equal to scikit-learn's, ties by a fair coin, intervals by person."""

import numpy as np
import pytest
from sklearn import metrics as theirs

from engine.learning.scores import metrics as ours
from engine.learning.scores.evaluation import calibration_rows, decile_rows
from engine.learning.scores.intervals import measure

SKLEARN = {
    "auc": theirs.roc_auc_score,
    "pr_auc": theirs.average_precision_score,
    "log_loss": theirs.log_loss,
    "brier": theirs.brier_score_loss,
}


def outcomes(seed: int, n: int, *, ties: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.random(n)
    p = np.round(p, 1) * 0.98 + 0.01 if ties else p
    y = (rng.random(n) < p**2).astype(float)
    return y, p, rng.gamma(1.0, 1.0, n)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", SKLEARN)
def test_a_metric_is_scikit_learns_with_and_without_weights(name: str, ties: bool) -> None:
    y, p, w = outcomes(1, 5_000, ties=ties)

    plain = ours.once(ours.OF_CHANCES[name], y, p)
    weighted = ours.once(ours.OF_CHANCES[name], y, p, w)

    assert plain == pytest.approx(SKLEARN[name](y, p), abs=1e-12)
    assert weighted == pytest.approx(SKLEARN[name](y, p, sample_weight=w), abs=1e-12)


def test_errors_of_amounts_are_scikit_learns() -> None:
    _, p, w = outcomes(2, 3_000, ties=False)
    y = np.random.default_rng(3).gamma(1.0, 2.0, 3_000)

    for name, of in (
        ("rmse", theirs.root_mean_squared_error),
        ("mae", theirs.mean_absolute_error),
    ):
        found = ours.once(ours.OF_NUMBERS[name], y, p, w)
        assert found == pytest.approx(of(y, p, sample_weight=w), abs=1e-12)


def test_the_top_tenth_is_scikit_learns_precision_and_recall_at_that_cut() -> None:
    y, p, _ = outcomes(4, 2_000, ties=False)
    called = p >= np.sort(p)[-200]

    precision = ours.once(ours.precision_at_decile, y, p)
    recall = ours.once(ours.recall_at_decile, y, p)

    assert precision == pytest.approx(theirs.precision_score(y, called), abs=1e-12)
    assert recall == pytest.approx(theirs.recall_score(y, called), abs=1e-12)
    assert ours.once(ours.lift_at_decile, y, p) == pytest.approx(recall * 10, abs=1e-12)


def test_ties_at_the_edge_of_the_top_tenth_count_as_the_mean_of_all_orders() -> None:
    """20 people, two places: one certain, and one among four equals of whom one did."""
    p = np.array([0.9] + [0.5] * 4 + [0.1] * 15)
    y = np.array([1.0, 1.0, 0, 0, 0] + [1.0] * 3 + [0.0] * 12)

    assert ours.once(ours.precision_at_decile, y, p) == pytest.approx((1 + 1 / 4) / 2)
    assert ours.once(ours.precision_at_decile, y[::-1], p[::-1]) == pytest.approx((1 + 1 / 4) / 2)


def test_calibration_error_is_the_gap_of_ten_equal_groups() -> None:
    y, p, _ = outcomes(5, 1_000, ties=False)
    groups = np.array_split(np.argsort(p), 10)
    by_hand = sum(abs(y[g].mean() - p[g].mean()) * len(g) for g in groups) / 1_000

    assert ours.once(ours.ece, y, p) == pytest.approx(by_hand, abs=1e-12)


def test_one_prediction_for_all_is_a_coin_toss_and_not_an_error() -> None:
    y, p = np.array([1.0, 0, 0, 1, 0]), np.full(5, 0.4)

    assert ours.once(ours.auc, y, p) == 0.5
    assert ours.once(ours.pr_auc, y, p) == pytest.approx(0.4)
    assert ours.once(ours.ece, y, p) == pytest.approx(0.0)
    assert ours.once(ours.lift_at_decile, y, p) == pytest.approx(1.0)


def test_a_draw_is_the_metric_of_the_rows_drawn() -> None:
    """Every metric of a whole-number weighting is that of the rows so often repeated."""
    y, p, _ = outcomes(6, 300, ties=True)
    times = np.random.default_rng(7).poisson(1.0, 300)
    repeated = np.repeat(np.arange(300), times)

    for name, metric in ours.OF_CHANCES.items():
        if name == "ece":  # its groups stay those of the rows as they are
            continue
        weighted = ours.once(metric, y, p, times.astype(float))
        assert weighted == pytest.approx(ours.once(metric, y[repeated], p[repeated]), abs=1e-12)


def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """The AUC of shifted normals is known: Phi(1 / sqrt 2) = 0.76025."""
    rng, held, runs = np.random.default_rng(8), 0, 120
    for _ in range(runs):
        y = np.repeat([0.0, 1.0], 100)
        p = rng.normal(y, 1.0)
        found = measure(y, {"m": p}, {"auc": ours.auc}, ids=np.arange(200), rng=rng).of("m")["auc"]
        held += found.low <= 0.76025 <= found.high  # type: ignore[operator]

    assert 0.88 * runs <= held <= runs


def test_a_person_with_two_rows_is_one_person_in_an_interval() -> None:
    y, p, _ = outcomes(9, 400, ties=False)
    twice, ids = np.r_[y, y], np.arange(400)

    once = measure(y, {"m": p}, {"auc": ours.auc}, ids=ids, rng=np.random.default_rng(1))
    both = measure(
        twice, {"m": np.r_[p, p]}, {"auc": ours.auc}, ids=np.r_[ids, ids],
        rng=np.random.default_rng(1),
    )  # fmt: skip

    assert both.of("m")["auc"].std_error == pytest.approx(once.of("m")["auc"].std_error)


def test_a_paired_gain_is_surer_than_the_two_figures() -> None:
    y, p, _ = outcomes(10, 2_000, ties=False)
    other = p + np.random.default_rng(11).normal(0, 0.02, 2_000)

    found = measure(
        y, {"a": p, "b": other}, {"brier": ours.brier}, ids=np.arange(2_000),
        rng=np.random.default_rng(12),
    )  # fmt: skip
    gain, alone = found.gains("a", "b")["brier"], found.of("a")["brier"]

    assert gain.std_error < 0.3 * alone.std_error  # type: ignore[operator]
    assert gain.value == pytest.approx(found.values["b"]["brier"] - found.values["a"]["brier"])


def test_the_pictures_add_up() -> None:
    y, p, _ = outcomes(13, 2_345, ties=True)

    rows, lifts = calibration_rows(y, p), decile_rows(y, p)

    assert sum(it["n"] for it in rows) == 2_345
    assert all(it["low"] <= it["came"] <= it["high"] for it in rows)
    assert np.mean(lifts) == pytest.approx(1.0)
    assert lifts[0] == pytest.approx(ours.once(ours.lift_at_decile, y, p))
