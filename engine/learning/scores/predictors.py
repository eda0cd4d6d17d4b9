"""Every kind of model behind one face: rows in, raw predictions out, arrays to keep."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from engine.learning.scores.boosting import Boosting
from engine.learning.scores.forest import Forest
from engine.learning.scores.linear import Linear
from engine.learning.scores.network import Network

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class Predictor(Protocol):
    """A fitted model, before calibration."""

    @property
    def kind(self) -> str:
        """Its name in `KINDS`."""

    def predict(self, values: "Floats") -> "Floats":
        """Rows of shape (n, d), NaN where unknown, to chances or amounts of shape (n,)."""

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """What `read` of its class makes it anew from."""


ZEROS_FROM: Final = 0.2
"""Share of zeros from which a target is learnt in two parts."""


@dataclass(frozen=True, eq=False)
class TwoPart:
    """How many or how much, where most have none: the chance of any, times the amount if any.

    One model of both would split the difference between nothing and a basket, and be wrong of each.
    Source: Cragg (1971); Mullahy (1986).
    """

    kind: ClassVar[str] = "two_part"
    happens: Predictor
    amount: Predictor

    def predict(self, values: "Floats") -> "Floats":
        """Expected amounts, shape (n,)."""
        return self.happens.predict(values) * self.amount.predict(values)

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """As arrays by name."""
        return kept(self.happens, "happens") | kept(self.amount, "amount")

    @classmethod
    def read(cls, arrays: "Mapping[str, NDArray[Any]]") -> "TwoPart":
        """What `arrays` gave."""
        return cls(restored(arrays, "happens"), restored(arrays, "amount"))


KINDS: "dict[str, Any]" = {
    it.kind: it for it in (Linear, Forest, Boosting, Network, TwoPart)
}  # fmt: skip


def fit(
    algorithm: str,
    values: "Floats",
    y: "Floats",
    *,
    is_chance: bool,
    settings: Mapping[str, Any],
    seed: int,
    weights: "Floats | None" = None,
) -> Predictor:
    """Fit one algorithm with its settings; amounts that are often zero in two parts."""
    import numpy as np

    if is_chance or float((y == 0).mean()) < ZEROS_FROM:
        return _fit(algorithm, values, y, is_chance, settings, seed, weights)
    bought = y > 0
    some = None if weights is None else weights[bought]
    happens = _fit(algorithm, values, bought.astype(np.float64), True, settings, seed, weights)
    return TwoPart(happens, _fit(algorithm, values[bought], y[bought], False, settings, seed, some))


def kept(predictor: Predictor, name: str) -> "dict[str, NDArray[Any]]":
    """A predictor's arrays under its name, its kind among them."""
    import numpy as np

    arrays = {f"{name}.{each}": array for each, array in predictor.arrays().items()}
    return {**arrays, f"{name}.kind": np.array(predictor.kind)}


def restored(arrays: "Mapping[str, NDArray[Any]]", name: str) -> Any:
    """The predictor that `kept` put away."""
    start = f"{name}."
    own = {each[len(start) :]: it for each, it in arrays.items() if each.startswith(start)}
    return KINDS[str(own.pop("kind"))].read(own)


def _fit(
    algorithm: str,
    values: "Floats",
    y: "Floats",
    is_chance: bool,
    settings: Mapping[str, Any],
    seed: int,
    weights: "Floats | None",
) -> Predictor:
    match algorithm:
        case "logistic":
            penalty = float(settings["penalty"])
            return Linear.fit(values, y, is_chance=is_chance, penalty=penalty, weights=weights)
        case "forest":
            grower: Any = Forest
        case "boosting":
            grower = Boosting
        case "mlp":
            grower = Network
        case _:
            raise ValueError(f'"{algorithm}" is not learnt here')
    found: Predictor = grower.fit(
        values, y, is_chance=is_chance, seed=seed, settings=settings, weights=weights
    )
    return found
