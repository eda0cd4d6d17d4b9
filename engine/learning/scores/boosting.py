"""Gradient-boosted trees: grown by scikit-learn, kept and read by ourselves. NaN is a value."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from engine.learning.scores.trees import Trees, joined

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Boosting:
    """Trees that add up, from `start`. `is_chance`: through the logistic function, else exp."""

    kind: ClassVar[str] = "boosting"
    trees: Trees
    start: float
    is_chance: bool

    @classmethod
    def fit(
        cls,
        values: "Floats",
        y: "Floats",
        *,
        is_chance: bool,
        seed: int,
        settings: Mapping[str, Any],
        weights: "Floats | None" = None,
    ) -> "Boosting":
        """Fit; amounts by Poisson deviance, which keeps their mean. `settings` are sklearn's."""
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        common = {**settings, "early_stopping": False, "random_state": seed}
        if is_chance:
            return cls.of_sklearn(HistGradientBoostingClassifier(**common).fit(values, y, weights))
        amounts = HistGradientBoostingRegressor(loss="poisson", **common)
        return cls.of_sklearn(amounts.fit(values, y, weights))

    @classmethod
    def of_sklearn(cls, estimator: Any) -> "Boosting":
        """Take over a fitted `HistGradientBoosting…` of two classes, or of Poisson loss.

        Its nodes are in a private attribute, the only place that has them; a test holds the layout.
        """
        import numpy as np

        parts = []
        for (predictor,) in estimator._predictors:
            nodes = predictor.nodes
            if nodes["is_categorical"].any():
                raise ValueError("categories are encoded before they come here")
            is_leaf = nodes["is_leaf"].astype(bool)
            parts.append(
                {
                    "feature": np.where(is_leaf, -1, nodes["feature_idx"]),
                    "threshold": np.where(is_leaf, 0.0, nodes["num_threshold"]),
                    "is_missing_left": nodes["missing_go_to_left"].astype(bool),
                    "left": nodes["left"],
                    "right": nodes["right"],
                    "value": np.where(is_leaf, nodes["value"], 0.0),
                }
            )
        start = float(np.ravel(estimator._baseline_prediction)[0])
        return cls(joined(parts), start, hasattr(estimator, "classes_"))

    def predict(self, values: "Floats") -> "Floats":
        """Chances or amounts, shape (n,)."""
        import numpy as np

        from engine.learning.scores.links import logistic

        raw = self.trees.summed(values, start=self.start)
        return logistic(raw) if self.is_chance else np.exp(raw)

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """As arrays by name."""
        import numpy as np

        return {
            **self.trees.arrays(),
            "start": np.array(self.start),
            "is_chance": np.array(self.is_chance),
        }

    @classmethod
    def read(cls, arrays: "Mapping[str, NDArray[Any]]") -> "Boosting":
        """What `arrays` gave."""
        return cls(Trees.read(arrays), float(arrays["start"]), bool(arrays["is_chance"]))
