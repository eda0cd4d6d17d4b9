"""What a way of choosing whom to treat is worth, beside another way, on the same units.

The worth of treating a unit is value * psi - cost; a policy earns it from the units it treats.
Two policies are judged by the units they treat differently, so what they share adds no noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from experiments.errors import DataError, PlanError
from experiments.estimation.estimates import Estimates

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class Terms:
    """What counts.

    Attributes:
        value: Of one more of the outcome, in money or in units of the outcome itself.
        cost: Of treating one unit, in the same; what a message, a coupon, an annoyance costs.
        budget: Largest share of the units that may be treated. Below 1 nobody can treat everyone,
            so "everyone" means a part of everyone drawn by lot, as large as allowed.
    """

    value: float = 1.0
    cost: float = 0.0
    budget: float = 1.0

    def __post_init__(self) -> None:
        if not (isfinite(self.value) and self.value > 0):
            raise PlanError(
                f"value is {self.value}; it must be above 0: of a metric that should fall, give the"
                " negative outcome"
            )
        if not (isfinite(self.cost) and self.cost >= 0):
            raise PlanError(f"cost is {self.cost}; allowed is 0 or more")
        if not 0 < self.budget <= 1:
            raise PlanError(f"budget is {self.budget}; allowed is a share above 0, up to 1")

    def worth(self, psi: Any) -> Any:
        """Of treating each unit, from its pseudo-outcome or its predicted effect."""
        return self.value * psi - self.cost


def top_share(scores: Any, share: float) -> Array:
    """Chance of each unit to be among the highest `share` of scores; its mean is `share`.

    Units with the same score at the edge share what is left between them, whatever their order.

    Raises:
        DataError: If a score is not finite.
    """
    import numpy as np

    given = np.asarray(scores, dtype=float)
    if not len(given) or not np.isfinite(given).all():
        raise DataError(f"{len(given)} scores, or one that is not finite, cannot be ranked")
    room = share * len(given)
    if room <= 0:
        return np.zeros(len(given))
    edge = np.sort(given)[::-1][min(int(np.ceil(room - 1e-9)), len(given)) - 1]
    above, at = given > edge, given == edge
    part = min(max((room - float(above.sum())) / float(at.sum()), 0.0), 1.0)
    chosen: Array = above + at * part
    return chosen


def compared(psi: Any, policy: Any, against: Any, *, terms: Terms) -> Estimates:
    """Mean worth per unit of a policy (as treatment) and of another one (as control).

    Args:
        psi: Pseudo-outcomes by models that never saw these units.
        policy, against: Chance of each unit to be treated, decided without its outcome.
    Raises:
        DataError: If there are fewer than two units, or lengths differ.
    """
    import numpy as np

    worth = terms.worth(np.asarray(psi, dtype=float))
    p, q = (np.broadcast_to(np.asarray(it, dtype=float), worth.shape) for it in (policy, against))
    n = len(worth)
    if n < 2:
        raise DataError(f"{n} units cannot tell two policies apart")
    above, below = p * worth, q * worth
    both = np.cov(below, above) / n
    return Estimates(
        control=float(below.mean()),
        treatment=float(above.mean()),
        control_variance=float(both[0, 0]),
        treatment_variance=float(both[1, 1]),
        covariance=float(both[0, 1]),
        # Formed before it is squared, so that policies that agree have exactly none.
        difference_variance=float(((p - q) * worth).var(ddof=1)) / n,
        n_control=n,
        n_treatment=n,
        degrees_of_freedom=inf,
    )
