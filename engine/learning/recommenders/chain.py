"""Where picks come from when taste says nothing or too little: the chain that the file declares.

Popular in a segment, in a category, with everybody; new; chosen by hand. Scores of different links
have no common unit: a list is filled link by link.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from campaigns.models import Fallback
from engine.core.model.instants import DAY, Instant
from engine.learning.recommenders.choosing import Source
from engine.learning.recommenders.likings import item_id
from engine.learning.recommenders.shelf import Shelf
from engine.learning.recommenders.tastes import Taste

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEW_FOR: Final = 60 * DAY
"""How long an item is new after it came."""


@dataclass(frozen=True)
class Asked:
    """What the chain needs of a question.

    Attributes:
        own: What set the campaign off.
        segment: The person's, "" for none.
        names: Ids of the recommender's items, then of those that only editors know.
        editorial: Ids chosen by hand, the best first.
    """

    now: Instant
    own: Collection[str]
    segment: str
    names: Sequence[str]
    editorial: Sequence[str]


def chain(known: Shelf, liked: Taste, asked: Asked) -> Iterator[Source]:
    """The declared sources in order; what is popular comes first where that is the model's kind."""
    declared: tuple[Fallback, ...] = known.settings.fallback
    if known.settings.kind == "popular" and "popular" not in declared:
        declared = ("popular", *declared)
    for link in declared:
        match link:
            case "segment_popular":
                scores = _in_segment(known, asked.segment)
            case "category_popular":
                scores = _in_category(known, liked, asked.own)
            case "popular":
                scores = _above_zero(known.popularity)
            case "new":
                scores = _new(known, asked.now)
            case "editorial":
                scores = _in_order(asked.editorial, asked.names)
        if scores is not None:
            yield Source(link, scores)


def _in_segment(known: Shelf, segment: str) -> "NDArray[np.float64] | None":
    if segment not in known.segments:
        return None
    return _above_zero(known.by_segment[known.segments.index(segment)])


def _in_category(known: Shelf, liked: Taste, own: Collection[str]) -> "NDArray[np.float64] | None":
    """Of what set the campaign off; else of the category that the person likes most."""
    import numpy as np

    about = [int(known.category[known.places[it]]) for it in sorted(own) if it in known.places]
    wanted = next((it for it in about if it >= 0), -1)
    if wanted < 0:
        of_liked = known.category[liked.items]
        has_one = of_liked >= 0
        if not has_one.any():
            return None
        wanted = int(np.argmax(np.bincount(of_liked[has_one], weights=liked.values[has_one])))
    return _above_zero(np.where(known.category == wanted, known.popularity, 0.0))


def _new(known: Shelf, now: Instant) -> "NDArray[np.float64]":
    """The latest first: 1 for what came just now, 0 at the end of being new."""
    import numpy as np

    is_new = (known.first_seen <= now) & (known.first_seen > now - NEW_FOR)
    age = np.where(is_new, now - np.where(is_new, known.first_seen, 0), 0)
    return np.where(is_new, 1 - age / NEW_FOR, -np.inf)


def _above_zero(scores: "NDArray[np.floating]") -> "NDArray[np.float64]":
    import numpy as np

    return np.where(scores > 0, scores, -np.inf).astype(np.float64)


def _in_order(ids: Sequence[str], names: Sequence[str]) -> "NDArray[np.float64]":
    """1, 1/2, 1/3, … in the order of the ids."""
    import numpy as np

    places = {name: place for place, name in enumerate(names)}
    scores = np.full(len(names), -np.inf)
    for rank, item in enumerate(dict.fromkeys(map(item_id, ids)), start=1):
        if item in places:
            scores[places[item]] = 1 / rank
    return scores
