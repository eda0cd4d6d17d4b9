"""Two policies judged by a bandit's log, with versions weighed by how well they can be read.

The parent of `contextual_inference.policy_contrast`: it asks first whether the log holds enough of
either policy, and says in words why not. The plain ways of `judging` compare with what ran, which
is no fixed policy in a bandit; here both sides are fixed, and the interval holds although the
chances followed the outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from experiments.bandits.contextual_inference import policy_contrast
from experiments.bandits.logged_versions import log_of_columns
from experiments.bandits.off_policy import Logged, positivity
from experiments.errors import DataError
from experiments.estimation.cupac_features import encoded
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import Interval, absolute_lift, relative_lift, welch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

WeightsBy = Literal["stable", "minimum", "contextual", "one_step"]

UNITS_MIN: Final = 100
"""Effective ones of either policy are asked by positivity; these are units in the log at all."""


@dataclass(frozen=True)
class Contrast:
    """One policy against another, both fixed.

    Attributes:
        n_versions: Of the log.
        estimates: Worth of both; None where the log cannot tell, and `why_not` says why.
        gain, relative_gain: Of the policy over the other one, with intervals at `alpha`.
    """

    weights_by: WeightsBy
    against: str
    n_versions: int
    alpha: float
    estimates: Estimates | None = None
    gain: Interval | None = None
    relative_gain: Interval | None = None
    pvalue: float | None = None
    why_not: str = ""


def contrast(
    logged: Logged,
    policy: Any,
    *,
    against: Any,
    named: str,
    version: Any,
    known: Mapping[str, Any],
    weights_by: WeightsBy,
    alpha: float,
) -> Contrast:
    """What a policy gains over another one, by adaptively weighted scores.

    Args:
        policy, against: Chances, a row per unit, decided without looking at outcomes.
        named: What the other policy is called, for the words.
        version: Of the weights, a number or text per unit; versions came in their order.
        known: What was known of each unit: all that the chances depended on, and what helps guess.
    Raises:
        DataError: If there are no versions, or they do not explain the logged chances.
    """
    import numpy as np

    n = len(logged.chosen)
    versions = len(np.unique(np.asarray(version)))
    if versions < 2:
        raise DataError(
            "the log has one version of the weights: nothing adapted, and the ways without"
            " weights are all there is to read"
        )

    def refused(why: str) -> Contrast:
        return Contrast(weights_by, named, versions, alpha, why_not=why)

    if n < UNITS_MIN:
        return refused(f"{n:,} units are too few; at least {UNITS_MIN} are needed")
    if (logged.propensities <= 0).any():
        n_none = int((logged.propensities <= 0).any(axis=1).sum())
        return refused(
            f"for {n_none:,} units an arm had no chance at all; a bandit without a floor cannot be"
            " read where it never tried"
        )
    for side, what in ((policy, "the policy"), (against, named)):
        found = positivity(logged, side)
        if found.why_not:
            return refused(f"{what}: {found.why_not}")
    log = log_of_columns(
        contexts=encoded(known, n=n), chosen=logged.chosen, outcomes=logged.outcomes,
        chances=logged.propensities, version=version,
    )  # fmt: skip
    order = np.argsort(np.unique(np.asarray(version), return_inverse=True)[1], kind="stable")
    sides = [np.asarray(it, dtype=float)[order] for it in (policy, against)]
    if not (sides[0] != sides[1]).any():
        return refused(f"the policy and {named} do the same for every unit")
    estimates = policy_contrast(log, sides[0], against=sides[1], weights=weights_by)
    test = welch(estimates, alpha=alpha)
    return Contrast(
        weights_by, named, versions, alpha, estimates,
        gain=absolute_lift(estimates, critical=test.critical),
        relative_gain=relative_lift(estimates, critical=test.critical),
        pvalue=test.pvalue,
    )  # fmt: skip
