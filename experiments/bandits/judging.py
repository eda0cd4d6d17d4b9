"""Another policy judged by a log, in three ways at once, with intervals over whole clusters.

Always against the policy that ran, whose value is the plain mean of the outcomes: both are read off
the same units. Intervals come from a bootstrap of clusters (people, accounts), because units of one
cluster are not that many independent ones. Read next: `off_policy`, which gives the values.
Source: Efron, Tibshirani, An Introduction to the Bootstrap (1993), for percentiles; Field, Welsh
(JRSS B 69, 2007) for resampling clusters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from experiments.bandits.off_policy import Logged, Method, Positivity, policy_value, positivity
from experiments.errors import DataError
from experiments.estimation.cupac import Ridge
from experiments.estimation.cupac_features import encoded
from experiments.evidence.compare import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

METHODS: Final[tuple[Method, ...]] = ("ipw", "self_normalised", "doubly_robust")
CLUSTERS_MIN: Final = 50
"""Of fewer than so many a bootstrap says little."""
GROUPS_MAX: Final = 4_000
"""More clusters are drawn in so many groups: as good an interval, at a bounded cost."""
DRAWS: Final = 1_000
FOLDS: Final = 5
UNITS_MIN: Final = 50
"""Per arm among the units that a fold's predictions are learned from."""


@dataclass(frozen=True)
class Worth:
    """One way to read a policy: its mean outcome, and by how much it beats what ran.

    Attributes:
        why_not: Why this way cannot be gone, where it cannot.
    """

    method: Method
    value: Interval | None
    gain: Interval | None
    why_not: str = ""


@dataclass(frozen=True)
class Judged:
    """A policy as a log shows it.

    Attributes:
        logged_mean: Of the policy that ran.
        worths: In the order of `METHODS`; empty where positivity refuses.
        n_clusters: Independent ones among the units.
        target_shares: What part of the units each arm would get.
    """

    positivity: Positivity
    logged_mean: float
    worths: tuple[Worth, ...]
    n_clusters: int
    target_shares: tuple[float, ...]
    alpha: float


def judged(
    logged: Logged,
    target: Sequence[Any],
    *,
    clusters: Sequence[Any],
    known: Mapping[str, Any],
    rng: np.random.Generator,
    alpha: float = 0.05,
    draws: int = DRAWS,
) -> Judged:
    """A target policy by inverse chances, self-normalised, and doubly robust.

    Args:
        target: The target's chances, a row per unit.
        clusters: What each unit belongs to; units of one are drawn together.
        known: What was known of each unit beforehand, for doubly robust predictions.
        rng: Draws folds and clusters.
    Raises:
        DataError: If shapes differ, or there are too few clusters.
    """
    import numpy as np

    n = len(logged.chosen)
    names, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    if len(cluster) != n:
        raise DataError(f"{len(cluster)} clusters for {n} logged units; give one each")
    if len(names) < CLUSTERS_MIN:
        raise DataError(
            f"{len(names)} clusters are too few to draw them anew; at least {CLUSTERS_MIN} are"
            " needed"
        )
    found = positivity(logged, target)
    wished = np.asarray(target, dtype=float)
    shares = tuple(float(it) for it in wished.mean(axis=0))
    mean = float(logged.outcomes.mean())
    if found.why_not:
        return Judged(found, mean, (), len(names), shares, alpha)
    group = rng.permutation(len(names))[cluster] % min(len(names), GROUPS_MAX)
    counts = _drawn(int(group.max()) + 1, draws=draws, rng=rng)
    rows = np.arange(n)
    weights = wished[rows, logged.chosen] / logged.propensities[rows, logged.chosen]
    worths = []
    for method in METHODS:
        guessed: Array | None = None
        given: Any = None
        if method == "doubly_robust":
            guessed = _guesses(logged, known, group, n=n)
            if guessed is None:
                why = f"an arm has fewer than {UNITS_MIN} units to learn predictions from"
                worths.append(Worth(method, None, None, why))
                continue
            given = guessed
        value = policy_value(logged, target, method=method, predictions=given)
        scores = weights * logged.outcomes
        if guessed is not None:
            own = guessed[rows, logged.chosen]
            scores = (wished * guessed).sum(axis=1) + weights * (logged.outcomes - own)
        below = weights if method == "self_normalised" else np.ones(n)
        sums = [_summed(group, it) for it in (scores, below, logged.outcomes, np.ones(n))]
        top, base, ran, size = (counts @ it for it in sums)
        again = top / base
        worths.append(
            Worth(
                method,
                _interval(value.mean, again, alpha=alpha),
                _interval(value.mean - mean, again - ran / size, alpha=alpha),
            )
        )
    return Judged(found, mean, tuple(worths), len(names), shares, alpha)


def _drawn(n_groups: int, *, draws: int, rng: np.random.Generator) -> Array:
    """How often each group is in each draw: draws x groups."""
    import numpy as np

    return rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=draws).astype(float)


def _summed(group: Any, values: Array) -> Array:
    import numpy as np

    return np.bincount(group, weights=values).astype(float)


def _interval(estimate: float, drawn: Array, *, alpha: float) -> Interval:
    import numpy as np

    low, high = np.quantile(drawn, [alpha / 2, 1 - alpha / 2])
    return Interval(estimate, float(low), float(high))


def _guesses(logged: Logged, known: Mapping[str, Any], group: Any, *, n: int) -> Array | None:
    """Each unit's outcome per arm, by models that saw no unit of its group; None if too few."""
    import numpy as np

    features = encoded(known, n=n)
    n_arms = logged.propensities.shape[1]
    guessed = np.empty((n, n_arms))
    fold = group % FOLDS
    for held_out in range(FOLDS):
        inside = fold == held_out
        for arm in range(n_arms):
            own = ~inside & (logged.chosen == arm)
            if int(own.sum()) < UNITS_MIN:
                return None
            outcomes = logged.outcomes[own]
            if not features.shape[1]:
                guessed[inside, arm] = outcomes.mean()
                continue
            guessed[inside, arm] = Ridge().fit(features[own], outcomes).predict(features[inside])
    return guessed
