"""What there is to learn from: likings, stars and rows of items, or a refusal that says why not.

What no model may read (sensitive categories) is left out here, so that nothing later can learn it.
Read next: `training`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from campaigns.models import RecommenderModel
from engine.core.model.instants import Instant
from engine.learning.recommenders.content import Row
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
from engine.learning.refusals import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PAIRED_MIN: Final = 2
"""People with two items each; below it nothing goes with anything."""


@dataclass(frozen=True, eq=False)
class Known:
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


def read(
    interactions: Interactions,
    items: Mapping[str, Row],
    model: RecommenderModel,
    *,
    now: Instant,
    sensitive: Collection[str],
) -> Known:
    """What is known of these items at `now`.

    Args:
        items: The catalog: attributes by id.
        sensitive: Categories that must not be read.
    """
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
    return Known(liked, rated, rows, names, places)


def refuse_too_little(known: Known, model: RecommenderModel) -> None:
    """Raise what is missing for this kind of model.

    Raises:
        Refused: If it cannot be learnt from this.
    """
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


def left_out(liked: Likings) -> list[str]:
    """What was not read, in sentences."""
    return [f"{n:,} events were left out: {reason}" for reason, n in liked.n_dropped.items()]


def _left_out(liked: Likings) -> str:
    told = ", ".join(f"{n:,} {reason}" for reason, n in liked.n_dropped.items())
    return f" ({told} were left out)" if told else ""
