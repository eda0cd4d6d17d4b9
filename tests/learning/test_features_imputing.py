"""Gaps are closed as they were in training, and what was guessed is marked."""

import numpy as np
import pytest

from engine.learning.features import Imputation, impute
from engine.learning.matrix import Matrix
from engine.learning.refusals import Refused

NAN = float("nan")


def a_matrix(values: object, names: tuple[str, ...] | None = None) -> Matrix:
    rows = np.array(values, dtype=float)
    return Matrix(np.arange(len(rows)), names or tuple(f"x{n}" for n in range(rows.shape[1])), rows)


def correlated(n: int, *, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """(with gaps, whole): four columns of which each tells of the others."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 1))
    whole = np.hstack([common * k for k in (1, -2, 3, 0.5)]) + rng.normal(0, 0.2, (n, 4))
    holed = whole.copy()
    holed[rng.random((n, 4)) < 0.15] = NAN
    return holed, whole


def test_medians_of_the_training_close_the_gaps_of_everybody_after() -> None:
    trained, imputation = impute(a_matrix([[1, NAN], [3, NAN], [NAN, NAN], [8, NAN]]))
    later, _ = impute(a_matrix([[NAN, 5], [2, NAN]]), imputation=imputation)

    assert trained.names == ("x0", "x1", "missing:x0")
    assert trained.values.tolist() == [[1, 0, 0], [3, 0, 0], [3, 0, 1], [8, 0, 0]]
    assert later.values.tolist() == [[3, 5, 1], [2, 0, 0]]


@pytest.mark.filterwarnings("ignore:.*Early stopping")
def test_iterative_imputation_from_arrays_is_that_of_scikit_learn() -> None:
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    holed, _ = correlated(600)
    low, high = np.nanmin(holed, axis=0), np.nanmax(holed, axis=0)
    theirs = IterativeImputer(
        initial_strategy="median", max_iter=10, tol=1e-3, random_state=0, min_value=low,
        max_value=high,
    ).fit(holed)  # fmt: skip
    after, _ = correlated(300, seed=9)

    _, imputation = impute(a_matrix(holed), "iterative")
    ours, _ = impute(a_matrix(after), imputation=imputation)

    assert np.abs(ours.values[:, :4] - theirs.transform(after)).max() < 1e-9


def test_iterative_imputation_is_nearer_to_the_truth_than_medians() -> None:
    holed, whole = correlated(800)
    gaps = np.isnan(holed)

    guessed, _ = impute(a_matrix(holed), "iterative")
    middle, _ = impute(a_matrix(holed), "median")

    error = np.abs(guessed.values[:, :4] - whole)[gaps].mean()
    assert error < np.abs(middle.values[:, :4] - whole)[gaps].mean() / 3


def test_a_row_is_guessed_alike_alone_and_among_others() -> None:
    holed, _ = correlated(500)
    together, imputation = impute(a_matrix(holed), "iterative")

    alone = [impute(a_matrix(holed[[n]]), imputation=imputation)[0].values[0] for n in range(50)]

    assert np.array(alone).tobytes() == together.values[:50].tobytes()


def test_what_was_learnt_is_read_back_from_its_arrays() -> None:
    holed, _ = correlated(200)
    holed[:, 3] = NAN
    holed[5:, 2] = 7.0
    filled, imputation = impute(a_matrix(holed), "iterative")

    read = Imputation.of(imputation.names, imputation.arrays())

    assert read.apply(a_matrix(holed)).values.tobytes() == filled.values.tobytes()
    assert not np.isnan(filled.values).any()


def test_other_columns_than_those_of_the_training_are_refused() -> None:
    _, imputation = impute(a_matrix([[1, 2], [3, 4]]))

    with pytest.raises(Refused, match="not those"):
        impute(a_matrix([[1, 2]], ("x0", "y")), imputation=imputation)
    with pytest.raises(Refused, match="no people"):
        impute(Matrix(np.zeros(0, dtype=np.int64), ("x",), np.zeros((0, 1))))
