"""The linear scores: logistic for chances, log-linear (Poisson) for amounts; the bar to clear."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from engine.learning.scores.inputs import Inputs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Linear:
    """Coefficients of the inputs. `is_chance`: through the logistic function, else exp."""

    kind: ClassVar[str] = "linear"
    inputs: Inputs
    coefficients: "Floats"
    intercept: float
    is_chance: bool

    @classmethod
    def fit(
        cls,
        values: "Floats",
        y: "Floats",
        *,
        is_chance: bool,
        penalty: float,
        weights: "Floats | None" = None,
    ) -> "Linear":
        """Fit by penalised likelihood; `penalty` is L2, on scaled inputs.

        Amounts must not be negative. They are fitted in units of their mean, so that the penalty
        means the same for cents and for orders.
        """
        inputs = Inputs.fit(values)
        if is_chance:
            from sklearn.linear_model import LogisticRegression

            chance = LogisticRegression(C=1 / penalty, max_iter=2_000)
            return cls.of_sklearn(chance.fit(inputs.of(values), y, weights), inputs)
        import numpy as np
        from sklearn.linear_model import PoissonRegressor

        unit = float(np.average(y, weights=weights))
        amount = PoissonRegressor(alpha=penalty / len(y), max_iter=2_000)
        fitted = cls.of_sklearn(amount.fit(inputs.of(values), y / unit, weights), inputs)
        return cls(inputs, fitted.coefficients, fitted.intercept + float(np.log(unit)), False)

    @classmethod
    def of_sklearn(cls, estimator: Any, inputs: Inputs) -> "Linear":
        """Take over a fitted `LogisticRegression` or `PoissonRegressor`."""
        import numpy as np

        intercept = float(np.ravel(estimator.intercept_)[0])
        is_chance = hasattr(estimator, "classes_")
        return cls(inputs, np.ravel(estimator.coef_).astype(np.float64), intercept, is_chance)

    def predict(self, values: "Floats") -> "Floats":
        """Chances or amounts, shape (n,)."""
        import numpy as np

        from engine.learning.scores.links import logistic

        raw = self.inputs.of(values) @ self.coefficients + self.intercept
        return logistic(raw) if self.is_chance else np.exp(raw)

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """As arrays by name."""
        import numpy as np

        return {
            **self.inputs.arrays(),
            "coefficients": self.coefficients,
            "intercept": np.array(self.intercept),
            "is_chance": np.array(self.is_chance),
        }

    @classmethod
    def read(cls, arrays: "Mapping[str, NDArray[Any]]") -> "Linear":
        """What `arrays` gave."""
        return cls(
            Inputs.read(arrays), arrays["coefficients"], float(arrays["intercept"]),
            bool(arrays["is_chance"]),
        )  # fmt: skip
