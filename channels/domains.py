"""How fast we write to one mailbox provider, and when we leave it alone, by the recipient's domain.

As `pace`: plain state over instants that the caller passes in. What one domain does not take now
holds up no other. Domains are only known here, in memory, while their messages are under way.
"""

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Final

from channels.base import Accepted, Random, Receipt, RefusedBy, Throttled
from channels.pace import Rate
from engine.core.model.instants import HOUR, SECOND, Instant

EVERY: Final = "*"
"""In `domains:` of a channel, the rate of each domain that is not named."""
DOMAINS_MAX: Final = 10_000
"""Domains remembered; of more, those that were called longest ago are forgotten."""
BUSY_IN_A_ROW: Final = 3
"""One "not now" may be greylisting, which means a single recipient."""
FIRST_REST: Final = 30 * SECOND
REST_MAX: Final = HOUR
BACK_EVERY: Final = SECOND // 20
"""After its rest a domain without a rate gets those who waited one by one, 20 a second."""
PUT_OFF_MAX: Final = HOUR
"""Turns are handed out no further ahead: who has none by then asks again."""

Limit = tuple[int, int]
"""(calls, microseconds), as in a channel's `rate`."""


class _Domain:
    """One domain: its rate, its rest, and the next turn that is free."""

    def __init__(self, limit: Limit | None) -> None:
        self.rate = None if limit is None else Rate(*limit)
        self.n_granted = 0
        self.n_busy = 0
        self.rested_at: Instant = 0
        self.rest_until: Instant = 0
        self.turn: Instant = 0

    def rests_until(self, *, now: Instant) -> Instant:
        if now < self.rested_at:  # the clock was set back
            self.rested_at, self.rest_until = now, now + self.rest_until - self.rested_at
        return max(now, self.rest_until)


class Domains:
    """The domains of one channel. May be called from several threads."""

    def __init__(self, *, rng: Random) -> None:
        self._rng = rng
        self._lock = Lock()
        self._limits: dict[str, Limit] = {}
        self._domains: OrderedDict[str, _Domain] = OrderedDict()

    def follow(self, limits: Mapping[str, Limit], *, share: float = 1.0) -> None:
        """Take over the rates of a release, by domain; `*` is each other's.

        Args:
            share: This process's part of every rate, in (0, 1].
        """
        parts = {name: part_of(limit, share) for name, limit in limits.items()}
        with self._lock:
            if parts == self._limits:
                return
            self._limits = parts
            for name, it in self._domains.items():
                limit, it.turn = self._limit(name), 0
                if limit is None or it.rate is None:
                    it.rate = None if limit is None else Rate(*limit)
                else:
                    it.rate = it.rate.resized(*limit)

    def grant(self, domain: str, *, now: Instant) -> Instant:
        """Ask for a call: `now` where it may be made (then `take` or `drop` it), else when to ask
        again. Everybody who is put off gets a turn of their own, so that they do not come back
        as one crowd."""
        with self._lock:
            it = self._of(domain)
            rests_until = it.rests_until(now=now)
            limit = self._limit(domain)
            if rests_until <= now and (it.rate is None or it.rate.free(now=now) > it.n_granted):
                it.n_granted += 1
                return now
            gap = BACK_EVERY if limit is None else max(1, limit[1] // limit[0])
            it.turn = max(it.turn, rests_until) + gap
            if it.turn > max(rests_until, now) + PUT_OFF_MAX:
                it.turn = max(rests_until, now) + gap
            return it.turn

    def take(self, domain: str, *, now: Instant) -> Instant:
        """Book a granted call just before it is made: the instant at which it may start."""
        with self._lock:
            it = self._of(domain)
            it.n_granted = max(0, it.n_granted - 1)
            return now if it.rate is None else it.rate.take(now=now)

    def drop(self, domain: str) -> None:
        """A granted call is not made after all."""
        with self._lock:
            it = self._of(domain)
            it.n_granted = max(0, it.n_granted - 1)

    def record(self, domain: str, receipt: Receipt, *, now: Instant) -> None:
        """What a call came to: a domain that is busy again and again is left alone for longer and
        longer."""
        with self._lock:
            it = self._of(domain)
            match receipt:
                case Throttled(seconds, _, "domain"):
                    it.n_busy += 1
                    rest = self._rest(seconds, it.n_busy)
                    if now + rest > it.rest_until:
                        it.rested_at, it.rest_until = now, now + rest
                case Accepted() | RefusedBy(scope="recipient" | "message"):
                    it.n_busy = 0

    def rests_until(self, domain: str, *, now: Instant) -> Instant:
        """Until when a domain is left alone; `now` if it is not."""
        with self._lock:
            return self._of(domain).rests_until(now=now)

    def _rest(self, seconds: float | None, n_busy: int) -> int:
        if seconds is not None:
            return min(REST_MAX, int(seconds * SECOND))
        if n_busy < BUSY_IN_A_ROW:
            return 0
        longest = min(REST_MAX, FIRST_REST * 2 ** min(n_busy - BUSY_IN_A_ROW, 20))
        return int(longest * (0.5 + self._rng.random() / 2))

    def _limit(self, domain: str) -> Limit | None:
        return self._limits.get(domain, self._limits.get(EVERY))

    def _of(self, domain: str) -> _Domain:
        it = self._domains.get(domain)
        if it is None:
            it = self._domains[domain] = _Domain(self._limit(domain))
            while len(self._domains) > DOMAINS_MAX:
                self._domains.popitem(last=False)
        self._domains.move_to_end(domain)
        return it


def part_of(limit: Limit, share: float) -> Limit:
    """A process's part of a rate: of 100 a second 25 a second, of one a minute one in four.

    >>> part_of((100, SECOND), 0.25) == (25, SECOND), part_of((1, SECOND), 0.25) == (1, 4 * SECOND)
    (True, True)
    """
    part = limit[0] * share
    calls = max(1, int(part))
    return calls, max(1, int(limit[1] * calls / part))
