"""What people were known to be at an instant: traits, by the last event that told of each.

    told(profile_id, name, value, seq)        a row a change that was known

Only what the log dates is read: a trait that an `update` step set has no date that a past instant
could be asked about. A trait that is sealed is refused.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from engine.core.conditions.comparisons import as_instant
from engine.core.model.instants import DAY, Instant
from engine.learning.history.known import Known
from engine.learning.refusals import Refused
from engine.store.connection import Connection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from engine.segment_sql.lake import Lake

NUMBERS: Final = frozenset({"number", "integer", "boolean"})
DATES: Final = frozenset({"date", "datetime"})
DAYS_AGO: Final = ":days_ago"
_raw: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def pour_told(connection: Connection, lake: "Lake", known: Known, names: Sequence[str]) -> None:
    """Fill `told` with the changes of these traits.

    Raises:
        Refused: If one of them holds personal data.
    """
    from engine.segment_sql.stream import read_log

    lake.duck.execute(
        "CREATE OR REPLACE TABLE told (profile_id BIGINT, name VARCHAR, value JSON, seq BIGINT)"
    )
    if not names:
        return
    wanted = set(names)
    columns = ("profile_id", "seq", "traits")
    where = f"traits IS NOT NULL AND {known.where}"
    for rows in read_log(connection, columns, where, known.params, seq=1):
        changes = []
        for profile_id, seq, text in rows:
            values = _raw.decode(text)
            for name in wanted & values.keys():
                value = bytes(values[name]).decode()
                if value.startswith("{") and '"$sealed"' in value:
                    raise personal(name)
                changes.append((profile_id, name, value, seq))
        lake.append("told", changes)


def personal(name: str) -> Refused:
    """The refusal of a trait that is pii."""
    return Refused(
        f'the trait "{name}" is personal data (pii), which no model reads',
        f"keep what may be learnt from in a trait of its own, such as {name}_kind",
    )


def trait_columns(
    lake: "Lake",
    name: str,
    declared: str,
    ids: "NDArray[np.int64]",
    as_of: Instant,
) -> tuple[str, "NDArray[Any]"]:
    """The column of a trait: its name, and float64 or text values in the order of `ids`.

    Numbers and booleans become numbers, dates the days they lie before `as_of`
    (`traits.NAME:days_ago`, negative for one that is still to come), all else text. A value of
    another type than the declared one counts as missing; without a declaration a trait is a number
    if every value of it is one.
    """
    import numpy as np

    found: Mapping[int, Any] = {
        profile_id: msgspec.json.decode(value)
        for profile_id, value in lake.select(
            "SELECT profile_id, arg_max(value, seq) FROM told SEMI JOIN people USING (profile_id) "
            "WHERE name = $name GROUP BY profile_id",
            {"name": name},
        )
    }
    values = [found.get(it) for it in ids.tolist()]
    column = f"traits.{name}"
    if declared in DATES:
        return column + DAYS_AGO, np.array([_days_ago(it, as_of) for it in values], dtype=float)
    if declared in NUMBERS or (not declared and _are_numbers(values)):
        return column, np.array([_number(it) for it in values], dtype=float)
    return column, np.array([_text(it) for it in values], dtype=np.str_)


def _are_numbers(values: Sequence[Any]) -> bool:
    said = [it for it in values if it is not None]
    return bool(said) and all(isinstance(it, int | float) for it in said)


def _number(value: Any) -> float:
    if isinstance(value, int | float) and abs(value) < 1e300:
        return float(value)
    return float("nan")


def _days_ago(value: Any, as_of: Instant) -> float:
    instant = as_instant(value)
    return float("nan") if instant is None else (as_of - instant) / DAY


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else ""
