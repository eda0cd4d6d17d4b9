"""Keeping to a warm-up: how many attempts today's ceiling still has room for.

The count is of committed attempts, taken in the transaction that commits the next ones: a restart
forgets nothing, and several workers together keep one ceiling. Transactional messages are counted
and never held: somebody waits for them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from channels.warm_up import WarmUp, ceiling, day_began, next_day
from engine.core.clocktime import iso
from engine.core.model import Instant
from engine.sending.routes import Route
from engine.store import bulk
from engine.store.connection import Connection

if TYPE_CHECKING:
    from engine.sending.attempts import Ready, Verdict

_COUNT = (
    "SELECT count(*) FROM (SELECT 1 FROM attempt WHERE account = ? AND started_at >= ? "
    "AND outcome NOT IN ('throttled', 'not_sent') LIMIT ?) today"
)


def left(connection: Connection, route: Route, plan: WarmUp, now: Instant) -> int:
    """How many messages may still go out today; very many once the warm-up is over."""
    most = ceiling(plan, now=now)
    if most is None:
        return 2**31
    rows = connection.execute(_COUNT, (route.account, day_began(now), most))
    return most - int(rows[0][0])


def within(
    connection: Connection,
    route: Route,
    plan: WarmUp,
    allowed: "Sequence[Ready]",
    verdicts: "list[Verdict]",
    *,
    now: Instant,
) -> "list[Ready]":
    """Those that today's ceiling has room for, in the transaction of their attempts."""
    if connection.dialect == "postgresql":
        bulk.last(connection, f"warm-up of {route.account}")  # one worker after the other counts
    n = left(connection, route, plan, now)
    verdicts += [put_off(it.queued.id, route, plan, now=now) for it in allowed[n:]]
    return list(allowed[:n])


def put_off(message: int, route: Route, plan: WarmUp, *, now: Instant) -> "Verdict":
    """The verdict on a message that today has no room for: another day, or another channel."""
    at = next_day(now)
    if not route.is_own:
        # It stands in: the channel itself may be back long before tomorrow.
        why = f"warm-up of the backup {route.account}: today's messages have gone out"
        return message, "queued", why, min(at, route.own_opens_at)
    why = f"warm-up: {ceiling(plan, now=now):,} messages today, the next day opens {iso(at)}"
    return message, "queued", why, at
