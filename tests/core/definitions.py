"""Random definitions of every kind about events, and random histories, for the laws of segments.

The unit of time is one microsecond and a history spans a few dozen of them: tests look at *every*
instant. Values are few, so that they meet; decimals are those that binary fractions cannot hold.
"""

from typing import Any

from hypothesis import strategies as st

from engine.core.clocktime import iso
from engine.core.model.conditions import (
    AggregateCondition,
    All,
    AnyOf,
    Comparison,
    Condition,
    EventCondition,
    EventMatch,
    Filter,
    FollowedBy,
    MomentCondition,
    Not,
    SequenceCondition,
    SequenceStep,
    SessionCondition,
    TraitCondition,
    Window,
)
from engine.core.model.people import Event

LAST = 60
HORIZON = 130
GAP = 4
# A session is exact unless an event is later than its window (docs/segments.md), so windows of
# sessions are longer than the latest event is late.
LATENESS_MAX = 25

names = st.sampled_from(["A", "A", "B"])
values = st.sampled_from([0, 1, 2, 1.5, True, False, None, "x"])


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    operator: Any = draw(
        st.sampled_from(["is", "is_not", "in", "gt", "gte", "lt", "lte", "between", "exists"])
    )
    number = st.integers(0, 2)
    operand: Any = draw(
        {
            "is": values,
            "is_not": values,
            "in": st.lists(values, max_size=3).map(tuple),
            "between": st.tuples(number, number),
            "exists": st.booleans(),
        }.get(operator, number)
    )
    return Comparison(operator, operand)


@st.composite
def matches(draw: st.DrawFn) -> EventMatch:
    where = draw(comparisons()) if draw(st.integers(0, 3)) == 0 else None
    path = draw(st.sampled_from([("properties", "v"), ("context", "device", "type")]))
    return EventMatch(draw(names), () if where is None else (Filter(path, (where,)),))


@st.composite
def counts(draw: st.DrawFn) -> tuple[Comparison, ...]:
    operator = draw(st.sampled_from(["is", "is_not", "in", "gt", "gte", "lt", "lte", "between"]))
    number = st.integers(0, 4)
    if operator == "between":
        return (Comparison("between", draw(st.tuples(number, number))),)
    if operator == "in":
        return (Comparison("in", tuple(draw(st.lists(number, max_size=3)))),)
    return (Comparison(operator, draw(number)),)  # type: ignore[arg-type]


@st.composite
def windows(draw: st.DrawFn, within_min: int) -> Window:
    within = draw(st.integers(within_min, 40)) if draw(st.integers(0, 3)) else None
    since = draw(st.integers(0, LAST)) if draw(st.integers(0, 4)) == 0 else None
    until = draw(st.integers(0, LAST)) if draw(st.integers(0, 4)) == 0 else None
    return Window(within, since, until)


event_conditions = st.builds(
    EventCondition,
    matches(),
    counts(),
    windows(1),
    st.none() | st.builds(FollowedBy, matches(), st.integers(1, 20)),
)
numbers = st.builds(
    Comparison, st.sampled_from(["gt", "gte", "lt", "lte", "is"]), st.integers(0, 8)
)
session_conditions = st.builds(
    SessionCondition,
    st.lists(numbers, max_size=1).map(tuple),
    st.lists(numbers, max_size=1).map(tuple),
    windows(LATENESS_MAX + 1),
    count=st.just((Comparison("gte", 1),)) | numbers.map(lambda one: (one,)),
)
trait_conditions = st.builds(
    lambda name, comparison: TraitCondition(Filter((name,), (comparison,))),
    st.sampled_from(["plain", "dated", "absent"]),
    comparisons()
    | st.builds(Comparison, st.sampled_from(["within_last", "within_next"]), st.integers(1, 30)),
)

decimals = st.sampled_from([0, 0.1, 0.2, 0.3, 0.7, 1, 1.5, 2, 3.3, 7])


