"""How far estimated stars are from those given: what a model of stars is fitted to, and no ranking.

People are folded in from their stars before the cut; who gave none is estimated by averages.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.learning.recommenders.engines import Svd
from engine.learning.recommenders.likings import item_id
from engine.learning.recommenders.splitting import Split, by_user
from engine.learning.recommenders.svd import RIDGE, Folded, fold_in
from engine.learning.recommenders.tastes import Deed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from engine.learning.recommenders.recommender import Recommender


@dataclass(frozen=True)
class StarErrors:
    """Root mean square and mean absolute error, in stars, of the model and of averages alone."""

    n: int
    rmse: float
    mae: float
    rmse_of_averages: float
    mae_of_averages: float

    def as_json(self) -> dict[str, float]:
        """Plain data."""
        return {
            "n": self.n, "rmse": self.rmse, "mae": self.mae,
            "rmse_of_averages": self.rmse_of_averages, "mae_of_averages": self.mae_of_averages,
        }  # fmt: skip


def star_errors(known: "Recommender", cut: Split) -> StarErrors | None:
    """Of all stars after the cut; None where no stars were learnt, or none were given after it."""
    import numpy as np

    engine, scale = known.collaborative, known.settings.scale
    if not isinstance(engine, Svd) or scale is None:
        return None
    earlier = by_user(cut.before)
    off: list[NDArray[np.float64]] = []
    off_by_averages: list[NDArray[np.float64]] = []
    for user, deeds in sorted(by_user(cut.after).items()):
        told = [it for it in deeds if scale[0] <= it[1] <= scale[1]]
        if not told:
            continue
        items = [known.places.get(item_id(it[0]), -1) for it in told]
        given = np.asarray([it[1] for it in told])
        full, averages = _estimates(known, engine, earlier.get(user, ()), items)
        off.append(np.clip(full, *scale) - given)
        off_by_averages.append(np.clip(averages, *scale) - given)
    if not off:
        return None
    model, plain = np.concatenate(off), np.concatenate(off_by_averages)
    return StarErrors(
        n=len(model),
        rmse=float(np.sqrt(np.mean(model**2))),
        mae=float(np.mean(np.abs(model))),
        rmse_of_averages=float(np.sqrt(np.mean(plain**2))),
        mae_of_averages=float(np.mean(np.abs(plain))),
    )


def _estimates(
    known: "Recommender", engine: Svd, history: Sequence[Deed], items: list[int]
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Stars by the model, and by the averages of the person and of each item."""
    import numpy as np

    factors = engine.factors
    liked = known.taste(history, now=known.trained_at)
    rated = np.searchsorted(engine.learnt, liked.items)
    rest = liked.values - factors.mean - factors.bias[rated]
    person = (
        fold_in(factors, rated, liked.values)
        if len(rated)
        else Folded(np.zeros(factors.items.shape[1]), 0.0, np.zeros((0, 0)))
    )
    places = np.searchsorted(engine.learnt, items).clip(max=len(engine.learnt) - 1)
    is_learnt = engine.learnt[places] == items
    bias = np.where(is_learnt, factors.bias[places], 0.0)
    liking = np.where(is_learnt, factors.items[places] @ person.factors, 0.0)
    return (
        factors.mean + person.bias + bias + liking,
        factors.mean + float(rest.sum()) / (len(rest) + RIDGE) + bias,
    )
