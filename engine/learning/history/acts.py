"""What people did, poured into the lake in narrow columns: JSON is read once, while it passes.

    acts(profile_id, seq, happened, is_purchase, is_return, opened, clicked, amount,
         device, place, device_zone, country_zone)
    chosen(profile_id, category, weight)

`amount` is money in millionths, whole, so that a sum is the same in whatever order it is made;
what a return took is negative. `device` and `place` are JSON as the event had it. `opened` and
`clicked` hold the message. What a person did not do is left out: our own events, a provider's
notices (`NOT_BEHAVIOUR`), what machines opened or clicked, and bots.
"""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from campaigns.models import Learning, Purchases
from engine.core.features.sessions import NOT_BEHAVIOUR
from engine.learning.history.known import Known
from engine.segment_sql.binding import Binding
from engine.segment_sql.paths import follow
from engine.store.connection import Connection
from engine.store.events import OWN

if TYPE_CHECKING:
    from engine.segment_sql.lake import Lake

MILLION: Final = 1_000_000
OPENED: Final = "Message Opened"
CLICKED: Final = "Message Clicked"
LAID: Final = 240_000
"""Rows read at once: DuckDB gives each thread 122,880."""
PURCHASE_WEIGHT: Final = 5
"""Of a category that was bought, where one that was looked at has 1."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9_]+")
_PARAMETER: Final = re.compile(r"\$(p\d+)")

_ACTS: Final = (
    "profile_id BIGINT, seq BIGINT, happened BIGINT, is_purchase BOOLEAN, is_return BOOLEAN, "
    "opened BIGINT, clicked BIGINT, amount HUGEINT, device VARCHAR, place VARCHAR, "
    "device_zone VARCHAR, country_zone VARCHAR"
)
_CHOSEN: Final = "profile_id BIGINT, category VARCHAR, weight BIGINT"

MACROS: Final = {
    # An id or a category is a text: 7, 7.0, "7" and " 7 " are one; true, null, lists are none.
    "item_of(it)": "CASE json_type(it) WHEN 'VARCHAR' "
    "THEN nullif(trim(json_extract_string(it, '$')), '') "
    "WHEN 'DOUBLE' THEN CASE WHEN CAST(it AS DOUBLE) = trunc(CAST(it AS DOUBLE)) "
    "AND abs(CAST(it AS DOUBLE)) < 9007199254740992 "
    "THEN CAST(CAST(CAST(it AS DOUBLE) AS BIGINT) AS VARCHAR) "
    "ELSE CAST(CAST(it AS DOUBLE) AS VARCHAR) END "
    "WHEN 'UBIGINT' THEN CAST(it AS VARCHAR) WHEN 'BIGINT' THEN CAST(it AS VARCHAR) END",
    "millionths(it)": f"TRY_CAST(round(number_of(it) * {MILLION}) AS HUGEINT)",
    "listed(it)": "CASE WHEN json_type(it) = 'ARRAY' "
    "THEN CAST(json_extract(it, '$[*]') AS JSON[]) END",
}
"""Readings of JSON values, by the name they have in a statement."""


def pour_acts(
    connection: Connection, lake: "Lake", known: Known, learning: Learning, *, only_trade: bool
) -> None:
    """Fill `acts` and `chosen`.

    Args:
        only_trade: Purchases and returns are enough.
    """
    lake.duck.execute(f"CREATE OR REPLACE TABLE acts ({_ACTS})")
    lake.duck.execute(f"CREATE OR REPLACE TABLE chosen ({_CHOSEN})")
    trade = learning.purchases
    named = sorted({trade.event, trade.returned})
    ours = sorted(NOT_BEHAVIOUR - set(named))
    where = f"name IN ({marks(named)})" if only_trade else f"name NOT IN ({marks(ours)})"
    bind = Binding()
    statements = [_acts_sql(trade, bind)]
    if not only_trade:
        statements += _chosen_sql(trade, learning.sensitive, bind)

    pour_log(
        connection,
        lake,
        known,
        statements,
        bind,
        where=where,
        params=named if only_trade else ours,
    )


def pour_log(
    connection: Connection,
    lake: "Lake",
    known: Known,
    statements: Sequence[str],
    bind: Binding,
    *,
    where: str,
    params: Sequence[object],
    is_own_read: bool = False,
) -> None:
    """Lay the log into the lake's `events`, a batch at a time, and run statements upon each.

    Args:
        bind: Of the values that the statements name.
        where: Which rows, beside those that are known.
        is_own_read: Events that the engine itself wrote are wanted, too.
    """
    from engine.segment_sql.stream import read_log

    if not is_own_read:
        where = f"{where} AND flags <> {OWN}"
    columns = ("profile_id", "seq", "name", "at", "properties", "context")
    asked = (*params, *known.params)
    n_waiting = 0
    for rows in read_log(connection, columns, f"{where} AND {known.where}", asked, seq=1):
        lake.append("events", rows)
        n_waiting += len(rows)
        if n_waiting >= LAID:
            _settle(lake, statements, bind)
            n_waiting = 0
    _settle(lake, statements, bind)


def _settle(lake: "Lake", statements: Sequence[str], bind: Binding) -> None:
    for statement in statements:
        lake.duck.execute(statement, _used(statement, bind))
    lake.duck.execute("TRUNCATE events")


def marks(values: Iterable[object]) -> str:
    """As many `?` as there are values."""
    return ", ".join("?" for _ in values)


def at_path(path: str, bind: Binding) -> str:
    """The value at a dotted path of an event, `properties.revenue`."""
    root, *rest = path.split(".")
    if root not in ("properties", "context"):
        root, rest = "properties", path.split(".")
    return follow(root, rest, bind)


def is_behaviour(bind: Binding) -> str:
    """Whether a person did what a row of `events` says: no machine, no bot."""
    told = f"name IN ({bind(OPENED)}, {bind(CLICKED)})"
    machine = "CAST(json_extract(properties, '/is_machine') AS VARCHAR)"
    kind = "json_extract_string(context, '/device/type')"
    # A CASE reads JSON only where its condition holds; few contexts hold the word at all.
    return (
        f"NOT CASE WHEN {told} THEN coalesce({machine} = 'true', FALSE) ELSE FALSE END "
        f"AND NOT CASE WHEN contains(context, '\"bot\"') THEN coalesce({kind} = 'bot', FALSE) "
        "ELSE FALSE END"
    )


def may_hold(path: str) -> str:
    """A quick no: whether the properties can hold the last key of a path, as text."""
    key = path.split(".")[-1]
    return f"contains(properties, '\"{key}\"')" if _PLAIN.fullmatch(key) else "TRUE"


def _acts_sql(trade: Purchases, bind: Binding) -> str:
    bought, returned = f"name = {bind(trade.event)}", f"name = {bind(trade.returned)}"
    paid = f"millionths({at_path(trade.value, bind)})"
    back = f"millionths({at_path(trade.returned_value, bind)})"
    message = "TRY_CAST(json_extract_string(properties, '/message') AS BIGINT)"
    return (
        "INSERT INTO acts SELECT profile_id, seq, happened, "
        # A purchase of less than nothing is a return, as in a ledger of invoices.
        "is_bought AND coalesce(amount >= 0, TRUE), "
        "is_back OR (is_bought AND coalesce(amount < 0, FALSE)), "
        f"opened, clicked, amount, {_object('said[1]')}, {_object('said[2]')}, "
        "nullif(said[3], ''), nullif(said[4], '') FROM ("
        f"SELECT profile_id, seq, happened, {bought} AS is_bought, {returned} AS is_back, "
        f"CASE WHEN name = {bind(OPENED)} THEN {message} END AS opened, "
        f"CASE WHEN name = {bind(CLICKED)} THEN {message} END AS clicked, "
        f"CASE WHEN {bought} THEN {paid} WHEN {returned} THEN -abs({back}) END AS amount, "
        f"json_extract_string(context, {_SAID}) AS said "
        f"FROM events SEMI JOIN people USING (profile_id) WHERE {is_behaviour(bind)})"
    )


_SAID: Final = "['/device', '/location', '/timezone', '/country_zone']"


def _object(value: str) -> str:
    """A JSON object with anything in it, as its text."""
    return f"CASE WHEN {value} <> '{{}}' AND starts_with({value}, '{{') THEN {value} END"


def _chosen_sql(trade: Purchases, sensitive: Sequence[str], bind: Binding) -> list[str]:
    """The categories of events about one product, and those of lines."""
    category = trade.category.split(".")
    hidden = "".join(f" AND category <> {bind(it)}" for it in sensitive)
    weight = f"CASE WHEN name = {bind(trade.event)} THEN {PURCHASE_WEIGHT} ELSE 1 END AS weight"
    where = f"name <> {bind(trade.returned)} AND {is_behaviour(bind)}"
    acted = "FROM events SEMI JOIN people USING (profile_id)"
    n_lines, lines = "0", ""
    if trade.items:
        lines = f"listed({at_path(trade.items, bind)})"
        n_lines = f"CASE WHEN {may_hold(trade.items)} THEN coalesce(len({lines}), 0) ELSE 0 END"
    found = [
        # In two steps, or the JSON is read again for every branch of item_of.
        "SELECT profile_id, item_of(told) AS category, weight FROM (SELECT profile_id, "
        f"{follow('properties', category, bind)} AS told, {weight} "
        f"{acted} WHERE {may_hold(trade.category)} AND {n_lines} = 0 AND {where})"
    ]
    if lines:
        found.append(
            f"SELECT profile_id, item_of({follow('line', category, bind)}) AS category, weight "
            f"FROM (SELECT profile_id, {weight}, unnest({lines}) AS line {acted} "
            f"WHERE {n_lines} > 0 AND {where})"
        )
    return [
        f"INSERT INTO chosen SELECT profile_id, category, weight FROM ({it}) "
        f"WHERE category IS NOT NULL{hidden}"
        for it in found
    ]


def _used(statement: str, bind: Binding) -> dict[str, object]:
    """The parameters that a statement names: it may be given no others."""
    names = set(_PARAMETER.findall(statement))
    return {name: value for name, value in bind.values.items() if name in names}
