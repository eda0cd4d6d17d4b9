"""Conditions compiled to closures that answer `(holds, until)`: a tuple, no object, no tree walk.

`until` is the earliest instant at which the answer may change without a new event or trait, never
later than the true one. Each kind of condition is one function in `COMPILERS`.
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from math import ceil
from typing import Any, Final, NamedTuple, TypeAlias

from engine.core import occurrences, sessions
from engine.core.comparisons import NO, YES, Answer, compile_test
from engine.core.errors import CampaignError
from engine.core.features import Features, Register
from engine.core.filters import compile_trait_filter
from engine.core.model import (
    NEVER,
    All,
    AnyOf,
    Comparison,
    Condition,
    EventCondition,
    Instant,
    Not,
    Profile,
    SegmentCondition,
    SessionCondition,
    TraitCondition,
)
from engine.core.occurrences import Occurrences
from engine.core.sessions import Sessions
from engine.core.unfollowed import Unfollowed

Ask: TypeAlias = Callable[[Features, Profile, Instant], Answer]
"""A compiled condition: (features, profile, now) -> (holds, until)."""

COUNT_MAX: Final = 10_000
"""The largest count a condition may compare with: so many times are kept for each profile."""


class Compiled(NamedTuple):
    """A condition's closure, and what its answer depends on, references included."""

    ask: Ask
    features: frozenset[str] = frozenset()
    traits: frozenset[str] = frozenset()


class Compiler:
    """Compiles conditions that may refer to the given segments, and registers their features."""

    def __init__(self, segments: Mapping[str, Condition], *, session_gap: int) -> None:
        self.segments = segments
        self.session_gap = session_gap
        self.register = Register()
        self._compiled: dict[str, Compiled] = {}
        self._path: list[str] = []

    def compile(self, condition: Condition) -> Compiled:
        """The closure of a condition.

        Raises:
            CampaignError: If it refers to an unknown segment or to itself, or compares with
                something its operator does not take.
        """
        return COMPILERS[type(condition)](self, condition)

    def compile_segment(self, name: str) -> Compiled:
        """The closure of a segment, compiled once."""
        if name in self._compiled:
            return self._compiled[name]
        if name not in self.segments:
            raise CampaignError(_unknown_segment(name, self.segments))
        if name in self._path:
            circle = [*self._path[self._path.index(name) :], name]
            raise CampaignError(
                f"segments refer to each other in a circle: {' -> '.join(circle)}; "
                "take one of these references out"
            )
        self._path.append(name)
        try:
            compiled = self._compiled[name] = self.compile(self.segments[name])
        finally:
            self._path.pop()
        return compiled


def count_verdicts(count: tuple[Comparison, ...]) -> tuple[bool, ...]:
    """The answer for 0, 1, 2, … events; the last stands for every larger count too.

    >>> count_verdicts((Comparison("gte", 2),))
    (False, False, True)
    """
    tests = [compile_test(one) for one in count]
    verdicts = [all(test(n) for test in tests) for n in range(_largest(count) + 2)]
    while len(verdicts) > 1 and verdicts[-1] == verdicts[-2]:
        verdicts.pop()
    return tuple(verdicts)


def _largest(count: tuple[Comparison, ...]) -> int:
    largest = 0
    for one in count:
        operands = one.operand if isinstance(one.operand, tuple | list) else (one.operand,)
        for operand in operands:
            if not isinstance(operand, int | float) or isinstance(operand, bool):
                raise CampaignError(f"count: {operand!r} is not a number")
            if not operand <= COUNT_MAX:
                raise CampaignError(
                    f"count: {operand} is more than {COUNT_MAX}, the most that is remembered"
                )
            largest = max(largest, ceil(operand))
    return largest


def _compile_trait(compiler: Compiler, condition: TraitCondition) -> Compiled:
    answer = compile_trait_filter(condition.filter)
    return Compiled(
        lambda features, profile, now: answer(profile.traits, now),
        traits=frozenset({condition.filter.path[0]}),
    )


