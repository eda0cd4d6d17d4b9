"""The feature behind `sequence`: the times of the events that may stand at each step.

State: [times, ..., began], times for each step and then for each `without`. A chain is one event a
step at strictly increasing times; what decides is the latest instant at which a chain that has
ended began. Where no `without` can break a chain again, `began` is that instant, and all up to it
is forgotten (everything, if the window never moves). Otherwise every time in the window stays,
because an event may still come late and fit, or break a chain; past `limit` a step's oldest are
dropped, and `began` keeps what they gave.
"""

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from msgspec import Struct

from engine.core.conditions import limits
from engine.core.conditions.comparisons import NO, YES, Answer
from engine.core.conditions.filters import EventTest, compile_where
from engine.core.features.occurrences import bounds
from engine.core.model.conditions import EventMatch, SequenceStep, Window
from engine.core.model.instants import NEVER, Instant
from engine.core.model.people import Event

Times: TypeAlias = list[Instant]
Chain: TypeAlias = tuple[Instant, Instant]
"""(when a chain ended, the latest instant at which one that ended there began)."""

_NONE: Final = -NEVER


class Sequences(Struct, frozen=True, tag="sequences"):
    """Chains of events, all in the window."""

    steps: tuple[SequenceStep, ...]
    window: Window
    limit: int


def limit_words(definition: Sequences) -> str:
    """What was too much."""
    return f"more than {definition.limit:,} events of one step"


def compile_fold(definition: Sequences, key: str) -> Callable[[dict[str, Any], Event], None]:
    """Slot an event in at every step it may stand at, and drop what can no longer matter."""
    n_steps, roles = len(definition.steps), listens(definition)
    places_of = _places(roles)
    n_roles, last = len(roles), n_steps - 1
    since, until = bounds(definition.window)
    within, limit = definition.window.within, definition.limit
    chains, is_lasting = _compile_chains(definition), len(roles) == n_steps

    def fold(features: dict[str, Any], event: Event) -> None:
        at, name = event.at, event.name
        gone = since - 1 if within is None else max(since - 1, event.accepted_at - within)
        if not gone < at < until:
            return
        state = features.get(key)
        if state is not None:
            gone = max(gone, state[-1])
            if at <= gone:
                return
        found = -1
        for place, test in places_of[name]:
            if test is None or test(event):
                if state is None:
                    state = features[key] = [*([] for _ in roles), _NONE]
                _insert(state[place], at)
                found = place
        if state is None or found < 0:
            return
        if is_lasting and state[0] and (found == last or (state[last] and state[last][-1] > at)):
            began = _began(chains(state), event.accepted_at)
            if within is None and began > _NONE:
                began = NEVER  # for good: nothing else matters any more
            state[-1] = max(state[-1], began)
            gone = max(gone, began)
        is_over = False
        for place in range(n_roles):
            times = state[place]
            if times and times[0] <= gone:
                del times[: bisect_right(times, gone)]
            is_over = is_over or len(times) > limit
        if is_over:
            _cut(features, key, state, limit, within, _began(chains(state), event.accepted_at))

    return fold


def listens(definition: Sequences) -> tuple[EventMatch, ...]:
    """The match of every role: those of the steps, then those of what must not come between."""
    matches = [step.match for step in definition.steps]
    return (*matches, *(step.without for step in definition.steps if step.without is not None))


def _places(roles: Sequence[EventMatch]) -> dict[str, list[tuple[int, EventTest | None]]]:
    """By the event's name, where it may stand and what it must pass there."""
    places: dict[str, list[tuple[int, EventTest | None]]] = {}
    for place, match in enumerate(roles):
        places.setdefault(match.event, []).append((place, compile_where(match.where)))
    return places


def _insert(times: Times, at: Instant) -> None:
    if not times or at > times[-1]:
        times.append(at)
    elif times[bisect_left(times, at)] != at:
        insort(times, at)


