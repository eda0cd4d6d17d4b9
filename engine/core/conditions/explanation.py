"""Why a verdict is what it is: each condition in plain words, with what was found for it."""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Final

from engine.core import clocktime
from engine.core.conditions import limits
from engine.core.conditions import told_of_events as event_explanation
from engine.core.conditions import told_of_people as person_explanation
from engine.core.conditions.wording import filter_words, span_words, value_words
from engine.core.features.kinds import KINDS, Features
from engine.core.model.conditions import (
    All,
    AnyOf,
    ClusterCondition,
    Condition,
    Not,
    ScoreCondition,
    SegmentCondition,
    TraitCondition,
)
from engine.core.model.instants import NEVER, Instant
from engine.core.model.people import Profile
from engine.core.paths import MISSING, follow
from engine.core.profiling import refusal

if TYPE_CHECKING:
    from engine.core.conditions.compiler import Compiler

__all__ = ["describe", "explain_condition", "span_words"]

Row = dict[str, Any]


def explain_condition(
    compiler: "Compiler",
    condition: Condition,
    features: Features,
    profile: Profile,
    *,
    now: Instant,
    depth: int = 0,
) -> list[Row]:
    """A row for the condition and one for each inside it, in reading order."""
    compiled = compiler.compile(condition)
    matches, until = compiled.ask(features, profile, now)
    inside = _inside(compiler, condition)
    unsure = () if inside else too_much(compiler, compiled.features, features, now=now)
    find = _FOUND.get(type(condition))
    found = ""
    if find is not None:
        state = next((features.get(key) for key in compiled.features), None)
        found = find(condition, state, profile, now)
    if isinstance(condition, ScoreCondition | ClusterCondition):
        found = refusal(profile.traits, compiler.profiling) or found
    rows: list[Row] = [
        {
            "condition": describe(condition),
            "matches": matches,
            "until": None if until >= NEVER else clocktime.iso(until),
            "found": found,
            "approximate": " and ".join(unsure),
            "depth": depth,
        }
    ]
    for inner in inside:
        rows += explain_condition(compiler, inner, features, profile, now=now, depth=depth + 1)
    return rows


def too_much(
    compiler: "Compiler", keys: Collection[str], features: Features, *, now: Instant
) -> list[str]:
    """What was too much to remember of these features, in words; the verdict is approximate."""
    found = []
    for key in sorted(keys):
        if limits.approximate_until(features, key) > now:
            definition = compiler.register.definitions[key]
            words = KINDS[type(definition)].limit_words
            assert words is not None
            found.append(words(definition))
    return found


def describe(condition: Condition) -> str:
    """A condition in plain words, without what is nested in it."""
    return _DESCRIBE[type(condition)](condition)


def _inside(compiler: "Compiler", condition: Condition) -> tuple[Condition, ...]:
    if isinstance(condition, All | AnyOf):
        return condition.conditions
    if isinstance(condition, Not):
        # The language's `none:` is a "not" around an "any of": people read it as they wrote it.
        inner = condition.condition
        return inner.conditions if isinstance(inner, AnyOf) else (inner,)
    if isinstance(condition, SegmentCondition):
        return (compiler.segments[condition.segment],)
    return ()


def _find_trait(condition: TraitCondition, state: Any, profile: Profile, now: Instant) -> str:
    path = condition.filter.path
    path = path[: path.index("*")] if "*" in path else path
    value = follow(profile.traits, path)
    return "missing" if value is MISSING else value_words(value)


_DESCRIBE: Final[dict[type[Any], Callable[[Any], str]]] = {
    **event_explanation.DESCRIBE,
    **person_explanation.DESCRIBE,
    TraitCondition: lambda condition: f"trait {filter_words(condition.filter)}",
    SegmentCondition: lambda condition: f'in segment "{condition.segment}"',
    All: lambda condition: "all of:",
    AnyOf: lambda condition: "any of:",
    Not: lambda condition: "none of:" if isinstance(condition.condition, AnyOf) else "not:",
}

_FOUND: Final[dict[type[Any], Callable[[Any, Any, Profile, Instant], str]]] = {
    **event_explanation.FOUND,
    **person_explanation.FOUND,
    TraitCondition: _find_trait,
}
"""What decided a condition, from (condition, state of its feature, profile, now)."""
