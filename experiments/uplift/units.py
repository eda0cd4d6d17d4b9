"""Units that were treated by a known chance: what uplift is learnt from and judged by."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any, Final

from experiments.distributions import normal_tail
from experiments.errors import DataError
from experiments.evidence.srm import ALARM_BELOW

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

UNITS_MIN: Final = 100
"""Per arm; a ranking learnt from fewer is noise, whatever it says."""


@dataclass(frozen=True, eq=False)
class Units:
    """One row a unit.

    Attributes:
        features: Known before treatment; shape (n, d), NaN where unknown.
        treated: Shape (n,), bool.
        outcome: Shape (n,), what each unit did until its window closed.
        chance: Shape (n,), the logged probability of being treated, strictly between 0 and 1.
    """

    features: Array
    treated: NDArray[np.bool_]
    outcome: Array
    chance: Array

    @classmethod
    def of(cls, features: Any, treated: Any, outcome: Any, chance: Any) -> Units:
        """Checked columns. `chance` may be one number for all.

        Raises:
            DataError: If shapes differ, a number is missing or infinite where it may not be, an arm
                is all but empty, nobody's outcome differs, or the arms do not have the shares that
                the logged chances promise.
        """
        import numpy as np

        x = np.asarray(features, dtype=float)
        y = np.asarray(outcome, dtype=float)
        w = np.asarray(treated)
        e = np.broadcast_to(np.asarray(chance, dtype=float), y.shape if y.ndim == 1 else (0,))
        if x.ndim != 2 or not x.shape[:1] == y.shape == w.shape == e.shape:
            raise DataError(
                f"features {x.shape}, treated {w.shape}, outcomes {y.shape} and chances {e.shape}"
                " do not fit; (n, d) and three times (n,) are expected"
            )
        if not np.isin(w, (0, 1)).all():
            raise DataError("treated must be 0 or 1 for every unit")
        if not np.isfinite(y).all():
            raise DataError("an outcome is not finite; leave out units whose window is open")
        if np.isinf(x).any():
            raise DataError("a feature is infinite; what is unknown is NaN")
        if not (np.isfinite(e).all() and (e > 0).all() and (e < 1).all()):
            raise DataError(
                "a chance of being treated is not between 0 and 1: where one arm was certain there"
                " is nothing to compare with. Leave such units out"
            )
        found = cls(x, w.astype(bool), y, e)
        found.require_enough()
        _require_ratio(found.treated, e)
        return found

    @property
    def n(self) -> int:
        """Units."""
        return len(self.outcome)

    @property
    def is_binary(self) -> bool:
        """Whether the outcome is 0 or 1 for everybody."""
        return bool(((self.outcome == 0) | (self.outcome == 1)).all())

    def require_enough(self) -> None:
        """Refuse units that teach nothing, of a part of those that were checked before.

        Raises:
            DataError: If an arm is too small, or nobody's outcome differs.
        """
        few = min(int(self.treated.sum()), int((~self.treated).sum()))
        if few < UNITS_MIN:
            raise DataError(f"an arm has {few} units; at least {UNITS_MIN} are needed")
        if float(self.outcome.min()) == float(self.outcome.max()):
            raise DataError(
                f"every unit has the outcome {self.outcome[0]:g}: nothing can be learnt from it"
            )

    def rows(self, places: Any) -> Units:
        """Some of the units, by a mask or by their places."""
        return Units(
            self.features[places], self.treated[places], self.outcome[places], self.chance[places]
        )


def _require_ratio(treated: Any, chance: Any) -> None:
    """Refuse arms whose sizes contradict the logged chances (sample ratio mismatch)."""
    spread = sqrt(float((chance * (1 - chance)).sum()))
    due = float(chance.sum())
    pvalue = 2 * normal_tail(abs(float(treated.sum()) - due) / spread)
    if pvalue < ALARM_BELOW:
        raise DataError(
            f"{int(treated.sum()):,} units were treated where the logged chances promise"
            f" {due:,.0f} (p = {pvalue:.2g}): look for units lost in one arm, or chances that are"
            " not those of the draw"
        )
