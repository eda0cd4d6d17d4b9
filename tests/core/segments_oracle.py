"""The segment language a second time, the slow and obvious way: over every event so far.

It shares no code with the engine. Tests hold the engine's features and closures equal to it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any

from engine.core.features.kinds import Features
from engine.core.model.conditions import (
    AggregateCondition,
    All,
    AnyOf,
    Comparison,
    Condition,
    EventCondition,
    EventMatch,
    MomentCondition,
    Not,
    SegmentCondition,
    SequenceCondition,
    SequenceStep,
    SessionCondition,
    TraitCondition,
    Window,
)
from engine.core.model.people import Event
from engine.core.segments import Segments
from tests.core.build import someone

ABSENT = object()


class Oracle:
    """Answers conditions at an instant from a list of all events delivered so far."""

    def __init__(self, segments: Mapping[str, Condition], *, session_gap: int) -> None:
        self.segments = segments
        self.session_gap = session_gap

    def holds(
        self,
        condition: Condition,
        events: Sequence[Event],
        traits: Mapping[str, Any],
        now: int,
    ) -> bool:
        match condition:
            case All():
                return all(self.holds(one, events, traits, now) for one in condition.conditions)
            case AnyOf():
                return any(self.holds(one, events, traits, now) for one in condition.conditions)
            case Not():
                return not self.holds(condition.condition, events, traits, now)
            case SegmentCondition():
                return self.holds(self.segments[condition.segment], events, traits, now)
            case TraitCondition():
                value = traits.get(condition.filter.path[0], ABSENT)
                return all(passes(value, one, now) for one in condition.filter.comparisons)
            case EventCondition():
                n = sum(counts(condition, event, events, now) for event in events)
                return all(passes(n, one, now) for one in condition.count)
            case AggregateCondition():
                value = aggregate(condition, events, now)
                is_total = condition.measure in ("sum", "avg")
                return all(
                    passes(value, exact_operands(one) if is_total else one, now)
                    for one in condition.comparisons
                )
            case MomentCondition():
                times = [
                    event.at
                    for event in events
                    if is_match(condition.match, event)
                    and in_window(condition.window, event.at, now)
                ]
                moment = (min if condition.which == "first" else max)(times) if times else None
                return all(happened(moment, one, now) for one in condition.comparisons)
            case SequenceCondition():
                inside = [event for event in events if in_window(condition.window, event.at, now)]
                return is_chain(condition.steps, inside, events, None)
            case SessionCondition():
                passing = [
                    session
                    for session in self.sessions(events, now)
                    if in_window(condition.window, session[-1], now)
                    and all(passes(session[-1] - session[0], c, now) for c in condition.duration)
                    and all(passes(len(session), c, now) for c in condition.events)
                ]
                return all(passes(len(passing), c, now) for c in condition.count)
        raise AssertionError(condition)

    def sessions(self, events: Sequence[Event], now: int) -> list[list[int]]:
        found: list[list[int]] = []
        for at in sorted(event.at for event in events if event.at <= now):
            if found and at - found[-1][-1] <= self.session_gap:
                found[-1].append(at)
            else:
                found.append([at])
        return found


def play_every_instant(
    segments: Segments,
    oracle: Oracle,
    events: list[Event],
    traits: dict[str, Any],
    *,
    features: Features,
    end: int,
    start: int = 0,
    earlier: list[Event] | None = None,
) -> None:
    """Ask only when something arrives or an until comes; compare with the oracle always."""
    delivered = list(earlier or [])
    waiting = list(events)
    current: dict[str, tuple[bool, int]] = {}
    for now in range(start, end):
        touched: set[str] = set()
        while waiting and waiting[0].accepted_at <= now:
            event = waiting.pop(0)
            delivered.append(event)
            segments.observe(features, event)
            touched |= set(segments.touched_by(event))
        for name in oracle.segments:
            if name not in current or name in touched or current[name][1] <= now:
                current[name] = segments.evaluate(name, features, someone(traits), now=now)
                assert current[name][1] > now
            expected = oracle.holds(oracle.segments[name], delivered, traits, now)
            assert current[name][0] is expected, (now, name, features)


def counts(condition: EventCondition, event: Event, events: Sequence[Event], now: int) -> bool:
    if not is_match(condition.match, event) or not in_window(condition.window, event.at, now):
        return False
    followed = condition.not_followed_by
    if followed is None:
        return True
    if now < event.at + followed.within:
        return False
    return not any(
        is_match(followed.match, other) and event.at < other.at <= event.at + followed.within
        for other in events
    )


def aggregate(condition: AggregateCondition, events: Sequence[Event], now: int) -> Any:
    """The value compared, by the book: Fractions, sorting and sets over every event."""
    found = []
    for event in events:
        if is_match(condition.match, event) and in_window(condition.window, event.at, now):
            found += [(event.at, value) for value in values_at(event, condition.path)]
    numbers = [value for _, value in found if is_number(value)]
    match condition.measure:
        case "sum":
            return sum(map(exactly, numbers), Fraction(0))
        case "avg":
            return sum(map(exactly, numbers), Fraction(0)) / len(numbers) if numbers else ABSENT
        case "min" | "max":
            return (min if condition.measure == "min" else max)(numbers, default=ABSENT)
        case "distinct":
            kinds = {(type(value) is bool, isinstance(value, str), value) for _, value in found}
            return len({kind for kind in kinds if kind[2] is not None})
    ordered = sorted(found, key=lambda pair: (pair[0], tie_rank(pair[1])))
    if not ordered:
        return ABSENT
    return ordered[0][1] if condition.measure == "first" else ordered[-1][1]


def values_at(event: Event, path: Sequence[str]) -> list[Any]:
    values: list[Any] = [{"properties": event.properties, "context": event.context}]
    for key in path:
        if key == "*":
            values = [item for value in values if isinstance(value, list) for item in value]
        else:
            values = [value[key] for value in values if isinstance(value, dict) and key in value]
    return [value for value in values if not isinstance(value, list | dict)]


def exactly(number: float) -> Fraction:
    """The decimal number as it is written: 0.1 is a tenth."""
    return Fraction(str(number))


def exact_operands(one: Comparison) -> Comparison:
    if one.operator == "exists":
        return one
    if isinstance(one.operand, tuple):
        return Comparison(one.operator, tuple(map(exactly, one.operand)))
    return Comparison(one.operator, exactly(one.operand))


def tie_rank(value: Any) -> tuple[int, Any]:
    if value is None or value is False or value is True:
        return ([None, False, True].index(value), 0)
    return (4, value) if isinstance(value, str) else (3, value)


def happened(moment: int | None, comparison: Comparison, now: int) -> bool:
    operand = comparison.operand
    match comparison.operator:
        case "exists":
            return (moment is not None) is operand
        case "before":
            return moment is not None and moment < operand
        case "after":
            return moment is not None and moment > operand
        case "within_last":
            return moment is not None and now - operand < moment <= now
    raise AssertionError(comparison)


def is_chain(
    steps: Sequence[SequenceStep],
    inside: Sequence[Event],
    events: Sequence[Event],
    before: int | None,
) -> bool:
    """Whether the steps can be filled by events inside, the first one after `before`."""
    if not steps:
        return True
    step = steps[0]
    for event in inside:
        if not is_match(step.match, event):
            continue
        if before is not None:
            if event.at <= before or (step.gap is not None and event.at - before > step.gap):
                continue
            if step.without is not None and any(
                before < other.at < event.at and is_match(step.without, other) for other in events
            ):
                continue
        if is_chain(steps[1:], inside, events, event.at):
            return True
    return False


def is_match(match: EventMatch, event: Event) -> bool:
    if event.name != match.event:
        return False
    for one in match.where:
        value: Any = {"properties": event.properties, "context": event.context}
        for key in one.path:
            value = value.get(key, ABSENT) if isinstance(value, dict) else ABSENT
        if not all(passes(value, comparison, event.at) for comparison in one.comparisons):
            return False
    return True


def in_window(window: Window, at: int, now: int) -> bool:
    return (
        at <= now
        and (window.within is None or at > now - window.within)
        and (window.since is None or at >= window.since)
        and (window.until is None or at < window.until)
    )


def passes(value: Any, comparison: Comparison, now: int) -> bool:
    operand = comparison.operand
    match comparison.operator:
        case "is":
            return same(value, operand)
        case "is_not":
            return not same(value, operand)
        case "in":
            return any(same(value, one) for one in operand)
        case "not_in":
            return not any(same(value, one) for one in operand)
        case "gt":
            return is_number(value) and value > operand
        case "gte":
            return is_number(value) and value >= operand
        case "lt":
            return is_number(value) and value < operand
        case "lte":
            return is_number(value) and value <= operand
        case "between":
            return is_number(value) and operand[0] <= value <= operand[1]
        case "exists":
            return (value is not ABSENT) is operand
        case "within_last":
            at = microseconds(value)
            return at is not None and now - operand < at <= now
        case "within_next":
            at = microseconds(value)
            return at is not None and now < at <= now + operand
    raise AssertionError(comparison)


def same(value: Any, operand: Any) -> bool:
    if value is ABSENT:
        return False
    if isinstance(value, bool) or isinstance(operand, bool):
        return value is operand
    return bool(value == operand)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float | Fraction) and not isinstance(value, bool)


def microseconds(value: Any) -> int | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    elapsed = moment - datetime.fromisoformat("1970-01-01T00:00:00Z")
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds
