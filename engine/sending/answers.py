"""What a provider's answer means for the message: sent, failed, unknown, or once more and when.

Pure. A message is never given up because its provider is down: what was not sent waits until it
expires, or for WAIT_MAX. Only doubt is counted: every ambiguous call may have reached somebody.
"""

from typing import Any, Final

from msgspec import Struct

from channels.base import (
    Accepted,
    Ambiguous,
    Capabilities,
    NotSent,
    Random,
    Receipt,
    RefusedBy,
    Throttled,
)
from engine.core.model.instants import DAY, HOUR, MINUTE, SECOND, Instant
from engine.store.queue import Doubt, Outcome, Queued

ATTEMPTS_MAX: Final = 8
"""Attempts of unclear fate at one message: more copies than this nobody shall get."""
WAIT_MAX: Final = 3 * DAY
"""How long a message waits for its provider where it names no `expires`."""
BACKOFF_MAX: Final = 5 * MINUTE
DOUBT_BACKOFF: Final = 15 * SECOND
DOUBT_BACKOFF_MAX: Final = 6 * HOUR
"""A repeat that may be a duplicate comes after 15 s, 1 min, 4 min, … 6 h: eight of them outlast a
night of outage."""
PAUSE: Final = 5 * MINUTE
"""How long a message rests after its provider refused our account or settings."""
KEY_MARGIN: Final = 5 * MINUTE
"""So long before its end a key is no longer trusted: calls take time and clocks differ."""


class Case(Struct, frozen=True):
    """One attempt to be judged; `doubt` is what earlier ones at this message left open here, by
    the channel `account`, `n_elsewhere` how many calls of others did. `has_backup`: what this
    channel refuses to everybody another one may take."""

    queued: Queued
    number: int
    address_hash: str
    provider: str
    capabilities: Capabilities
    doubt: Doubt
    is_transactional: bool
    started_at: Instant
    account: str = ""
    n_elsewhere: int = 0
    has_backup: bool = False


def judged(case: Case, receipt: Receipt, *, rng: Random, now: Instant) -> Outcome:
    """The outcome of an attempt that was answered `now`."""
    it, number = case.queued, case.number

    def settled(outcome: str, status: str, reason: str, **more: Any) -> Outcome:
        due_at = more.pop("due_at", it.due_at)
        return Outcome(it.id, number, outcome, status, reason, due_at, now, **more)

    def again(outcome: str, why: str, wait: int, **more: Any) -> Outcome:
        due_at = now + wait
        is_doubtful = outcome == "ambiguous" or case.doubt.n_ambiguous + case.n_elsewhere > 0
        if due_at >= it.expires_at:
            ended = "unknown" if is_doubtful else "dropped"
            return settled(outcome, ended, f"expired while waiting to try again: {why}")
        if has_waited(it, now=due_at):
            ended = "unknown" if is_doubtful else "failed"
            return settled(outcome, ended, f"gave up after {WAIT_MAX // HOUR} h: {why}")
        return settled(outcome, "queued", why, due_at=due_at, detail=why, **more)

    match receipt:
        case Accepted(provider_id, reply, placement):
            return settled(
                "accepted", "sent", "", provider_id=provider_id, detail=reply, placement=placement
            )
        case RefusedBy(scope, code, text, bounce):
            why = f"{case.provider} refused it ({code}): {text}"
            if scope in ("config", "account"):
                return again("refused", why, SECOND if case.has_backup else PAUSE)
            return settled(
                "refused",
                "failed",
                why,
                detail=why,
                suppress="hard bounce" if bounce == "hard" else "",
                address_hash=case.address_hash,
                is_opt_out=receipt.is_opt_out,
                bounce=bounce or "",
            )
        case Throttled(seconds, why):
            wait = backoff(number, rng=rng) if seconds is None else int(seconds * SECOND)
            return again("throttled", why or "the provider asked us to slow down", wait)
        case NotSent(why):
            return again("not_sent", why, backoff(number, rng=rng))
        case Ambiguous(why):
            n = case.doubt.n_ambiguous + 1
            since = case.started_at if case.doubt.since is None else case.doubt.since
            wait = doubt_backoff(n, rng=rng)
            if key_holds(case.capabilities, since=since, at=now + BACKOFF_MAX):
                wait = min(wait, backoff(n, rng=rng))
            doubt = Doubt(n, since)
            if not may_repeat(
                case.capabilities,
                is_transactional=case.is_transactional,
                doubt=doubt,
                n_elsewhere=case.n_elsewhere,
                at=now + wait,
            ):
                return settled("ambiguous", "unknown", why, detail=why)
            # Only the key that this provider holds makes it safe to call for marketing again.
            is_own = case.is_transactional or case.account == it.account
            stays_with = "" if is_own else case.account
            return again("ambiguous", why, wait, stays_with=stays_with)


def may_repeat(
    capabilities: Capabilities,
    *,
    is_transactional: bool,
    doubt: Doubt,
    at: Instant,
    n_elsewhere: int = 0,
) -> bool:
    """Whether a message of unclear fate may be called for again `at` an instant.

    While the provider holds our key the repeat cannot double. After that, and where another
    provider may have taken it (`n_elsewhere` calls), only transactional messages are: silence
    would be worse than a copy.
    """
    is_safe = doubt.since is None or key_holds(capabilities, since=doubt.since, at=at)
    if is_safe and not n_elsewhere:
        return True
    return is_transactional and doubt.n_ambiguous + n_elsewhere < ATTEMPTS_MAX


def key_holds(capabilities: Capabilities, *, since: Instant, at: Instant) -> bool:
    """Whether the key of a call made at `since` still protects one made `at`."""
    return at < since + capabilities.idempotency_hours * HOUR - KEY_MARGIN


def has_waited(it: Queued, *, now: Instant) -> bool:
    """Whether a message has waited for its provider as long as any may."""
    return now - it.at > WAIT_MAX


def backoff(number: int, *, rng: Random) -> int:
    """Full jitter up to a bound that doubles: retries of many do not come as one wave."""
    ceiling = min(BACKOFF_MAX, SECOND * 2 ** min(number, 20))
    return SECOND + int(rng.random() * ceiling)


def doubt_backoff(n: int, *, rng: Random) -> int:
    """The same for repeats that may double, and never under half: they must last an outage."""
    ceiling: int = min(DOUBT_BACKOFF_MAX, DOUBT_BACKOFF * 4 ** min(n - 1, 20))
    return ceiling // 2 + int(rng.random() * ceiling / 2)
