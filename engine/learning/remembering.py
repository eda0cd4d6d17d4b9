"""What one person did lately, as a recommender asks: read from the log, by their number alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from campaigns.learning_facts import item_path
from campaigns.models import Learning, RecommenderModel
from engine.core.model.instants import Instant
from engine.learning.recommenders.likings import item_id
from engine.learning.recommenders.tastes import Deed
from engine.store.connection import Connection

EVENTS_MAX: Final = 200
"""Of one person; what lies further back weighs next to nothing."""
PURCHASES_MAX: Final = 2_000
Weights: TypeAlias = Mapping[str, tuple[float, str, str]]
"""By event: (weight, where the stars stand or "", where the items stand)."""

_object: Final = msgspec.json.Decoder(dict[str, Any])


def deeds(
    connection: Connection,
    profile_id: int,
    *,
    model: RecommenderModel,
    learning: Learning,
    now: Instant,
) -> list[Deed]:
    """(item, weight or stars, when) of what the person showed a liking for, the newest first."""
    weights = weights_of(model, learning)
    found: list[Deed] = []
    for name, at, properties in _read(
        connection, profile_id, list(weights), now=now, since=0, most=EVENTS_MAX
    ):
        found += [(it, weight, at) for it, weight in told_by(name, properties, weights, learning)]
    return found


def told_by(
    name: str, properties: Mapping[str, Any], weights: Weights, learning: Learning
) -> list[tuple[str, float]]:
    """(item, weight or stars) of each item that one event tells a liking for."""
    weight, value, path = weights[name]
    if value:
        stars = next((it for it in values(properties, value) if isinstance(it, int | float)), None)
        if stars is None:
            return []
        weight = float(stars)
    items = list(values(properties, path))
    if not items and name == learning.purchases.event:
        items = list(values(properties, learning.purchases.item))
    return [(it, weight) for it in map(item_id, items) if it]


def purchased(
    connection: Connection, profile_id: int, *, learning: Learning, since: Instant, now: Instant
) -> dict[str, Instant]:
    """When the person last bought each item, by its id."""
    bought = learning.purchases
    path = _inside(item_path(bought))
    found: dict[str, Instant] = {}
    for _, at, properties in _read(
        connection, profile_id, [bought.event], now=now, since=since, most=PURCHASES_MAX
    ):
        items = list(values(properties, path)) or list(values(properties, bought.item))
        for it in map(item_id, items):
            if it:
                found.setdefault(it, at)
    return found


def values(data: Any, path: str) -> Iterator[str | int | float]:
    """The texts and numbers at a dotted path; `*` goes into each entry of a list.

    >>> list(values({"products": [{"id": 7}, {"id": "x"}]}, "products.*.id"))
    [7, 'x']
    """
    yield from _values(data, path.split("."))


def _values(data: Any, path: Sequence[str]) -> Iterator[str | int | float]:
    if not path:
        if isinstance(data, str | int | float) and not isinstance(data, bool):
            yield data
        return
    if isinstance(data, list) and path[0] == "*":
        for each in data:
            yield from _values(each, path[1:])
    elif isinstance(data, dict) and path[0] in data:
        yield from _values(data[path[0]], path[1:])


def weights_of(model: RecommenderModel, learning: Learning) -> Weights:
    """By event: (weight, where the stars stand or "", where the items stand)."""
    rating = model.rating
    if rating is not None:
        return {rating.event: (0.0, _inside(rating.value), _inside(rating.item))}
    return {it.event: (it.weight, "", _inside(it.item)) for it in model.signals}


def _inside(path: str) -> str:
    """A path told from the event, as told from its properties."""
    return path.removeprefix("properties.")


def _read(
    connection: Connection,
    profile_id: int,
    names: Sequence[str],
    *,
    now: Instant,
    since: Instant,
    most: int,
) -> Iterator[tuple[str, Instant, dict[str, Any]]]:
    """Events of these names, the newest first, up to an instant."""
    rows = connection.execute(
        "SELECT name, at, properties FROM event WHERE profile_id = ? AND at >= ? AND at <= ? "
        f"AND name IN ({', '.join('?' * len(names))}) ORDER BY at DESC LIMIT ?",
        (profile_id, since, now, *names, most),
    )
    for name, at, properties in rows:
        yield str(name), int(at), _object.decode(properties)
