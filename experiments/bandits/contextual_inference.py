"""What fixed policies are worth, read from a log whose chances followed contexts and outcomes.

Every unit gives every arm a score, as in `weighted`: a guess from earlier versions, corrected by
its outcome over the logged chance. A policy's score is the mean of its arms' scores. Their plain
mean (`uniform`, doubly robust) has the right expectation but tails as heavy as the chances are
lopsided; weights that only look back make it normal:
- `stable`: each version weighs by the root of its precision for the policies read, the mean over
  contexts of the sum of (difference of policies)^2 / chance. `minimum`: by the precision itself,
  which is sharper and less surely normal.
- `contextual`: the same weight, context by context: a version counts little only where it was
  lopsided. Takes effects of a context to be the same at all times, and contexts to come alike.
- `one_step`: each version by one over the standard deviation of its scores, estimated from earlier
  units reweighted to this version's chances. The first version only teaches and is not counted.
Variances come from the weighted scores themselves, for all of them: the past's spread would be too
small while a base rate rises.
Sources: Zhan, Hadad, Hirshberg, Athey (KDD 2021), arXiv 2106.02029, for the first three; Bibaut,
Dimakopoulou, Kallus, Chambaz, van der Laan (NeurIPS 2021), arXiv 2106.00418, for the last.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from experiments.bandits.contextual_log import ContextualLog
from experiments.errors import DataError, PlanError
from experiments.estimation.estimates import Estimates

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Weights = Literal["stable", "minimum", "contextual", "one_step", "uniform"]

PENALTY: Final = 1.0
"""Of the guesses' ridge regressions; a guess cannot bias anything."""


@dataclass(frozen=True, eq=False)
class _Scored:
    """Both policies' scores of each unit, and what weights need.

    Attributes:
        below, above: Scores, shape (n,).
        apart: Difference of the policies' chances, shape (n, K).
        guesses: Coefficients per version.
    """

    below: Array
    above: Array
    apart: Array
    guesses: list[Array]


def policy_contrast(
    log: ContextualLog,
    policy: Any,
    *,
    against: Any,
    weights: Weights = "stable",
    first_guess: float = 0.0,
) -> Estimates:
    """A fixed policy (as treatment) beside another one (as control), ready for any evidence.

    Args:
        policy, against: Chances, one vector for all or a row per unit of the log, decided without
            looking at the log's outcomes. An arm alone is its unit vector.
        first_guess: Of the outcome, known before the start; sharpens and cannot bias.
    Raises:
        DataError: If the policies are no probabilities, do the same everywhere, or one version
            alone was counted by `one_step`.
    """
    return _estimates(
        log, _chances(log, policy), _chances(log, against), weights=weights, first_guess=first_guess
    )


def policy_mean(
    log: ContextualLog, policy: Any, *, weights: Weights = "stable", first_guess: float = 0.0
) -> Estimates:
    """A fixed policy's own worth, as treatment beside a control that is exactly 0.

    Under a drift it is the worth at a mixture of days that the weights choose; contrasts of
    policies do not depend on which.
    """
    import numpy as np

    nothing = np.zeros_like(log.chances)
    return _estimates(log, _chances(log, policy), nothing, weights=weights, first_guess=first_guess)


def _estimates(
    log: ContextualLog, policy: Array, against: Array, *, weights: Weights, first_guess: float
) -> Estimates:
    import numpy as np

    if weights not in get_args(Weights):
        raise PlanError(f'weights "{weights}" are unknown; {", ".join(get_args(Weights))} are')
    if not (policy != against).any():
        raise DataError("the two policies do the same in every context; there is nothing to read")
    scored = _scored(log, policy, against, first_guess=first_guess)
    share, turns = _weights(log, scored, weights)
    means = [float(share @ it) for it in (scored.below, scored.above)]
    difference = scored.above - scored.below
    if turns is None:
        errors = [
            share * (it - mean)
            for it, mean in ((scored.below, means[0]), (scored.above, means[1]),
                             (difference, means[1] - means[0]))
        ]  # fmt: skip
    else:
        errors = [
            _around(log, share * it, turns) for it in (scored.below, scored.above, difference)
        ]
    used = share > 0
    chosen = np.arange(log.n), log.chosen
    return Estimates(
        control=means[0],
        treatment=means[1],
        control_variance=float(errors[0] @ errors[0]),
        treatment_variance=float(errors[1] @ errors[1]),
        covariance=float(errors[0] @ errors[1]),
        difference_variance=float(errors[2] @ errors[2]),
        n_control=int(((against[chosen] > 0) & used).sum()),
        n_treatment=int(((policy[chosen] > 0) & used).sum()),
        degrees_of_freedom=inf,
    )


