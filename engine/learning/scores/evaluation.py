"""What is told of a score: metrics with intervals beside the baseline's and the champion's.

All of it is JSON data, kept with the run:
`primary` (the metric that decides), `values` (by metric: value, low, high, std_error), `constant`,
`baseline` and `champion` (each `values`, and `gain`: how much better the score is, paired),
`calibration` and `deciles` (what the report draws), `importance`, `tried`, `notes`; the model's
`algorithm`, `settings`, `features`; `not_better` where the baseline is offered in another's place.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from engine.learning.scores.intervals import Measured, measure
from engine.learning.scores.metrics import OF_CHANCES, OF_NUMBERS, Metric, quantile_bins

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

WILSON: Final = 1.959964


def metrics_of(*, is_chance: bool) -> Mapping[str, Metric]:
    """What is told of such a target; the first decides."""
    return OF_CHANCES if is_chance else OF_NUMBERS


def evaluate(
    y: "Floats",
    predictions: "Mapping[str, Floats]",
    *,
    is_chance: bool,
    ids: "NDArray[np.int64]",
    weights: "Floats | None",
    rng: "np.random.Generator",
) -> Measured:
    """Metrics of `model`, `baseline`, `constant` and, if given, `champion` on the same rows."""
    metrics = metrics_of(is_chance=is_chance)
    return measure(y, predictions, metrics, ids=ids, weights=weights, rng=rng)


def told(measured: Measured, *, model: str) -> dict[str, Any]:
    """The figures of one model, and its gains over each of the others."""
    found: dict[str, Any] = {"values": _plain(measured.of(model))}
    for other in ("constant", "baseline", "champion"):
        if other in measured.values:
            found[other] = {
                "values": _plain(measured.of(other)),
                "gain": _plain(measured.gains(model, other)),
            }
    return found


def pictured(y: "Floats", p: "Floats") -> dict[str, Any]:
    """`calibration` and `deciles`, which the report draws."""
    return {"calibration": calibration_rows(y, p), "deciles": decile_rows(y, p)}


def calibration_rows(y: "Floats", p: "Floats") -> list[dict[str, float]]:
    """Ten groups by prediction: what was foretold, what came, its 95 % interval, how many."""
    import numpy as np

    bins = quantile_bins(p)
    rows = []
    for each in range(int(bins.max()) + 1):
        own = bins == each
        n, mean = int(own.sum()), float(y[own].mean())
        low, high = _interval(y[own], n, mean)
        rows.append(
            {"foretold": float(p[own].mean()), "came": mean, "low": low, "high": high, "n": n}
        )
    return rows if np.isfinite(p).all() else []


def decile_rows(y: "Floats", p: "Floats") -> list[float]:
    """How many times the average each tenth did, the highest ranked first; ties share."""
    import numpy as np

    average = float(y.mean())
    if not average:
        return []
    _, inverse, counts = np.unique(-p, return_inverse=True, return_counts=True)
    mean_of_group = np.bincount(inverse, y) / counts
    even = mean_of_group[np.sort(inverse)]
    total = np.r_[0.0, even.cumsum()]
    cuts = np.interp(np.linspace(0, len(y), 11), np.arange(len(y) + 1), total)
    return [float(it) for it in np.diff(cuts) / (len(y) / 10) / average]


def _interval(y: "Floats", n: int, mean: float) -> tuple[float, float]:
    """Wilson's of a share, the normal one of an amount."""
    from math import sqrt

    import numpy as np

    if set(np.unique(y).tolist()) <= {0.0, 1.0}:
        z = WILSON
        middle = (mean + z * z / (2 * n)) / (1 + z * z / n)
        half = z * sqrt(mean * (1 - mean) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(0.0, middle - half), min(1.0, middle + half)
    half = WILSON * float(y.std()) / sqrt(n)
    return mean - half, mean + half


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.plain() for name, value in values.items()}
