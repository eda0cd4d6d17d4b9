"""What one person did, weighed the moment they are to be shown something.

The same weighing as in training, so that what was done a minute ago counts as it will tomorrow.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, log1p
from typing import TYPE_CHECKING, Final

from engine.core.model.instants import Instant
from engine.learning.recommenders.likings import item_id

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Deed = tuple[object, float, Instant]
"""An item, the weight of the signal (or the stars), and when."""

DEEDS_MAX: Final = 500
"""The latest of a person that count; it bounds the work of one decision."""

CONTEXT_WEIGHT: Final = 3.0
"""Of what set a campaign off: it counts as something put into the cart just now."""


@dataclass(frozen=True, eq=False)
class Taste:
    """Items of the model that a person likes, by number ascending, and how much (or the stars)."""

    items: "NDArray[np.int64]"
    values: "NDArray[np.float64]"


def taste(
    history: Sequence[Deed],
    *,
    places: Mapping[str, int],
    half_life: int,
    cap: float,
    middle: float,
    now: Instant,
    context: Iterable[str] = (),
) -> Taste:
    """Likings as a model of likings takes them.

    Args:
        middle: Taken from every weight: the middle of the scale where they are stars, else 0.
        context: Items that count as liked now.
    """
    sums: dict[int, float] = {}
    for place, weight, at in _known(history, places, now):
        worth = (weight - middle) * 2.0 ** (-(now - at) / half_life)
        sums[place] = sums.get(place, 0.0) + worth
    for item in context:
        if (own := places.get(item)) is not None:
            sums[own] = sums.get(own, 0.0) + CONTEXT_WEIGHT
    liked = {place: log1p(min(total, cap)) for place, total in sums.items() if total > 0}
    return _taste(liked)


def star_taste(
    history: Sequence[Deed],
    *,
    places: Mapping[str, int],
    scale: tuple[float, float],
    now: Instant,
) -> Taste:
    """The last stars given to each item, of those on the scale."""
    given: dict[int, tuple[Instant, float]] = {}
    for place, value, at in _known(history, places, now):
        if scale[0] <= value <= scale[1]:
            given[place] = max(given.get(place, (at, value)), (at, value))
    return _taste({place: value for place, (_, value) in given.items()})


def above(liked: Taste, middle: float) -> Taste:
    """Of stars what speaks for an item, as a liking."""
    import numpy as np

    is_liked = liked.values > middle
    return Taste(liked.items[is_liked], np.log1p(liked.values[is_liked] - middle))


def _known(
    history: Sequence[Deed], places: Mapping[str, int], now: Instant
) -> Iterable[tuple[int, float, Instant]]:
    """Deeds about items of the model, not of the future, no more than the latest of them."""
    latest = sorted((deed for deed in history if deed[2] <= now), key=lambda it: it[2])
    for item, weight, at in latest[-DEEDS_MAX:]:
        place = places.get(item_id(item))
        if place is not None and isfinite(weight):
            yield place, float(weight), at


def _taste(liked: Mapping[int, float]) -> Taste:
    import numpy as np

    items = sorted(liked)
    return Taste(
        np.asarray(items, dtype=np.int64), np.asarray([liked[it] for it in items], dtype=np.float64)
    )
