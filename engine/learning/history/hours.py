"""At which hours of their week people act, and at which they were sent to."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from engine.core.model.instants import DAY, MINUTE
from engine.learning.history.acts import is_behaviour, marks, pour_log
from engine.learning.history.clocks import local, with_clocks
from engine.learning.history.findings import HOURS_A_WEEK, Hours
from engine.learning.history.known import Known
from engine.segment_sql.binding import Binding
from engine.store.connection import Connection

if TYPE_CHECKING:
    from engine.segment_sql.lake import Lake

HOUR: Final = 60 * MINUTE
MONDAY: Final = 4 * DAY
"""1970-01-01 was a Thursday: the first Monday is four days on."""

BURST: Final = MINUTE
"""Acts that follow each other faster are one: who clicks four links of one message was there once,
and has shown their hour once."""

_APART: Final = (
    "CREATE OR REPLACE TABLE acted AS SELECT profile_id, happened FROM ("
    "SELECT profile_id, happened, coalesce(happened - lag(happened) OVER "
    "(PARTITION BY profile_id ORDER BY happened) > $burst, TRUE) AS is_first FROM acted) "
    "WHERE is_first"
)

_VISITS: Final = (
    "INSERT INTO acted SELECT profile_id, happened FROM (SELECT profile_id, happened, "
    "coalesce(happened - lag(happened) OVER (PARTITION BY profile_id ORDER BY happened) > $gap, "
    "TRUE) AS is_first FROM acts) WHERE is_first"
)


def pour_acted(connection: Connection, lake: "Lake", known: Known, events: Sequence[str]) -> None:
    """Lay the instants of these events, as people caused them, into `acted`, a burst once."""
    lake.duck.execute("CREATE OR REPLACE TABLE acted (profile_id BIGINT, happened BIGINT)")
    if not events:
        return
    bind = Binding()
    statement = (
        "INSERT INTO acted SELECT profile_id, happened FROM events "
        f"SEMI JOIN people USING (profile_id) WHERE {is_behaviour(bind)}"
    )
    pour_log(
        connection,
        lake,
        known,
        [statement],
        bind,
        where=f"name IN ({marks(events)})",
        params=list(events),
    )
    lake.duck.execute(_APART, {"burst": BURST})


def add_visits(lake: "Lake", gap: int) -> None:
    """Let the beginning of each session count as acting."""
    lake.duck.execute(_VISITS, {"gap": gap})


def counted(lake: "Lake") -> Hours:
    """Acts and sends by person and hour; `acted`, `sent`, `zones` and `offsets` are poured."""
    import numpy as np

    hour = f"({local()} - {MONDAY} + {7 * DAY}) // {HOUR} % {HOURS_A_WEEK}"
    rows = lake.duck.execute(
        "SELECT profile_id, hour, sum(acts) AS acts, sum(sends) AS sends FROM ("
        f"SELECT profile_id, {hour} AS hour, 1 AS acts, 0 AS sends FROM {with_clocks('acted')} "
        f"UNION ALL SELECT profile_id, {hour}, 0, 1 FROM {with_clocks('sent')}) "
        "SEMI JOIN asked USING (profile_id) GROUP BY ALL ORDER BY profile_id, hour"
    ).fetchnumpy()
    return Hours(
        np.asarray(rows["profile_id"], dtype=np.int64),
        np.asarray(rows["hour"], dtype=np.int64),
        np.asarray(rows["acts"], dtype=np.float64),
        np.asarray(rows["sends"], dtype=np.float64),
    )
