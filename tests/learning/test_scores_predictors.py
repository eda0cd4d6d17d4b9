"""Models read from arrays: word for word what scikit-learn says, and no slower."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression, PoissonRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor

from engine.learning.artifact import Artifact, pack, unpack
from engine.learning.scores.boosting import Boosting
from engine.learning.scores.calibration import Calibration, calibrate
from engine.learning.scores.forest import Forest
from engine.learning.scores.inputs import Inputs
from engine.learning.scores.leaf_masks import LeafMasks
from engine.learning.scores.linear import Linear
from engine.learning.scores.links import logistic, logit
from engine.learning.scores.network import Network
from engine.learning.scores.predictors import TwoPart, fit, kept, restored
from engine.learning.scores.training import one_thread


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Threads that wait for each other on a busy machine take a hundred times as long."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """10,000 rows with a long tail and gaps; whether, and how much."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(10_000, 6))
    values[:, 0] = np.exp(2 * values[:, 0])
    values[:, 5] = rng.integers(3, size=10_000)
    values[rng.random(values.shape) < 0.1] = np.nan
    odds = np.nan_to_num(values[:, 1]) - np.isnan(values[:, 2])
    happens = (rng.random(10_000) < 1 / (1 + np.exp(-odds))).astype(float)
    return values, happens, happens * rng.gamma(2, 5, 10_000)


@pytest.mark.parametrize("leaves", [15, 200])
def test_boosting_says_what_scikit_learn_says(rows: Any, leaves: int) -> None:
    """Few leaves are read by masks, many by walking."""
    values, happens, amount = rows
    chance = HistGradientBoostingClassifier(max_iter=30, max_leaf_nodes=leaves, max_depth=None)
    much = HistGradientBoostingRegressor(loss="poisson", max_iter=30, max_leaf_nodes=leaves)

    chance.fit(values, happens)
    much.fit(values, amount)

    said = Boosting.of_sklearn(chance)
    assert (LeafMasks.of(said.trees) is None) == (leaves == 200)
    np.testing.assert_allclose(
        said.predict(values), chance.predict_proba(values)[:, 1], atol=1e-9, rtol=0
    )
    np.testing.assert_allclose(
        Boosting.of_sklearn(much).predict(values), much.predict(values), atol=1e-9, rtol=0
    )


def test_a_forest_says_what_scikit_learn_says(rows: Any) -> None:
    values, happens, amount = rows
    chance = RandomForestClassifier(12, min_samples_leaf=3, random_state=1).fit(values, happens)
    much = RandomForestRegressor(12, min_samples_leaf=3, random_state=1).fit(values, amount)

    np.testing.assert_allclose(
        Forest.of_sklearn(chance).predict(values), chance.predict_proba(values)[:, 1], atol=1e-9
    )
    np.testing.assert_allclose(
        Forest.of_sklearn(much).predict(values), much.predict(values), atol=1e-9
    )


def test_gaps_that_training_did_not_have_go_where_scikit_learn_sends_them(rows: Any) -> None:
    values, happens, _ = rows
    whole = np.nan_to_num(values)
    forest = RandomForestClassifier(10, min_samples_leaf=5, random_state=1).fit(whole, happens)
    boosting = HistGradientBoostingClassifier(max_iter=20).fit(whole, happens)

    for ours, theirs in (
        (Forest.of_sklearn(forest), forest),
        (Boosting.of_sklearn(boosting), boosting),
    ):
        np.testing.assert_allclose(
            ours.predict(values), theirs.predict_proba(values)[:, 1], atol=1e-9
        )


def test_linear_scores_say_what_scikit_learn_says(rows: Any) -> None:
    values, happens, amount = rows
    inputs = Inputs.fit(values)
    read = inputs.of(values)
    chance = LogisticRegression(max_iter=1_000).fit(read, happens)
    much = PoissonRegressor(max_iter=1_000).fit(read, amount)

    np.testing.assert_allclose(
        Linear.of_sklearn(chance, inputs).predict(values), chance.predict_proba(read)[:, 1],
        atol=1e-9,
    )  # fmt: skip
    np.testing.assert_allclose(
        Linear.of_sklearn(much, inputs).predict(values), much.predict(read), atol=1e-9
    )


def test_networks_say_what_scikit_learn_says(rows: Any) -> None:
    values, happens, amount = rows
    inputs = Inputs.fit(values)
    read = inputs.of(values)
    how = {"hidden_layer_sizes": (8, 4), "early_stopping": True, "tol": 0.1, "random_state": 1}
    chance = MLPClassifier(**how).fit(read, happens)
    much = MLPRegressor(**how).fit(read, amount)

    np.testing.assert_allclose(
        Network.of_sklearn(chance, inputs).predict(values), chance.predict_proba(read)[:, 1],
        atol=1e-9,
    )  # fmt: skip
    np.testing.assert_allclose(
        Network.of_sklearn(much, inputs, unit=2.0).predict(values),
        2.0 * np.maximum(much.predict(read), 0.0), atol=1e-9,
    )  # fmt: skip


