"""From what people did to a recommender, or a refusal that says what is missing.

What no model may read (sensitive categories) is neither learnt from nor ever picked. Sums are
taken in one order, so that a person who was erased leaves the same bytes as one who never came.
Read next: `recommender`, which answers; `evaluation`, which says how well.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from campaigns.models import RecommenderModel
from engine.core.model.instants import Instant
from engine.learning.recommenders.arrivals import arrivals
from engine.learning.recommenders.blending import content_weight
from engine.learning.recommenders.content import Content, Row, fit_content
from engine.learning.recommenders.ease import ITEMS_MAX, damped, fit_ease
from engine.learning.recommenders.engines import ByContent, Ease, Svd
from engine.learning.recommenders.exclusions import categories_of
from engine.learning.recommenders.likings import (
    PER_DAY_MAX,
    Interactions,
    Likings,
    Shifted,
    item_id,
    likings,
    stars,
)
from engine.learning.recommenders.popular import popularity, popularity_by_segment
from engine.learning.recommenders.recommender import Recommender, Settings
from engine.learning.recommenders.svd import fit_factors
from engine.learning.refusals import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PAIRED_MIN: Final = 2
"""People with two items each; below it nothing goes with anything."""


def train(
    interactions: Interactions,
    items: Mapping[str, Row],
    model: RecommenderModel,
    *,
    now: Instant,
    rng: "np.random.Generator",
    sensitive: Collection[str] = (),
    segments: Mapping[int, str] | None = None,
    before: Recommender | None = None,
    first_seen: Mapping[str, Instant] | None = None,
    damping: float = 0.0,
    diversity: float = 0.0,
    items_max: int = ITEMS_MAX,
) -> Recommender:
    """A recommender of everything known at `now`.

    Args:
        items: The catalog: attributes by id.
        sensitive: Categories that must not be read.
        segments: Of each person, for `segment_popular`.
        before: The last one, by which it is known which items are new.
        first_seen: When each item was first told of, where something else than an act told.
        damping: `recommender.Settings`; so is `diversity`.
        items_max: Collaborative learns no more than so many, the most popular.
    Raises:
        Refused: If there is too little to learn from.
    """
    known = _read(interactions, items, model, now=now, sensitive=sensitive)
    _refuse_too_little(known, model)
    settings = Settings(
        name=model.name,
        kind=model.kind,
        half_life=model.half_life,
        cap=model.cap,
        scale=model.rating.scale if model.rating else None,
        fallback=model.fallback,
        max_per_category=model.max_per_category,
        damping=damping,
        diversity=diversity,
    )
    trained = _fit(
        known, settings, model, now=now, rng=rng, items_max=items_max, segments=segments or {},
        came=arrivals(
            known.names,
            known.rows,
            known.acted(),
            told=first_seen or {},
            now=now,
            before=before,
        ),
    )  # fmt: skip
    if model.kind != "hybrid":
        return trained
    chosen = content_weight(
        interactions, items, model, now=now, rng=rng, sensitive=sensitive, items_max=items_max,
        train=train,
    )  # fmt: skip
    weighed = replace(trained.settings, content_weight=chosen.weight)
    return replace(trained, settings=weighed, notes=(*trained.notes, chosen.why))


@dataclass(frozen=True, eq=False)
class _Known:
    """What there is to learn from. `names` are all items in order, `places` theirs of likings."""

    likings: Likings
    stars: Likings | None
    rows: Mapping[str, Row]
    names: list[str]
    places: "NDArray[np.int64]"

    def acted(self) -> dict[str, Instant]:
        """When each item was first acted on."""
        liked = self.likings
        return dict(zip(liked.items.tolist(), liked.first_seen.tolist(), strict=True))


def _read(
    interactions: Interactions,
    items: Mapping[str, Row],
    model: RecommenderModel,
    *,
    now: Instant,
    sensitive: Collection[str],
) -> _Known:
    import numpy as np

    shunned = {it.casefold() for it in sensitive}
    rows = {item_id(key): row for key, row in items.items() if item_id(key)}
    unread = {
        key
        for key, row in rows.items()
        if any(it.casefold() in shunned for it in categories_of(row))
    }
    rows = {key: row for key, row in rows.items() if key not in unread}
    given, rated = interactions, None
    if model.rating is not None:
        given = Shifted(interactions, sum(model.rating.scale) / 2)
        rated = stars(interactions, scale=model.rating.scale, now=now, unread=unread)
    liked = likings(
        given, half_life=model.half_life, cap=model.cap, now=now, unread=unread,
        per_day_max=PER_DAY_MAX if rated is None else None,
    )  # fmt: skip
    mentioned = set(liked.items.tolist()) | set(rated.items.tolist() if rated else ())
    names = sorted(mentioned | rows.keys())
    found = {name: place for place, name in enumerate(names)}
    places = np.asarray([found[it] for it in liked.items.tolist()], dtype=np.int64)
    return _Known(liked, rated, rows, names, places)


def _refuse_too_little(known: _Known, model: RecommenderModel) -> None:
    import numpy as np

    liked, n_people = known.likings, len(known.likings.users)
    if not known.names:
        raise Refused(
            f"{model.name} has no items: nothing was acted on and the catalog is empty",
            "add products to its catalog, or see that its events carry the item's id",
        )
    if model.kind == "content":
        if len(known.names) < 2:
            raise Refused(f'there is one item, "{known.names[0]}"', "add products to the catalog")
        return
    if model.kind != "popular" and model.algorithm == "svd":
        if known.stars is None:
            raise Refused(
                "svd learns from stars, and there are no ratings", "add `ratings`, or use ease"
            )
        liked, n_people = known.stars, len(known.stars.users)
    if not n_people:
        raise Refused(
            f"nobody acted on any of {len(known.names):,} items{_left_out(liked)}",
            "see that the events it names arrive and that the path to the item is right",
        )
    if model.kind == "popular":
        return
    if len(liked.items) < 2:
        raise Refused(
            f'people acted on one item only, "{liked.items[0]}": nothing goes with it',
            "use kind: popular until there are more",
        )
    paired = int(np.count_nonzero(np.diff(liked.starts) >= 2))
    if paired < PAIRED_MIN:
        people = "1 person" if n_people == 1 else f"{n_people:,} people"
        raise Refused(
            f"of {people}, {paired} liked two items or more{_left_out(liked)};"
            f" at least {PAIRED_MIN} must",
            "use kind: popular until more is known",
        )


def _left_out(liked: Likings) -> str:
    told = ", ".join(f"{n:,} {reason}" for reason, n in liked.n_dropped.items())
    return f" ({told} were left out)" if told else ""


def _fit(
    known: _Known,
    settings: Settings,
    model: RecommenderModel,
    *,
    now: Instant,
    rng: "np.random.Generator",
    items_max: int,
    segments: Mapping[int, str],
    came: "NDArray[np.int64]",
) -> Recommender:
    import numpy as np

    n, liked = len(known.names), known.likings
    values = damped(liked.values)
    popular, by_segment = np.zeros(n), np.zeros((0, n), dtype=np.float32)
    popular[known.places] = popularity(liked, values)
    names_of_segments: tuple[str, ...] = ()
    if segments:
        names_of_segments, of_liked = popularity_by_segment(liked, values, segments)
        by_segment = np.zeros((len(names_of_segments), n), dtype=np.float32)
        by_segment[:, known.places] = of_liked
    content, notes = _content(known, model), list(_notes(liked))
    collaborative: Ease | Svd | None = None
    if model.kind in ("collaborative", "hybrid"):
        if model.algorithm == "svd":
            collaborative = _svd(known, rng)
        else:
            collaborative, said = _ease(known, popular, values, items_max)
            notes += said
    categories, category = _categories(known)
    return Recommender(
        settings=settings,
        trained_at=now,
        items=np.asarray(known.names, dtype=np.str_),
        categories=categories,
        category=category,
        popularity=popular,
        first_seen=came,
        segments=names_of_segments,
        by_segment=by_segment,
        collaborative=collaborative,
        content=ByContent(content) if content else None,
        notes=tuple(notes),
    )


def _ease(
    known: _Known, popular: "NDArray[np.float64]", values: "NDArray[np.float64]", items_max: int
) -> tuple[Ease, list[str]]:
    import numpy as np

    liked, notes = known.likings, []
    kept = np.arange(len(liked.items))
    if len(kept) > items_max:
        notes.append(
            f"{len(kept):,} items were acted on; what goes with what is learnt of the"
            f" {items_max:,} most popular of them"
        )
        kept = np.sort(np.lexsort((kept, -popular[known.places]))[:items_max])
    table = replace(liked, values=values).table()[:, kept]
    return Ease(known.places[kept], fit_ease(table), len(known.names)), notes


def _svd(known: _Known, rng: "np.random.Generator") -> Svd:
    import numpy as np

    assert known.stars is not None
    found = {name: place for place, name in enumerate(known.names)}
    learnt = np.asarray([found[it] for it in known.stars.items.tolist()], dtype=np.int64)
    seed = int(rng.integers(2**31))
    return Svd(learnt, fit_factors(known.stars, seed=seed), len(known.names))


def _content(known: _Known, model: RecommenderModel) -> Content | None:
    """What the items are; also where only lists are to be kept mixed."""
    rows = [known.rows.get(it, {}) for it in known.names]
    found = fit_content(rows, text=model.text, attributes=model.attributes)
    if found is None and model.kind in ("content", "hybrid"):
        columns = ", ".join((*model.text, *model.attributes))
        raise Refused(
            f"of {len(rows):,} items none has any of: {columns}",
            "fill these columns of the catalog, or name others under text and attributes",
        )
    return found


def _categories(known: _Known) -> "tuple[tuple[str, ...], NDArray[np.int32]]":
    import numpy as np

    told = [next(iter(categories_of(known.rows.get(it, {}))), "") for it in known.names]
    names = tuple(sorted({it for it in told if it}))
    places = {name: place for place, name in enumerate(names)}
    return names, np.asarray([places.get(it, -1) for it in told], dtype=np.int32)


def _notes(liked: Likings) -> Sequence[str]:
    return [f"{n:,} events were left out: {reason}" for reason, n in liked.n_dropped.items()]
