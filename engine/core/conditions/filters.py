"""Filters of events and traits: where a path leads, and whether what is there passes every test.

A path with `*` leads to every element of a list; the filter holds if any one of them passes all
its tests. A path that leads nowhere leads to one MISSING value, so `is_not` and `exists: false`
have something to say. Nothing of an event is read that no filter asks for.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from engine.core.conditions import comparisons
from engine.core.conditions.comparisons import NO, YES, Answer, Test
from engine.core.errors import CampaignError
from engine.core.model.conditions import Comparison, EventMatch, Filter
from engine.core.model.instants import NEVER, Instant
from engine.core.model.people import Event
from engine.core.paths import MISSING, follow

EventTest: TypeAlias = Callable[[Event], bool]
Traits: TypeAlias = dict[str, Any]
TraitAnswer: TypeAlias = Callable[[Traits, Instant, str], Answer]

_ROOTS: Final = ("properties", "context")
_EVENT_ZONE: Final = "UTC"
"""An event means the same whoever's it becomes by a merge: its dates are not in their zone."""


def compile_where(where: Sequence[Filter]) -> EventTest | None:
    """One test of an event's properties and context; None where there is nothing to test.

    Spans such as `within_last` count from the event's own time: a fact's meaning never changes.

    Raises:
        CampaignError: If a path starts elsewhere than at `properties` or `context`, or a
            comparison cannot be compiled.
    """
    tests = [_compile_event_filter(one) for one in where]
    if len(tests) <= 1:
        return tests[0] if tests else None
    return lambda event: all(test(event) for test in tests)


def matches_event(match: EventMatch, event: Event) -> bool:
    """Whether the event has the name and passes every filter. Compiled once per match object."""
    if match.event != event.name:
        return False
    if not match.where:
        return True
    # Keyed by identity, because equality takes `is: 1` and `is: true` for the same.
    known = _TESTS.get(id(match))
    if known is None or known[0] is not match:
        test = compile_where(match.where)
        assert test is not None
        if len(_TESTS) >= _TESTS_MAX:
            _TESTS.clear()
        known = _TESTS[id(match)] = (match, test)
    return known[1](event)


_TESTS_MAX: Final = 10_000
_TESTS: Final[dict[int, tuple[EventMatch, EventTest]]] = {}
"""A memo that also keeps each match alive, so that no other can take its id."""


def is_timed_filter(trait_filter: Filter) -> bool:
    """Whether time alone can change the answer, and with it the zone that a date is read in."""
    return any(comparisons.is_timed(one) for one in trait_filter.comparisons)


def compile_trait_filter(trait_filter: Filter) -> TraitAnswer:
    """Whether traits pass a filter, and until when; the path starts at the trait's name.

    A date without a time begins and ends with its day in the zone that is given.
    """
    path, tests = trait_filter.path, trait_filter.comparisons
    if not path:
        raise CampaignError("a trait condition names no trait")
    if not is_timed_filter(trait_filter):
        test = _compile_values(path, tests)
        return lambda traits, now, zone: YES if test(traits) else NO
    timed = [comparisons.compile_timed(one) for one in tests]
    find = compile_find(path)

    def answer(traits: Traits, now: Instant, zone: str) -> Answer:
        return any_answer([
            all_answer([test(value, now, zone) for test in timed]) for value in find(traits)
        ])  # fmt: skip

    return answer


def all_answer(answers: Sequence[Answer]) -> Answer:
    """Every one holds. A false answer stands as long as the longest-lived of its false parts."""
    broken = [until for holds, until in answers if not holds]
    if broken:
        return False, max(broken)
    return True, min((until for _, until in answers), default=NEVER)


def any_answer(answers: Sequence[Answer]) -> Answer:
    """At least one holds. A true answer stands as long as the longest-lived of its true parts."""
    held = [until for holds, until in answers if holds]
    if held:
        return True, max(held)
    return False, min((until for _, until in answers), default=NEVER)


def _compile_event_filter(one: Filter) -> EventTest:
    if len(one.path) < 2 or one.path[0] not in _ROOTS:
        raise CampaignError(
            f'"{".".join(one.path)}" is not a path into an event; '
            'start at "properties." or "context."'
        )
    path, is_context = one.path[1:], one.path[0] == "context"
    if any(comparisons.is_timed(test) for test in one.comparisons):
        timed = [comparisons.compile_timed(test) for test in one.comparisons]
        find = compile_find(path)
        return lambda event: any(
            all(test(value, event.at, _EVENT_ZONE)[0] for test in timed)
            for value in find(event.context if is_context else event.properties)
        )
    values = _compile_values(path, one.comparisons)
    if is_context:
        return lambda event: values(event.context)
    return lambda event: values(event.properties)


def _compile_values(path: tuple[str, ...], tests: Sequence[Comparison]) -> Test:
    """A test of the data a path starts from: any value there passes every comparison."""
    compiled = tuple(comparisons.compile_test(one) for one in tests)
    if "*" in path:
        find = compile_find(path)
        return lambda data: any(all(test(value) for test in compiled) for value in find(data))
    if len(compiled) == 1:
        name, only = path[0], compiled[0]
        if len(path) == 1:
            return lambda data: only(data.get(name, MISSING))
        return lambda data: only(follow(data, path))
    return lambda data: _passes(follow(data, path), compiled)


def _passes(value: Any, tests: Sequence[Test]) -> bool:
    return all(test(value) for test in tests)


def compile_find(path: tuple[str, ...]) -> Callable[[Any], list[Any]]:
    """Every value a path leads to, or [MISSING] if it leads nowhere."""
    parts: list[tuple[str, ...]] = [()]
    for key in path:
        if key == "*":
            parts.append(())
        else:
            parts[-1] = (*parts[-1], key)

    def find(data: Any) -> list[Any]:
        found = [follow(data, parts[0])]
        for part in parts[1:]:
            found = [
                follow(element, part)
                for value in found
                if isinstance(value, list)
                for element in value
            ]
        return [value for value in found if value is not MISSING] or [MISSING]

    return find
