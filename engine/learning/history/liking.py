"""What people showed a liking for, and what those items are."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import msgspec

from campaigns.models import ItemEvent, Learning, Purchases, Rating, Signal
from engine.learning.history.acts import at_path, is_behaviour, marks, pour_log
from engine.learning.history.findings import Interactions, Items
from engine.learning.history.known import Known
from engine.segment_sql.binding import Binding
from engine.segment_sql.paths import all_at, follow
from engine.store.connection import Connection, Row

if TYPE_CHECKING:
    from engine.segment_sql.lake import Lake

_LIKED: Final = (
    "profile_id BIGINT, seq BIGINT, happened BIGINT, item VARCHAR, weight DOUBLE, "
    "is_purchase BOOLEAN"
)
_RETURNED: Final = "profile_id BIGINT, happened BIGINT, item VARCHAR"

EACH: Final = ".*."
"""In a path: of each element of the list."""

_TRADED: Final = (
    "SELECT profile_id, item, happened, seq, l.rowid FROM liked l "
    "SEMI JOIN returned r USING (profile_id, item) WHERE is_purchase UNION ALL "
    "SELECT profile_id, item, happened, NULL, NULL FROM returned "
    "ORDER BY profile_id, item, happened, seq NULLS LAST"
)
"""Purchases and returns of what was ever returned; of one instant the purchase comes first."""


def interactions(
    connection: Connection,
    lake: "Lake",
    known: Known,
    learning: Learning,
    liking: Sequence[Signal] | Rating,
) -> Interactions:
    """Every act of these signals, or every rating, of the people of the history."""
    import numpy as np

    signals = liking if not isinstance(liking, Rating) else ()
    trade = learning.purchases
    lake.duck.execute(f"CREATE OR REPLACE TABLE liked ({_LIKED})")
    lake.duck.execute(f"CREATE OR REPLACE TABLE returned ({_RETURNED})")
    bind = Binding()
    if isinstance(liking, Rating):
        names = {liking.event}
        statements = [_rated(liking, bind)]
    else:
        names = {it.event for it in signals}
        statements = [_signalled(it, trade, bind) for it in signals]
        if any(it.event == trade.event for it in signals):
            names.add(trade.returned)
            statements.append(_given_back(trade, bind))
    pour_log(
        connection,
        lake,
        known,
        statements,
        bind,
        where=f"name IN ({marks(names)})",
        params=sorted(names),
    )
    lake.duck.execute("CREATE OR REPLACE TABLE gone (number BIGINT)")
    lake.append("gone", [(it,) for it in _taken_back(lake.select(_TRADED, {}))])
    rows = lake.duck.execute(
        "SELECT profile_id, item, weight, happened FROM liked "
        "WHERE rowid NOT IN (SELECT number FROM gone) ORDER BY profile_id, happened, item, weight"
    ).fetchnumpy()
    return Interactions(
        np.asarray(rows["profile_id"], dtype=np.int64),
        np.array(rows["item"].tolist(), dtype=np.str_),
        np.asarray(rows["weight"], dtype=np.float64),
        np.asarray(rows["happened"], dtype=np.int64),
    )


def told_items(connection: Connection, lake: "Lake", known: Known, told: ItemEvent) -> Items:
    """Items as the last event that told of each described them; attributes it left out stay.

    Where the path of the id leads through a list (`properties.products.*.product_id`), every line
    tells of an item, and paths through the same list are read in the same line.
    """
    bind = Binding()
    lake.duck.execute(
        "CREATE OR REPLACE TABLE items (id VARCHAR, name VARCHAR, value JSON, happened BIGINT, "
        "seq BIGINT)"
    )
    paths = dict(told.attributes)
    lines, is_lines, _ = paths["id"].partition(EACH)
    source = "events"
    if is_lines:
        source = f"(SELECT *, unnest(listed({at_path(lines, bind)})) AS line FROM events)"
    item = f"item_of({_told_at(paths['id'], lines + EACH, bind)})"
    told_of = ((name, _told_at(path, lines + EACH, bind)) for name, path in paths.items())
    statements = [
        f"INSERT INTO items SELECT {item}, {bind(name)}, {value}, happened, seq FROM {source} "
        f"WHERE {item} IS NOT NULL AND {value} IS NOT NULL AND json_type({value}) <> 'NULL'"
        for name, value in told_of
    ]
    pour_log(connection, lake, known, statements, bind, where="name = ?", params=[told.event])
    rows: dict[str, dict[str, Any]] = {}
    first: dict[str, int] = {}
    for item_id, name, value, happened in lake.select(
        "SELECT id, name, arg_max(value, {'at': happened, 'seq': seq}), min(happened) FROM items "
        "GROUP BY id, name ORDER BY id, name",
        {},
    ):
        rows.setdefault(item_id, {})[name] = msgspec.json.decode(value)
        first[item_id] = min(happened, first.get(item_id, happened))
    return Items({it: {**row, "id": it} for it, row in rows.items()}, first)


def catalog_items(rows: Sequence[Mapping[str, Any]]) -> Items:
    """Items of a catalog file."""
    return Items(
        {str(row["id"]).strip(): {**row, "id": str(row["id"]).strip()} for row in rows}, {}
    )


def without_sensitive(items: Items, category: str, sensitive: Sequence[str]) -> Items:
    """Items outside of the categories that no model may read."""
    hidden = set(sensitive)
    rows = {it: row for it, row in items.rows.items() if row.get(category) not in hidden}
    return Items(rows, {it: at for it, at in items.first_seen.items() if it in rows})


def _told_at(path: str, lines: str, bind: Binding) -> str:
    """The value at a path of the event, or of the line that is told of."""
    if path.startswith(lines):
        return follow("line", path.removeprefix(lines).split("."), bind)
    return at_path(path, bind)


def _taken_back(traded: Iterable[Row]) -> Iterator[int]:
    """The rows of purchases that were returned: each return takes the latest that is left."""
    for _, rows in groupby(traded, key=lambda row: row[:2]):
        kept: list[int] = []
        for *_, number in rows:
            if number is not None:
                kept.append(number)
            elif kept:
                yield kept.pop()


def _signalled(signal: Signal, trade: Purchases, bind: Binding) -> str:
    is_purchase = signal.event == trade.event
    found = _ids(signal.item, bind)
    if is_purchase and trade.items:
        # Of an order with lines the default path leads to nothing: its lines say what was bought.
        lines = _line_ids(trade, bind)
        found = f"CASE WHEN len({found}) > 0 THEN {found} ELSE {lines} END"
    return (
        "INSERT INTO liked SELECT profile_id, seq, happened, item, "
        f"{bind.number(signal.weight)}, {bind(is_purchase)} FROM (SELECT profile_id, seq, "
        f"happened, unnest({found}) AS item FROM events SEMI JOIN people USING (profile_id) "
        f"WHERE name = {bind(signal.event)} AND {is_behaviour(bind)})"
    )


def _given_back(trade: Purchases, bind: Binding) -> str:
    own = f"list_filter([item_of({at_path(trade.item, bind)})], lambda e: e IS NOT NULL)"
    found = own
    if trade.items:
        lines = _line_ids(trade, bind)
        found = f"CASE WHEN len({lines}) > 0 THEN {lines} ELSE {own} END"
    return (
        f"INSERT INTO returned SELECT profile_id, happened, unnest({found}) AS item FROM events "
        f"SEMI JOIN people USING (profile_id) WHERE name = {bind(trade.returned)}"
    )


def _rated(rating: Rating, bind: Binding) -> str:
    value = f"number_of({at_path(rating.value, bind)})"
    low, high = rating.scale
    return (
        "INSERT INTO liked SELECT profile_id, seq, happened, item, stars, FALSE FROM "
        f"(SELECT profile_id, seq, happened, {value} AS stars, "
        f"unnest({_ids(rating.item, bind)}) AS item "
        "FROM events SEMI JOIN people USING (profile_id) "
        f"WHERE name = {bind(rating.event)} AND {is_behaviour(bind)}) "
        f"WHERE stars BETWEEN {bind.number(low)} AND {bind.number(high)}"
    )


def _ids(path: str, bind: Binding) -> str:
    """The list of the items that a path leads to; `*` leads to every element of a list."""
    if "*" not in path.split("."):
        return _texts(f"[item_of({at_path(path, bind)})]")
    root, *rest = path.split(".")
    found = all_at(root, rest, bind)
    return _texts(f"list_transform({found}, lambda e: item_of(e))")


def _line_ids(trade: Purchases, bind: Binding) -> str:
    lines = f"coalesce(listed({at_path(trade.items, bind)}), []::JSON[])"
    item = f"item_of({follow('e', trade.item.split('.'), bind)})"
    return _texts(f"list_transform({lines}, lambda e: {item})")


def _texts(values: str) -> str:
    return f"list_filter({values}, lambda e: e IS NOT NULL)"
