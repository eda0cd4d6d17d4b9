"""Effects learnt from randomised units: planted ones are found, whatever the learner."""

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression

from experiments.errors import DataError, PlanError
from experiments.uplift.bases import Columns, logistic_line
from experiments.uplift.effects import LinearEffects
from experiments.uplift.learners import learn
from experiments.uplift.pseudo import crossfitted, psi_of
from experiments.uplift.units import Units
from tests.experiments.uplift_runs import planted


@pytest.mark.parametrize("learner", ["dr", "x", "t"])
@pytest.mark.parametrize("base", ["linear", "boosting"])
def test_a_planted_effect_is_found_in_sign_and_in_rank(learner, base):
    given = planted(seed=1)

    told = learn(given.units, learner=learner, base=base, rng=np.random.default_rng(2)).predict(
        given.units.features
    )

    high, low = told[given.effects > 0.05].mean(), told[given.effects < 0.05].mean()
    assert high > 0.05
    assert low < 0.03
    assert stats.spearmanr(told, given.effects).statistic > 0.6


def test_the_pseudo_outcome_has_the_effect_as_its_mean_however_chances_vary():
    given = planted(seed=3, n=40_000, varying=True)
    units = given.units

    psi = crossfitted(units, base="linear", rng=np.random.default_rng(4)).psi

    plain = units.outcome[units.treated].mean() - units.outcome[~units.treated].mean()
    error = psi.std() / np.sqrt(units.n)
    assert abs(psi.mean() - given.effects.mean()) < 3 * error
    assert plain - given.effects.mean() > 4 * error  # what ignoring the chances would say


def test_the_pseudo_outcome_is_right_even_with_absurd_models():
    given = planted(seed=5, n=60_000)
    units = given.units

    psi = psi_of(units, np.full(units.n, 3.0), np.full(units.n, -2.0))

    assert abs(psi.mean() - given.effects.mean()) < 3 * psi.std() / np.sqrt(units.n)


def test_a_units_own_outcome_never_enters_its_models():
    given = planted(seed=6, n=2_000).units
    changed = given.outcome.copy()
    changed[7] = 1 - changed[7]
    other = Units(given.features, given.treated, changed, given.chance)

    was = crossfitted(given, base="linear", rng=np.random.default_rng(1))
    now = crossfitted(other, base="linear", rng=np.random.default_rng(1))

    assert (was.untreated[7], was.treated[7]) == (now.untreated[7], now.treated[7])
    assert not np.array_equal(was.treated, now.treated)


@pytest.mark.parametrize("learner", ["dr", "x", "t"])
def test_a_linear_model_comes_back_from_its_arrays_to_the_last_bit(learner):
    units = planted(seed=7, n=3_000, has_gaps=True).units
    model = learn(units, learner=learner, rng=np.random.default_rng(8))
    assert isinstance(model, LinearEffects)

    again = LinearEffects.of(model.arrays())

    assert not any(it.dtype.hasobject for it in model.arrays().values())
    assert np.array_equal(again.predict(units.features), model.predict(units.features))
    with pytest.raises(DataError, match="train it again"):
        LinearEffects.of({"medians": np.zeros(1)})


def test_the_same_generator_gives_the_same_model():
    units = planted(seed=9, n=3_000, has_gaps=True).units

    one, other = (learn(units, rng=np.random.default_rng(1)).arrays() for _ in range(2))

    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_logistic_regression_is_that_of_scikit_learn():
    given = planted(seed=10, n=3_000).units
    scale = given.features.std(axis=0)
    standard = (given.features - given.features.mean(axis=0)) / scale

    line = logistic_line(given.features, given.outcome)

    oracle = LogisticRegression(C=1.0, tol=1e-12, max_iter=10_000).fit(standard, given.outcome)
    assert line.slopes * scale == pytest.approx(oracle.coef_[0], abs=1e-6)
    told = oracle.predict_proba(standard)[:, 1]
    assert line.predict(given.features) == pytest.approx(told, abs=1e-6)


def test_logistic_regression_stays_finite_where_classes_are_apart_or_one_is_missing():
    x = np.linspace(-1, 1, 50)[:, None]

    apart = logistic_line(x, (x[:, 0] > 0).astype(float))
    nobody = logistic_line(x, np.zeros(50))

    assert np.isfinite(apart.slopes).all()
    assert nobody.predict(x) == pytest.approx(np.full(50, 0.5 / 51))


def test_gaps_are_filled_with_the_training_median_and_told():
    columns = Columns.of(np.array([[1.0, np.nan], [2.0, np.nan], [9.0, np.nan], [np.nan, np.nan]]))

    filled = columns.filled(np.array([[np.nan, 5.0]]))

    assert filled.tolist() == [[2.0, 5.0, 1.0, 0.0]]
    with pytest.raises(PlanError, match="2 columns"):
        columns.filled(np.zeros((1, 3)))


N = 400
X = np.zeros((N, 1))
HALF = np.arange(N) % 2
Y = np.arange(N) % 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((X[:-1], HALF, Y, 0.5), "do not fit"),
        ((X, HALF * 2, Y, 0.5), "0 or 1"),
        ((X, HALF, np.where(Y == 1, np.nan, Y), 0.5), "window is open"),
        ((X + np.inf, HALF, Y, 0.5), "infinite"),
        ((X, HALF, Y, 1.0), "certain"),
        ((X, HALF, Y, np.nan), "certain"),
        ((X, HALF * 0, Y, 0.5), "0 units"),
        ((X, HALF, Y * 0, 0.5), "every unit has the outcome 0"),
        ((X, HALF, Y, 0.2), "logged chances promise 80"),
    ],
)
def test_units_that_teach_nothing_are_refused(arguments, words):
    with pytest.raises(DataError, match=words):
        Units.of(*arguments)


def test_unknown_learners_and_bases_are_refused():
    units = planted(seed=11, n=2_000).units

    with pytest.raises(PlanError, match="dr, x, t"):
        learn(units, learner="s", rng=np.random.default_rng(1))  # type: ignore[arg-type]
    for learner in ("dr", "t"):
        with pytest.raises(PlanError, match="linear, boosting"):
            learn(units, learner=learner, base="forest", rng=np.random.default_rng(1))  # type: ignore[arg-type]
