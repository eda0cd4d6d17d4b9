"""The table of features: asks each measure, lines its rows up with the people, sets the flags."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from campaigns.problems import advice
from engine.core.model.instants import DAY
from engine.learning.features.columns import (
    GROUPS,
    NEVER_ACTED,
    NEVER_BOUGHT,
    NEVER_CHOSE,
    NEVER_MESSAGED,
    TEXTS,
    TRAIT,
    columns_of,
)
from engine.learning.features.table import FeatureTable, Shares
from engine.learning.history.measures import MEASURES, OF, Measure
from engine.learning.history.reading import Reading
from engine.learning.history.traits import personal, trait_columns
from engine.learning.refusals import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from engine.segment_sql.lake import Lake

_FLAGGED_BY: Final = {
    NEVER_BOUGHT: ("recency_days",),
    NEVER_ACTED: ("interaction_recency_days", "session_minutes", "hour:00"),
    NEVER_MESSAGED: ("open_rate",),
}
"""The columns whose NaN a flag is made of; the first that is in the table."""


@dataclass(frozen=True)
class Asked:
    """Names of features, told apart: `groups` of `GROUPS`, and `traits` by their own names."""

    groups: tuple[str, ...]
    traits: tuple[str, ...]


def asked_for(names: Sequence[str], reading: Reading, sensitive: Sequence[str]) -> Asked:
    """Read the names of features.

    Raises:
        Refused: If one is unknown, personal data, or declared `sensitive`.
    """
    groups, traits = [], []
    for name in dict.fromkeys(names):
        if name in sensitive:
            raise Refused(
                f'"{name}" is declared sensitive (learning.sensitive), and no model reads it',
                "leave it out of the model's features",
            )
        if name in GROUPS:
            groups.append(name)
        elif name.startswith(TRAIT) and len(name) > len(TRAIT):
            traits.append(_trait(name.removeprefix(TRAIT), reading))
        else:
            hint = advice(name, GROUPS)
            raise Refused(
                f'"{name}" is no feature.{hint}',
                f"features are {', '.join(GROUPS)} and traits.NAME",
            )
    if not groups and not traits:
        raise Refused("no feature is named", f"name some of {', '.join(GROUPS)} and traits.NAME")
    return Asked(tuple(groups), tuple(traits))


def _trait(name: str, reading: Reading) -> str:
    if name in reading.pii:
        raise personal(name)
    if reading.traits and name not in reading.traits:
        hint = advice(name, reading.traits)
        raise Refused(
            f'the trait "{name}" is not declared.{hint}',
            "declare it under traits: of antiphon.yaml",
        )
    return name


def table_of(
    lake: "Lake",
    asked: Asked,
    ids: "NDArray[np.int64]",
    *,
    as_of: int,
    own_zone: str,
    reading: Reading,
) -> FeatureTable:
    """The features of these people, from a lake that holds what they need."""
    import numpy as np

    lake.duck.execute("CREATE OR REPLACE TABLE asked (profile_id BIGINT)")
    lake.append("asked", [(it,) for it in ids.tolist()])
    found: dict[str, Any] = {}
    values = {
        "as_of": as_of, "gap": reading.session_gap, "day": DAY, "own_zone": own_zone,
    }  # fmt: skip
    for name in dict.fromkeys(each for group in asked.groups for each in OF[group]):
        found |= _measured(lake, MEASURES[name], values)
    for flag, columns in _FLAGGED_BY.items():
        marked = [found[it] for it in columns if it in found]
        if marked:
            found[flag] = np.isnan(marked[0]).astype(np.float64)
    shares = None
    if "affinities" in asked.groups:
        shares = _shares(lake)
        never = np.ones(len(ids))
        never[shares.rows] = 0.0
        found[NEVER_CHOSE] = never
    chosen = {name: found[name] for name in columns_of(asked.groups)}
    for name in asked.traits:
        column, told = trait_columns(lake, name, reading.traits.get(name, ""), ids, as_of)
        chosen[column] = told
    return FeatureTable(
        ids,
        as_of,
        {name: it for name, it in chosen.items() if it.dtype.kind == "f"},
        {name: it for name, it in chosen.items() if it.dtype.kind == "U"},
        shares,
    )


def _measured(
    lake: "Lake", measure: Measure, values: Mapping[str, Any]
) -> "dict[str, NDArray[Any]]":
    """The columns of one measure, in the order of `asked`."""
    import numpy as np

    columns = ", ".join(f"m.{column}" for column in measure.columns.values())
    text = (
        f"SELECT {columns} FROM asked LEFT JOIN ({measure.sql}) m USING (profile_id) "
        "ORDER BY asked.profile_id"
    )
    given = {name: it for name, it in values.items() if f"${name}" in text}
    rows = lake.duck.execute(text, given).fetchnumpy()
    found: dict[str, NDArray[Any]] = {}
    for name, column in measure.columns.items():
        masked = np.ma.asarray(rows[column])
        if name in TEXTS:
            found[name] = np.array(masked.filled("").tolist(), dtype=np.str_)
        else:
            otherwise = measure.otherwise.get(name, np.nan)
            numbers = np.ma.asarray(masked.astype(np.float64))
            found[name] = np.asarray(numbers.filled(otherwise), dtype=np.float64)
    return found


def _shares(lake: "Lake") -> Shares:
    """How each person's choices are spread over categories, by person and category."""
    import numpy as np

    rows = lake.duck.execute(
        "SELECT row, category, "
        "weight / CAST(sum(weight) OVER (PARTITION BY row) AS DOUBLE) AS share "
        "FROM (SELECT row, category, sum(weight) AS weight FROM chosen JOIN (SELECT profile_id, "
        "row_number() OVER (ORDER BY profile_id) - 1 AS row FROM asked) USING (profile_id) "
        "GROUP BY ALL) ORDER BY row, category"
    ).fetchnumpy()
    return Shares(
        np.asarray(rows["row"], dtype=np.int64),
        np.array(rows["category"].tolist(), dtype=np.str_),
        np.asarray(rows["share"], dtype=np.float64),
    )
