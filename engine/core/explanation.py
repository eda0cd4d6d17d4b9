"""Why a verdict is what it is: each condition in plain words, with what was found for it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from engine.core import clocktime
from engine.core.comparisons import TIMED
from engine.core.features import Features
from engine.core.model import (
    DAY,
    HOUR,
    MINUTE,
    NEVER,
    SECOND,
    All,
    AnyOf,
    Comparison,
    Condition,
    EventCondition,
    EventMatch,
    Filter,
    Instant,
    Not,
    Profile,
    SegmentCondition,
    SessionCondition,
    TraitCondition,
    Window,
)
from engine.core.paths import MISSING, follow

if TYPE_CHECKING:
    from engine.core.conditions import Compiler

Row = dict[str, Any]

_WORDS: Final = {
    "is": "is", "is_not": "is not", "in": "is one of", "not_in": "is none of",
    "gt": "is more than", "gte": "is at least", "lt": "is less than", "lte": "is at most",
    "contains": "contains", "not_contains": "does not contain", "starts_with": "starts with",
    "ends_with": "ends with", "matches": "matches", "before": "is before", "after": "is after",
    "within_last": "lies in the last", "within_next": "lies in the next",
    "anniversary_within": "has its anniversary within",
}  # fmt: skip


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
    found = ""
    if isinstance(condition, TraitCondition):
        found = _trait_found(condition.filter, profile.traits)
    elif isinstance(condition, EventCondition):
        found = _times_found(next((features.get(key) for key in compiled.features), None))
    elif isinstance(condition, SessionCondition):
        found = _sessions_found(next((features.get(key) for key in compiled.features), None))
    rows: list[Row] = [
        {
            "condition": describe(condition),
            "matches": matches,
            "until": None if until >= NEVER else clocktime.iso(until),
            "found": found,
            "depth": depth,
        }
    ]
    for inner in _inside(compiler, condition):
        rows += explain_condition(compiler, inner, features, profile, now=now, depth=depth + 1)
    return rows


def describe(condition: Condition) -> str:
    """A condition in plain words, without what is nested in it."""
    return _DESCRIBE[type(condition)](condition)


def span_words(span: int) -> str:
    """Microseconds as people write them: `2h`, `30m`, `1m 30s`."""
    words = []
    for unit, letter in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")):
        number, span = divmod(span, unit)
        if number:
            words.append(f"{number}{letter}")
    return " ".join(words) or "0s"


def _inside(compiler: "Compiler", condition: Condition) -> tuple[Condition, ...]:
    if isinstance(condition, All | AnyOf):
        return condition.conditions
    if isinstance(condition, Not):
        return (condition.condition,)
    if isinstance(condition, SegmentCondition):
        return (compiler.segments[condition.segment],)
    return ()


def _describe_trait(condition: TraitCondition) -> str:
    return f"trait {_filter(condition.filter)}"


def _describe_event(condition: EventCondition) -> str:
    text = f"{_event(condition.match)} {_count(condition.count)}{_window(condition.window)}"
    followed = condition.not_followed_by
    if followed is not None:
        text += f", not followed by {_event(followed.match)} for {span_words(followed.within)}"
    return text


def _describe_session(condition: SessionCondition) -> str:
    tests = [f"lasting {_number(one, span_words)}" for one in condition.duration]
    tests += [f"with {_number(one, str)} events" for one in condition.events]
    return f"a session {' and '.join(tests)}".rstrip() + _window(condition.window)


_DESCRIBE: Final[dict[type[Any], Callable[[Any], str]]] = {
    TraitCondition: _describe_trait,
    EventCondition: _describe_event,
    SessionCondition: _describe_session,
    SegmentCondition: lambda condition: f'in segment "{condition.segment}"',
    All: lambda condition: "all of:",
    AnyOf: lambda condition: "any of:",
    Not: lambda condition: "not:",
}


def _event(match: EventMatch) -> str:
    where = " and ".join(_filter(one) for one in match.where)
    return f"{match.event} where {where}" if where else match.event


def _filter(one: Filter) -> str:
    return f"{'.'.join(one.path)} {' and '.join(_comparison(test) for test in one.comparisons)}"


def _comparison(one: Comparison) -> str:
    if one.operator == "exists":
        return "exists" if one.operand else "does not exist"
    if one.operator == "between":
        return f"is between {one.operand[0]} and {one.operand[1]}"
    return f"{_WORDS[one.operator]} {_operand(one)}"


def _operand(one: Comparison) -> str:
    if one.operator in TIMED:
        return span_words(one.operand)
    if one.operator in ("before", "after"):
        return clocktime.iso(one.operand)
    if isinstance(one.operand, tuple | list):
        return ", ".join(_value(item) for item in one.operand)
    return _value(one.operand)


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return (
        "a protected value" if isinstance(value, str) and value.startswith("blind:") else str(value)
    )


def _number(one: Comparison, words: Callable[[Any], str]) -> str:
    if one.operator == "between":
        return f"between {words(one.operand[0])} and {words(one.operand[1])}"
    if isinstance(one.operand, tuple | list):
        listed = ", ".join(words(item) for item in one.operand)
    else:
        listed = words(one.operand)
    return f"{_WORDS[one.operator].removeprefix('is')} {listed}".strip()


def _count(count: tuple[Comparison, ...]) -> str:
    if count == (Comparison("gte", 1),):
        return "at least once"
    return " and ".join(f"{_number(one, str)} times" for one in count) or "any number of times"


def _window(window: Window) -> str:
    text = "" if window.within is None else f" in the last {span_words(window.within)}"
    if window.since is not None:
        text += f" since {clocktime.iso(window.since)}"
    if window.until is not None:
        text += f" before {clocktime.iso(window.until)}"
    return text


def _trait_found(one: Filter, traits: dict[str, Any]) -> str:
    path = one.path[: one.path.index("*")] if "*" in one.path else one.path
    value = follow(traits, path)
    return "missing" if value is MISSING else _value(value)


def _times_found(state: Any) -> str:
    """What is remembered: only the events that can decide, so a count here is a least."""
    times = state[0] if state and isinstance(state[0], list) else state
    if not times:
        return "none"
    return f"{len(times)} remembered, latest {clocktime.iso(times[-1])}"


def _sessions_found(state: Any) -> str:
    if not state or not state[0]:
        return "none"
    first, last, n_events = state[0][-1]
    return f"latest of {n_events} events over {span_words(last - first)}, {clocktime.iso(last)}"
