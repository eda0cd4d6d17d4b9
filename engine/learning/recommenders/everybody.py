"""Lists for everyone who did anything, all at once: for an export, a preview, or a look at variety.

Personal sources only, and no exclusion but what a person acted on: a message asks anew when it is
made, because stock, prices and purchases are then others.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from engine.core.model.instants import Instant
from engine.learning.recommenders.batches import Lists, top_by_factors, top_by_weights
from engine.learning.recommenders.ease import damped
from engine.learning.recommenders.engines import Ease, Svd
from engine.learning.recommenders.likings import Interactions, Likings, Shifted, likings, stars
from engine.learning.recommenders.svd import fold_in

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from engine.learning.recommenders.recommender import Recommender


@dataclass(frozen=True, eq=False)
class Everybody:
    """People, ascending, and the list of each; `lists.items` are places in the recommender's."""

    users: "NDArray[np.int64]"
    lists: Lists


def everybody(
    known: "Recommender", interactions: Interactions, *, n: int, now: Instant
) -> Everybody:
    """The n best items of each person."""
    settings, engine = known.settings, known.collaborative
    is_fast = settings.kind == "collaborative" and not settings.damping
    if is_fast and isinstance(engine, Svd) and settings.scale is not None:
        rated = stars(interactions, scale=settings.scale, now=now)
        table = _columns(rated, known, engine.learnt)
        return Everybody(rated.users, _renumbered(_by_stars(engine, table, n), engine.learnt))
    middle = sum(settings.scale) / 2 if settings.scale else 0.0
    liked = likings(
        Shifted(interactions, middle), half_life=settings.half_life, cap=settings.cap, now=now
    )
    liked = replace(liked, values=damped(liked.values))
    if is_fast and isinstance(engine, Ease):
        table = _columns(liked, known, engine.learnt)
        lists = top_by_weights(table, engine.weights, n=n)
        return Everybody(liked.users, _renumbered(lists, engine.learnt))
    return Everybody(liked.users, _one_by_one(known, liked, n))


def _columns(given: Likings, known: "Recommender", learnt: "NDArray[np.int64]") -> Any:
    """People by the items that an engine knows, in its order."""
    import numpy as np
    from scipy.sparse import csr_array

    places = np.asarray([known.places.get(it, -1) for it in given.items.tolist()], dtype=np.int64)
    at = np.searchsorted(learnt, places).clip(max=len(learnt) - 1)
    column = np.where(learnt[at] == places, at, -1)[given.codes]
    rows = np.repeat(np.arange(len(given.users)), np.diff(given.starts))
    is_known = column >= 0
    parts = given.values[is_known], (rows[is_known], column[is_known])
    return csr_array(parts, shape=(len(given.users), len(learnt)))


def _by_stars(engine: Svd, table: Any, n: int) -> Lists:
    """Everyone folded in from their own stars, then ranked in blocks."""
    import numpy as np

    factors = engine.factors
    people = np.zeros((table.shape[0], factors.items.shape[1]))
    for row in range(len(people)):
        begin, end = table.indptr[row], table.indptr[row + 1]
        if end > begin:
            found = fold_in(factors, table.indices[begin:end], table.data[begin:end])
            people[row] = found.factors
    return top_by_factors(people, factors.items, factors.bias, seen=table, n=n)


def _one_by_one(known: "Recommender", liked: Likings, n: int) -> Lists:
    import numpy as np

    from engine.learning.recommenders.choosing import descending
    from engine.learning.recommenders.tastes import Taste

    places = np.asarray([known.places.get(it, -1) for it in liked.items.tolist()], dtype=np.int64)
    size = min(n, len(known.items))
    items = np.full((len(liked.users), size), -1, dtype=np.int32)
    scores = np.full((len(liked.users), size), -np.inf, dtype=np.float32)
    for row in range(len(liked.users)):
        begin, end = liked.starts[row], liked.starts[row + 1]
        own, values = places[liked.codes[begin:end]], liked.values[begin:end]
        taste = Taste(own[own >= 0], values[own >= 0])
        told = known.scores(taste)
        told[taste.items] = -np.inf
        for rank, item in zip(range(size), descending(told, first=size), strict=False):
            items[row, rank], scores[row, rank] = item, told[item]
    return Lists(items, scores)


def _renumbered(lists: Lists, learnt: "NDArray[np.int64]") -> Lists:
    """An engine's places as the recommender's."""
    import numpy as np

    is_told = lists.items >= 0
    items = np.where(is_told, learnt[np.where(is_told, lists.items, 0)], -1).astype(np.int32)
    return Lists(items, lists.scores)
