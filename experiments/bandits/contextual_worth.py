"""Does choosing by context earn more than the best single arm? Asked before anyone is chosen for.

Read from units that were randomised by chances nobody learnt (an experiment, or a bandit's explored
slice): on each fold, arms are modelled and the best single one is picked on the other folds, and
both are judged by doubly robust scores of the fold itself. The two differ only where the context
would choose another arm, so what they share adds no noise. Contextual allocation is accepted only
if the gain is surely above zero: else it pays for its variance with nothing.
Source: Dudik, Langford, Li (ICML 2011) for the scores; cross-fitting as in `estimation.cupac`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Final

from experiments.bandits.contextual import with_intercept
from experiments.bandits.off_policy import Logged
from experiments.errors import DataError
from experiments.estimation.cupac import Ridge
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import Interval, absolute_lift, normal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

FOLDS: Final = 5
UNITS_MIN: Final = 50
"""Per arm among the units that a fold's models are learnt from."""


@dataclass(frozen=True)
class Worth:
    """What context is worth.

    Attributes:
        estimates: Mean outcome of the best single arm (control) and of choosing by context
            (treatment).
        gain: Their difference, two-sided.
        differing_share: Of the units, those for whom the context would choose another arm.
    """

    estimates: Estimates
    gain: Interval
    differing_share: float
    is_accepted: bool
    why: str


def worth_of_context(
    contexts: Any,
    logged: Logged,
    *,
    rng: np.random.Generator,
    folds: int = FOLDS,
    alpha: float = 0.05,
) -> Worth:
    """The gain of choosing by context over the best single arm, cross-fitted.

    Args:
        contexts: Shape (n, d), a row a unit of `logged`.
        logged: Units whose chances were not learnt from their outcomes.
        rng: Draws the folds.
    Raises:
        DataError: If an arm has too few units, or a context is missing.
    """
    import numpy as np

    x = with_intercept(contexts)[:, 1:]
    n, n_arms = logged.propensities.shape
    if len(x) != n:
        raise DataError(f"{len(x)} contexts for {n} logged units; give one each")
    if (logged.propensities <= 0).any():
        raise DataError("an arm had no chance for some unit; give units that any arm could get")
    fold = rng.permutation(np.arange(n) % folds)
    by_context, by_best = np.empty(n), np.empty(n)
    is_other = np.empty(n, dtype=bool)
    for held_out in range(folds):
        inside = fold == held_out
        guessed = _guesses(x, logged, ~inside, n_arms)
        scores = _scores(guessed, logged)
        # The other folds' scores use models that saw them: fine for picking, not for judging.
        best = int(scores[~inside].mean(axis=0).argmax())
        chosen = guessed[inside].argmax(axis=1)
        by_context[inside] = scores[inside][np.arange(int(inside.sum())), chosen]
        by_best[inside] = scores[inside][:, best]
        is_other[inside] = chosen != best
    estimates = _compared(by_best, by_context)
    gain = absolute_lift(estimates, critical=normal(estimates, alpha=alpha).critical)
    is_accepted = (gain.ci_lower or 0.0) > 0
    share = float(is_other.mean())
    return Worth(estimates, gain, share, is_accepted, _why(gain, share, is_accepted))


def _guesses(x: Array, logged: Logged, rows: Any, n_arms: int) -> Array:
    """Ridge regression per arm on some rows, told for all."""
    import numpy as np

    guessed = np.empty((len(x), n_arms))
    for arm in range(n_arms):
        own = rows & (logged.chosen == arm)
        if int(own.sum()) < UNITS_MIN:
            raise DataError(
                f"arm {arm} has {int(own.sum())} units to learn a fold from; at least"
                f" {UNITS_MIN} are needed"
            )
        guessed[:, arm] = Ridge().fit(x[own], logged.outcomes[own]).predict(x)
    return guessed


def _scores(guessed: Array, logged: Logged) -> Array:
    import numpy as np

    scores = guessed.copy()
    own = np.arange(len(guessed)), logged.chosen
    scores[own] += (logged.outcomes - guessed[own]) / logged.propensities[own]
    return scores


def _compared(below: Array, above: Array) -> Estimates:
    import numpy as np

    n = len(below)
    both = np.cov(below, above) / n
    return Estimates(
        control=float(below.mean()),
        treatment=float(above.mean()),
        control_variance=float(both[0, 0]),
        treatment_variance=float(both[1, 1]),
        covariance=float(both[0, 1]),
        difference_variance=float((above - below).var(ddof=1)) / n,
        n_control=n,
        n_treatment=n,
        degrees_of_freedom=inf,
    )


def _why(gain: Interval, share: float, is_accepted: bool) -> str:
    if gain.ci_lower is None or gain.ci_upper is None:
        return "Refused: the context would choose the same arm for everybody."
    told = f"{gain.estimate:.4g} ({gain.ci_lower:.4g} to {gain.ci_upper:.4g}) per person"
    if is_accepted:
        return f"Accepted: choosing by context gains {told} over the best single arm."
    return (
        f"Refused: choosing by context, which would give {share:.0%} another arm, gains {told} over"
        " the best single arm; that is not surely above zero."
    )
