"""Metrics with intervals: people drawn again and again, the same people for every model.

A person's rows are drawn together, so one who stands in two cut-offs is not taken for two people,
and all models are read on the same draws: the difference of two is far surer than either.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from engine.learning.scores.metrics import Metric, gain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DRAWS: Final = 400
DRAWS_MIN: Final = 100
CELLS_MAX: Final = 40_000_000
"""Rows times draws; with more rows there are fewer draws, and the intervals need fewer."""
CELLS_AT_ONCE: Final = 2_000_000
"""Rows times draws in memory together, 16 MB a copy."""


@dataclass(frozen=True)
class Bounded:
    """A figure, and where it lies in 95 % of the draws; None where the rows cannot say."""

    value: float | None
    low: float | None
    high: float | None
    std_error: float | None

    def plain(self) -> dict[str, float | None]:
        """As JSON data."""
        return {
            "value": self.value, "low": self.low, "high": self.high, "std_error": self.std_error
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Measured:
    """Every metric of every model on the same rows and draws.

    Attributes:
        values: By model and metric, the metric of the rows as they are.
        draws: By model and metric, shape (draws,).
    """

    values: Mapping[str, Mapping[str, float]]
    draws: "Mapping[str, Mapping[str, Floats]]"

    def of(self, model: str) -> dict[str, Bounded]:
        """A model's metrics."""
        return {
            name: _bounded(value, self.draws[model][name])
            for name, value in self.values[model].items()
        }

    def gains(self, model: str, over: str) -> dict[str, Bounded]:
        """By how much a model is better than another, metric by metric, paired."""
        import numpy as np

        found = {}
        for name, value in self.values[model].items():
            other = self.values[over][name]
            difference = float(gain(name, np.float64(value), np.float64(other)))  # type: ignore[arg-type]
            drawn = gain(name, self.draws[model][name], self.draws[over][name])
            found[name] = _bounded(difference, drawn)
        return found


def measure(
    y: "Floats",
    predictions: "Mapping[str, Floats]",
    metrics: Mapping[str, Metric],
    *,
    ids: "NDArray[np.int64]",
    weights: "Floats | None" = None,
    rng: "np.random.Generator",
) -> Measured:
    """Read all metrics of all models on the rows, and on draws of people with replacement."""
    import numpy as np

    base = np.ones(len(y)) if weights is None else weights
    people, whose = np.unique(ids, return_inverse=True)
    n_draws = int(np.clip(CELLS_MAX // max(len(y), 1), DRAWS_MIN, DRAWS))
    at_once = max(1, CELLS_AT_ONCE // max(len(y), 1))
    collected: dict[str, dict[str, list[Any]]] = {
        model: {name: [] for name in metrics} for model in predictions
    }
    for start in range(0, n_draws, at_once):
        n = min(at_once, n_draws - start)
        times = np.stack(
            [
                np.bincount(rng.integers(len(people), size=len(people)), minlength=len(people))
                for _ in range(n)
            ]
        )
        drawn = times[:, whose] * base
        for model, p in predictions.items():
            for name, metric in metrics.items():
                collected[model][name].append(metric(y, p, drawn))
    return Measured(
        {
            model: {name: float(metric(y, p, base[None, :])[0]) for name, metric in metrics.items()}
            for model, p in predictions.items()
        },
        {
            model: {name: np.concatenate(parts) for name, parts in by_name.items()}
            for model, by_name in collected.items()
        },
    )


def _bounded(value: float, draws: "Floats") -> Bounded:
    import numpy as np

    known = draws[np.isfinite(draws)]
    if not np.isfinite(value) or len(known) < 2:
        return Bounded(value if np.isfinite(value) else None, None, None, None)
    low, high = np.quantile(known, (0.025, 0.975))
    return Bounded(value, float(low), float(high), float(known.std(ddof=1)))
