"""Who may be called now: a lane per channel and urgency, and what the lanes of a channel share.

Both lanes of a channel call one provider, so they share its rate, its breaker and its rest. The
transactional lane goes first; each lane has places of its own, so that a slow newsletter never
takes the last one from a receipt. Read next: `outbox`, which asks for places and gives them back.
"""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from channels.base import Accepted, Random, Receipt, RefusedBy, Throttled
from channels.domains import Domains, Limit, part_of
from channels.pace import Breaker, Rate, SlowStart, State
from engine.core.model.instants import DAY, MINUTE, SECOND, Instant
from engine.store.queue import MARKETING, TRANSACTIONAL

LANES: Final[Mapping[int, str]] = {TRANSACTIONAL: "transactional", MARKETING: "marketing"}
"""By the number in `message.lane`; the lower goes first."""
PLACES: Final = 100
"""Attempts open at once in one lane: what a crash can leave ambiguous."""
THROTTLED_IN_A_ROW: Final = 5
REST_MAX: Final = DAY
"""The longest Retry-After we follow without asking again."""


class PaceState(Struct, frozen=True):
    """How one channel is doing. `opens_at` is None while calls may be made."""

    channel: str
    breaker: State
    opens_at: Instant | None
    calls_in_flight: dict[str, int]
    rate_per_second: float | None


class Pace:
    """What the lanes of one channel share. One thread calls this: the sending loop's.

    Args:
        rate: The most calls that the provider takes; None for no bound.
        share: This process's part of the rate, in (0, 1], where several work.
    """

    def __init__(
        self, *, rng: Random, rate: tuple[int, int] | None = None, share: float = 1.0
    ) -> None:
        self._rng = rng
        self.domains = Domains(rng=rng)
        self._breaker = Breaker(rng=rng)
        self._rest_until: Instant = 0
        self._rested_at: Instant = 0
        self._n_throttled = 0
        self._busy_domains: set[str] = set()
        self._slow_start: SlowStart | None = None
        self._in_flight = dict.fromkeys(LANES, 0)
        self._is_first_waiting = False
        self._probe_lane: int | None = None
        self._settings: tuple[tuple[int, int] | None, float] = (None, 1.0)
        self._rate: Rate | None = None
        self.set_rate(rate, share=share)

    def set_rate(self, rate: tuple[int, int] | None, *, share: float = 1.0) -> None:
        """Follow another rate from now on; what was called before still counts."""
        if (rate, share) == self._settings:
            return
        self._settings = (rate, share)
        if rate is None:
            self._rate = None
            return
        calls, per = part_of(rate, share)
        self._rate = Rate(calls, per) if self._rate is None else self._rate.resized(calls, per)

    def grant(self, lane: int, *, wanted: int, now: Instant) -> int:
        """Take up to `wanted` places for calls that may start now; give back what is not used.

        At most one while the provider is being probed, none while it rests.
        """
        if self.opens_at(now=now) > now:
            return 0
        n = min(wanted, PLACES - self._in_flight[lane])
        if self._rate is not None:
            n = min(n, self._rate.free(now=now))
        if lane != TRANSACTIONAL and self._is_first_waiting and self._is_bounded:
            n = 0
        if self._slow_start is not None:
            if self._slow_start.is_over(now=now):
                self._slow_start = None
            else:
                n = min(n, self._slow_start.free(now=now))
        if n <= 0 or not self._breaker.may_call(now=now):
            return 0
        if self._breaker.state(now=now) != "closed":
            n, self._probe_lane = 1, lane
        self._in_flight[lane] += n
        return n

    def give_back(self, lane: int, n: int) -> None:
        """These places were not used: there was nothing to send."""
        self._in_flight[lane] -= n
        if n and lane == self._probe_lane:
            self._breaker.did_not_call()

    def first_waits(self, is_waiting: bool) -> None:
        """Whether a transactional message waits for the rate: marketing then takes none of it."""
        self._is_first_waiting = is_waiting

    def take(self, *, now: Instant) -> Instant:
        """Book a granted call just before it is made: the instant at which it may start."""
        start = now
        if self._slow_start is not None:
            start = max(start, self._slow_start.take(now=now))
        if self._rate is not None:
            start = max(start, self._rate.take(now=start))
        return start

    def record(
        self, lane: int, receipt: Receipt, *, started_at: Instant, now: Instant, domain: str = ""
    ) -> None:
        """A granted call was answered: free its place and learn from it."""
        self._in_flight[lane] -= 1
        if domain:
            self.domains.record(domain, receipt, now=now)
        if self._breaker.record(receipt, started_at=started_at, now=now):
            self._slow_start = SlowStart(since=now)
        match receipt:
            case Throttled(seconds, _, "account"):
                self._n_throttled += 1
                self._rest(seconds, now)
            case Throttled(_, _, "domain") if domain not in self._busy_domains:
                # One domain after the other is too busy for us: so it is about us after all.
                self._busy_domains.add(domain)
                self._n_throttled += 1
                self._rest(None, now)
            case Accepted() | RefusedBy():
                self._n_throttled = 0
                self._busy_domains.clear()

    def drop(self, lane: int) -> None:
        """A granted call ended without any answer: free its place."""
        self.give_back(lane, 1)

    def opens_at(self, *, now: Instant) -> Instant:
        """From when on a place may be granted; `now` if nothing rests."""
        if now < self._rested_at:  # the clock was set back
            self._rested_at, self._rest_until = now, now + self._rest_until - self._rested_at
        return max(self._breaker.opens_at(now=now), self._rest_until, now)

    def is_down(self, *, now: Instant) -> bool:
        """Whether its provider failed, or refused our account, and has not come back yet."""
        return self._breaker.state(now=now) != "closed"

    def in_flight(self, lane: int) -> int:
        """Places taken."""
        return self._in_flight[lane]

    def state(self, channel: str, *, now: Instant) -> PaceState:
        """What /metrics and the console show."""
        state = self._breaker.state(now=now)
        if state == "closed" and self._slow_start is not None:
            state = "closed" if self._slow_start.is_over(now=now) else "slow start"
        opens_at = self.opens_at(now=now)
        rate, share = self._settings
        return PaceState(
            channel,
            state,
            opens_at if opens_at > now else None,
            {word: self._in_flight[lane] for lane, word in LANES.items()},
            None if rate is None else rate[0] * SECOND / rate[1] * share,
        )

    @property
    def _is_bounded(self) -> bool:
        return self._rate is not None or self._slow_start is not None

    def _rest(self, seconds: float | None, now: Instant) -> None:
        """Follow Retry-After for the whole channel.

        Without one a single busy answer may be about its receiver (greylisting), and only several
        in a row are about us.
        """
        if seconds is not None:
            rest = min(REST_MAX, int(seconds * SECOND))
        elif self._n_throttled >= THROTTLED_IN_A_ROW:
            longest = min(MINUTE, SECOND * 2 ** min(self._n_throttled - THROTTLED_IN_A_ROW, 20))
            rest = int(longest * (0.5 + self._rng.random() / 2))
        else:
            return
        if now + rest > self._rest_until:
            self._rested_at, self._rest_until = now, now + rest


