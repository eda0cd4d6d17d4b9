"""How many or how much, where most have none: the chance of any, times the amount if any.

One model of both would split the difference between nothing and a basket, and be wrong of each.
Source: Cragg (1971); Mullahy (1986).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from engine.learning.scores.predictors import Predictor

    Floats = NDArray[np.float64]

ZEROS_FROM: Final = 0.2
"""Share of zeros from which a target is learnt in two parts."""


@dataclass(frozen=True, eq=False)
class TwoPart:
    """`happens`: chance of more than zero; `amount`: how much then."""

    kind: ClassVar[str] = "two_part"
    happens: "Predictor"
    amount: "Predictor"

    def predict(self, values: "Floats") -> "Floats":
        """Expected amounts, shape (n,)."""
        return self.happens.predict(values) * self.amount.predict(values)

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """As arrays by name."""
        from engine.learning.scores.predictors import kept

        return kept(self.happens, "happens") | kept(self.amount, "amount")

    @classmethod
    def read(cls, arrays: "Mapping[str, NDArray[Any]]") -> "TwoPart":
        """What `arrays` gave."""
        from engine.learning.scores.predictors import restored

        return cls(restored(arrays, "happens"), restored(arrays, "amount"))
