"""A list of picks out of scored sources: the best first, excluded ones skipped, kept mixed.

Each source is walked from its best item down: five times as many as are wanted are put in order
first, and more only if exclusions ate those. What one source leaves open the next one fills.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OVERFETCH: Final = 5


@dataclass(frozen=True, eq=False)
class Source:
    """Scores of all items by one source; minus infinity where it has no word on an item."""

    name: str
    scores: "NDArray[np.floating]"


@dataclass(frozen=True)
class Chosen:
    """One place of a list: the item's number, its score, and the source it came from."""

    item: int
    score: float
    source: str


@dataclass(frozen=True, eq=False)
class Mixing:
    """How a list is kept mixed.

    Attributes:
        max_per_category: At most so many of one category; None: any number.
        category: The category's number by item, -1 where it has none (which is never too often).
        diversity: 0 takes scores as they are, towards 1 likeness to what is chosen already counts
            more (maximal marginal relevance, Carbonell and Goldstein, SIGIR 1998).
        likeness: Of several items, the cosine of each with each; None where nothing tells.
    """

    category: "NDArray[np.int32]"
    max_per_category: int | None = None
    diversity: float = 0.0
    likeness: "Callable[[list[int]], NDArray[np.float64]] | None" = None


def choose(
    sources: Iterable[Source], *, n: int, is_excluded: Callable[[int], bool], mixing: Mixing
) -> list[Chosen]:
    """At most n items, each once; sources are asked in order and only while places are open."""
    chosen: list[Chosen] = []
    taken: set[int] = set()
    counts: dict[int, int] = {}
    if n <= 0:
        return chosen
    for source in sources:
        ranked = descending(source.scores, first=OVERFETCH * n)
        allowed: Iterator[int] = (it for it in ranked if it not in taken and not is_excluded(it))
        if mixing.diversity > 0 and mixing.likeness is not None:
            allowed = _marginal(allowed, source, mixing, n=n, taken=taken)
        for item in allowed:
            category = int(mixing.category[item])
            if _is_full(category, counts, mixing):
                continue
            counts[category] = counts.get(category, 0) + 1
            taken.add(item)
            chosen.append(Chosen(item, float(source.scores[item]), source.name))
            if len(chosen) == n:
                return chosen
    return chosen


def descending(scores: "NDArray[np.floating]", *, first: int) -> Iterator[int]:
    """Numbers of items from the highest score down, ties by number; lazily, `first` to begin with.

    Only what is above minus infinity.
    """
    import numpy as np

    left = np.flatnonzero(scores > -np.inf)
    size = max(first, 1)
    while len(left) > size:
        found = scores[left]
        least = np.partition(found, len(found) - size)[len(found) - size]
        above = found >= least  # with all that tie, so that no tie is cut by chance
        yield from _ordered(left[above], found[above])
        left, size = left[~above], size * OVERFETCH
    yield from _ordered(left, scores[left])


def _ordered(items: "NDArray[np.int64]", scores: "NDArray[np.floating]") -> Iterator[int]:
    import numpy as np

    return iter(items[np.lexsort((items, -scores))].tolist())


def _is_full(category: int, counts: dict[int, int], mixing: Mixing) -> bool:
    if mixing.max_per_category is None or category < 0:
        return False
    return counts.get(category, 0) >= mixing.max_per_category


def _marginal(
    allowed: Iterator[int], source: Source, mixing: Mixing, *, n: int, taken: set[int]
) -> Iterator[int]:
    """The same items, of the best of them each time the one with the most score left after its
    likeness to what is taken already, from this source or from one before.

    Args:
        taken: Grows while this is walked: what a full category refused is like nothing shown.
    """
    import numpy as np

    assert mixing.likeness is not None
    pool = list(islice(allowed, OVERFETCH * n))
    if not pool:
        return
    scores = np.asarray([float(source.scores[it]) for it in pool])
    spread = scores.max() - scores.min()
    worth = (scores - scores.min()) / spread if spread > 0 else np.ones(len(pool))
    alike = mixing.likeness([*pool, *sorted(taken)])[: len(pool)]
    nearest = alike[:, len(pool) :].max(axis=1, initial=0.0)
    is_left = np.ones(len(pool), dtype=bool)
    for _ in range(len(pool)):
        marginal = (1 - mixing.diversity) * worth - mixing.diversity * nearest
        best = int(np.argmax(np.where(is_left, marginal, -np.inf)))
        is_left[best] = False
        yield pool[best]
        if pool[best] in taken:
            nearest = np.maximum(nearest, alike[:, best])
    yield from allowed
