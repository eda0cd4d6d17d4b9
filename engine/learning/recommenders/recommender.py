"""A trained recommender: what to show one person now, and why.

It holds items only, nobody's row: a person is what they did, handed in with the question. Picks
come from the personal source first and then down the declared chain; each says which source it is
of, so that nobody is surprised by a fallback. Exclusions are asked of every item of every source.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from campaigns.models import RecommenderModel
from engine.core.model.instants import Instant
from engine.learning.recommenders.chain import Asked, chain
from engine.learning.recommenders.choosing import Chosen, Mixing, Source, choose
from engine.learning.recommenders.engines import (
    ByContent,
    Ease,
    Engine,
    Svd,
    damped_by_popularity,
    strongest,
)
from engine.learning.recommenders.fusing import fused
from engine.learning.recommenders.likings import item_id
from engine.learning.recommenders.shelf import Shelf
from engine.learning.recommenders.tastes import Deed, Taste, above, star_taste, taste

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


PERSONAL: Final = ("collaborative", "content", "hybrid")
"""Sources that read what the person did; the others are fallbacks, by the names of the YAML."""

REASONS_MAX: Final = 3


@dataclass(frozen=True)
class Because:
    """Something the person liked, and what it adds to the score of a pick."""

    item: str
    effect: float


@dataclass(frozen=True)
class Pick:
    """One item to show.

    Attributes:
        source: `collaborative`, `content`, `hybrid`, or the fallback it was taken from.
        reason: What speaks for it, the loudest first, at most three; () where nobody's taste does.
    """

    item: str
    score: float
    source: str
    reason: tuple[Because, ...] = ()


@dataclass(frozen=True, eq=False)
class Recommender(Shelf):
    """A shelf of items, and what tells a person's taste of them.

    Attributes:
        notes: What a reader must know: what was left out, in sentences.
    """

    collaborative: Ease | Svd | None = None
    content: ByContent | None = None
    notes: tuple[str, ...] = field(default=())

    def recommend(
        self,
        history: Sequence[Deed],
        *,
        n: int,
        exclude: Callable[[str], object] | Collection[str],
        now: Instant,
        context: Sequence[str] = (),
        segment: str = "",
        editorial: Sequence[str] = (),
        is_personal: bool = True,
    ) -> list[Pick]:
        """At most n picks, the best first; fewer where exclusions leave no more.

        Args:
            history: (item, weight of the signal or stars, when), in any order.
            exclude: Ids not to show, or what tells of an id whether it is not to be shown.
            context: Items that set the campaign off: they count as liked, and are never picked.
            segment: The person's, for `segment_popular`.
            editorial: Ids chosen by hand, the best first; they need not be items of the model.
            is_personal: False for who may not be profiled: what everybody likes, and nothing else.
        """
        own = {item_id(it) for it in context}
        liked = self.taste(history, now=now, context=own) if is_personal else _nothing()
        strange = [it for it in map(item_id, editorial) if it and it not in self.places]
        names = [*self.items.tolist(), *dict.fromkeys(strange)] if strange else self.names
        hidden = exclude if callable(exclude) else {item_id(it) for it in exclude}.__contains__
        rated = set(liked.items.tolist()) if self.settings.scale else set()

        def is_excluded(item: int) -> bool:
            return item in rated or names[item] in own or bool(hidden(names[item]))

        asked = Asked(
            now=now,
            own=own,
            segment=segment if is_personal else "",
            names=names,
            editorial=editorial,
        )
        chosen = choose(
            self._sources(liked, asked),
            n=n,
            is_excluded=is_excluded,
            mixing=self._mixing(len(names)),
        )
        return [self._pick(it, names[it.item], liked) for it in chosen]

    def taste(
        self, history: Sequence[Deed], *, now: Instant, context: Collection[str] = ()
    ) -> Taste:
        """What a person likes, as this model reads it."""
        settings = self.settings
        if isinstance(self.collaborative, Svd) and settings.scale is not None:
            return star_taste(history, places=self.places, scale=settings.scale, now=now)
        return taste(
            history,
            places=self.places,
            half_life=settings.half_life,
            cap=settings.cap,
            middle=sum(settings.scale) / 2 if settings.scale else 0.0,
            now=now,
            context=sorted(context),
        )

    def read_by(self, engine: Engine, liked: Taste) -> Taste:
        """The taste as an engine reads it: content knows no bad stars, only liked items."""
        if isinstance(engine, ByContent) and isinstance(self.collaborative, Svd):
            assert self.settings.scale is not None
            return above(liked, sum(self.settings.scale) / 2)
        return liked

    def scores(self, liked: Taste) -> "NDArray[np.float64]":
        """The personal score of every item; minus infinity where there is no word."""
        import numpy as np

        settings = self.settings
        found: list[NDArray[np.float64]] = []
        for engine in self._engines():
            told = _padded(engine.scores(self.read_by(engine, liked)), len(self.names))
            if settings.damping and not isinstance(engine, Svd):
                told = damped_by_popularity(told, self.popularity, damping=settings.damping)
            found.append(told)
        if len(found) == 2:
            return fused(found[0], found[1], weight=settings.content_weight)
        return found[0] if found else np.full(len(self.items), -np.inf)

    def without_taste(self) -> "Recommender":
        """The declared chain alone: what is served where taste was not worth it, or not learnt."""
        settings = replace(self.settings, kind="popular")
        # What items are like still keeps the chain's lists mixed.
        content = self.content if settings.diversity else None
        return replace(self, settings=settings, collaborative=None, content=content)

    def declared(self, model: RecommenderModel) -> "Recommender":
        """The same, answering as the file says now: nothing of this is learnt."""
        settings = replace(
            self.settings,
            fallback=model.fallback,
            max_per_category=model.max_per_category,
            damping=model.popularity_damping,
            diversity=model.diversity,
        )
        return self if settings == self.settings else replace(self, settings=settings)

    def unmixed(self) -> "Recommender":
        """The same without what moves items for variety's sake."""
        settings = replace(self.settings, max_per_category=None, damping=0.0, diversity=0.0)
        return self if settings == self.settings else replace(self, settings=settings)

    def _engines(self) -> list[Engine]:
        match self.settings.kind:
            case "collaborative":
                wanted: tuple[Engine | None, ...] = (self.collaborative,)
            case "content":
                wanted = (self.content,)
            case "hybrid":
                wanted = (self.collaborative, self.content)
            case "popular":
                wanted = ()
        return [it for it in wanted if it is not None]

    def _sources(self, liked: Taste, asked: Asked) -> Iterator[Source]:
        """What the person's taste says, then the chain; each made only when a list comes to it."""
        if len(liked.items) and self.settings.kind != "popular":
            yield Source(self.settings.kind, self.scores(liked))
        yield from chain(self, liked, asked)

    def _mixing(self, n: int) -> Mixing:
        import numpy as np

        category = self.category
        if n > len(category):
            category = np.concatenate([category, np.full(n - len(category), -1, dtype=np.int32)])
        return Mixing(
            category=category,
            max_per_category=self.settings.max_per_category,
            diversity=self.settings.diversity,
            likeness=self.likeness if self.content else None,
        )

    def likeness(self, items: list[int]) -> "NDArray[np.float64]":
        """Cosine of each of these with each by what they are; 0 where nothing is told of one."""
        import numpy as np

        alike = np.zeros((len(items), len(items)))
        if self.content is not None:
            told = [place for place, item in enumerate(items) if item < len(self.names)]
            alike[np.ix_(told, told)] = self.content.likenesses([items[it] for it in told])
        return alike

    def _pick(self, chosen: Chosen, name: str, liked: Taste) -> Pick:
        if chosen.source not in PERSONAL:
            return Pick(name, chosen.score, chosen.source)
        for engine in self._engines():
            if speaking := strongest(
                engine.effects(self.read_by(engine, liked), chosen.item), most=REASONS_MAX
            ):
                reason = tuple(Because(self.names[it], effect) for it, effect in speaking)
                return Pick(name, chosen.score, chosen.source, reason)
        return Pick(name, chosen.score, chosen.source)


def _nothing() -> Taste:
    import numpy as np

    return Taste(np.zeros(0, dtype=np.int64), np.zeros(0))


def _padded(scores: "NDArray[np.float64]", n: int) -> "NDArray[np.float64]":
    """With minus infinity for items that came after an engine was trained."""
    import numpy as np

    if len(scores) == n:
        return scores
    return np.concatenate([scores, np.full(n - len(scores), -np.inf)])
