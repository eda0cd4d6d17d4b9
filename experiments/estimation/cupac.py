"""CUPAC (control using predictions as covariates): many features made into one good covariate.

A model predicts each unit's outcome from what was known before exposure, always fitted on other
units (cross-fitting), so that a prediction never contains the outcome it will adjust. The column
then enters `cuped.adjusted` like any covariate; a useless model costs nothing but time.
Source: Tang, Huang, Kastelman, Bauman, "Control using predictions as covariates in switchback
experiments" (DoorDash 2020); Chernozhukov et al. (Econometrics Journal 21, 2018) for cross-fitting.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Protocol

from experiments.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

FOLDS = 5


class Model(Protocol):
    """Anything that learns by `fit` and answers by `predict`, as scikit-learn's regressors."""

    def fit(self, features: Array, outcome: Array, /) -> Any:
        """Learn from units x features and one outcome a unit."""

    def predict(self, features: Array, /) -> Any:
        """One number a unit."""


class Ridge:
    """Linear regression with a penalty chosen by generalized cross-validation.

    Features are standardized first. Source: Golub, Heath, Wahba (Technometrics 21, 1979).
    """

    PENALTIES = tuple(10.0**power for power in range(-6, 5))
    """Candidates, in units per training unit: from next to nothing to next to a constant."""

    def fit(self, features: Array, outcome: Array, /) -> Ridge:
        """Learn the coefficients by a singular value decomposition."""
        import numpy as np

        n = len(outcome)
        self.centre = features.mean(axis=0)
        spread = features.std(axis=0)
        self.scale = np.where(spread > 0, spread, 1.0)
        self.mean = float(outcome.mean())
        standard = (features - self.centre) / self.scale
        left, singular, right = np.linalg.svd(standard, full_matrices=False)
        along = left.T @ (outcome - self.mean)
        unexplained = float(((outcome - self.mean) ** 2).sum() - (along**2).sum())

        def score(penalty: float) -> float:
            kept = singular**2 / (singular**2 + penalty * n)
            residual = max(unexplained, 0.0) + float((((1 - kept) * along) ** 2).sum())
            return residual / max(n - 1 - float(kept.sum()), 1e-9) ** 2

        penalty = min(self.PENALTIES, key=score)
        self.coefficients = right.T @ (singular / (singular**2 + penalty * n) * along)
        return self

    def predict(self, features: Array, /) -> Array:
        """One number a unit."""
        standard = (features - self.centre) / self.scale
        predicted: Array = self.mean + standard @ self.coefficients
        return predicted


def out_of_fold(
    features: Array,
    outcome: Array,
    *,
    rng: np.random.Generator,
    folds: int = FOLDS,
    model: Model | None = None,
    measured_at: NDArray[Any] | None = None,
    exposed_at: NDArray[Any] | None = None,
) -> Array:
    """A prediction of each unit's outcome by a model that never saw that unit.

    Args:
        features: Units x features, all measured before exposure; both variants together.
        outcome: One per unit.
        rng: Draws the folds; the same rng gives the same column.
        model: Copied anew for every fold; `Ridge` if not given.
        measured_at: When features were measured: one per unit, or units x features.
        exposed_at: One per unit; every measurement must be earlier. Both times or none.
    Raises:
        DataError: If a feature was measured at or after its unit's exposure, a value is missing or
            infinite, or there are fewer than two units a fold.
    """
    import numpy as np

    features, outcome = np.asarray(features, dtype=float), np.asarray(outcome, dtype=float)
    if features.ndim != 2 or outcome.shape != features.shape[:1]:
        raise DataError(
            f"features of shape {features.shape} and outcomes of shape {outcome.shape} do not fit;"
            " (units, features) and (units,) are expected"
        )
    if not 2 <= folds <= len(outcome) // 2:
        raise DataError(f"{folds} folds of {len(outcome)} units; 2 folds of 2 units are the least")
    if not (np.isfinite(features).all() and np.isfinite(outcome).all()):
        raise DataError(
            "features or outcomes are missing or infinite; fill gaps (estimation.missing) first"
        )
    _refuse_leakage(measured_at, exposed_at, shape=features.shape)
    fold = rng.permutation(np.arange(len(outcome)) % folds)
    predicted = np.empty(len(outcome))
    for held_out in range(folds):
        inside = fold == held_out
        fresh = deepcopy(model) if model is not None else Ridge()
        fresh.fit(features[~inside], outcome[~inside])
        predicted[inside] = fresh.predict(features[inside])
    if not np.isfinite(predicted).all():
        raise DataError("the model predicted values that are not finite")
    return predicted


def _refuse_leakage(
    measured_at: NDArray[Any] | None, exposed_at: NDArray[Any] | None, *, shape: tuple[int, ...]
) -> None:
    import numpy as np

    if (measured_at is None) != (exposed_at is None):
        raise DataError("measured_at and exposed_at are compared: give both, or none")
    if measured_at is None or exposed_at is None:
        return
    measured, exposed = np.asarray(measured_at), np.asarray(exposed_at)
    if exposed.shape != shape[:1] or measured.shape not in (shape, shape[:1]):
        raise DataError(
            f"times of shapes {measured.shape} and {exposed.shape} do not fit features of shape"
            f" {shape}"
        )
    if measured.ndim == 2:
        exposed = exposed[:, None]
    # Said the other way round, so that a time that is not known (NaN, NaT) counts as late.
    late = ~(measured < exposed)
    if late.any():
        where = np.argwhere(late)[0]
        feature = f", feature {where[1]}" if late.ndim == 2 else ""
        raise DataError(
            f"{int(late.sum())} measurements are not before exposure (first: unit {where[0]}"
            f"{feature}); what exposure may have changed cannot adjust for it"
        )
