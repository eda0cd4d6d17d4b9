"""Three ways to learn an effect from features.

`dr` regresses the doubly robust pseudo-outcome: right on average wherever the logged chances are,
and the default. `x` imputes each unit's own effect by the other arm's model, then mixes the arms'
regressions: good where one arm is small. `t` subtracts two models of the outcome: the baseline,
whose errors do not know that they should cancel.
Sources: Kunzel, Sekhon, Bickel, Yu (PNAS 116, 2019) for T and X; Kennedy (EJS 17, 2023) for DR.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from experiments.errors import PlanError
from experiments.uplift.bases import Base, Columns, boosted, fitted, fitted_line, ridge_line
from experiments.uplift.effects import LinearEffects, MixedEffects
from experiments.uplift.pseudo import FOLDS, crossfitted
from experiments.uplift.units import Units

if TYPE_CHECKING:
    import numpy as np

Learner = Literal["dr", "x", "t"]


def learn(
    units: Units,
    *,
    rng: np.random.Generator,
    learner: Learner = "dr",
    base: Base = "linear",
    folds: int = FOLDS,
) -> LinearEffects | MixedEffects:
    """An effect model from randomised units; `linear` ones can be kept as arrays.

    Args:
        rng: Draws the folds; the same rng and units give the same model.
    Raises:
        PlanError: If the learner or the base is unknown.
        DataError: If an arm has too few units for the folds.
    """
    if learner not in get_args(Learner):
        raise PlanError(
            f'learner "{learner}" is unknown; allowed are {", ".join(get_args(Learner))}'
        )
    if base != "linear":
        return _mixed(units, learner=learner, base=base, folds=folds, rng=rng)
    columns = Columns.of(units.features)
    filled = columns.filled(units.features)
    if learner == "dr":
        psi = crossfitted(units, base=base, rng=rng, folds=folds).psi
        return LinearEffects(columns, ((1.0, ridge_line(filled, psi)),))
    w, y = units.treated, units.outcome
    below = fitted_line(filled[~w], y[~w], is_binary=units.is_binary)
    above = fitted_line(filled[w], y[w], is_binary=units.is_binary)
    if learner == "t":
        return LinearEffects(columns, ((1.0, above), (-1.0, below)))
    share = float(units.chance.mean())
    of_treated = ridge_line(filled[w], y[w] - below.predict(filled[w]))
    of_untreated = ridge_line(filled[~w], above.predict(filled[~w]) - y[~w])
    return LinearEffects(columns, ((1 - share, of_treated), (share, of_untreated)))


def _mixed(
    units: Units, *, learner: Learner, base: Base, folds: int, rng: np.random.Generator
) -> MixedEffects:
    x, w, y = units.features, units.treated, units.outcome
    if learner == "dr":
        psi = crossfitted(units, base=base, rng=rng, folds=folds).psi
        seed = int(rng.integers(2**31))
        return MixedEffects([(1.0, boosted(x, psi, is_binary=False, seed=seed))])
    below = fitted(base, x[~w], y[~w], is_binary=units.is_binary, rng=rng)
    above = fitted(base, x[w], y[w], is_binary=units.is_binary, rng=rng)
    if learner == "t":
        return MixedEffects([(1.0, above), (-1.0, below)])
    share = float(units.chance.mean())
    of_treated = fitted(base, x[w], y[w] - below.predict(x[w]), is_binary=False, rng=rng)
    of_untreated = fitted(base, x[~w], above.predict(x[~w]) - y[~w], is_binary=False, rng=rng)
    return MixedEffects([(1 - share, of_treated), (share, of_untreated)])
