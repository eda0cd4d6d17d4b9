"""What another policy would have been worth, from decisions that were made by this one.

Each logged outcome stands for the units the target policy would have treated the same way, counted
by target chance over logged chance. Where the log never did what the target would do there is
nothing to count, and where it hardly did a few units decide everything: both are refused with the
reason, because no formula makes up for data that do not exist.
Sources: Horvitz, Thompson (JASA 1952); Swaminathan, Joachims (NIPS 2015) for the self-normalised
form; Dudik, Langford, Li (ICML 2011) for the doubly robust one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final, Literal

from experiments.errors import DataError
from experiments.estimation.estimates import Estimates

Method = Literal["ipw", "self_normalised", "doubly_robust"]

EFFECTIVE_MIN: Final = 100.0
"""Units that the weighted ones are worth, at least."""
EFFECTIVE_SHARE_MIN: Final = 0.01
SHARE_OF_ONE_MAX: Final = 0.10
"""What one unit may count for among all."""
SLACK: Final = 1e-6


@dataclass(frozen=True)
class Positivity:
    """Whether the log holds enough of what the target would do.

    Attributes:
        max_weight: The largest target chance over logged chance.
        effective_sample: (sum of weights) squared over the sum of squared weights.
        unsupported_share: Of the target's decisions, those on arms that the log had no chance of.
        why_not: Why no value may be read from it, "" if one may.
    """

    n: int
    max_weight: float
    effective_sample: float
    unsupported_share: float
    why_not: str


@dataclass(frozen=True)
class PolicyValue:
    """Mean outcome under a policy, with the variance of that estimate."""

    method: Method
    mean: float
    variance: float
    positivity: Positivity


@dataclass(frozen=True)
class Logged:
    """Decisions as columns: one row a unit, one column an arm where there are two dimensions.

    Attributes:
        chosen: Index of the arm that each unit got.
        outcomes: What it did.
        propensities: Chances of all arms when it was decided; a row each, summing to 1.
    """

    chosen: Any
    outcomes: Any
    propensities: Any

    @classmethod
    def of(
        cls,
        chosen: Sequence[int],
        outcomes: Sequence[float],
        propensities: Sequence[Sequence[float]],
    ) -> "Logged":
        """Checked columns.

        Raises:
            DataError: If lengths differ, a number is not finite, rows are no probabilities, or a
                unit got an arm that had no chance.
        """
        import numpy as np

        if not len(propensities):
            raise DataError(
                "no probability vectors were logged: without them nothing can be said of another"
                " policy. Log the chances of all arms with every decision"
            )
        arms = np.asarray(chosen, dtype=np.int64)
        values = np.asarray(outcomes, dtype=float)
        chances = _probabilities(propensities, what="logged probabilities")
        if not len(arms) == len(values) == len(chances):
            raise DataError(
                f"{len(arms)} arms, {len(values)} outcomes and {len(chances)} probability vectors:"
                " give one of each per unit"
            )
        if not np.isfinite(values).all():
            raise DataError("an outcome is not finite; leave out units whose window is open")
        if arms.min() < 0 or arms.max() >= chances.shape[1]:
            raise DataError(f"an arm outside 0 to {chances.shape[1] - 1} was chosen")
        own = chances[np.arange(len(arms)), arms]
        if (own <= 0).any():
            unit = int(np.argmin(own))
            raise DataError(
                f"unit {unit} got an arm whose logged chance is 0: the log is not of the policy"
                " that decided"
            )
        return cls(arms, values, chances)


def positivity(logged: Logged, target: Sequence[Any]) -> Positivity:
    """How much of a target policy the log supports.

    Args:
        target: The target's chances: one vector for all units, or a row per unit.
    """
    wished = _target(logged, target)
    weights = _weights(logged, wished)
    n, total = len(weights), float(weights.sum())
    effective = total * total / float((weights**2).sum()) if total > 0 else 0.0
    unsupported = float((wished * (logged.propensities <= 0)).sum() / n)
    largest = float(weights.max())
    why_not = ""
    if unsupported > SLACK:
        why_not = (
            f"{unsupported:.1%} of the target's decisions are on arms that the log had no chance of"
        )
    elif total == 0:
        why_not = "no unit got an arm that the target would have given it"
    elif effective < max(EFFECTIVE_MIN, EFFECTIVE_SHARE_MIN * n):
        why_not = (
            f"the {n:,} units are worth {effective:,.0f} under the target; at least"
            f" {max(EFFECTIVE_MIN, EFFECTIVE_SHARE_MIN * n):,.0f} are needed"
        )
    elif largest > SHARE_OF_ONE_MAX * total:
        why_not = f"one unit counts for {largest / total:.0%} of the whole"
    return Positivity(n, largest, effective, unsupported, why_not)


def policy_value(
    logged: Logged,
    target: Sequence[Any],
    *,
    method: Method = "self_normalised",
    predictions: Sequence[Sequence[float]] | None = None,
) -> PolicyValue:
    """The mean outcome had the target policy decided.

    Args:
        predictions: For "doubly_robust": each unit's predicted outcome per arm, by a model that was
            not fitted on that unit's own outcome.
    Raises:
        DataError: If the log does not support the target, with the reason.
    """
    found = positivity(logged, target)
    if found.why_not:
        raise DataError(f"this policy cannot be judged from this log: {found.why_not}")
    wished = _target(logged, target)
    scores = _scores(logged, wished, method=method, predictions=predictions)
    n = len(scores)
    if method == "self_normalised":
        weights = _weights(logged, wished)
        mean = float(scores.sum() / weights.sum())
        residuals = (scores - weights * mean) / weights.mean()
        return PolicyValue(method, mean, float((residuals**2).sum()) / (n * n), found)
    mean = float(scores.mean())
    return PolicyValue(method, mean, float(scores.var(ddof=1)) / n, found)


def policy_estimates(
    logged: Logged,
    target: Sequence[Any],
    *,
    against: Sequence[Any],
    method: Method = "self_normalised",
    predictions: Sequence[Sequence[float]] | None = None,
) -> Estimates:
    """A target policy beside another one (always the control, say), ready for any evidence.

    Both are judged by the same units, so their estimates vary together.
    """
    import numpy as np

    below, above = (
        policy_value(logged, it, method=method, predictions=predictions) for it in (against, target)
    )
    errors = []
    for value, policy in ((below, against), (above, target)):
        wished = _target(logged, policy)
        scores = _scores(logged, wished, method=method, predictions=predictions)
        if method == "self_normalised":
            weights = _weights(logged, wished)
            errors.append((scores - weights * value.mean) / weights.mean())
        else:
            errors.append(scores - value.mean)
    n = len(errors[0])
    divisor = n * n if method == "self_normalised" else n * (n - 1)
    return Estimates(
        control=below.mean,
        treatment=above.mean,
        control_variance=below.variance,
        treatment_variance=above.variance,
        covariance=float(np.dot(errors[0], errors[1])) / divisor,
        difference_variance=float(((errors[1] - errors[0]) ** 2).sum()) / divisor,
        n_control=round(below.positivity.effective_sample),
        n_treatment=round(above.positivity.effective_sample),
        degrees_of_freedom=inf,
    )


def _weights(logged: Logged, wished: Any) -> Any:
    import numpy as np

    rows = np.arange(len(logged.chosen))
    return wished[rows, logged.chosen] / logged.propensities[rows, logged.chosen]


def _scores(
    logged: Logged,
    wished: Any,
    *,
    method: Method,
    predictions: Sequence[Sequence[float]] | None,
) -> Any:
    import numpy as np

    weights = _weights(logged, wished)
    if method != "doubly_robust":
        return weights * logged.outcomes
    if predictions is None:
        raise DataError("doubly_robust needs predictions: an outcome per unit and arm")
    guessed = np.asarray(predictions, dtype=float)
    if guessed.shape != wished.shape or not np.isfinite(guessed).all():
        raise DataError(f"predictions must be finite, one per unit and arm: {wished.shape}")
    own = guessed[np.arange(len(weights)), logged.chosen]
    return (wished * guessed).sum(axis=1) + weights * (logged.outcomes - own)


def _target(logged: Logged, target: Sequence[Any]) -> Any:
    import numpy as np

    wished = np.asarray(target, dtype=float)
    if wished.ndim == 1:
        wished = np.broadcast_to(wished, (len(logged.chosen), len(wished)))
    if wished.shape != logged.propensities.shape:
        raise DataError(
            f"the target has shape {wished.shape}, the log {logged.propensities.shape}: give"
            " one chance per arm, for all units or a row each"
        )
    return _probabilities(wished, what="the target's probabilities")


def _probabilities(rows: Any, *, what: str) -> Any:
    import numpy as np

    chances = np.asarray(rows, dtype=float)
    if chances.ndim != 2 or not np.isfinite(chances).all() or (chances < 0).any():
        raise DataError(f"{what} must be a row per unit of numbers of at least 0")
    if np.abs(chances.sum(axis=1) - 1).max() > SLACK:
        raise DataError(f"{what}: a row does not sum to 1")
    return chances
