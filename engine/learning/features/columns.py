"""Every column that is known of a person: its group, and what stands where nothing is to be known.

Two kinds of missing are kept apart. A gap (a trait nobody filled in) is NaN and may be imputed. Who
never bought has no last purchase: there is nothing to guess, so a flag says it and a fixed value
stands in the column (`Absent`). Read next: `encoding`.
"""

from dataclasses import dataclass
from typing import Final, Literal

NEVER_BOUGHT: Final = "never_bought"
NEVER_ACTED: Final = "never_acted"
NEVER_CHOSE: Final = "never_chose"
NEVER_MESSAGED: Final = "never_messaged"
FLAGS: Final = (NEVER_BOUGHT, NEVER_ACTED, NEVER_CHOSE, NEVER_MESSAGED)

HOURS: Final = tuple(f"hour:{hour:02}" for hour in range(24))
AFFINITY: Final = "affinity:"
OTHER: Final = "other"
TRAIT: Final = "traits."


@dataclass(frozen=True)
class Absent:
    """What stands in a column for people whom its `flag` marks.

    `by` is `most` (the greatest of the training: longer ago than for anybody), `typical` (its
    median) or `fixed` (`value`).
    """

    flag: str
    by: Literal["most", "typical", "fixed"]
    value: float = 0.0


ABSENT: Final[dict[str, Absent]] = {
    "recency_days": Absent(NEVER_BOUGHT, "most"),
    "interaction_recency_days": Absent(NEVER_ACTED, "most"),
    "session_minutes": Absent(NEVER_ACTED, "fixed"),
    "session_events": Absent(NEVER_ACTED, "fixed"),
    **{hour: Absent(NEVER_ACTED, "fixed", 1 / 24) for hour in HOURS},
    "open_rate": Absent(NEVER_MESSAGED, "typical"),
    "click_rate": Absent(NEVER_MESSAGED, "typical"),
}
"""Columns in which there may be nothing to know. `affinity:…` is 0 where `never_chose`."""

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "recency": ("recency_days", NEVER_BOUGHT),
    "frequency": ("frequency",),
    "monetary": ("monetary",),
    "tenure": ("tenure_days",),
    "interactions": (
        "interaction_recency_days", "n_interactions_7d", "n_interactions_30d",
        "n_interactions_90d", NEVER_ACTED,
    ),
    "sessions": ("n_sessions", "n_sessions_30d", "session_minutes", "session_events", NEVER_ACTED),
    "affinities": (NEVER_CHOSE,),
    "device": ("device", "os"),
    "place": ("country", "zone"),
    "hours": (*HOURS, NEVER_ACTED),
    "engagement": ("n_sent", "open_rate", "click_rate", NEVER_MESSAGED),
}  # fmt: skip
"""The columns of each of `campaigns.models.FEATURES`; of `affinities` the flag, beside `shares`."""

TEXTS: Final = frozenset({"device", "os", "country", "zone"})


def columns_of(names: "tuple[str, ...]") -> tuple[str, ...]:
    """The columns of these groups, each once and always in the same order.

    >>> columns_of(("monetary", "recency"))
    ('recency_days', 'never_bought', 'monetary')
    """
    found = [column for group in GROUPS if group in names for column in GROUPS[group]]
    return tuple(dict.fromkeys(found))
