"""How fast we call a provider, when we stop calling it, and how slowly we begin again.

Plain state machines over instants that the caller passes in: nothing here reads a clock or waits.
A clock that was set back never holds a provider up for longer than the rest itself would have.
"""

from collections import deque
from math import log, log2
from typing import Final, Literal

from channels.base import Accepted, Ambiguous, NotSent, Random, Receipt, RefusedBy, Throttled
from engine.core.model.instants import MINUTE, SECOND, Instant

COOL_DOWN: Final = 30 * SECOND
COOL_DOWN_MAX: Final = 5 * MINUTE
FAILURES_IN_A_ROW: Final = 5
WINDOW: Final = 20
"""Outcomes of which the share of failures is taken."""
FAILED_SHARE: Final = 0.5
FIRST_PER_SECOND: Final = 1.0
DOUBLES_EVERY: Final = 5 * SECOND
"""A provider that has come back gets 1 call in the first second and twice as many a second every
5 s: 100 a second after 33 s. Who doubles faster knocks over what has just stood up."""
STEADY_PER_SECOND: Final = 1_000.0

State = Literal["closed", "open", "half-open", "slow start"]


class Rate:
    """At most `calls` starts in any span of `per` microseconds, wherever the span begins.

    A token bucket was tried first: full, it lets nearly twice its rate through in one second.
    """

    def __init__(self, calls: int, per: int) -> None:
        if calls < 1 or per < 1:
            raise ValueError("a rate is at least one call in some time")
        self.calls = calls
        self.per = per
        self._starts: deque[Instant] = deque(maxlen=calls)

    def resized(self, calls: int, per: int) -> "Rate":
        """Another rate that remembers the calls of this one."""
        other = Rate(calls, per)
        other._starts.extend(self._starts)
        return other

    def free(self, *, now: Instant) -> int:
        """How many calls may start at this instant."""
        self._follow(now)
        if len(self._starts) == self.calls and self._starts[0] + self.per > now:
            return 0
        return self.calls - sum(1 for start in self._starts if start + self.per > now)

    def take(self, *, now: Instant) -> Instant:
        """Book one call; the instant at which it may start, now or later."""
        self._follow(now)
        # Never before one that is booked already, or spans that begin between them would overflow.
        start = max(now, self._starts[-1]) if self._starts else now
        if len(self._starts) == self.calls:
            start = max(start, self._starts[0] + self.per)
        self._starts.append(start)
        return start

    def _follow(self, now: Instant) -> None:
        # Callers ask `free` first, so bookings reach a span or two ahead. Much further ahead means
        # that the clock was set back.
        if self._starts and self._starts[-1] > now + 2 * self.per + MINUTE:
            self._starts.clear()


class SlowStart:
    """What may be called since a provider came back: a rate that doubles, then no bound."""

    def __init__(self, *, since: Instant) -> None:
        self.since = since
        self._used = 0.0

    def is_over(self, *, now: Instant) -> bool:
        return _per_second(now - self.since) >= STEADY_PER_SECOND

    def free(self, *, now: Instant) -> int:
        """How many calls may start at this instant."""
        self._forget(now)
        return max(0, int(_allowed(now - self.since) + 1 - self._used))

    def take(self, *, now: Instant) -> Instant:
        """Book one call; the instant at which it may start."""
        self._forget(now)
        start = max(now, self.since + _elapsed_until(self._used))
        self._used += 1
        return start

    def _forget(self, now: Instant) -> None:
        """What was not used within a second is lost: a quiet minute earns no burst."""
        span = now - self.since
        self._used = max(self._used, _allowed(span) - _per_second(span))


def _per_second(span: int) -> float:
    # Bounded, since nobody asks after the start is over and the power would overflow.
    return float(FIRST_PER_SECOND * 2 ** min(span / DOUBLES_EVERY, 40))


def _allowed(span: int) -> float:
    """Calls since the beginning: the integral of the rate."""
    scale = FIRST_PER_SECOND * DOUBLES_EVERY / SECOND / log(2)
    return float(scale * (2 ** min(max(span, 0) / DOUBLES_EVERY, 40) - 1))