def test_masks_and_walking_agree_on_every_threshold_itself(rows: Any) -> None:
    """A value at a threshold goes left, the next float above it right, NaN and infinities too."""
    values, happens, _ = rows
    trees = Boosting.of_sklearn(
        HistGradientBoostingClassifier(max_iter=10, max_leaf_nodes=60).fit(values, happens)
    ).trees
    cuts = trees.threshold[trees.feature >= 0]
    hard = np.concatenate([cuts, np.nextafter(cuts, np.inf), [np.nan, np.inf, -np.inf]])
    asked = np.random.default_rng(2).choice(hard, size=(2_000, 6))

    walked = np.zeros(2_000)
    trees._walk(walked, asked)

    np.testing.assert_array_equal(trees.summed(asked), walked)


@pytest.mark.parametrize("algorithm", ["logistic", "forest", "boosting", "mlp"])
@pytest.mark.parametrize("is_chance", [True, False])
def test_a_model_kept_as_arrays_says_the_same(rows: Any, algorithm: str, is_chance: bool) -> None:
    values, happens, amount = (it[:800] for it in rows)
    settings: Any = {
        "logistic": {"penalty": 1.0},
        "forest": {"n_estimators": 5},
        "boosting": {"max_iter": 5},
        "mlp": {"hidden_layer_sizes": [4]},
    }[algorithm]

    model = fit(
        algorithm, values, happens if is_chance else amount, is_chance=is_chance,
        settings=settings, seed=1,
    )  # fmt: skip
    again = restored(unpack(pack(Artifact(kept(model, "model"), {}))).arrays, "model")

    assert isinstance(model, TwoPart) != is_chance
    np.testing.assert_array_equal(again.predict(values), model.predict(values))
    assert (model.predict(values) >= 0).all()


def test_two_parts_find_chance_and_amount(rows: Any) -> None:
    """Whether depends on one column, how much on another; the mean of both is right."""
    rng = np.random.default_rng(4)
    values = rng.normal(size=(6_000, 2))
    bought = rng.random(6_000) < 1 / (1 + np.exp(2 - 2 * values[:, 0]))
    y = np.where(bought, rng.gamma(5, np.exp(0.5 * values[:, 1]) / 5), 0.0)

    model = fit("logistic", values, y, is_chance=False, settings={"penalty": 1.0}, seed=1)

    assert isinstance(model, TwoPart)
    assert np.corrcoef(model.happens.predict(values), values[:, 0])[0, 1] > 0.9
    assert np.corrcoef(model.amount.predict(values), values[:, 1])[0, 1] > 0.9
    assert model.predict(values).mean() == pytest.approx(y.mean(), rel=0.05)


def test_isotonic_calibration_is_near_scikit_learns_but_ranks_and_is_never_certain() -> None:
    rng = np.random.default_rng(5)
    raw = rng.random(10_000)
    y = (rng.random(10_000) < raw**3).astype(float)

    found = calibrate(raw, y, is_chance=True)
    said = found.read(raw)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(raw, y).predict(raw)

    assert found.kind == "isotonic"
    assert np.abs(said - theirs).mean() < 0.02
    assert np.abs(said - raw**3).mean() < 0.02
    assert said.mean() == pytest.approx(y.mean(), abs=0.002)
    assert (np.diff(said[np.argsort(raw)]) > 0).all()
    assert said.min() > 0
    assert said.max() < 1


def test_a_few_at_the_end_who_all_did_are_no_certainty() -> None:
    """Raw words tell nothing but of the last five; one more of them who does not is no disaster."""
    rng = np.random.default_rng(8)
    raw = np.r_[rng.random(4_000) * 0.5, np.full(5, 0.9)]
    y = np.r_[(rng.random(4_000) < 0.4).astype(float), np.ones(5)]

    said = calibrate(raw, y, is_chance=True).read(np.array([0.9]))

    assert 0.4 < said[0] < 0.9


def test_sigmoid_calibration_finds_the_odds_that_were_bent() -> None:
    """True odds are 1/2 of the raw log odds, minus 1; Platt's targets pull only a little."""
    rng = np.random.default_rng(6)
    raw = logistic(rng.normal(0, 3, 2_500))
    y = (rng.random(2_500) < logistic(0.5 * logit(raw) - 1)).astype(float)

    found = calibrate(raw, y, is_chance=True)

    assert found.kind == "sigmoid"
    assert found.y[0] == pytest.approx(0.5, abs=0.08)
    assert found.y[1] == pytest.approx(-1.0, abs=0.15)


def test_a_slice_that_contradicts_the_model_does_not_turn_its_ranking_round() -> None:
    rng = np.random.default_rng(7)
    raw = rng.random(400)
    y = (rng.random(400) < 1 - raw).astype(float)

    said = calibrate(raw, y, is_chance=True).read(raw)

    assert np.ptp(said) == 0
    assert said[0] == pytest.approx(y.mean(), abs=0.01)


def test_amounts_are_calibrated_to_their_total() -> None:
    raw, y = np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.0, 3.0])

    found = calibrate(raw, y, is_chance=False)

    np.testing.assert_allclose(found.read(raw), raw / 2)
    again = Calibration.of(found.arrays())
    assert again.kind == "factor"


def test_importing_scores_imports_nothing_heavy() -> None:
    code = (
        "import engine.learning.scores, engine.learning.scores.report, sys;"
        "print([m for m in ('numpy', 'scipy', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
