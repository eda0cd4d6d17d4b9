"""Conditions compiled to closures that answer `(holds, until)`: a tuple, no object, no tree walk.

`until` is the earliest instant at which the answer may change without a new event or trait, never
later than the true one. The kinds are in `person_conditions` and `event_conditions`.
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from engine.core.conditions import of_events as event_conditions
from engine.core.conditions import of_people as person_conditions
from engine.core.conditions.comparisons import Answer
from engine.core.conditions.compiled import Ask, Compiled, joined
from engine.core.conditions.surroundings import NO_LISTS, USUAL, Surroundings
from engine.core.errors import CampaignError
from engine.core.features.kinds import Features
from engine.core.model.campaigns import MemberList, Profiling
from engine.core.model.conditions import All, AnyOf, Condition, Not, SegmentCondition
from engine.core.model.instants import NEVER, Instant
from engine.core.model.people import Profile

__all__ = ["Ask", "Compiled", "Compiler"]


class Compiler(Surroundings):
    """Compiles conditions that may refer to the given segments, and registers their features."""

    def __init__(
        self,
        segments: Mapping[str, Condition],
        *,
        session_gap: int,
        lists: Mapping[str, MemberList] = NO_LISTS,
        profiling: Profiling = USUAL,
    ) -> None:
        super().__init__(session_gap=session_gap, lists=lists, profiling=profiling)
        self.segments = segments
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
                if until > decided_until:
                    decided_until = until
            elif until < all_until:
                all_until = until
        if decided_until > -NEVER:
            return decides, decided_until
        return not decides, all_until

    return joined(ask, parts)


def _unknown_segment(name: str, known: Mapping[str, Condition]) -> str:
    close = get_close_matches(name, known, n=1)
    hint = f'Did you mean "{close[0]}"?' if close else "Add a file to segments/ that defines it."
    return f'"{name}" is not a segment. {hint}'


COMPILERS: Final[dict[type[Any], Callable[[Compiler, Any], Compiled]]] = {
    **person_conditions.COMPILERS,
    **event_conditions.COMPILERS,
    SegmentCondition: _compile_reference,
    Not: _compile_not,
    All: _compile_all,
    AnyOf: _compile_any,
}
"""Every kind of condition on one screen."""
