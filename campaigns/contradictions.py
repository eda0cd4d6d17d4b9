"""Conditions that nobody can meet, and those that everybody does: reported where they stand.

Sound, not complete. A condition is taken apart into alternatives, each a list of facts that must
hold together; if every alternative contradicts itself, nothing can match. What always holds is
what the negation of which cannot. No fact is assumed that the evaluation does not keep.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import product
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from campaigns.possible_values import (
    ANYTHING,
    NUMBER,
    NUMBER_OR_MISSING,
    SCALAR_OR_MISSING,
    Constraint,
    is_instant_possible,
    possible_kinds,
)
from engine.core.conditions.counts import count_verdicts
from engine.core.conditions.explanation import describe
from engine.core.errors import CampaignError
from engine.core.features.kinds import content
from engine.core.model.conditions import (
    AggregateCondition,
    All,
    AnyOf,
    Comparison,
    Condition,
    EventCondition,
    EventMatch,
    Filter,
    MomentCondition,
    Not,
    SegmentCondition,
    SequenceCondition,
    SessionCondition,
    TraitCondition,
    Window,
)

if TYPE_CHECKING:
    from campaigns.conditions import Conditions

ALTERNATIVES_MAX: Final = 256
"""Conditions with more alternatives are not looked into: nothing is said of them."""


class Fact(NamedTuple):
    """A condition without parts, and whether it must hold or must not."""

    condition: Any
    holds: bool


Facts: TypeAlias = tuple[Fact, ...]
Segments: TypeAlias = Mapping[str, Condition]


class _TooMany(Exception):
    """More alternatives than are looked into."""


def check_contradictions(conditions: "Conditions", segments: Segments) -> None:
    """Report each smallest condition that can never, or must always, hold."""
    for condition in conditions.roots:
        with suppress(CampaignError):  # what the core refuses is said where it is compiled
            _check(conditions, segments, condition, "", 0)


def _check(
    conditions: "Conditions", segments: Segments, condition: Condition, file: str, line: int
) -> bool:
    """Whether something was found, so that what holds it says nothing more."""
    _, file, line = conditions.places.get(id(condition), (condition, file, line))
    found = [_check(conditions, segments, one, file, line) for one in _parts(condition)]
    if any(found):
        return True
    reason = why_never(condition, segments)
    is_constant = reason is not None or why_never(Not(condition), segments) is not None
    if is_constant and not isinstance(condition, SegmentCondition):
        message = "this always holds, whoever it is asked of. Take it out, or mend it."
        if reason is not None:
            message = f"nothing can match: {reason}."
        conditions.report(file, line, describe(condition), message)
    return is_constant


def _parts(condition: Condition) -> tuple[Condition, ...]:
    if isinstance(condition, All | AnyOf):
        return condition.conditions
    return (condition.condition,) if isinstance(condition, Not) else ()


def why_never(condition: Condition, segments: Segments) -> str | None:
    """Why nobody can ever meet a condition; None if somebody may."""
    try:
        alternatives = _alternatives(condition, True, segments)
    except _TooMany:
        return None
    reason = "it offers no alternative"
    for facts in alternatives:
        found = _contradiction(facts)
        if found is None:
            return None
        reason = found
    return reason


# --- alternatives ---------------------------------------------------------------------------------


def _alternatives(condition: Condition, holds: bool, segments: Segments) -> list[Facts]:
    match condition:
        case Not():
            return _alternatives(condition.condition, not holds, segments)
        case All() | AnyOf():
            parts = [_alternatives(one, holds, segments) for one in condition.conditions]
            return _together(parts) if isinstance(condition, All) is holds else _either(parts)
        case SegmentCondition():
            own: Facts = (Fact(condition, holds),)
            inside = segments.get(condition.segment)
            if inside is None:
                return [own]
            return _together([[own], _alternatives(inside, holds, segments)])
        case TraitCondition() if "*" not in condition.filter.path:
            path, tests = condition.filter.path, condition.filter.comparisons
            single = [(Fact(TraitCondition(Filter(path, (one,))), holds),) for one in tests]
            return [tuple(fact for (fact,) in single)] if holds else list(single)
        case _:
            return [(Fact(condition, holds),)]


def _either(parts: Sequence[list[Facts]]) -> list[Facts]:
    return _bounded([facts for part in parts for facts in part])


def _together(parts: Sequence[list[Facts]]) -> list[Facts]:
    n_alternatives = 1
    for part in parts:
        n_alternatives *= len(part)
        if n_alternatives > ALTERNATIVES_MAX:
            raise _TooMany
    return [tuple(fact for facts in chosen for fact in facts) for chosen in product(*parts)]


def _bounded(found: list[Facts]) -> list[Facts]:
    if len(found) > ALTERNATIVES_MAX:
        raise _TooMany
    return found


# --- facts that exclude each other ----------------------------------------------------------------


def _contradiction(facts: Facts) -> str | None:
    known = [fact for fact in facts if not _is_blinded(fact.condition)]
    polarity: dict[bytes, bool] = {}
    for condition, holds in known:
        if polarity.setdefault(_name(condition), holds) is not holds:
            return f'"{describe(condition)}" must hold and must not'
    counts = _Counts()
    groups: dict[tuple[Any, ...], list[Fact]] = defaultdict(list)
    for fact in known:
        if (variable := _variable(fact.condition)) is not None:
            groups[variable].append(fact)
    for group in groups.values():
        if (reason := _KINDS[type(group[0].condition)](group, counts)) is not None:
            return reason
    return counts.contradiction()


def _name(condition: Any) -> bytes:
    return type(condition).__name__.encode() + content(condition)


def _is_blinded(condition: Any) -> bool:
    """Whether it compares protected values, of which only markers are known here."""
    return isinstance(condition, TraitCondition) and any(
        isinstance(item, str) and item.startswith("blind:")
        for one in condition.filter.comparisons
        for item in (one.operand if isinstance(one.operand, tuple | list) else (one.operand,))
    )


def _variable(condition: Any) -> tuple[Any, ...] | None:
    """What a condition tests one value of: facts of the same variable are weighed together."""
    match condition:
        case TraitCondition():
            whole = content(condition) if "*" in condition.filter.path else b""
            return "trait", condition.filter.path, whole
        case EventCondition():
            return ("count", content(condition.match), condition.window,
                    condition.not_followed_by and content(condition.not_followed_by))  # fmt: skip
        case AggregateCondition():
            return ("value", content(condition.match), condition.measure, condition.path,
                    condition.window)  # fmt: skip
        case MomentCondition():
            return "moment", content(condition.match), condition.which, condition.window
        case SequenceCondition() | SessionCondition():
            return "alone", _name(condition)
    return None


def _asked(group: Sequence[Fact], comparisons_of: Callable[[Any], Any]) -> list[Constraint]:
    """The tests of one value; a test of several that must not hold says nothing of any one."""
    found: list[Constraint] = []
    for condition, holds in group:
        comparisons = comparisons_of(condition)
        if holds or len(comparisons) == 1:
            found += [(one, holds) for one in comparisons]
    return found


def _words(group: Sequence[Fact]) -> str:
    words = [("" if fact.holds else "not ") + describe(fact.condition) for fact in group]
    return " and ".join(f'"{one}"' for one in dict.fromkeys(words))


def _trait(group: Sequence[Fact], counts: "_Counts") -> str | None:
    constraints = _asked(group, lambda condition: condition.filter.comparisons)
    if possible_kinds(constraints, ANYTHING):
        return None
    return f"no value passes {_words(group)}"


def _count(group: Sequence[Fact], counts: "_Counts") -> str | None:
    condition = group[0].condition
    followed = condition.not_followed_by
    window = condition.window
    if followed is not None and window.within is not None and followed.within >= window.within:
        return None  # refused on its own
    allowed = _allowed_counts([(fact.condition.count, fact.holds) for fact in group])
    if not any(allowed):
        return f"no number of events passes {_words(group)}"
    named = None if followed is None else content(followed)
    counts.add(condition.match, window, named, allowed, _words(group))
    return None


def _allowed_counts(tests: Sequence[tuple[tuple[Comparison, ...], bool]]) -> list[bool]:
    verdicts = [(count_verdicts(count), holds) for count, holds in tests]
    size = max(len(one) for one, _ in verdicts)
    return [all(one[min(n, len(one) - 1)] is holds for one, holds in verdicts) for n in range(size)]


def _value(group: Sequence[Fact], counts: "_Counts") -> str | None:
    condition = group[0].condition
    if condition.measure == "distinct":
        allowed = _allowed_counts([(fact.condition.comparisons, fact.holds) for fact in group])
        possible, needs_one = any(allowed), not allowed[0]
    else:
        constraints = _asked(group, lambda one: one.comparisons)
        kinds = possible_kinds(constraints, _VALUES[condition.measure])
        possible, needs_one = bool(kinds), "missing" not in kinds
        if condition.measure == "sum":
            nothing = (Comparison("is", 0), True)
            needs_one = not possible_kinds([*constraints, nothing], NUMBER)
    if not possible:
        return f"no value passes {_words(group)}"
    if needs_one:
        counts.add(condition.match, condition.window, None, [False, True], _words(group))
    return None


def _moment(group: Sequence[Fact], counts: "_Counts") -> str | None:
    condition = group[0].condition
    constraints = _asked(group, lambda one: one.comparisons)
    may_lack = bool(possible_kinds(constraints, ("missing",)))
    may_happen = is_instant_possible(constraints)
    if not may_lack and not may_happen:
        return f"no instant passes {_words(group)}"
    if not may_lack:
        counts.add(condition.match, condition.window, None, [False, True], _words(group))
    return None


def _alone(group: Sequence[Fact], counts: "_Counts") -> str | None:
    """Of a sequence that must hold each step must have happened; a session has an event."""
    condition, holds = group[0]
    if not holds:
        return None
    if isinstance(condition, SequenceCondition):
        for step in condition.steps:
            counts.add(step.match, condition.window, None, [False, True], _words(group))
        return None
    verdicts = count_verdicts(condition.count)
    if verdicts[0]:
        return None  # none at all will do
    duration = [*((one, True) for one in condition.duration), (Comparison("gte", 0), True)]
    events = [*((one, True) for one in condition.events), (Comparison("gte", 1), True)]
    if possible_kinds(duration, NUMBER) and possible_kinds(events, NUMBER):
        return None
    return f"no session passes {_words(group)}"


class _Counts:
    """How many events of each kind there may be: of fewer kinds of event no more than of more."""

    def __init__(self) -> None:
        self._found: list[tuple[EventMatch, Window, bytes | None, int, int | None, str]] = []

    def add(
        self,
        match: EventMatch,
        window: Window,
        followed: bytes | None,
        allowed: list[bool],
        words: str,
    ) -> None:
        most = None if allowed[-1] else max(n for n, is_one in enumerate(allowed) if is_one)
        self._found.append((match, window, followed, allowed.index(True), most, words))

    def contradiction(self) -> str | None:
        for match, window, followed, least, _, words in self._found:
            for wider, window_of, followed_of, _, most, other in self._found:
                if most is None or least <= most:
                    continue
                if (
                    _is_within(window, window_of)
                    and _is_narrower(match, wider)
                    and (followed_of is None or followed_of == followed)
                ):
                    return f"{words} asks for more than {other} leaves"
        return None


def _is_within(inner: Window, outer: Window) -> bool:
    return (
        (outer.within is None or (inner.within is not None and inner.within <= outer.within))
        and (outer.since is None or (inner.since is not None and inner.since >= outer.since))
        and (outer.until is None or (inner.until is not None and inner.until <= outer.until))
    )


def _is_narrower(inner: EventMatch, outer: EventMatch) -> bool:
    filters = {content(one) for one in inner.where}
    return inner.event == outer.event and all(content(one) in filters for one in outer.where)


_VALUES: Final[dict[str, tuple[str, ...]]] = {
    "sum": NUMBER,
    "avg": NUMBER_OR_MISSING,
    "min": NUMBER_OR_MISSING,
    "max": NUMBER_OR_MISSING,
    "first": SCALAR_OR_MISSING,
    "last": SCALAR_OR_MISSING,
}

_KINDS: Final[dict[type[Any], Callable[[Sequence[Fact], _Counts], str | None]]] = {
    TraitCondition: _trait,
    EventCondition: _count,
    AggregateCondition: _value,
    MomentCondition: _moment,
    SequenceCondition: _alone,
    SessionCondition: _alone,
}