class Paces:
    """The paces of all channels, for as long as the process lives: a new release keeps them."""

    def __init__(self, *, rng: Random) -> None:
        self._rng = rng
        self._paces: dict[str, Pace] = {}
        self._rates: dict[str, Limit | None] = {}
        self._domains: dict[str, Mapping[str, Limit]] = {}
        self._share = 1.0

    def of(self, channel: str) -> Pace:
        """The pace of a channel, made on first use."""
        pace = self._paces.get(channel)
        if pace is None:
            pace = self._paces[channel] = Pace(rng=self._rng)
        return pace

    def follow(
        self,
        rates: Mapping[str, Limit | None],
        *,
        domains: Mapping[str, Mapping[str, Limit]] | None = None,
        share: float | None = None,
    ) -> None:
        """Take over the rates of a release: (calls, microseconds) by channel.

        Args:
            domains: Those of recipients' domains, by channel; as before where not given.
            share: This process's part of every rate, in (0, 1]; as before where not given.
        """
        self._share = self._share if share is None else share
        self._rates.update(rates)
        self._domains.update(domains or {})
        for channel, rate in self._rates.items():
            self.of(channel).set_rate(rate, share=self._share)
        for channel, limits in self._domains.items():
            self.of(channel).domains.follow(limits, share=self._share)

    def opens_at(self, *, now: Instant) -> Instant:
        """When the first resting channel may be called again; `now` if none rests."""
        resting = [at for it in self._paces.values() if (at := it.opens_at(now=now)) > now]
        return min(resting, default=now)

    def states(self, clock: Callable[[], Instant]) -> list[PaceState]:
        """Every channel that was used or has a rate."""
        now = clock()
        return [pace.state(channel, now=now) for channel, pace in sorted(self._paces.items())]