def _compile_event(compiler: Compiler, condition: EventCondition) -> Compiled:
    verdicts = count_verdicts(condition.count)
    window, followed = condition.window, condition.not_followed_by
    _check_window(window.within)
    if followed is not None and followed.within <= 0:
        raise CampaignError("not_followed_by: its span (for) is not longer than nothing")
    delay = followed.within if followed is not None else 0
    most = len(verdicts) - 1
    if most == 0 or (window.within is not None and delay >= window.within):
        constant = YES if verdicts[0] else NO
        return Compiled(lambda features, profile, now: constant)
    if followed is None:
        key = compiler.register.add(Occurrences(condition.match, window, most))
    else:
        key = compiler.register.add(
            Unfollowed(condition.match, window, most, followed.match, followed.within)
        )
    ask = occurrences.compile_answer(
        key, verdicts, within=window.within, delay=delay, part=-1 if followed is None else 0
    )
    return Compiled(ask, features=frozenset({key}))


def _compile_session(compiler: Compiler, condition: SessionCondition) -> Compiled:
    _check_window(condition.window.within)
    definition = Sessions(
        condition.duration, condition.events, condition.window, compiler.session_gap
    )
    key = compiler.register.add(definition)
    return Compiled(sessions.compile_answer(definition, key), features=frozenset({key}))


def _compile_reference(compiler: Compiler, condition: SegmentCondition) -> Compiled:
    return compiler.compile_segment(condition.segment)


def _compile_not(compiler: Compiler, condition: Not) -> Compiled:
    compiled = compiler.compile(condition.condition)
    ask_inner = compiled.ask

    def ask(features: Features, profile: Profile, now: Instant) -> Answer:
        holds, until = ask_inner(features, profile, now)
        return not holds, until

    return compiled._replace(ask=ask)


def _compile_all(compiler: Compiler, condition: All) -> Compiled:
    return _compile_group(compiler, condition.conditions, decides=False)


def _compile_any(compiler: Compiler, condition: AnyOf) -> Compiled:
    return _compile_group(compiler, condition.conditions, decides=True)


def _compile_group(
    compiler: Compiler, conditions: tuple[Condition, ...], *, decides: bool
) -> Compiled:
    """All of, or any of: one part whose answer is `decides` settles the whole.

    Then the answer stands as long as the longest-lived of those parts; otherwise until the first
    of all parts changes.
    """
    parts = [compiler.compile(one) for one in conditions]
    asks = tuple(part.ask for part in parts)
    settled = (decides, NEVER)

    def ask(features: Features, profile: Profile, now: Instant) -> Answer:
        decided_until, all_until = -NEVER, NEVER
        for part in asks:
            holds, until = part(features, profile, now)
            if holds is decides:
                if until >= NEVER:
                    return settled
                decided_until = max(decided_until, until)
            elif until < all_until:
                all_until = until
        if decided_until > -NEVER:
            return decides, decided_until
        return not decides, all_until

    return Compiled(
        ask,
        frozenset().union(*(part.features for part in parts)),
        frozenset().union(*(part.traits for part in parts)),
    )


def _check_window(within: int | None) -> None:
    if within is not None and within <= 0:
        raise CampaignError("within: a window is longer than nothing")


def _unknown_segment(name: str, known: Mapping[str, Condition]) -> str:
    close = get_close_matches(name, known, n=1)
    hint = f'Did you mean "{close[0]}"?' if close else "Add a file to segments/ that defines it."
    return f'"{name}" is not a segment. {hint}'


COMPILERS: Final[dict[type[Any], Callable[[Compiler, Any], Compiled]]] = {
    TraitCondition: _compile_trait,
    EventCondition: _compile_event,
    SessionCondition: _compile_session,
    SegmentCondition: _compile_reference,
    Not: _compile_not,
    All: _compile_all,
    AnyOf: _compile_any,
}
"""Every kind of condition on one screen."""
