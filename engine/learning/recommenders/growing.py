"""Items that the catalog got after a training, on the shelf from the moment the catalog has them.

Nobody has touched them, so what goes with what has no word on them. But what they are can be read
by the terms that were learnt, and they are new: content, a hybrid and the fallback `new` answer
with them at once, without a training.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

from engine.learning.recommenders.arrivals import dated
from engine.learning.recommenders.content import Row, with_rows
from engine.learning.recommenders.engines import ByContent
from engine.learning.recommenders.exclusions import categories_of
from engine.learning.recommenders.likings import item_id
from engine.learning.recommenders.recommender import Recommender


def grown(
    known: Recommender, rows: Mapping[str, Row], *, sensitive: Collection[str] = ()
) -> Recommender:
    """The same recommender with those of the catalog's rows that it did not know behind its own.

    An item without a date of its own came when the recommender was trained: it was not there yet.

    Args:
        rows: The catalog as it is now, by id.
        sensitive: Categories that must not be shown.
    """
    import numpy as np

    shunned = {it.casefold() for it in sensitive}
    new = {
        name: row
        for key, row in rows.items()
        if (name := item_id(key))
        and name not in known.places
        and not any(it.casefold() in shunned for it in categories_of(row))
    }
    if not new:
        return known
    names = sorted(new)
    told = [new[it] for it in names]
    of_row = [next(iter(categories_of(it)), "") for it in told]
    categories = (*known.categories, *sorted({it for it in of_row if it} - {*known.categories}))
    places = {name: place for place, name in enumerate(categories)}
    category = [places.get(it, -1) for it in of_row]
    came = [known.trained_at if (at := dated(it)) is None else at for it in told]
    nothing = np.zeros((len(known.segments), len(names)), dtype=np.float32)
    content = known.content
    return replace(
        known,
        items=np.asarray([*known.names, *names], dtype=np.str_),
        categories=categories,
        category=np.concatenate([known.category, np.asarray(category, dtype=np.int32)]),
        popularity=np.concatenate([known.popularity, np.zeros(len(names))]),
        first_seen=np.concatenate([known.first_seen, np.asarray(came, dtype=np.int64)]),
        by_segment=np.concatenate([known.by_segment, nothing], axis=1),
        content=None if content is None else ByContent(with_rows(content.content, told)),
    )
