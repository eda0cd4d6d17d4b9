"""How well predictions met what happened: each metric for many weightings of the rows at once.

A bootstrap draw is nothing but other weights, so estimate and interval come from one function:
`y` and `p` of shape (n,), `weights` of shape (draws, n), the answer of shape (draws,). Ties count
as a coin toss would on average; no metric depends on the order of rows. NaN where a draw lacks one
of the outcomes. Read next: `intervals`.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Metric = Callable[["Floats", "Floats", "Floats"], "Floats"]

DECILE: Final = 0.1
BINS: Final = 10


def auc(y: "Floats", p: "Floats", weights: "Floats") -> "Floats":
    """Chance that one who did is ranked above one who did not (Hanley & McNeil 1982)."""
    order, starts = _groups(p)
    w = weights[:, order]
    did = _summed(w * y[order], starts)
    did_not = _summed(w * (1 - y[order]), starts)
    below = did_not.cumsum(axis=1) - did_not
    wins = (did * (below + did_not / 2)).sum(axis=1)
    return _divided(wins, did.sum(axis=1) * did_not.sum(axis=1))


def pr_auc(y: "Floats", p: "Floats", weights: "Floats") -> "Floats":
    """Average precision: precision at every cut, weighted by the recall it adds."""
    order, starts = _groups(-p)
    w = weights[:, order]
    did, everyone = _summed(w * y[order], starts), _summed(w, starts)
    precision = _divided(did.cumsum(axis=1), everyone.cumsum(axis=1), instead=0.0)
    return _divided((did * precision).sum(axis=1), did.sum(axis=1))


def log_loss(y: "Floats", p: "Floats", weights: "Floats") -> "Floats":
    """Mean of -log of the probability given to what happened, in nats."""
    import numpy as np

    least = np.finfo(np.float64).eps
    sure = np.clip(p, least, 1 - least)
    return _mean(-(y * np.log(sure) + (1 - y) * np.log(1 - sure)), weights)


def brier(y: "Floats", p: "Floats", weights: "Floats") -> "Floats":
    """Mean square of probability minus outcome (Brier 1950)."""
    return _mean((p - y) ** 2, weights)


def ece(y: "Floats", p: "Floats", weights: "Floats") -> "Floats":
    """Expected calibration error: |share that did - mean probability| over ten equal bins.

    Bins hold equal numbers of rows, ties together; equal widths would leave nine bins of ten empty
    for a rare target. Bootstrap draws only add to it: read its upper bound.
    Source: Naeini, Cooper, Hauskrecht (AAAI 2015), with equal counts.
    """
    import numpy as np

    bins = quantile_bins(p)
    members = np.eye(int(bins.max()) + 1)[bins]
    gaps = np.abs((weights * (y - p)) @ members)
    return _divided(gaps.sum(axis=1), weights.sum(axis=1))


def precision_at_decile(y: "Floats", p: "Floats", weights: "Floats") -> "Floats":
    """Share that did among the tenth ranked highest."""
    return _divided(_top(y, p, weights), DECILE * weights.sum(axis=1))


def recall_at_decile(y: "Floats", p: "Floats", weights: "Floats") -> "Floats":
    """Share of all that did which the tenth ranked highest holds; of money, its share."""
    return _divided(_top(y, p, weights), weights @ y)


def lift_at_decile(y: "Floats", p: "Floats", weights: "Floats") -> "Floats":
    """How many times the average the tenth ranked highest did."""
    return recall_at_decile(y, p, weights) / DECILE


def rmse(y: "Floats", p: "Floats", weights: "Floats") -> "Floats":
    """Root of the mean square error, in the target's unit."""
    import numpy as np

    return np.sqrt(_mean((p - y) ** 2, weights))


def mae(y: "Floats", p: "Floats", weights: "Floats") -> "Floats":
    """Mean absolute error, in the target's unit."""
    import numpy as np

    return _mean(np.abs(p - y), weights)


def total_ratio(y: "Floats", p: "Floats", weights: "Floats") -> "Floats":
    """What was foretold of all together over what came: 1 is right."""
    return _divided(weights @ p, weights @ y)


OF_CHANCES: Final[Mapping[str, Metric]] = {
    "auc": auc,
    "pr_auc": pr_auc,
    "log_loss": log_loss,
    "brier": brier,
    "ece": ece,
    "precision_at_decile": precision_at_decile,
    "recall_at_decile": recall_at_decile,
    "lift_at_decile": lift_at_decile,
}
"""What is told of a model that foretells whether; the first is what decides."""

OF_NUMBERS: Final[Mapping[str, Metric]] = {
    "rmse": rmse,
    "mae": mae,
    "total_ratio": total_ratio,
    "recall_at_decile": recall_at_decile,
    "lift_at_decile": lift_at_decile,
}
"""And of one that foretells how many or how much."""

LOWER_IS_BETTER: Final = frozenset({"log_loss", "brier", "ece", "rmse", "mae"})


def gain(name: str, value: "Floats", over: "Floats") -> "Floats":
    """How much better `value` is than `over`: positive is better, whatever the metric."""
    return over - value if name in LOWER_IS_BETTER else value - over


def once(metric: Metric, y: "Floats", p: "Floats", weights: "Floats | None" = None) -> float:
    """The metric of the rows as they are."""
    import numpy as np

    w = np.ones(len(y)) if weights is None else weights
    return float(metric(y, p, w[None, :])[0])


def quantile_bins(p: "Floats") -> "NDArray[np.int64]":
    """Each row's bin of ten by rank; equal predictions share the bin of their middle."""
    import numpy as np

    _, inverse, counts = np.unique(p, return_inverse=True, return_counts=True)
    middle = counts.cumsum() - counts / 2
    bins = np.minimum((BINS * middle / len(p)).astype(np.int64), BINS - 1)
    _, packed = np.unique(bins, return_inverse=True)
    found: NDArray[np.int64] = packed[inverse].astype(np.int64)
    return found


def _top(y: "Floats", p: "Floats", weights: "Floats") -> "Floats":
    """Weight of those who did in the top tenth; the group at the edge counts in part."""
    import numpy as np

    order, starts = _groups(-p)
    w = weights[:, order]
    did, everyone = _summed(w * y[order], starts), _summed(w, starts)
    before = everyone.cumsum(axis=1) - everyone
    room = np.clip(DECILE * weights.sum(axis=1, keepdims=True) - before, 0.0, everyone)
    top: Floats = (did * _divided(room, everyone, instead=0.0)).sum(axis=1)
    return top


def _groups(p: "Floats") -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """Rows in ascending order of p, and where each group of equals begins."""
    import numpy as np

    order = np.argsort(p, kind="stable")
    ranked = p[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    return order, starts


def _summed(values: "Floats", starts: "NDArray[np.int64]") -> "Floats":
    import numpy as np

    if len(starts) == values.shape[1]:
        return values
    summed: Floats = np.add.reduceat(values, starts, axis=1)
    return summed


def _mean(values: "Floats", weights: "Floats") -> "Floats":
    return _divided(weights @ values, weights.sum(axis=1))


def _divided(above: "Floats", below: "Floats", *, instead: float = float("nan")) -> "Floats":
    import numpy as np

    out = np.full(np.broadcast(above, below).shape, instead)
    np.divide(above, below, out=out, where=below != 0)
    return out
