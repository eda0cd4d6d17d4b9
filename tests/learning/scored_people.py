"""People whose next purchase is known to depend on what: folds for the tests of scores."""

from collections.abc import Callable

import numpy as np

from campaigns.models import ScoreModel, Target
from engine.core.model.instants import DAY
from engine.learning.matrix import Matrix
from engine.learning.scores import Fold

COLUMNS = (
    "recency_days", "never_bought", "frequency", "monetary", "device=mobile", "device=desktop",
    "device=other", "open_rate", "noise",
)  # fmt: skip


def some_people(
    rng: np.random.Generator, n: int, *, permuted: bool = False, measure: str = "happens"
) -> tuple[Matrix, np.ndarray]:
    """n people and what followed: recency, frequency, and recency times mobile count.

    The last is what a logistic model of recency, frequency and monetary cannot see.
    """
    recency = rng.exponential(60, n)
    frequency = rng.poisson(2, n).astype(float)
    monetary = np.where(frequency > 0, rng.gamma(2, 40, n) * frequency, 0)
    device = rng.integers(3, size=n)
    values = np.column_stack(
        [
            recency, frequency == 0, frequency, monetary, device == 0, device == 1, device == 2,
            rng.random(n), rng.normal(size=n),
        ]
    ).astype(float)  # fmt: skip
    values[rng.random(n) < 0.2, 7] = np.nan
    odds = -recency / 40 + 0.5 * frequency + 3 * ((device == 0) & (recency > 50)) - 0.5
    y = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(float)
    if measure != "happens":
        mean = 1 + 0.5 * frequency
        amount = rng.poisson(mean) + 1 if measure == "count" else rng.gamma(2, 10 * mean)
        y = y * amount
    return Matrix(np.arange(n), COLUMNS, values), rng.permutation(y) if permuted else y


def some_folds(rng: np.random.Generator, n: int, *, k: int = 3, **how: object) -> list[Fold]:
    """k cut-offs, two months apart."""
    folds = []
    for at in range(k):
        train, y_train = some_people(rng, n, **how)  # type: ignore[arg-type]
        test, y_test = some_people(rng, n, **how)  # type: ignore[arg-type]
        instant = (at + 1) * 60 * DAY
        fold = Fold(
            train=train, y_train=y_train, test=test, y_test=y_test, known_until=instant,
            as_of=instant,
        )  # fmt: skip
        folds.append(fold)
    return folds


def a_score(algorithm: str = "boosting", *, tries: int = 1, measure: str = "happens") -> ScoreModel:
    """A score whose budget is so many settings, by the clock that `ticking` makes."""
    target = Target(event="Order Completed", within=60 * DAY, measure=measure)  # type: ignore[arg-type]
    return ScoreModel(name="churn", target=target, algorithm=algorithm, budget=tries)  # type: ignore[arg-type]


def ticking() -> Callable[[], int]:
    """A clock that is one microsecond later whenever it is asked."""
    now = [-1]

    def clock() -> int:
        now[0] += 1
        return now[0]

    return clock
