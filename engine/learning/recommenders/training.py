"""From what people did to a recommender, or a refusal that says what is missing.

What no model may read (sensitive categories) is neither learnt from nor ever picked. Sums are
taken in one order, so that a person who was erased leaves the same bytes as one who never came.
Read next: `recommender`, which answers; `evaluation`, which says how well.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from campaigns.models import RecommenderModel
from engine.core.model.instants import Instant
from engine.learning.recommenders.arrivals import arrivals
from engine.learning.recommenders.blending import content_weight
from engine.learning.recommenders.content import Content, Row, fit_content
from engine.learning.recommenders.ease import ITEMS_MAX, damped, fit_ease
from engine.learning.recommenders.engines import ByContent, Ease, Svd
from engine.learning.recommenders.exclusions import categories_of
from engine.learning.recommenders.likings import Interactions
from engine.learning.recommenders.popular import popularity, popularity_by_segment
from engine.learning.recommenders.reading import Known, left_out, read, refuse_too_little
from engine.learning.recommenders.recommender import Recommender
from engine.learning.recommenders.settings import Settings
from engine.learning.recommenders.svd import fit_factors
from engine.learning.refusals import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
    items_max: int = ITEMS_MAX,
) -> Recommender:
    """A recommender of everything known at `now`.

    Args:
        items: The catalog: attributes by id.
        sensitive: Categories that must not be read.
        segments: Of each person, for `segment_popular`.
        before: The last one, by which it is known which items are new.
        first_seen: When each item was first told of, where something else than an act told.
        items_max: Collaborative learns no more than so many, the most popular.
    Raises:
        Refused: If there is too little to learn from.
    """
    known = read(interactions, items, model, now=now, sensitive=sensitive)
    refuse_too_little(known, model)
    settings = _settings(model)
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


def untrained(
    interactions: Interactions,
    items: Mapping[str, Row],
    model: RecommenderModel,
    *,
    now: Instant,
    sensitive: Collection[str] = (),
) -> Recommender:
    """What can be answered before the first training: the declared chain, from a glance at the log.

    No taste is learnt and nothing is refused: of no items and no deeds it answers nothing, but for
    what editors chose.
    """
    import numpy as np

    known = read(interactions, items, model, now=now, sensitive=sensitive)
    chain = replace(_settings(model), kind="popular")
    came = arrivals(known.names, known.rows, known.acted(), told={}, now=now, before=None)
    found = _fit(
        known, chain, msgspec.structs.replace(model, kind="popular"), now=now,
        rng=np.random.default_rng(0), items_max=ITEMS_MAX, segments={}, came=came,
    )  # fmt: skip
    # Of the kind that was declared, which says nothing without its engines: what is popular answers
    # only where the file lets it, and no taste is served that was not judged.
    return replace(found, settings=_settings(model), content=None)


def _settings(model: RecommenderModel) -> Settings:
    return Settings(
        name=model.name,
        kind=model.kind,
        half_life=model.half_life,
        cap=model.cap,
        scale=model.rating.scale if model.rating else None,
        fallback=model.fallback,
        max_per_category=model.max_per_category,
        damping=model.popularity_damping,
        diversity=model.diversity,
    )


def _fit(
    known: Known,
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
    content, notes = _content(known, model), left_out(liked)
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
    known: Known, popular: "NDArray[np.float64]", values: "NDArray[np.float64]", items_max: int
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


def _svd(known: Known, rng: "np.random.Generator") -> Svd:
    import numpy as np

    assert known.stars is not None
    found = {name: place for place, name in enumerate(known.names)}
    learnt = np.asarray([found[it] for it in known.stars.items.tolist()], dtype=np.int64)
    seed = int(rng.integers(2**31))
    return Svd(learnt, fit_factors(known.stars, seed=seed), len(known.names))


def _content(known: Known, model: RecommenderModel) -> Content | None:
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


def _categories(known: Known) -> "tuple[tuple[str, ...], NDArray[np.int32]]":
    import numpy as np

    told = [next(iter(categories_of(known.rows.get(it, {}))), "") for it in known.names]
    names = tuple(sorted({it for it in told if it}))
    places = {name: place for place, name in enumerate(names)}
    return names, np.asarray([places.get(it, -1) for it in told], dtype=np.int32)
