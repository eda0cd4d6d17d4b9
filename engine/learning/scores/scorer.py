"""A model and how its word is read: rows in, believable figures out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.learning.scores.calibration import Calibration
from engine.learning.scores.predictors import Predictor, kept, restored

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scorer:
    """A predictor, its calibration, and the most that an amount may be foretold.

    `ceiling` is the most that training ever saw, as a log-linear model of a customer unlike all
    others would foretell the moon; infinite for chances.
    """

    predictor: Predictor
    calibration: Calibration
    ceiling: float

    def read(self, values: "Floats") -> "Floats":
        """Calibrated chances or amounts of rows of shape (n, d)."""
        import numpy as np

        raw = np.minimum(self.predictor.predict(values), self.ceiling)
        return np.minimum(self.calibration.read(raw), self.ceiling)

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """As arrays by name."""
        import numpy as np

        return {
            "ceiling": np.array(self.ceiling),
            **kept(self.predictor, "model"),
            **{f"calibration.{name}": it for name, it in self.calibration.arrays().items()},
        }

    @classmethod
    def of(cls, arrays: "Mapping[str, NDArray[Any]]") -> "Scorer":
        """What `arrays` gave."""
        start = "calibration."
        own = {name[len(start) :]: it for name, it in arrays.items() if name.startswith(start)}
        predictor = restored(arrays, "model")
        return cls(predictor, Calibration.of(own), float(arrays["ceiling"]))
