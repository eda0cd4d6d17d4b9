"""Sample ratio mismatch (SRM) under moving weights: every unit against the vector it was drawn by.

Over the whole log no fixed share was ever promised, so totals against planned weights would alarm
at every bandit that works. Given the past, each version's units fall by its own vector. What each
arm has too much or too little of adds up over the versions, and so does its variance, which finds a
small loss that lasts. For watching all the time, the log's likelihood if one arm were lost or
doubled by some share is set against that of the promise: an average of such ratios is evidence that
exceeds 1/alpha with chance alpha at most, whenever one stops.
Sources: Fabijan et al. (KDD 2019) for the threshold; Ville (1939) for the stopping.
"""

from collections.abc import Iterable
from math import exp, log
from typing import Any, Final

from experiments.bandits.log import Batch, by_version
from experiments.distributions import chi_square_tail
from experiments.errors import DataError
from experiments.evidence.srm import ALARM_BELOW, SampleRatio

EXPECTED_MIN: Final = 5.0
"""Units that every arm must expect in all; below it the chi-square law is off."""

_TILTS: Final = (0.5, 0.8, 0.9, 0.95, 0.98, 1.02, 1.05, 1.1, 1.2, 2.0)
"""What an arm may have been multiplied by."""


def bandit_sample_ratio(cohorts: Iterable[Batch]) -> SampleRatio:
    """Expected against observed units of every arm, each version by its own vector.

    With one vector throughout the p-value is that of the usual chi-square test.

    Raises:
        DataError: If there are fewer than two arms, or too few units.
    """
    import numpy as np

    versions = by_version(cohorts)
    arms = sorted({arm for it in versions for arm in it.probabilities})
    seen = np.array([[it.of(a).n if a in it.probabilities else 0 for a in arms] for it in versions])
    shares = np.array([[it.probabilities.get(arm, 0.0) for arm in arms] for it in versions])
    due = seen.sum(axis=1)[:, None] * shares if len(versions) else np.zeros((0, 0))
    if len(arms) < 2 or due.sum(axis=0).min() < EXPECTED_MIN:
        raise DataError(
            f"every one of {len(arms)} arms must expect {EXPECTED_MIN:g} units before its share can"
            " be checked"
        )
    spread = np.diag(due.sum(axis=0)) - due.T @ shares
    excess = (seen - due).sum(axis=0)
    # The excesses sum to 0, so the last one is known from the others.
    statistic = float(excess[:-1] @ np.linalg.solve(spread[:-1, :-1], excess[:-1]))
    pvalue = chi_square_tail(statistic, degrees_of_freedom=len(arms) - 1)
    evidence = _log_e_value(seen, shares)
    return SampleRatio(
        pvalue=pvalue,
        expected=dict(zip(arms, due.sum(axis=0).tolist(), strict=True)),
        observed=dict(zip(arms, seen.sum(axis=0).tolist(), strict=True)),
        log_e_value=evidence,
        anytime_pvalue=exp(-max(evidence, 0.0)),
        passed=pvalue >= ALARM_BELOW,
    )


def _log_e_value(seen: Any, shares: Any) -> float:
    """Logarithm of the average likelihood ratio over arms and tilts."""
    import numpy as np

    n, chances = np.asarray(seen, dtype=float), np.asarray(shares)
    totals = n.sum(axis=1)
    logs = [
        float(n[:, arm].sum() * log(tilt) - (totals * np.log1p(chances[:, arm] * (tilt - 1))).sum())
        for arm in range(chances.shape[1])
        for tilt in _TILTS
    ]
    top = max(logs)
    return top + log(sum(exp(it - top) for it in logs) / len(logs))
