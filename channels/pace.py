"""How fast we call a provider, and when we stop calling it for a while.

Both are plain state machines over a monotonic time that the caller passes in, in seconds.
"""

from channels.base import Accepted, Ambiguous, NotSent, Receipt, RefusedBy, Throttled


class TokenBucket:
    """At most `rate_per_second` on average and `burst` at once."""

    def __init__(self, rate_per_second: float, *, burst: float) -> None:
        if rate_per_second <= 0 or burst < 1:
            raise ValueError("a rate is above 0 and a burst at least 1")
        self.rate_per_second = rate_per_second
        self.burst = burst
        self._tokens = burst
        self._at: float | None = None

    def reserve(self, *, now: float) -> float:
        """Take one token and say how many seconds to wait before using it; 0.0 means go."""
        if self._at is not None:
            gained = max(0.0, now - self._at) * self.rate_per_second
            self._tokens = min(self.burst, self._tokens + gained)
        self._at = now if self._at is None else max(self._at, now)
        self._tokens -= 1
        return max(0.0, -self._tokens / self.rate_per_second)

    def pause(self, seconds: float, *, now: float) -> None:
        """Let nothing through for a while: the provider said so."""
        self.reserve(now=now)
        self._tokens = min(self._tokens, -seconds * self.rate_per_second)


class Breaker:
    """Opens after `failures` in a row; after `cool_down_seconds` lets one call probe.

    A refusal of one recipient or message is the provider working, so it counts as success.
    """

    def __init__(self, *, failures: int = 5, cool_down_seconds: float = 30.0) -> None:
        self.failures = failures
        self.cool_down_seconds = cool_down_seconds
        self._in_a_row = 0
        self._open_until: float | None = None
        self._is_probing = False

    def may_call(self, *, now: float) -> bool:
        """Whether a call may start; in the half-open state only the first one may."""
        if self._open_until is None:
            return True
        if now < self._open_until or self._is_probing:
            return False
        self._is_probing = True
        return True

    def record(self, receipt: Receipt, *, now: float) -> None:
        """What came of a call that was allowed."""
        match receipt:
            case Accepted() | RefusedBy(scope="recipient" | "message"):
                self._in_a_row, self._open_until, self._is_probing = 0, None, False
            case NotSent() | Ambiguous() | RefusedBy():
                self._in_a_row += 1
                if self._is_probing or self._in_a_row >= self.failures:
                    self._open_until = now + self.cool_down_seconds
                    self._is_probing = False
            case Throttled():
                # Alive but busy: neither a failure nor a proof of health. A probe may be repeated.
                self._is_probing = False
