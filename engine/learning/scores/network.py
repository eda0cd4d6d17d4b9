"""A small neural network (scikit-learn's MLP): only where it is named, only where it wins."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from engine.learning.scores.inputs import Inputs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Network:
    """Layers of rectified units.

    Attributes:
        layers: (weights, bias) from the inputs on.
        unit: An amount of 1 in the target's unit; unused for a chance.
    """

    kind: ClassVar[str] = "network"
    inputs: Inputs
    layers: "tuple[tuple[Floats, Floats], ...]"
    is_chance: bool
    unit: float = 1.0

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
    ) -> "Network":
        """Fit; it stops early by rows of its own training. `settings` are scikit-learn's."""
        import warnings

        import numpy as np
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        inputs = Inputs.fit(values)
        unit = 1.0 if is_chance else float(np.average(y, weights=weights))
        grower = MLPClassifier if is_chance else MLPRegressor
        network = grower(**settings, early_stopping=True, max_iter=200, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            network.fit(inputs.of(values), y if is_chance else y / unit, weights)
        return cls.of_sklearn(network, inputs, unit=unit)

    @classmethod
    def of_sklearn(cls, estimator: Any, inputs: Inputs, *, unit: float = 1.0) -> "Network":
        """Take over a fitted `MLPClassifier` of two classes, or `MLPRegressor`, of relu units."""
        layers = tuple(zip(estimator.coefs_, estimator.intercepts_, strict=True))
        return cls(inputs, layers, hasattr(estimator, "classes_"), unit)

    def predict(self, values: "Floats") -> "Floats":
        """Chances, or amounts never below zero, shape (n,)."""
        import numpy as np

        from engine.learning.scores.links import logistic

        state = self.inputs.of(values)
        for weights, bias in self.layers[:-1]:
            state = np.maximum(state @ weights + bias, 0.0)
        weights, bias = self.layers[-1]
        raw = (state @ weights + bias)[:, 0]
        return logistic(raw) if self.is_chance else np.maximum(raw, 0.0) * self.unit

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """As arrays by name."""
        import numpy as np

        found = {
            **self.inputs.arrays(),
            "unit": np.array(self.unit),
            "is_chance": np.array(self.is_chance),
        }
        for at, (weights, bias) in enumerate(self.layers):
            found |= {f"weights{at}": weights, f"bias{at}": bias}
        return found

    @classmethod
    def read(cls, arrays: "Mapping[str, NDArray[Any]]") -> "Network":
        """What `arrays` gave."""
        n_layers = sum(name.startswith("weights") for name in arrays)
        layers = tuple((arrays[f"weights{at}"], arrays[f"bias{at}"]) for at in range(n_layers))
        inputs = Inputs.read(arrays)
        return cls(inputs, layers, bool(arrays["is_chance"]), float(arrays["unit"]))
