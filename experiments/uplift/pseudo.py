"""The doubly robust pseudo-outcome: one number a unit whose mean, anywhere, is the effect there.

psi = q1 - q0 + W (Y - q1) / e - (1 - W) (Y - q0) / (1 - e). The models q are only there to take
noise away: with the logged chance e the mean is right however wrong they are. They are fitted on
other units than those they are used for. Any regression of psi on features is an effect model, so
whoever has better regressors than ours fits them to this.
Sources: Robins, Rotnitzky, Zhao (JASA 89, 1994); Kennedy (Electronic Journal of Statistics 17,
2023) for regressing it on features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from experiments.errors import DataError
from experiments.uplift.bases import Base, Predictor, fitted
from experiments.uplift.units import UNITS_MIN, Units

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

FOLDS: Final = 5


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What a unit would do in each arm, as far as features tell."""

    untreated: Predictor
    treated: Predictor


@dataclass(frozen=True, eq=False)
class Pseudo:
    """Per unit, shape (n,): the pseudo-outcome, and the predictions that went into it."""

    psi: Array
    untreated: Array
    treated: Array


def outcomes(units: Units, *, base: Base, rng: np.random.Generator) -> Outcomes:
    """One model an arm, fitted on all the units given."""

    def arm(is_treated: bool) -> Predictor:
        rows = units.treated if is_treated else ~units.treated
        return fitted(
            base, units.features[rows], units.outcome[rows], is_binary=units.is_binary, rng=rng
        )

    return Outcomes(arm(False), arm(True))


def pseudo(units: Units, models: Outcomes) -> Pseudo:
    """By models that were fitted on other units; `crossfitted` does both."""
    q0 = models.untreated.predict(units.features)
    q1 = models.treated.predict(units.features)
    return Pseudo(psi_of(units, q0, q1), q0, q1)


def psi_of(units: Units, untreated: Any, treated: Any) -> Array:
    """The formula at the top, from predictions of both arms."""
    import numpy as np

    own = np.where(units.treated, treated, untreated)
    share = np.where(units.treated, units.chance, units.chance - 1)
    psi: Array = treated - untreated + (units.outcome - own) / share
    return psi


def crossfitted(
    units: Units, *, base: Base, rng: np.random.Generator, folds: int = FOLDS
) -> Pseudo:
    """The pseudo-outcome of each unit by models that never saw it.

    Raises:
        DataError: If a fold's training units are too few in an arm.
    """
    import numpy as np

    fold = rng.permutation(np.arange(units.n) % folds)
    few = min(
        int((units.treated[fold != it] == arm).sum())
        for it in range(folds)
        for arm in (True, False)
    )
    if few < UNITS_MIN // 2:
        raise DataError(
            f"{few} units of an arm are left to learn a fold from; at least {UNITS_MIN // 2} are"
            " needed"
        )
    columns = np.empty((3, units.n))
    for held_out in range(folds):
        inside = fold == held_out
        its = pseudo(units.rows(inside), outcomes(units.rows(~inside), base=base, rng=rng))
        columns[:, inside] = its.psi, its.untreated, its.treated
    return Pseudo(*columns)