@st.composite
def amounts(draw: st.DrawFn, *, or_missing: bool) -> Comparison:
    words = ["is", "is_not", "in", "not_in", "gt", "gte", "lt", "lte", "between"]
    operator: Any = draw(st.sampled_from(words + ["exists"] * or_missing))
    if operator == "between":
        return Comparison(operator, draw(st.tuples(decimals, decimals)))
    if operator in ("in", "not_in"):
        return Comparison(operator, tuple(draw(st.lists(decimals, max_size=3))))
    return Comparison(operator, draw(st.booleans() if operator == "exists" else decimals))


paths = st.sampled_from([("properties", "v")] * 3 + [("context", "device", "type")])
many_paths = st.sampled_from([("properties", "v")] * 3 + [("properties", "many", "*")])
aggregate_conditions = (
    st.builds(
        AggregateCondition,
        matches(),
        st.sampled_from(["avg", "min", "max"]),
        many_paths,
        st.lists(amounts(or_missing=True), min_size=1, max_size=2).map(tuple),
        windows(1),
    )
    | st.builds(
        AggregateCondition,
        matches(),
        st.just("sum"),
        many_paths,
        st.tuples(amounts(or_missing=False)),
        windows(1),
    )
    | st.builds(
        AggregateCondition,
        matches(),
        st.sampled_from(["first", "last"]),
        paths,
        st.tuples(comparisons()),
        windows(1),
    )
    | st.builds(
        AggregateCondition,
        matches(),
        st.just("distinct"),
        many_paths | paths,
        counts(),
        windows(1),
    )
)


@st.composite
def moments(draw: st.DrawFn) -> Comparison:
    operator: Any = draw(st.sampled_from(["before", "after", "within_last", "exists"]))
    operand = st.booleans() if operator == "exists" else st.integers(1, LAST)
    return Comparison(operator, draw(operand))


moment_conditions = st.builds(
    MomentCondition,
    matches(),
    st.sampled_from(["first", "last"]),
    st.lists(moments(), min_size=1, max_size=2).map(tuple),
    windows(1).map(lambda window: Window(None, window.since, window.until)),
)
steps = st.builds(
    SequenceStep, matches(), st.none() | st.integers(1, 20), st.none() | st.none() | matches()
)
sequence_conditions = st.builds(
    lambda first, others, window: SequenceCondition((SequenceStep(first), *others), window),
    matches(),
    st.lists(steps, min_size=1, max_size=3),
    windows(1),
)
about_events = event_conditions | aggregate_conditions | moment_conditions | sequence_conditions
leaves = about_events | session_conditions | trait_conditions


def nested(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    groups = st.lists(inner, max_size=3).map(tuple)
    return st.builds(Not, inner) | st.builds(All, groups) | st.builds(AnyOf, groups)


conditions = st.recursive(leaves, nested, max_leaves=6)
all_traits = st.fixed_dictionaries(
    {"plain": values}, optional={"dated": st.integers(0, LAST).map(iso)}
)


@st.composite
def deliveries(draw: st.DrawFn) -> list[Event]:
    """Events in the order they are accepted: some late, some dated in the future, ties galore."""
    n_events = draw(st.integers(0, 16))
    drafts = draw(
        st.lists(
            st.tuples(
                st.integers(0, LAST),
                st.just(0) | st.integers(-15, LATENESS_MAX),
                names,
                st.fixed_dictionaries(
                    {}, optional={"v": values | decimals, "many": st.lists(values, max_size=3)}
                ),
                st.sampled_from(["x", "y"]),
            ),
            min_size=n_events,
            max_size=n_events,
        )
    )
    accepted = sorted(drafts, key=lambda draft: max(0, draft[0] + draft[1]))
    return [
        Event(seq, name, at, max(0, at + late), properties, {"device": {"type": device}})
        for seq, (at, late, name, properties, device) in enumerate(accepted, start=1)
    ]
