"""How many messages a day a new domain or number may send, until it is known.

Pure. Mailbox providers trust nobody whom they do not know: a domain that sends a million on its
first day lands in spam. The ceiling is a function of the schedule and the day; what was sent today
is counted where it is written down, so that restarts and other workers change nothing.
"""

from typing import Final

from msgspec import Struct

from engine.core.model.instants import DAY, Instant

CEILING_MAX: Final = 10_000_000
"""A day. Beyond it nobody warms up any more."""


class WarmUp(Struct, frozen=True):
    """A schedule: `start` messages on the UTC day of `since`, twice as many every `doubles`.

    It ends on the day whose ceiling reaches `until` messages, what the channel's own rate lets
    through.
    """

    since: Instant
    start: int
    doubles: int
    until: int = CEILING_MAX


def ceiling(plan: WarmUp, *, now: Instant) -> int | None:
    """The most messages of today; None once it is over. Before its first day it is that day's.

    >>> plan = WarmUp(since=10 * DAY, start=50, doubles=2 * DAY, until=1_000)
    >>> [ceiling(plan, now=day * DAY) for day in (9, 10, 11, 12, 16, 18, 19)]
    [50, 50, 70, 100, 400, 800, None]
    """
    days = max(0, now // DAY - plan.since // DAY)
    # Bounded, since nobody asks for long after it is over and the power would overflow.
    today = int(plan.start * 2 ** min(days * DAY / plan.doubles, 40))
    return None if today >= min(plan.until, CEILING_MAX) else today


def day_began(now: Instant) -> Instant:
    """When today began, in UTC: the ceiling counts from here."""
    return now // DAY * DAY


def next_day(now: Instant) -> Instant:
    """When the next day's ceiling opens."""
    return day_began(now) + DAY
