"""Closing gaps for models that cannot read them: medians, or each column guessed from the others.

Only real gaps are closed: where there is nothing to know, `encoding` has already put a fixed value.
Every column that had gaps in training gets `missing:NAME` beside it, 1 where a value was guessed.
What was learnt is arrays, frozen with the model and applied unchanged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from engine.learning.matrix import Matrix
from engine.learning.refusals import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MISSING: Final = "missing:"
ROUNDS: Final = 10
LEARNT_FROM_MAX: Final = 50_000
"""Rows that the iterative imputation is fitted to, evenly over all: 1M rows of 8 took 25 s."""


@dataclass(frozen=True, eq=False)
class Imputation:
    """How gaps are closed; d columns.

    Attributes:
        names: Columns read, in order.
        medians: Of the training; shape (d,); 0 for a column that was empty.
        flagged: Places of the columns with gaps in training, which have `missing:NAME`.
        order: Iterative: the columns that are guessed, one after the other; shape (s,). Empty for
            medians alone.
        weights: Of all columns for each guess, the guessed one's 0; shape (s, d).
        intercepts: Shape (s,).
        lowest, highest: What a guess is kept within; shape (d,).
    """

    names: tuple[str, ...]
    medians: "Floats"
    flagged: "NDArray[np.int64]"
    order: "NDArray[np.int64]"
    weights: "Floats"
    intercepts: "Floats"
    lowest: "Floats"
    highest: "Floats"

    def apply(self, matrix: Matrix) -> Matrix:
        """The matrix without gaps, and the columns `missing:NAME` behind it.

        Raises:
            Refused: If its columns are not those of the training.
        """
        import numpy as np

        if matrix.names != self.names:
            raise Refused(
                "the columns are not those that the gaps were learnt from",
                "encode the table with the encoding of the training",
            )
        gaps = np.isnan(matrix.values)
        filled = np.where(gaps, self.medians, matrix.values)
        for column, weights, intercept in zip(
            self.order, self.weights, self.intercepts, strict=True
        ):
            rows = np.flatnonzero(gaps[:, column])
            if len(rows):
                # Not a matrix product: the last bit of one hangs on how many rows go along.
                guessed = np.einsum("ij,j->i", filled[rows], weights) + intercept
                filled[rows, column] = np.clip(guessed, self.lowest[column], self.highest[column])
        flags = gaps[:, self.flagged].astype(np.float64)
        names = (*matrix.names, *(MISSING + self.names[it] for it in self.flagged))
        return Matrix(matrix.ids, names, np.hstack([filled, flags]))

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """For an `Artifact`, beside `names` in its schema."""
        return {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def of(cls, names: "tuple[str, ...]", arrays: "Mapping[str, NDArray[Any]]") -> "Imputation":
        """What `arrays` and `names` kept."""
        return cls(tuple(names), **{name: arrays[name] for name in _ARRAYS})


_ARRAYS: Final = ("medians", "flagged", "order", "weights", "intercepts", "lowest", "highest")


def impute(
    matrix: Matrix,
    how: Literal["median", "iterative"] = "median",
    *,
    imputation: Imputation | None = None,
) -> tuple[Matrix, Imputation]:
    """A matrix without gaps, and the imputation that closed them.

    Args:
        how: Where one is learnt: medians, or scikit-learn's IterativeImputer (Bayesian ridge,
            columns with the fewest gaps first), whose regressions are kept.
        imputation: Of the training; None learns one from this matrix.
    Raises:
        Refused: If there are no rows to learn from, or the columns differ from the training's.
    """
    if imputation is None:
        if len(matrix.ids) == 0:
            raise Refused("there are no people to learn from", "widen whom the model is about")
        imputation = _of_medians(matrix)
        if how == "iterative" and len(imputation.flagged):
            imputation = _iterated(matrix, imputation)
    return imputation.apply(matrix), imputation


def _of_medians(matrix: Matrix) -> Imputation:
    import numpy as np

    d = len(matrix.names)
    gaps = np.isnan(matrix.values)
    known = ~gaps.all(axis=0)
    medians = np.zeros(d)
    medians[known] = np.nanmedian(matrix.values[:, known], axis=0)
    return Imputation(
        matrix.names,
        medians,
        np.flatnonzero(gaps.any(axis=0) & known),
        np.zeros(0, dtype=np.int64),
        np.zeros((0, d)),
        np.zeros(0),
        np.full(d, -np.inf),
        np.full(d, np.inf),
    )


def _iterated(matrix: Matrix, plain: Imputation) -> Imputation:
    """The regressions of scikit-learn's imputer, round by round, as arrays.

    A guess is kept within what was seen in training: a straight line knows no bounds.
    """
    import numpy as np
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    n, d = matrix.values.shape
    values = matrix.values[np.unique(np.linspace(0, n - 1, min(n, LEARNT_FROM_MAX)).astype(int))]
    empty = np.isnan(values).all(axis=0)
    lowest, highest = np.zeros(d), np.zeros(d)
    lowest[~empty] = np.nanmin(values[:, ~empty], axis=0)
    highest[~empty] = np.nanmax(values[:, ~empty], axis=0)
    # An empty column has nothing to guess from, and one that stands still has no bounds to give.
    flat = (lowest == highest) | empty
    lowest[flat], highest[flat] = -np.inf, np.inf
    values = np.where(np.isnan(values) & empty, plain.medians, values)
    fitted = IterativeImputer(
        initial_strategy="median",
        max_iter=ROUNDS,
        min_value=lowest,
        max_value=highest,
        random_state=0,
        tol=1e-3,
    )
    with _quiet():
        fitted.fit(values)
    order, weights, intercepts = [], [], []
    for step in fitted.imputation_sequence_:
        row = np.zeros(d)
        row[step.neighbor_feat_idx] = step.estimator.coef_
        order.append(step.feat_idx)
        weights.append(row)
        intercepts.append(float(step.estimator.intercept_))
    medians = np.asarray(fitted.initial_imputer_.statistics_, dtype=np.float64)
    return Imputation(
        plain.names,
        np.where(empty, plain.medians, medians),
        plain.flagged,
        np.array(order, dtype=np.int64),
        np.array(weights).reshape(len(order), d),
        np.array(intercepts),
        lowest,
        highest,
    )


def _quiet() -> Any:
    """Rounds are bounded on purpose: that they did not converge is no news to anybody."""
    import warnings
    from contextlib import ExitStack

    from sklearn.exceptions import ConvergenceWarning

    stack = ExitStack()
    stack.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore", ConvergenceWarning)
    return stack