def _elapsed_until(used: float) -> int:
    """After how many microseconds one more than `used` calls are allowed; 0 for the first."""
    scale = FIRST_PER_SECOND * DOUBLES_EVERY / SECOND / log(2)
    return int(DOUBLES_EVERY * log2(1 + max(0.0, used) / scale)) + 1 if used > 0 else 0


class Breaker:
    """Opens when a provider fails, lets single calls probe it, and closes when one is answered.

    It opens after `failures` in a row, or when half of the last 20 calls failed. It rests for a
    time that doubles with every failed probe, up to `cool_down_max`, each time between half and
    all of it, so that several engines do not probe together. A refusal of one recipient or one
    message is the provider at work: a success.
    """

    def __init__(
        self,
        *,
        rng: Random,
        failures: int = FAILURES_IN_A_ROW,
        share: float = FAILED_SHARE,
        cool_down: int = COOL_DOWN,
        cool_down_max: int = COOL_DOWN_MAX,
    ) -> None:
        self._rng = rng
        self._failures = failures
        self._share = share
        self._cool_down = cool_down
        self._cool_down_max = cool_down_max
        self._in_a_row = 0
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        self._opened_at: Instant | None = None
        self._open_until: Instant = 0
        self._n_failed_probes = 0
        self._is_probing = False

    def state(self, *, now: Instant) -> State:
        """closed: calls pass. open: none does. half-open: one may probe."""
        if self._opened_at is None:
            return "closed"
        return "open" if self.opens_at(now=now) > now else "half-open"

    def opens_at(self, *, now: Instant) -> Instant:
        """From when on a call may be made: `now` itself unless it is open."""
        if self._opened_at is None:
            return now
        if now < self._opened_at:  # the clock was set back
            rest = self._open_until - self._opened_at
            self._opened_at, self._open_until = now, now + rest
        return max(now, self._open_until)

    def may_call(self, *, now: Instant) -> bool:
        """Whether a call may start; in the half-open state only the first one may."""
        match self.state(now=now):
            case "closed":
                return True
            case "half-open" if not self._is_probing:
                self._is_probing = True
                return True
        return False

    def did_not_call(self) -> None:
        """The call that `may_call` allowed was not made: somebody else may probe."""
        self._is_probing = False

    def record(self, receipt: Receipt, *, started_at: Instant, now: Instant) -> bool:
        """What came of a call; True if the provider has just come back.

        Calls that were under way when it opened say nothing new, whatever their answer.
        """
        if self._opened_at is not None and (not self._is_probing or started_at < self._opened_at):
            return False
        match receipt:
            case Accepted() | RefusedBy(scope="recipient" | "message"):
                self._in_a_row = 0
                self._recent.append(False)
                if self._opened_at is None:
                    return False
                self._close()
                return True
            case NotSent() | Ambiguous():
                self._in_a_row += 1
                self._recent.append(True)
                if self._is_probing or self._has_failed():
                    self._open(now)
            case RefusedBy():
                # An account or a setting is refused to every message alike.
                self._open(now, at_least=self._cool_down_max)
            case Throttled():
                # Alive but busy: neither a failure nor a proof of health.
                self._is_probing = False
        return False

    def _has_failed(self) -> bool:
        is_measured = len(self._recent) == WINDOW
        share = sum(self._recent) / WINDOW
        return self._in_a_row >= self._failures or (is_measured and share >= self._share)

    def _open(self, now: Instant, *, at_least: int = 0) -> None:
        longest = min(self._cool_down_max, self._cool_down * 2 ** min(self._n_failed_probes, 30))
        rest = int(longest * (0.5 + self._rng.random() / 2))
        self._n_failed_probes += 1
        self._opened_at, self._open_until = now, now + max(rest, at_least)
        self._is_probing = False

    def _close(self) -> None:
        self._opened_at, self._is_probing = None, False
        self._in_a_row = self._n_failed_probes = 0
        self._recent.clear()