def _cut(
    features: dict[str, Any],
    key: str,
    state: list[Any],
    limit: int,
    within: int | None,
    began: Instant,
) -> None:
    state[-1] = max(state[-1], began)
    for times in state[:-1]:
        if len(times) > limit:
            limits.note(features, key, limits.leaves(times[-limit - 1], within))
            del times[:-limit]


def _began(chains: Sequence[Chain], begun: Instant) -> Instant:
    """The latest beginning of a chain that has ended."""
    return max((start for end, start in chains if end <= begun), default=_NONE)


def join(definition: Sequences, one: list[Any], other: list[Any]) -> list[Any]:
    """Both profiles' events; the next event drops what is too many."""
    if not one or not other:
        return [times if isinstance(times, int) else list(times) for times in one or other]
    began = max(one[-1], other[-1])
    state: list[Any] = []
    for mine, theirs in zip(one[:-1], other[:-1], strict=True):
        times = sorted({*mine, *theirs})
        state.append(times[bisect_right(times, began) :])
    return [*state, began]


def compile_answer(
    definition: Sequences, key: str
) -> Callable[[dict[str, Any], Any, Instant], Answer]:
    """Whether a chain lies in the window, and the very instant at which that changes."""
    n_steps, within = len(definition.steps), definition.window.within
    last, chains = n_steps - 1, _compile_chains(definition)

    def answer(features: dict[str, Any], profile: Any, now: Instant) -> Answer:
        state = features.get(key)
        if state is None:
            return NO
        began = state[-1]
        if within is None and began > _NONE:
            return YES
        if not state[0] or not state[last] or not all(state[:n_steps]):
            return _alone(began, within, now)
        found = chains(state)
        best = max(began, _began(found, now))
        if best > _NONE and (within is None or best + within > now):
            return _stands(found, best, within, now)
        for end, start in found:
            if end > now and (within is None or start + within > end):
                return False, end
        return NO

    return answer


def _alone(began: Instant, within: int | None, now: Instant) -> Answer:
    if within is None or began == _NONE or began + within <= now:
        return NO
    return True, began + within


def _stands(found: Sequence[Chain], best: Instant, within: int | None, now: Instant) -> Answer:
    """Until the best chain's beginning leaves, unless one that began later has ended by then."""
    if within is None:
        return YES
    leaves_at = best + within
    for end, start in found:
        if now < end <= leaves_at:
            leaves_at = max(leaves_at, start + within)
    return True, leaves_at


def _compile_chains(definition: Sequences) -> Callable[[list[Any]], list[Chain]]:
    """From the times of every role to the chains, by their end."""
    n_steps = len(definition.steps)
    links: list[tuple[int | None, int | None]] = []
    place = n_steps
    for step in definition.steps[1:]:
        links.append((step.gap, None if step.without is None else place))
        place += step.without is not None

    def chains(state: list[Any]) -> list[Chain]:
        found = [(at, at) for at in state[0]]
        for number, (gap, without) in enumerate(links, start=1):
            if not found:
                return []
            found = _linked(found, state[number], gap, () if without is None else state[without])
        return found

    return chains


def _linked(
    before: list[Chain], times: Times, gap: int | None, without: Sequence[Instant]
) -> list[Chain]:
    """Each time with the latest beginning among the chains that it may follow.

    Those end before it, at most `gap` before, and not before the last `without` that is before it;
    that range only moves forward, so its maximum is kept in a queue.
    """
    found: list[Chain] = []
    queue: deque[Chain] = deque()
    taken = barred = 0
    for at in times:
        while taken < len(before) and before[taken][0] < at:
            while queue and queue[-1][1] <= before[taken][1]:
                queue.pop()
            queue.append(before[taken])
            taken += 1
        earliest = _NONE if gap is None else at - gap
        while barred < len(without) and without[barred] < at:
            barred += 1
        if barred:
            earliest = max(earliest, without[barred - 1])
        while queue and queue[0][0] < earliest:
            queue.popleft()
        if queue:
            found.append((at, queue[0][1]))
    return found
