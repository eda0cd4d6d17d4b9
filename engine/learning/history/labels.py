"""What became of people within a span: the answers that scores are trained on."""

from typing import TYPE_CHECKING

from campaigns.models import Target
from engine.core.model.conditions import EventMatch
from engine.core.model.instants import Instant
from engine.learning.history.acts import at_path, pour_log
from engine.learning.history.known import Known
from engine.learning.refusals import Refused
from engine.segment_sql.events import match_sql
from engine.segment_sql.plan import Plan
from engine.store.connection import Connection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from engine.segment_sql.lake import Lake


def labels_of(
    connection: Connection,
    lake: "Lake",
    known: Known,
    target: Target,
    *,
    starts: Instant,
    ids: "NDArray[np.int64]",
) -> "NDArray[np.float64]":
    """For each of `ids`: 1 or 0 where the target happens (or not), else its count or its sum.

    An event counts in [starts, starts + within), whoever caused it. A sum leaves out values that
    are no numbers.

    Raises:
        Refused: If the span had not ended as of the history's instant: nobody can know yet.
    """
    import numpy as np

    ends = starts + target.within
    if ends > known.as_of:
        raise Refused(
            "what followed is not known yet: the span that is foretold ends after the instant the "
            "history is read as of",
            "begin earlier, or read the history as of a later instant",
        )
    plan = Plan({}, session_gap=0, lists={})
    match = match_sql(plan, EventMatch(target.event, target.where))
    value = f"millionths({at_path(target.value, plan.bind)})" if target.value else "NULL::HUGEINT"
    lake.duck.execute("CREATE OR REPLACE TABLE followed (profile_id BIGINT, value HUGEINT)")
    statement = f"INSERT INTO followed SELECT profile_id, {value} FROM events WHERE {match}"
    pour_log(
        connection,
        lake,
        Known(ends, known.told_by, starts),
        [statement],
        plan.bind,
        where="name = ?",
        params=[target.event],
        is_own_read=True,
    )
    measured = "coalesce(sum(value), 0) / 1000000e0" if target.measure == "sum" else "count(*)"
    found = dict(
        lake.select(f"SELECT profile_id, {measured} FROM followed GROUP BY profile_id", {})
    )
    values = np.array([found.get(it, 0) for it in ids.tolist()], dtype=np.float64)
    if target.measure == "happens":
        values = (values > 0).astype(np.float64)
        return 1.0 - values if target.is_negated else values
    return values
