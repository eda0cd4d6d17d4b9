"""The feature behind `sum` and `avg` where no event ever leaves: the number and the exact sum.

State: [n, high, low], the sum in millionths being high * BASE + low, so that it packs whatever its
size. Amounts dated in the future wait in two more lists, [n, high, low, times, amounts].
"""

from bisect import bisect_right
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from engine.core.conditions import limits
from engine.core.conditions.comparisons import NO, YES, Answer
from engine.core.conditions.contributions import compile_contributions, join_values, slot
from engine.core.conditions.filters import compile_where
from engine.core.conditions.units import TotalTest, units
from engine.core.features.occurrences import bounds
from engine.core.model.conditions import EventMatch, Window
from engine.core.model.instants import NEVER, Instant
from engine.core.model.people import Event

BASE: Final = 1_000_000_000_000_000
LIMIT_WORDS: Final = f"more than {limits.WAITING_MAX:,} amounts dated in the future"


class Totals(Struct, frozen=True, tag="totals"):
    """The number and sum of the amounts at a path; the window has no `within`."""

    match: EventMatch
    path: tuple[str, ...]
    window: Window


def compile_fold(definition: Totals, key: str) -> Callable[[dict[str, Any], Event], None]:
    """Add an event's amounts, and those whose time has come."""
    test = compile_where(definition.match.where)
    amounts_of = compile_contributions(definition.path, units)
    since, until = bounds(definition.window)

    def fold(features: dict[str, Any], event: Event) -> None:
        at, now = event.at, event.accepted_at
        if not since <= at < until or (test is not None and not test(event)):
            return
        amounts = amounts_of(event)
        if not amounts:
            return
        state = features.get(key)
        if state is None:
            state = features[key] = [0, 0, 0]
        if at <= now:
            _add(state, len(amounts), sum(amounts))
        else:
            if len(state) == 3:
                state += [[], []]
            for amount in amounts:
                slot(state[3], state[4], at, amount)
        if len(state) > 3:
            _settle(state, now)
            if len(state) > 3 and len(state[3]) > limits.WAITING_MAX:
                del state[3][limits.WAITING_MAX :], state[4][limits.WAITING_MAX :]
                limits.note(features, key, NEVER)

    return fold


def _add(state: list[Any], n: int, total: int) -> None:
    state[0] += n
    state[1], state[2] = divmod(state[1] * BASE + state[2] + total, BASE)


def _settle(state: list[Any], now: Instant) -> None:
    times, amounts = state[3], state[4]
    come = bisect_right(times, now)
    _add(state, come, sum(amounts[:come]))
    del times[:come], amounts[:come]
    if not times:
        del state[3:]


def join(definition: Totals, one: list[Any], other: list[Any]) -> list[Any]:
    """Both profiles' amounts."""
    state = list(one[:3])
    _add(state, other[0], other[1] * BASE + other[2])
    if len(one) > 3 or len(other) > 3:
        state += join_values(one[3:] or [[], []], other[3:] or [[], []])
    return state


def total_of(state: list[Any] | None, now: Instant) -> tuple[int, int]:
    """(number, sum in millionths) of what has come."""
    if state is None:
        return 0, 0
    n, total = state[0], state[1] * BASE + state[2]
    if len(state) > 3:
        come = bisect_right(state[3], now)
        n, total = n + come, total + sum(state[4][:come])
    return n, total


def compile_answer(key: str, passes: TotalTest) -> Callable[[dict[str, Any], Any, Instant], Answer]:
    """Whether the sum or mean passes, and when an amount that waits next changes that."""
    nothing = YES if passes(0, 0) else NO

    def answer(features: dict[str, Any], profile: Any, now: Instant) -> Answer:
        state = features.get(key)
        if state is None:
            return nothing
        n, total = state[0], state[1] * BASE + state[2]
        if len(state) == 3:
            return YES if passes(total, n) else NO
        return _step(state[3], state[4], n, total, passes, now)

    return answer


def _step(
    times: list[Instant], amounts: list[int], n: int, total: int, passes: TotalTest, now: Instant
) -> Answer:
    come = bisect_right(times, now)
    n, total = n + come, total + sum(amounts[:come])
    holds = passes(total, n)
    while come < len(times):
        at = times[come]
        while come < len(times) and times[come] == at:
            n, total, come = n + 1, total + amounts[come], come + 1
        if passes(total, n) is not holds:
            return holds, at
    return holds, NEVER
