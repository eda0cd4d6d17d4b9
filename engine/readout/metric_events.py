"""The events that any metric may count, streamed from the store into DuckDB's table `moments`."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import duckdb
import msgspec
import numpy as np

from engine.core.conditions.filters import compile_where
from engine.core.model.instants import Instant
from engine.core.model.people import Event
from engine.core.paths import MISSING, follow
from engine.readout.metric_columns import Column, Source, source_numbers
from engine.store.connection import Connection, Row

UNITS_PER_READ: Final = 5_000

_object: Final = msgspec.json.Decoder()


@dataclass(frozen=True)
class Poured:
    """What was odd among the events.

    Attributes:
        n_unreadable: Events whose value is missing or no number; each once a list of events.
        n_negative: Metric -> events whose value is below 0, where nothing says what is taken off.
    """

    n_unreadable: int = 0
    n_negative: Mapping[str, int] = field(default_factory=dict)


def pour(
    connection: Connection,
    lake: duckdb.DuckDBPyConnection,
    people: Sequence[tuple[int, Instant]],
    columns: Sequence[Column],
    *,
    as_of: Instant,
) -> Poured:
    """Stream the events of these profiles, from the columns' earliest window on.

    Args:
        people: Profile and instant of exposure.
    """
    lake.execute(
        "CREATE TABLE moments (unit BIGINT, source INTEGER, moment BIGINT, seq BIGINT,"
        " amount DOUBLE, word VARCHAR)"
    )
    numbers = source_numbers(columns)
    lists = {number: columns[i].sources[step] for (i, step), number in numbers.items()}
    metrics = {number: columns[i].metric for (i, _), number in numbers.items()}
    before = max([column.earliest for column in columns], default=0)
    events = sorted({it.match.event for sources in lists.values() for it in sources})
    # Texts are most of a row: they are left where nothing looks into them.
    texts = {event: _texts(event, lists.values()) for event in events}
    n_unreadable, n_negative = 0, Counter[str]()
    for start in range(0, len(people), UNITS_PER_READ):
        piece = people[start : start + UNITS_PER_READ]
        oldest = min(at for _, at in piece) - before
        ids = [profile_id for profile_id, _ in piece]
        for event in events:
            rows = connection.select_in(
                f"SELECT profile_id, at, name, {texts[event]}, seq FROM event "
                "WHERE profile_id IN (?) AND name = ? AND at > ? AND at <= ?",
                ids,
                (event, oldest, as_of),
            )
            for number, sources in lists.items():
                for source in sources:
                    if source.match.event == event:
                        odd = _insert(lake, number, source, rows)
                        n_unreadable += odd[0]
                        n_negative[metrics[number]] += odd[1] if len(sources) == 1 else 0
    return Poured(n_unreadable, {name: n for name, n in n_negative.items() if n})


def _insert(
    lake: duckdb.DuckDBPyConnection, number: int, source: Source, rows: Sequence[Row]
) -> tuple[int, int]:
    """Write the events that pass; give how many had no readable value, and one below 0."""
    test = compile_where(source.match.where)
    if test is not None:
        rows = [row for row in rows if test(_event(row))]
    if not rows:
        return 0, 0
    values = [1.0 if source.value is None else _read(row, source) for row in rows]
    amounts = [0.0 if isinstance(value, str) else value for value in values]
    poured = {
        "unit": np.array([row[0] for row in rows], dtype=np.int64),
        "moment": np.array([row[1] for row in rows], dtype=np.int64),
        "seq": np.array([row[5] for row in rows], dtype=np.int64),
        "amount": np.array([0.0 if it is None else source.sign * it for it in amounts]),
        "is_there": np.array([value is not None for value in values]),
    }
    if source.is_word:
        poured["word"] = np.array([value or "" for value in values], dtype=object)
    lake.register("poured", poured)
    word = "CASE WHEN is_there THEN word END" if source.is_word else "NULL"
    lake.execute(
        f"INSERT INTO moments SELECT unit, {number}, moment, seq,"
        f" CASE WHEN is_there THEN amount END, {word} FROM poured"
    )
    lake.unregister("poured")
    return (
        sum(value is None for value in values),
        sum(isinstance(value, float) and value < 0 for value in values),
    )


def _texts(event: str, lists: Iterable[Sequence[Source]]) -> str:
    chosen = [it for sources in lists for it in sources if it.match.event == event]
    if all(it.value is None and compile_where(it.match.where) is None for it in chosen):
        return "'' AS properties, '' AS context"
    return "properties, context"


def _event(row: Row) -> Event:
    _, at, name, properties, context, _ = row
    return Event(0, name, at, at, _object.decode(properties), _object.decode(context))


def _read(row: Row, source: Source) -> float | str | None:
    """A number, or a word that tells the value apart; None if there is none."""
    assert source.value is not None
    text = row[3] if source.value[0] == "properties" else row[4]
    found: Any = follow(_object.decode(text), source.value[1:])
    if source.is_word:
        return None if found is None or found is MISSING else _word(found)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found)


def _word(found: Any) -> str:
    """1 and 1.0 are the same value, "1" and true are others."""
    if isinstance(found, int | float) and not isinstance(found, bool):
        found = float(found)
    return msgspec.json.encode(found, order="sorted").decode()
