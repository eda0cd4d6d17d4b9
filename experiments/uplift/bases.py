"""The regressions that learners are made of: ridge and logistic of ours, boosting of scikit-learn.

The two linear ones are kept as an intercept and slopes. Boosting serves where arrays are not
wanted, above all inside the pseudo-outcome, whose models are thrown away. Gaps are filled with the
median of the training units, and a column says where; boosting takes them as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from experiments.errors import PlanError
from experiments.estimation.cupac import Ridge

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Base = Literal["linear", "boosting"]
"""`linear` is logistic for outcomes of 0 and 1 and ridge for all others."""
Link = Literal["identity", "logistic"]


@dataclass(frozen=True, eq=False)
class Columns:
    """Where the features have gaps, and what fills them; frozen at training.

    Attributes:
        medians: Per feature; 0 where nothing was known of anybody.
        has_gaps: Per feature, whether the training units had gaps there.
    """

    medians: Array
    has_gaps: NDArray[np.bool_]

    @classmethod
    def of(cls, features: Array) -> Columns:
        """What the training units need."""
        import numpy as np

        gaps = np.isnan(features)
        known = ~gaps.all(axis=0)
        medians = np.zeros(features.shape[1])
        medians[known] = np.nanmedian(features[:, known], axis=0)
        return cls(medians, np.asarray(gaps.any(axis=0)))

    def filled(self, features: Array) -> Array:
        """No gap left; a column of 0 and 1 more for each feature that had some.

        Raises:
            PlanError: If there are more or fewer features than at training.
        """
        import numpy as np

        given = np.asarray(features, dtype=float)
        if given.ndim != 2 or given.shape[1] != len(self.medians):
            raise PlanError(
                f"features of shape {given.shape}; the model was trained on"
                f" {len(self.medians)} columns"
            )
        gaps = np.isnan(given)
        if not gaps.any() and not self.has_gaps.any():
            return given
        return np.hstack(
            [np.where(gaps, self.medians, given), gaps[:, self.has_gaps].astype(float)]
        )


@dataclass(frozen=True, eq=False)
class Line:
    """A fitted linear model: link(intercept + features . slopes), on filled columns."""

    link: Link
    intercept: float
    slopes: Array

    def predict(self, features: Array, /) -> Array:
        """One number a unit."""
        from scipy import special

        along: Array = self.intercept + features @ self.slopes
        if self.link == "identity":
            return along
        chance: Array = special.expit(along)
        return chance


def ridge_line(features: Array, outcome: Array) -> Line:
    """Ridge regression, its penalty chosen by generalised cross-validation."""
    fitted = Ridge().fit(features, outcome)
    slopes = fitted.coefficients / fitted.scale
    return Line("identity", fitted.mean - float(fitted.centre @ slopes), slopes)


STEPS_MAX = 50
PENALTY = 1.0
"""Of squared slopes on standardised features: what a unit's worth of doubt amounts to."""


def logistic_line(features: Array, outcome: Array) -> Line:
    """Logistic regression with a small ridge penalty, by Newton's steps.

    The penalty keeps separated data finite. With one class only, the line is flat at half a unit
    short of certainty.
    """
    import numpy as np
    from scipy import special

    n = len(outcome)
    share = (float(outcome.sum()) + 0.5) / (n + 1)
    slopes, intercept = np.zeros(features.shape[1]), float(special.logit(share))
    if not 0 < outcome.sum() < n:
        return Line("logistic", intercept, slopes)
    centre, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    standard = np.column_stack([np.ones(n), (features - centre) / scale])
    penalty = np.full(standard.shape[1], PENALTY)
    penalty[0] = 0.0
    found = np.concatenate([[intercept], slopes])

    def loss(at: Array) -> float:
        along = standard @ at
        told = np.logaddexp(0, along).sum() - outcome @ along
        return float(told + (penalty * at * at).sum() / 2)

    now = loss(found)
    for _ in range(STEPS_MAX):
        chance = special.expit(standard @ found)
        slope = standard.T @ (chance - outcome) + penalty * found
        curve = (standard * (chance * (1 - chance))[:, None]).T @ standard + np.diag(penalty)
        step = np.linalg.lstsq(curve, slope, rcond=None)[0]
        share = 1.0
        # Newton may leap too far from a poor start; halved, it always descends.
        while (then := loss(found - share * step)) > now and share > 1e-8:
            share /= 2
        found, gained, now = found - share * step, now - then, then
        if abs(gained) <= 1e-12 * max(abs(now), 1.0):
            break
    slopes = found[1:] / scale
    return Line("logistic", float(found[0] - centre @ slopes), slopes)


def fitted_line(features: Array, outcome: Array, *, is_binary: bool) -> Line:
    """The linear base for an outcome of this kind; `features` are filled."""
    return (logistic_line if is_binary else ridge_line)(features, outcome)


@dataclass(frozen=True, eq=False)
class Filled:
    """A line together with the filling it was trained behind."""

    columns: Columns
    line: Line

    def predict(self, features: Array, /) -> Array:
        """One number a unit, gaps allowed."""
        return self.line.predict(self.columns.filled(features))


class Boosted:
    """Gradient boosting of shallow trees, with `predict` giving a number for classes too."""

    def __init__(self, model: Any, *, is_binary: bool) -> None:
        self._model, self._is_binary = model, is_binary

    def predict(self, features: Array, /) -> Array:
        """One number a unit, gaps allowed."""
        if self._is_binary:
            chance: Array = self._model.predict_proba(features)[:, 1]
            return chance
        told: Array = self._model.predict(features)
        return told


def boosted(features: Array, outcome: Array, *, is_binary: bool, seed: int) -> Boosted | Filled:
    """Histogram gradient boosting, kept shallow: effects are small beside the noise."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    n = len(outcome)
    if is_binary and not 0 < outcome.sum() < n:
        columns = Columns.of(features)
        return Filled(columns, logistic_line(columns.filled(features), outcome))
    kind = HistGradientBoostingClassifier if is_binary else HistGradientBoostingRegressor
    model = kind(
        max_iter=100,
        learning_rate=0.05,
        max_depth=3,
        min_samples_leaf=max(20, n // 100),
        early_stopping=False,
        random_state=seed,
    )
    return Boosted(model.fit(features, outcome), is_binary=is_binary)


def fitted(
    base: Base, features: Array, outcome: Array, *, is_binary: bool, rng: np.random.Generator
) -> Predictor:
    """A base model on features with gaps.

    Raises:
        PlanError: If the base is unknown.
    """
    if base == "boosting":
        return boosted(features, outcome, is_binary=is_binary, seed=int(rng.integers(2**31)))
    if base not in get_args(Base):
        raise PlanError(f'base "{base}" is unknown; allowed are {", ".join(get_args(Base))}')
    columns = Columns.of(features)
    return Filled(columns, fitted_line(columns.filled(features), outcome, is_binary=is_binary))


Predictor = Filled | Boosted
