"""Keeping to a warm-up: how many attempts today's ceiling still has room for.

The count is of committed attempts, taken in the transaction that commits the next ones: a restart
forgets nothing, and several workers together keep one ceiling. Transactional messages are counted
and never held: somebody waits for them.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from channels.warm_up import WarmUp, ceiling, day_began, next_day
from engine.core.clocktime import iso
from engine.core.model.instants import MINUTE, NEVER, Instant
from engine.sending.ready import Ready, Verdict
from engine.sending.routes import Route
from engine.store import bulk
from engine.store.connection import Connection

SETTLED: Final = 10 * MINUTE
"""An attempt this old has its outcome, and whoever committed it has done so: it is counted once."""
_COUNT: Final = (
    "SELECT count(*) FROM attempt WHERE account = ? AND started_at >= ? AND started_at < ? "
    "AND outcome NOT IN ('throttled', 'not_sent')"
)


class _Counted(NamedTuple):
    """How many attempts there were since the day began and before `until`."""

    day: Instant
    until: Instant
    n: int


class Ceilings:
    """What today's ceilings leave, by channel. Late in a warm-up a day has millions of attempts, so
    those that are settled are remembered."""

    def __init__(self) -> None:
        self._counted: dict[str, _Counted] = {}

    def left(self, connection: Connection, route: Route, plan: WarmUp, *, now: Instant) -> int:
        """How many messages may still go out today; very many once the warm-up is over."""
        most = ceiling(plan, now=now)
        if most is None:
            return 2**31
        return max(0, most - self._n_today(connection, route.account, now=now))

    def within(
        self,
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
            # One worker after the other counts.
            bulk.last(connection, f"warm-up of {route.account}")
        n = self.left(connection, route, plan, now=now)
        verdicts += [put_off(it.queued.id, route, plan, now=now) for it in allowed[n:]]
        return list(allowed[:n])

    def _n_today(self, connection: Connection, account: str, *, now: Instant) -> int:
        day = day_began(now)
        known = self._counted.get(account, _Counted(day, day, 0))
        if known.day != day or known.until > now:  # another day, or the clock was set back
            known = _Counted(day, day, 0)
        if now - known.until > 2 * SETTLED:
            until = now - SETTLED
            n = known.n + _count(connection, account, known.until, until)
            known = self._counted[account] = _Counted(day, until, n)
        return known.n + _count(connection, account, known.until, NEVER)


def _count(connection: Connection, account: str, since: Instant, until: Instant) -> int:
    return int(connection.execute(_COUNT, (account, since, until))[0][0])


def put_off(message: int, route: Route, plan: WarmUp, *, now: Instant) -> "Verdict":
    """The verdict on a message that today has no room for: another day, or another channel."""
    at = next_day(now)
    if not route.is_own:
        # It stands in: the channel itself may be back long before tomorrow.
        why = f"warm-up of the backup {route.account}: today's messages have gone out"
        return message, "queued", why, min(at, route.own_opens_at)
    why = f"warm-up: {ceiling(plan, now=now):,} messages today, the next day opens {iso(at)}"
    return message, "queued", why, at
