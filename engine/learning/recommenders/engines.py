"""What scores items by a person's taste: EASE, SVD's factors, content, or two of them fused.

An engine gives a score for every item (minus infinity where it has no word) and, for one item,
what each thing the person had did to that score: their sum is the score.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from engine.learning.recommenders.content import Content
from engine.learning.recommenders.ease import weights_of
from engine.learning.recommenders.svd import Factors, fold_in
from engine.learning.recommenders.tastes import Taste

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Ease:
    """EASE over some of the items.

    Attributes:
        learnt: Numbers of the items that it knows, ascending; shape (m,).
        packed: `fit_ease`; shape (m * (m + 1) / 2,).
        n_items: Of the recommender.
    """

    learnt: "NDArray[np.int64]"
    packed: "NDArray[np.float32]"
    n_items: int

    @cached_property
    def weights(self) -> "NDArray[np.float32]":
        """Shape (m, m)."""
        return weights_of(self.packed, len(self.learnt))

    def scores(self, taste: Taste) -> "NDArray[np.float64]":
        """Above zero, or no word: what nothing speaks for is no recommendation."""
        import numpy as np

        rows, values = _own(self.learnt, taste)
        scores = np.full(self.n_items, -np.inf)
        if len(rows):
            found = (values.astype(np.float32) @ self.weights[rows]).astype(np.float64)
            scores[self.learnt] = np.where(found > 0, found, -np.inf)
        return scores

    def effects(self, taste: Taste, item: int) -> dict[int, float]:
        """`x[i] * B[i, item]` by i."""
        place = _place(self.learnt, item)
        if place is None:
            return {}
        rows, values = _own(self.learnt, taste)
        effects = values * self.weights[rows, place]
        return dict(zip(self.learnt[rows].tolist(), effects.tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class Svd:
    """Factors of the items that have stars; a taste is stars.

    Attributes:
        learnt: Numbers of the items that it knows, ascending; the order of `factors`.
        n_items: Of the recommender.
    """

    learnt: "NDArray[np.int64]"
    factors: Factors
    n_items: int

    def scores(self, taste: Taste) -> "NDArray[np.float64]":
        """Stars, not cut off at the ends of the scale: those would tie at the top."""
        import numpy as np

        scores = np.full(self.n_items, -np.inf)
        rated, given = _own(self.learnt, taste)
        if len(rated):
            known, person = self.factors, fold_in(self.factors, rated, given)
            scores[self.learnt] = (
                known.mean + person.bias + known.bias + known.items @ person.factors
            )
        return scores

    def effects(self, taste: Taste, item: int) -> dict[int, float]:
        """What each star given moves the score of the item, against having given none."""
        import numpy as np

        place = _place(self.learnt, item)
        if place is None:
            return {}
        rated, given = _own(self.learnt, taste)
        person = fold_in(self.factors, rated, given)
        effects = person.pulls @ np.append(self.factors.items[place], 1.0)
        return dict(zip(self.learnt[rated].tolist(), effects.tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class ByContent:
    """Items like those that a person likes."""

    content: Content

    @cached_property
    def table(self) -> Any:
        """Items by terms."""
        return self.content.table()

    def scores(self, taste: Taste) -> "NDArray[np.float64]":
        """Cosine with the sum of what is liked; no word where nothing is in common."""
        import numpy as np

        if not len(taste.items):
            return np.full(self.table.shape[0], -np.inf)
        person, length = self._person(taste)
        found = np.asarray(self.table @ person, dtype=np.float64) / length
        return np.where(found > 0, found, -np.inf)

    def effects(self, taste: Taste, item: int) -> dict[int, float]:
        """The part of the cosine that each item brings."""
        _, length = self._person(taste)
        effects = taste.values * self.likeness(item, taste.items.tolist()) / length
        return dict(zip(taste.items.tolist(), effects.tolist(), strict=True))

    def likeness(self, item: int, others: list[int]) -> "NDArray[np.float64]":
        """Cosine of one item with several."""
        import numpy as np

        own = np.zeros(self.content.n_terms)
        begin, end = self.content.starts[item], self.content.starts[item + 1]
        own[self.content.codes[begin:end]] = self.content.values[begin:end]
        return np.asarray(self.table[others] @ own, dtype=np.float64)

    def likenesses(self, items: list[int]) -> "NDArray[np.float64]":
        """Cosine of each of these with each; shape (n, n)."""
        import numpy as np

        rows = self.table[items]
        return np.asarray((rows @ rows.T).toarray(), dtype=np.float64)

    def _person(self, taste: Taste) -> "tuple[NDArray[np.float64], float]":
        import numpy as np

        person = np.asarray(self.table[taste.items].T @ taste.values, dtype=np.float64)
        return person, float(np.linalg.norm(person)) or 1.0


Engine = Ease | Svd | ByContent


def damped_by_popularity(
    scores: "NDArray[np.float64]", popularity: "NDArray[np.float64]", *, damping: float
) -> "NDArray[np.float64]":
    """Positive scores over `(1 + popularity) ** damping`: less of what everybody is shown."""
    import numpy as np

    return np.where(scores > 0, scores / (1 + popularity) ** damping, scores)


def strongest(effects: Mapping[int, float], *, most: int) -> list[tuple[int, float]]:
    """The items that speak for a pick, the loudest first; none that speak against it."""
    speaking = sorted((-effect, item) for item, effect in effects.items() if effect > 0)
    return [(item, -effect) for effect, item in speaking[:most]]


def _own(
    learnt: "NDArray[np.int64]", taste: Taste
) -> "tuple[NDArray[np.int64], NDArray[np.float64]]":
    """What of a taste an engine knows, by the engine's own places."""
    import numpy as np

    is_known = np.isin(taste.items, learnt)
    return np.searchsorted(learnt, taste.items[is_known]), taste.values[is_known]


def _place(learnt: "NDArray[np.int64]", item: int) -> int | None:
    import numpy as np

    place = int(np.searchsorted(learnt, item))
    return place if place < len(learnt) and learnt[place] == item else None
