"""A random forest: grown by scikit-learn, kept and read by ourselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from engine.learning.scores.trees import Trees, joined

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ROWS_A_TREE: Final = 20_000
"""Rows that one tree is grown on at most: 100 trees of 100,000 rows take 38 s, and gain nothing."""


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees whose leaves are averaged."""

    kind: ClassVar[str] = "forest"
    trees: Trees

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
    ) -> "Forest":
        """Fit. `settings` are scikit-learn's."""
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        grower = RandomForestClassifier if is_chance else RandomForestRegressor
        rows = ROWS_A_TREE if len(y) > ROWS_A_TREE else None
        forest = grower(**settings, max_samples=rows, random_state=seed)
        return cls.of_sklearn(forest.fit(values, y, weights))

    @classmethod
    def of_sklearn(cls, estimator: Any) -> "Forest":
        """Take over a fitted `RandomForestClassifier` of two classes, or a regressor."""
        import numpy as np

        is_chance = hasattr(estimator, "classes_")
        parts = []
        for each in estimator.estimators_:
            tree = each.tree_
            value = tree.value[:, 0, :]
            leaves = value[:, 1] / value.sum(axis=1) if is_chance else value[:, 0]
            parts.append(
                {
                    "feature": np.where(tree.children_left < 0, -1, tree.feature),
                    "threshold": tree.threshold,
                    "is_missing_left": tree.missing_go_to_left.astype(bool),
                    "left": tree.children_left,
                    "right": tree.children_right,
                    "value": leaves,
                }
            )
        return cls(joined(parts))

    def predict(self, values: "Floats") -> "Floats":
        """Chances or amounts, shape (n,)."""
        import numpy as np

        # The forest was grown on single precision, and its thresholds lie between such numbers.
        single = values.astype(np.float32).astype(np.float64)
        return self.trees.summed(single) / len(self.trees.roots)

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """As arrays by name."""
        return self.trees.arrays()

    @classmethod
    def read(cls, arrays: "Mapping[str, NDArray[Any]]") -> "Forest":
        """What `arrays` gave."""
        return cls(Trees.read(arrays))
