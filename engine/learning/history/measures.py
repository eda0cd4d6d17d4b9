"""Each group of features as one SQL statement over what was poured: a row a person.

Sums are of whole numbers, so the same history gives the same bytes whatever order it is added up
in. A column a person has no row for is missing (`Measure.otherwise` says what a count is then).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from engine.core.features.latest import KEPT
from engine.core.model.instants import DAY, MINUTE
from engine.learning.features.columns import HOURS
from engine.learning.history.acts import MILLION
from engine.learning.history.clocks import local, with_clocks

HOUR: Final = 60 * MINUTE


@dataclass(frozen=True)
class Measure:
    """One statement, by profile_id, with $as_of and $gap as parameters.

    Attributes:
        columns: Its columns by the name of the feature.
        otherwise: What counts are for people without a row.
        needs: Tables that it reads besides `acts`.
    """

    sql: str
    columns: Mapping[str, str]
    otherwise: Mapping[str, float] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()


_DAYS: Final = f"($as_of - max(happened)) / {DAY}e0"

_TRADE: Final = (
    f"SELECT profile_id, ($as_of - max(happened) FILTER (WHERE is_purchase)) / {DAY}e0 AS ago, "
    "count(DISTINCT (happened + shift) // $day) FILTER (WHERE is_purchase) AS n_days, "
    f"coalesce(sum(amount), 0) / {MILLION}e0 AS money "
    "FROM (SELECT a.*, $own_zone AS zone FROM acts a WHERE is_purchase OR is_return) l "
    "ASOF JOIN offsets o ON l.zone = o.zone AND l.happened >= o.since GROUP BY profile_id"
)
"""Days are those of the workspace's zone, as in its books: orders of one day are one occasion."""

_SESSIONS: Final = (
    "SELECT profile_id, count(*) FILTER (WHERE is_first) AS n, "
    f"count(*) FILTER (WHERE is_first AND happened >= $as_of - {30 * DAY}) AS n_30d, "
    "coalesce(sum(silence) FILTER (WHERE NOT is_first), 0) "
    f"/ ({MINUTE}e0 * count(*) FILTER (WHERE is_first)) AS minutes, "
    "count(*) / CAST(count(*) FILTER (WHERE is_first) AS DOUBLE) AS n_events "
    "FROM (SELECT profile_id, happened, silence, coalesce(silence > $gap, TRUE) AS is_first "
    "FROM (SELECT profile_id, happened, happened - lag(happened) OVER "
    "(PARTITION BY profile_id ORDER BY happened) AS silence FROM acts)) GROUP BY profile_id"
)
"""A session's length is the sum of the silences inside it."""

_INTERACTIONS: Final = (
    f"SELECT profile_id, {_DAYS} AS ago, "
    + ", ".join(
        f"count(*) FILTER (WHERE happened >= $as_of - {days * DAY}) AS n_{days}"
        for days in (7, 30, 90)
    )
    + " FROM acts GROUP BY profile_id"
)

_TENURE: Final = (
    "SELECT profile_id, ($as_of - least(known_from, coalesce(first, known_from))) "
    f"/ {DAY}e0 AS days FROM people LEFT JOIN (SELECT profile_id, min(happened) AS first FROM acts "
    "GROUP BY profile_id) USING (profile_id)"
)

_HOURS: Final = (
    "SELECT profile_id, "
    + ", ".join(
        f"count(*) FILTER (WHERE hour = {number}) / CAST(count(*) AS DOUBLE) AS h{number}"
        for number in range(24)
    )
    + f" FROM (SELECT profile_id, {local()} // {HOUR} % 24 AS hour FROM {with_clocks('acts')}) "
    "GROUP BY profile_id"
)

_ENGAGEMENT: Final = (
    "SELECT profile_id, count(*) AS n, "
    "count(*) FILTER (WHERE (profile_id, message) IN "
    "(SELECT (profile_id, opened) FROM acts WHERE opened IS NOT NULL)) "
    "/ CAST(count(*) AS DOUBLE) AS open_rate, "
    "count(*) FILTER (WHERE (profile_id, message) IN "
    "(SELECT (profile_id, clicked) FROM acts WHERE clicked IS NOT NULL)) "
    "/ CAST(count(*) AS DOUBLE) AS click_rate FROM sent GROUP BY profile_id"
)


def _latest(root: str, names: Mapping[str, str]) -> str:
    """Fields of what the last event that told of the device or the place said of it.

    Of two at one instant the text that is greater counts, as for the conditions `device` and
    `location` (`engine.core.features.latest`).
    """
    column = "device" if root == "device" else "place"
    kept = " || ',' || ".join(f"single(json_extract(it, '/{name}'))" for name in KEPT[root])
    fields = ", ".join(
        f"nullif(text_of(json_extract(said, '/{KEPT[root].index(name)}')), '') AS {alias}"
        for alias, name in names.items()
    )
    return (
        f"SELECT profile_id, {fields} FROM (SELECT profile_id, "
        "arg_max(said, {'at': happened, 'said': said}) AS said FROM acts JOIN "
        # The same few devices and places are told again and again: each is read once.
        f"(SELECT it, '[' || {kept} || ']' AS said FROM (SELECT DISTINCT {column} AS it "
        f"FROM acts)) read ON read.it = acts.{column} GROUP BY profile_id)"
    )


MEASURES: Final[dict[str, Measure]] = {
    "trade": Measure(
        _TRADE,
        {"recency_days": "ago", "frequency": "n_days", "monetary": "money"},
        {"frequency": 0, "monetary": 0},
        frozenset({"offsets"}),
    ),
    "tenure": Measure(_TENURE, {"tenure_days": "days"}),
    "interactions": Measure(
        _INTERACTIONS,
        {
            "interaction_recency_days": "ago",
            "n_interactions_7d": "n_7",
            "n_interactions_30d": "n_30",
            "n_interactions_90d": "n_90",
        },
        {"n_interactions_7d": 0, "n_interactions_30d": 0, "n_interactions_90d": 0},
    ),
    "sessions": Measure(
        _SESSIONS,
        {
            "n_sessions": "n",
            "n_sessions_30d": "n_30d",
            "session_minutes": "minutes",
            "session_events": "n_events",
        },
        {"n_sessions": 0, "n_sessions_30d": 0},
    ),
    "device": Measure(
        _latest("device", {"type": "type", "os": "os"}), {"device": "type", "os": "os"}
    ),
    "place": Measure(_latest("location", {"country": "country"}), {"country": "country"}),
    "zone": Measure(
        "SELECT profile_id, zone FROM zones", {"zone": "zone"}, {}, frozenset({"zones"})
    ),
    "hours": Measure(
        _HOURS,
        {name: f"h{number}" for number, name in enumerate(HOURS)},
        {},
        frozenset({"zones", "offsets"}),
    ),
    "engagement": Measure(
        _ENGAGEMENT,
        {"n_sent": "n", "open_rate": "open_rate", "click_rate": "click_rate"},
        {"n_sent": 0},
        frozenset({"sent"}),
    ),
}
"""Every statement, by name; `OF` says which a group of features is made of."""

OF: Final[dict[str, tuple[str, ...]]] = {
    "recency": ("trade",),
    "frequency": ("trade",),
    "monetary": ("trade",),
    "tenure": ("tenure",),
    "interactions": ("interactions",),
    "sessions": ("sessions",),
    "affinities": (),
    "device": ("device",),
    "place": ("place", "zone"),
    "hours": ("hours",),
    "engagement": ("engagement",),
}

TRADE: Final = frozenset({"recency", "frequency", "monetary"})
"""Groups for which purchases and returns are enough of a history."""
