"""Why a score is what it is: features set to what is typical, and what that changes.

Of one person the change of the score; of the model the loss of its metric when a feature's values
are dealt out anew. Neither is a cause: who is mailed for being lapsed does not lapse for being
mailed.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from engine.learning.scores.columns import LEVEL, groups
from engine.learning.scores.metrics import Metric, gain, once
from engine.learning.scores.stages import drawn_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SHUFFLES: Final = 3
ROWS_MAX: Final = 20_000
TRIFLE: Final = 1e-9


class Reason(NamedTuple):
    """`effect`: the score minus what it were if `feature` had its typical value."""

    feature: str
    effect: float


def typical_of(values: "Floats", names: Sequence[str]) -> "Floats":
    """A row that is nothing special: medians, and the most frequent level of each text.

    A column that is unknown for all is 0.
    """
    import numpy as np

    typical = np.zeros(values.shape[1])
    known = ~np.isnan(values).all(axis=0)
    typical[known] = np.nanmedian(values[:, known], axis=0)
    for columns in groups(names).values():
        levels = [at for at in columns if LEVEL in names[at]]
        if levels:
            shares = np.nansum(values[:, levels], axis=0)
            typical[levels] = 0.0
            typical[levels[int(np.argmax(shares))]] = 1.0
    return typical


def reasons_of(
    values: "Floats",
    names: Sequence[str],
    typical: "Floats",
    predict: "Callable[[Floats], Floats]",
    *,
    top: int,
) -> list[list[Reason]]:
    """The features that move each row's score most, the strongest first; none that move nothing."""
    import numpy as np

    score = predict(values)
    together = groups(names)
    features = list(together)
    effects = np.empty((len(values), len(features)))
    for at, columns in enumerate(together.values()):
        as_typical = values.copy()
        as_typical[:, columns] = typical[columns]
        effects[:, at] = score - predict(as_typical)
    order = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :top]
    return [
        [
            Reason(features[at], float(effects[row, at]))
            for at in best
            if abs(effects[row, at]) > TRIFLE
        ]
        for row, best in enumerate(order.tolist())
    ]


def importance(
    values: "Floats",
    y: "Floats",
    names: Sequence[str],
    predict: "Callable[[Floats], Floats]",
    *,
    name: str,
    metric: Metric,
    rng: "np.random.Generator",
) -> list[tuple[str, float]]:
    """By how much the metric worsens when a feature's values are dealt out anew; the most first.

    On at most 20,000 rows, which must be rows that the model never saw. A feature whose word
    another repeats looks unimportant.
    Source: Breiman (2001), permutation of held-out rows.
    """
    import numpy as np

    some = drawn_rows(y, ROWS_MAX, rng)
    values, y = values[some], y[some]
    whole = once(metric, y, predict(values))
    found = []
    for feature, columns in groups(names).items():
        losses = []
        for _ in range(SHUFFLES):
            dealt = values.copy()
            dealt[:, columns] = values[rng.permutation(len(y))][:, columns]
            worse = once(metric, y, predict(dealt))
            losses.append(float(gain(name, np.float64(whole), np.float64(worse))))  # type: ignore[arg-type]
        found.append((feature, float(np.mean(losses))))
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))
