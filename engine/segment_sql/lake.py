"""The tables that the statements read, in a DuckDB of bounded memory that lives for one question.

    profiles(profile_id, external_id, zone, known_from)       known_from: the first instant we knew
    events(profile_id, seq, name, happened, properties, context)
    traits(profile_id, name, value, happened, place)          a row a change; `place` orders them
    consents(profile_id, channel, topic, granted, happened, place)
    withdrawn(profile_id, channel, topic, happened)
    scores(profile_id, model, value, percentile, label, since, until)      of champion runs

Instants are microseconds, `properties`, `context` and `value` JSON. What SQL would read more
leniently than the core does (dates, zones, hashes) is a function of the core's, registered here.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import duckdb
import msgspec
from duckdb.func import SPECIAL

from engine.core import clocktime
from engine.core.conditions.comparisons import (
    TimedTest,
    as_instant,
    as_local_instant,
    compile_timed,
)
from engine.core.conditions.of_people import is_sampled, listed_value
from engine.core.features.latest import TEXT_LENGTH_MAX
from engine.core.model.conditions import Comparison, Operator, SampleCondition
from engine.core.model.instants import Instant, ProfileId
from engine.core.model.people import Profile

MEMORY: Final = "256MB"
"""What DuckDB may hold; beyond it, it spills to its folder."""
THREADS: Final = 2

_Config = dict[str, str | bool | int | float | list[str]]

_TABLES: Final = {
    "profiles": "profile_id BIGINT, external_id VARCHAR, zone VARCHAR, known_from BIGINT",
    "events": "profile_id BIGINT, seq BIGINT, name VARCHAR, happened BIGINT, properties VARCHAR, "
    "context VARCHAR",
    "traits": "profile_id BIGINT, name VARCHAR, value JSON, happened BIGINT, place BIGINT",
    "consents": "profile_id BIGINT, channel VARCHAR, topic VARCHAR, granted BOOLEAN, "
    "happened BIGINT, place BIGINT",
    "withdrawn": "profile_id BIGINT, channel VARCHAR, topic VARCHAR, happened BIGINT",
    "scores": "profile_id BIGINT, model VARCHAR, value DOUBLE, percentile DOUBLE, label VARCHAR, "
    "since BIGINT, until BIGINT",
}


_MACROS: Final = {
    "text_of(it)": "CASE WHEN json_type(it) = 'VARCHAR' THEN json_extract_string(it, '$') END",
    "number_of(it)": "CASE WHEN json_type(it) IN ('UBIGINT', 'BIGINT', 'HUGEINT', 'UHUGEINT', "
    "'DOUBLE') THEN CAST(it AS DOUBLE) END",
    # What is kept of a device or place: single values, and no text that is too long to name one.
    "single(it)": f"CASE WHEN length(text_of(it)) > {TEXT_LENGTH_MAX} "
    "OR json_type(it) IN ('OBJECT', 'ARRAY') THEN 'null' ELSE coalesce(it::VARCHAR, 'null') END",
}
"""JSON's values as the core types them, by the name they have in a statement."""


class Lake:
    """An open lake. Rows come in bulk by table; statements come from `statement`."""

    def __init__(self, duck: duckdb.DuckDBPyConnection) -> None:
        self.duck = duck
        for name, columns in _TABLES.items():
            duck.execute(f"CREATE TABLE {name} ({columns})")
        for name, meaning in _MACROS.items():
            duck.execute(f"CREATE MACRO {name} AS {meaning}")
        for name, (function, takes, gives) in _FUNCTIONS.items():
            duck.create_function(name, function, list(takes), gives, null_handling=SPECIAL)

    def append(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows in the order of the table's columns."""
        if rows:
            appender = self.duck.appender(table)
            appender.append_rows(rows)
            appender.flush()

    def select(self, text: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        """The rows of one statement."""
        return self.duck.execute(text, values).fetchall()


@contextmanager
def open_lake(folder: Path | None = None, *, memory: str = MEMORY) -> Iterator[Lake]:
    """An empty lake, gone when the block ends.

    Args:
        folder: Where a question larger than `memory` spills to; the system's place for temporary
            files if there is no such folder.
    """
    if folder is not None and not folder.is_dir():
        folder = None
    with tempfile.TemporaryDirectory(prefix="lake-", dir=folder) as spill:
        config: _Config = {"memory_limit": memory, "threads": THREADS, "temp_directory": spill}
        with duckdb.connect(":memory:", config=config) as duck:
            duck.execute("SET preserve_insertion_order = false")
            lake = Lake(duck)
            yield lake
            del lake.duck  # whoever still holds the lake keeps no closed database alive


def _is_near_anniversary(text: str | None, zone: str, now: Instant, span: int) -> bool:
    return text is not None and _timed("anniversary_within", span)(text, now, zone)[0]


@lru_cache(maxsize=256)
def _timed(operator: Operator, span: int) -> TimedTest:
    return compile_timed(Comparison(operator, span))


def _minute_of_week(now: Instant, zone: str) -> int:
    """What clocks in the zone show, in minutes since Monday 00:00."""
    local = clocktime.local_time(now, zone)
    return (local.weekday() * 24 + local.hour) * 60 + local.minute


def _is_sampled(profile_id: int, salt: str, percent: float) -> bool:
    return is_sampled(Profile(ProfileId(profile_id), "UTC"), SampleCondition(percent, salt))


def _listed_text(value: str | None) -> str | None:
    """The text of a JSON value that the values of a list are compared with."""
    if value is None:
        return None
    return listed_value(Profile(ProfileId(0), "UTC", {"it": _json.decode(value)}), ("it",))


def _iso(instant: Instant | None) -> str | None:
    return None if instant is None else clocktime.iso(instant)


_json: Final = msgspec.json.Decoder()

_FUNCTIONS: Final[dict[str, tuple[Callable[..., Any], list[str], str]]] = {
    "instant_of": (as_instant, ["VARCHAR"], "BIGINT"),
    "local_instant_of": (as_local_instant, ["VARCHAR", "VARCHAR"], "BIGINT"),
    "is_near_anniversary": (
        _is_near_anniversary,
        ["VARCHAR", "VARCHAR", "BIGINT", "BIGINT"],
        "BOOLEAN",
    ),
    "minute_of_week": (_minute_of_week, ["BIGINT", "VARCHAR"], "BIGINT"),
    "is_sampled": (_is_sampled, ["BIGINT", "VARCHAR", "DOUBLE"], "BOOLEAN"),
    "listed_text": (_listed_text, ["VARCHAR"], "VARCHAR"),
    "iso": (_iso, ["BIGINT"], "VARCHAR"),
}
"""What the core reads more strictly than SQL would, by the name it has in a statement."""
