"""CUPAC: predictions from other units as one covariate, and no leak from the outcome."""

from typing import ClassVar

import numpy as np
import pytest

from experiments.errors import DataError
from experiments.estimation.cupac import Ridge, out_of_fold
from experiments.estimation.cuped import adjusted, unadjusted
from experiments.estimation.ratio import moments
from experiments.evidence.compare import welch
from experiments.metrics import Metric
from tests.experiments.data import aggregates


def people(rng, n, *, noise=1.0, features=8):
    x = rng.normal(0, 1, (n, features)) * 10.0 ** np.arange(-3, features - 3)
    signal = (x / 10.0 ** np.arange(-3, features - 3)) @ np.linspace(1, 0, features)
    return x, signal + rng.normal(0, noise, n)


def compared(y, column, treated):
    arms = aggregates(
        {
            name: {"y": y[mask], "x": column[mask]}
            for name, mask in (("c", ~treated), ("t", treated))
        }
    )
    metric = Metric(name="y")
    both = [moments(arms[name], metric, covariates=("x",)) for name in "ct"]
    total = moments(arms["c"].merge(arms["t"]), metric, covariates=("x",))
    return unadjusted(*both), adjusted(*both, total=total, adjust="lin")


def test_many_features_become_one_covariate_that_explains_what_they_can():
    rng = np.random.default_rng(1)
    x, y = people(rng, 4_000)
    treated = rng.random(4_000) < 0.5

    column = out_of_fold(x, y, rng=np.random.default_rng(2))
    plain, better = compared(y, column, treated)

    # Signal variance sum(linspace(1, 0, 8)**2) = 2.857 beside noise of 1.
    assert better.difference_variance / plain.difference_variance == pytest.approx(
        1 / 3.857, rel=0.08
    )


def test_noise_features_leave_the_estimate_and_its_error_alone():
    # Predictions of units by a model that saw them would "explain" 200 / 400 of pure noise.
    rng = np.random.default_rng(3)
    x, y = rng.normal(0, 1, (400, 200)), rng.normal(0, 1, 400)
    treated = rng.random(400) < 0.5

    column = out_of_fold(x, y, rng=np.random.default_rng(4))
    plain, better = compared(y, column, treated)

    assert abs(np.corrcoef(column, y)[0, 1]) < 0.2
    assert better.difference_variance > 0.93 * plain.difference_variance


def test_false_positives_stay_where_they_belong():
    rng = np.random.default_rng(5)
    runs, found = 300, 0

    for _ in range(runs):
        x, y = people(rng, 120, features=5)
        treated = rng.permutation(120) < 60
        column = out_of_fold(x, y, rng=rng)
        _, better = compared(y, column, treated)
        found += welch(better, alpha=0.05).pvalue < 0.05

    # Binomial error of 300 runs at .05 is .0126.
    assert found / runs <= 0.09


def test_no_unit_is_predicted_by_a_model_that_saw_it():
    class Memory:
        """Remembers the outcomes it was fitted on."""

        seen: ClassVar[list[set[float]]] = []

        def fit(self, features, outcome):
            self.known = set(outcome)
            Memory.seen.append(self.known)
            return self

        def predict(self, features):
            return np.array([float(value in self.known) for value in features[:, 0]])

    ids = np.arange(50, dtype=float)

    column = out_of_fold(ids[:, None], ids, rng=np.random.default_rng(6), model=Memory())

    assert (column == 0).all()
    assert [len(each) for each in Memory.seen] == [40] * 5
    assert set.union(*Memory.seen) == set(ids)


def test_the_same_rng_gives_the_same_column_and_another_one_another():
    x, y = people(np.random.default_rng(7), 100)

    first, again, other = (out_of_fold(x, y, rng=np.random.default_rng(s)) for s in (8, 8, 9))

    assert (first == again).all()
    assert not (first == other).all()


def test_ridge_minimizes_the_penalized_squares_and_gcv_picks_a_sensible_penalty():
    rng = np.random.default_rng(10)
    x, y = rng.normal(3, 2, (60, 4)), rng.normal(0, 1, 60)
    x[:, 3] = 5.0  # Constant: explains nothing, breaks nothing.
    model = Ridge()
    model.PENALTIES = (0.1,)

    found = model.fit(x, y).predict(x)

    standard = (x[:, :3] - x[:, :3].mean(axis=0)) / x[:, :3].std(axis=0)
    beta = np.linalg.solve(
        standard.T @ standard + 0.1 * 60 * np.eye(3), standard.T @ (y - y.mean())
    )
    assert found == pytest.approx(y.mean() + standard @ beta, rel=1e-9)
    # Pure noise is best predicted by the mean, a clear signal by least squares.
    noise = Ridge().fit(rng.normal(0, 1, (200, 50)), rng.normal(0, 1, 200))
    assert np.abs(noise.coefficients).max() < 0.05
    signal = Ridge().fit(standard, standard @ np.array([1.0, 2.0, 3.0]))
    assert signal.coefficients == pytest.approx([1.0, 2.0, 3.0], rel=1e-3)


def test_features_measured_after_exposure_are_refused():
    x, y = people(np.random.default_rng(11), 40, features=3)
    exposed = np.full(40, np.datetime64("2026-03-01"))
    before = np.full((40, 3), np.datetime64("2026-02-28"))
    late = before.copy()
    late[7, 2] = np.datetime64("2026-03-01")  # At the instant itself is not before it.
    unknown = before.copy()
    unknown[9, 0] = np.datetime64("NaT")
    rng = np.random.default_rng(12)

    out_of_fold(x, y, rng=rng, measured_at=before, exposed_at=exposed)
    out_of_fold(x, y, rng=rng, measured_at=before[:, 0], exposed_at=exposed)

    with pytest.raises(DataError, match=r"1 measurements .* \(first: unit 7, feature 2\)"):
        out_of_fold(x, y, rng=rng, measured_at=late, exposed_at=exposed)
    with pytest.raises(DataError, match="unit 9, feature 0"):
        out_of_fold(x, y, rng=rng, measured_at=unknown, exposed_at=exposed)
    with pytest.raises(DataError, match="give both"):
        out_of_fold(x, y, rng=rng, measured_at=before)
    with pytest.raises(DataError, match="do not fit"):
        out_of_fold(x, y, rng=rng, measured_at=before[:5], exposed_at=exposed)


def test_what_cannot_be_learned_from_is_refused():
    x, y = people(np.random.default_rng(13), 30, features=2)
    gap = x.copy()
    gap[3, 1] = np.nan
    rng = np.random.default_rng(14)

    for features, outcome, folds, word in (
        (gap, y, 5, "missing or infinite"),
        (x, np.where(y > 0, np.inf, y), 5, "missing or infinite"),
        (x[:, 0], y, 5, "do not fit"),
        (x, y[:-1], 5, "do not fit"),
        (x[:3], y[:3], 2, "2 folds of 2"),
        (x, y, 1, "1 folds"),
    ):
        with pytest.raises(DataError, match=word):
            out_of_fold(features, outcome, rng=rng, folds=folds)