def _scored(log: ContextualLog, policy: Array, against: Array, *, first_guess: float) -> _Scored:
    import numpy as np

    guesses = log.guesses(penalty=PENALTY, first_guess=first_guess)
    x = _design(log)
    guessed = np.empty_like(log.chances)
    for place, at in enumerate(guesses):
        rows = log.version == place
        guessed[rows] = x[rows] @ at.T
    scores = _arm_scores(log, guessed, log.chances)
    return _Scored((against * scores).sum(axis=1), (policy * scores).sum(axis=1), policy - against,
                   guesses)  # fmt: skip


def _arm_scores(log: ContextualLog, guessed: Array, chances: Array) -> Array:
    """guess + 1{arm} (outcome - guess) / chance, shape (n, K)."""
    import numpy as np

    scores = guessed.copy()
    own = np.arange(log.n), log.chosen
    scores[own] += (log.outcomes - guessed[own]) / chances[own]
    return scores


def _weights(
    log: ContextualLog, scored: _Scored, weights: Weights
) -> tuple[Array, list[Array] | None]:
    """Each unit's weight, of sum 1; for `contextual` also every version's share at each context."""
    import numpy as np

    if weights == "contextual":
        return _by_context(log, scored)
    per_version = np.ones(len(log.versions))
    if weights == "one_step":
        per_version = _one_step(log, scored)
    elif weights != "uniform":
        for place, chances in log.by_version():
            earlier = log.version < place
            # The first version has no earlier contexts; its own are contexts, not outcomes.
            rows = earlier if earlier.any() else log.version == place
            if not rows.any():
                continue
            doubt = float((scored.apart[rows] ** 2 / chances[rows]).sum(axis=1).mean())
            if doubt == 0:
                continue
            per_version[place] = doubt**-0.5 if weights == "stable" else 1 / doubt
    unit = per_version[log.version]
    return unit / unit.sum(), None


def _one_step(log: ContextualLog, scored: _Scored) -> Array:
    """One over the standard deviation of the contrast's score under each version, from the past."""
    import numpy as np

    x = _design(log)
    own = np.arange(log.n), log.chosen
    found = np.zeros(len(log.versions))
    for place, chances in log.by_version():
        past = log.version < place
        if not past.any():
            continue
        guessed = x @ scored.guesses[place].T
        contrast = (scored.apart * _arm_scores(log, guessed, chances)).sum(axis=1)[past]
        ratio = (chances[own] / log.chances[own])[past]
        # Self-normalised: never below 0, and the same in large samples.
        centre = float(ratio @ contrast / ratio.sum())
        variance = float(ratio @ (contrast - centre) ** 2 / ratio.sum())
        found[place] = variance**-0.5 if variance > 0 else 0.0
    if not (found[log.version] > 0).any():
        raise DataError(
            "one version alone cannot be read by one_step, whose first version only teaches; use"
            " stable"
        )
    return found


def _by_context(log: ContextualLog, scored: _Scored) -> tuple[Array, list[Array]]:
    """h_version(x) over the sum of h of all units' versions at that x, for every unit's x."""
    import numpy as np

    squared = scored.apart**2
    roots = []
    for _, chances in log.by_version():
        doubt = (squared / chances).sum(axis=1)
        # Where the policies agree the contrast is 0 whatever the weight.
        roots.append(np.where(doubt > 0, 1 / np.sqrt(np.where(doubt > 0, doubt, 1.0)), 1.0))
    counts = np.bincount(log.version, minlength=len(roots))
    total = sum((count * root for count, root in zip(counts, roots, strict=True)), np.zeros(log.n))
    turns = [root / total for root in roots]
    share = np.empty(log.n)
    for place, turn in enumerate(turns):
        rows = log.version == place
        share[rows] = turn[rows]
    return share, turns


def _around(log: ContextualLog, parts: Array, turns: list[Array]) -> Array:
    """Each unit's part of the estimate less what its version was due to give, as published."""
    import numpy as np

    due = [float(turn @ parts) for turn in turns]
    found: Array = parts - np.array(due)[log.version]
    return found


def _design(log: ContextualLog) -> Array:
    import numpy as np

    return np.column_stack([np.ones(log.n), log.contexts])


def _chances(log: ContextualLog, policy: Any) -> Array:
    import numpy as np

    given = np.asarray(policy, dtype=float)
    if given.ndim == 1:
        given = np.broadcast_to(given, (log.n, len(given)))
    if given.shape != log.chances.shape:
        raise DataError(
            f"a policy of shape {given.shape}; {log.n_arms} chances for all, or for each of the"
            f" {log.n} units, are expected"
        )
    if not np.isfinite(given).all() or (given < 0).any():
        raise DataError("a policy's chances must be numbers of at least 0")
    if np.abs(given.sum(axis=1) - 1).max() > 1e-6:
        raise DataError("a policy's chances do not sum to 1")
    return given
