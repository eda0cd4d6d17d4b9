"""A learnt effect model: what it predicts, and its arrays at rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from experiments.errors import DataError
from experiments.uplift.bases import Columns, Line, Link, Predictor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

LINKS: Final[tuple[Link, ...]] = ("identity", "logistic")


class Effects(Protocol):
    """Anything that tells a unit's effect from its features."""

    def predict(self, features: Array, /) -> Array:
        """Effect per unit, in units of the outcome."""


@dataclass(frozen=True, eq=False)
class LinearEffects:
    """A weighted sum of lines: the difference of two for T, a mixture for X, one for DR."""

    columns: Columns
    lines: tuple[tuple[float, Line], ...]

    def predict(self, features: Array, /) -> Array:
        """Effect per unit, in units of the outcome."""
        import numpy as np

        filled = self.columns.filled(features)
        total: Array = np.zeros(len(filled))
        for weight, line in self.lines:
            total = total + weight * line.predict(filled)
        return total

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All there is to it, by name; `of` gives the same predictions back to the last bit."""
        import numpy as np

        return {
            "medians": self.columns.medians,
            "has_gaps": self.columns.has_gaps,
            "weights": np.array([weight for weight, _ in self.lines]),
            "links": np.array([LINKS.index(line.link) for _, line in self.lines]),
            "intercepts": np.array([line.intercept for _, line in self.lines]),
            "slopes": np.array([line.slopes for _, line in self.lines]),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> LinearEffects:
        """What `arrays` gave.

        Raises:
            DataError: If an array is missing.
        """
        try:
            weights, links, intercepts, slopes = (
                arrays[name] for name in ("weights", "links", "intercepts", "slopes")
            )
            columns = Columns(arrays["medians"], arrays["has_gaps"])
        except KeyError as error:
            raise DataError(f"a stored effect model has no {error}; train it again") from error
        lines = tuple(
            (float(weight), Line(LINKS[int(link)], float(intercept), slope))
            for weight, link, intercept, slope in zip(
                weights, links, intercepts, slopes, strict=True
            )
        )
        return cls(columns, lines)


@dataclass(frozen=True, eq=False)
class MixedEffects:
    """A weighted sum of any models; it predicts, and is not kept."""

    parts: Sequence[tuple[float, Predictor]]

    def predict(self, features: Array, /) -> Array:
        """Effect per unit, in units of the outcome."""
        import numpy as np

        total: Array = np.zeros(len(features))
        for weight, model in self.parts:
            total = total + weight * model.predict(features)
        return total
