"""Random conditions of every kind, over the world that `tests.proof.people` makes.

A `Scale` says what one step of time is: with a microsecond everything happens at once and ties are
the rule; with hours, days begin and end, clocks change and birthdays come.
"""

from typing import Any, NamedTuple

from hypothesis import strategies as st

from engine.core.clocktime import iso
from engine.core.model.conditions import (
    AggregateCondition,
    All,
    AnyOf,
    ClusterCondition,
    Comparison,
    Condition,
    ConsentCondition,
    EventCondition,
    EventMatch,
    Filter,
    FollowedBy,
    LatestCondition,
    ListCondition,
    LocalTimeCondition,
    MomentCondition,
    NearCondition,
    Not,
    SampleCondition,
    ScoreCondition,
    SegmentCondition,
    SequenceCondition,
    SequenceStep,
    SessionCondition,
    TraitCondition,
    Window,
)
from engine.core.model.instants import HOUR, SECOND


class Scale(NamedTuple):
    """Where time begins, and how long one of its steps is, in microseconds."""

    begin: int
    step: int

    def at(self, number: int) -> int:
        return self.begin + number * self.step


LAST = 60
"""Events happen at steps 0 to this one."""
LATENESS_MAX = 25
MICROSECONDS = Scale(0, 1)
HOURS = Scale(1_772_874_000 * SECOND, 5 * HOUR + 1)
"""From 2026-03-07: both hemispheres change their clocks in these twelve days, somewhere."""
GAP_STEPS = 4

NAMES = ("A", "A", "B", "C")
WORDS = ("x", "xy", "yx", "1", "é", "Z", "a.b", "")
SCALARS = (0, 1, 2, 1.5, -3, True, False, None, *WORDS)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia")
MODELS = ("churn", "shoppers")
LABELS = ("loyal", "new", "")

scalars = st.sampled_from(SCALARS)
numbers = st.sampled_from([-1, 0, 1, 2, 1.5, 3, 0.1])
words = st.sampled_from(WORDS)
ordered = numbers | words


def dates(scale: Scale) -> st.SearchStrategy[str]:
    """Dates as people write them: with a time, bare, with an offset, long ago."""
    moments = st.integers(-10, LAST + 10).map(lambda number: iso(scale.at(max(0, number))))
    return (
        moments
        | moments.map(lambda text: text[:10])
        | moments.map(lambda text: text.removesuffix("Z") + "+05:30")
        | moments.map(lambda text: "1984" + text[4:10])
        | st.sampled_from(["1992-02-29", "20260308", "2026-W11-1", "2026-03-08 09:30", "soon"])
    )


def comparisons(scale: Scale, *, timed: bool = True) -> st.SearchStrategy[Comparison]:
    """A comparison with any operator of the language."""

    def one(operator: Any, operands: st.SearchStrategy[Any]) -> st.SearchStrategy[Comparison]:
        return operands.map(lambda operand: Comparison(operator, operand))

    instants = st.integers(0, LAST).map(scale.at)
    spans = st.integers(1, 30).map(lambda n: n * scale.step)
    some = st.lists(scalars, max_size=3).map(tuple)
    pairs = st.tuples(numbers, numbers) | st.tuples(words, words)
    plain = [
        *(one(operator, scalars) for operator in ("is", "is_not", "contains", "not_contains")),
        *(one(operator, some) for operator in ("in", "not_in")),
        *(one(operator, ordered) for operator in ("gt", "gte", "lt", "lte")),
        one("between", pairs),
        one("starts_with", words),
        one("ends_with", words),
        one("matches", st.sampled_from(["x", "^x", "y$", r"\d", "(?i)Z", ".", "^$", r"\bx", "é"])),
        one("exists", st.booleans()),
        *(one(operator, instants) for operator in ("before", "after")),
    ]
    in_time = [one(op, spans) for op in ("within_last", "within_next", "anniversary_within")]
    return st.one_of(*plain, *(in_time if timed else []))


def filters(scale: Scale) -> st.SearchStrategy[Filter]:
    """A filter of an event."""
    paths = st.sampled_from([
        ("properties", "v"), ("properties", "v"), ("properties", "o", "p"),
        ("properties", "list", "*"), ("properties", "list", "*", "p"), ("properties", "list", "1"),
        ("properties", "deep", "*", "list", "*"), ("properties", "a/b~c"),
        ("properties", "list", "01"), ("properties", "on"), ("context", "device", "type"),
    ])  # fmt: skip
    tests = st.lists(comparisons(scale), min_size=1, max_size=2).map(tuple)
    return st.builds(Filter, paths, tests)


def matches(scale: Scale) -> st.SearchStrategy[EventMatch]:
    """Events of a name, a quarter of the time with a filter."""
    where = st.integers(0, 3).flatmap(
        lambda n: st.tuples(filters(scale)) if n == 0 else st.just(())
    )
    return st.builds(EventMatch, st.sampled_from(NAMES), where)


def windows(scale: Scale, *, within_min: int = 1, rolls: bool = True) -> st.SearchStrategy[Window]:
    """A window; `rolls` False has no `within`."""
    rarely = st.integers(0, 4).flatmap(
        lambda n: st.integers(0, LAST).map(scale.at) if n == 0 else st.none()
    )
    spans = st.none() | st.integers(within_min, 40).map(lambda n: n * scale.step)
    return st.builds(Window, spans if rolls else st.none(), rarely, rarely)


def counts() -> st.SearchStrategy[tuple[Comparison, ...]]:
    small = st.integers(0, 4)
    some = st.lists(small, max_size=3).map(tuple)
    operators: Any = st.sampled_from(["is", "is_not", "gt", "gte", "lt", "lte"])
    return st.one_of(
        st.builds(Comparison, operators, small),
        st.builds(Comparison, st.just("between"), st.tuples(small, small)),
        st.builds(Comparison, st.sampled_from(["in", "not_in"]), some),
    ).map(lambda one: (one,))  # fmt: skip


def event_conditions(scale: Scale) -> st.SearchStrategy[EventCondition]:
    spans = st.integers(1, 20).map(lambda n: n * scale.step)
    followed = st.none() | st.builds(FollowedBy, matches(scale), spans)
    return st.builds(EventCondition, matches(scale), counts(), windows(scale), followed)


def aggregate_conditions(scale: Scale) -> st.SearchStrategy[AggregateCondition]:
    """An aggregate with an operator that its measure takes."""

    def build(measure: Any) -> st.SearchStrategy[AggregateCondition]:
        known = [("properties", "v"), ("properties", "o", "p")]
        many = [("properties", "list", "*"), ("properties", "list", "*", "p")]
        paths = st.sampled_from(known if measure in ("first", "last") else known + many)
        order: Any = st.sampled_from(["gt", "gte", "lt", "lte", "is", "is_not"])
        amounts = numbers | st.sampled_from([4.5, 6, 0.000001, 2.25, 100])
        sums = st.builds(Comparison, order, amounts) | st.builds(
            Comparison, st.just("between"), st.tuples(numbers, numbers)
        )
        tests = {
            "sum": sums,
            "avg": sums | st.builds(Comparison, st.just("exists"), st.booleans()),
            "min": sums | st.builds(Comparison, st.just("exists"), st.booleans()),
            "max": sums | st.builds(Comparison, st.just("not_in"), st.tuples(numbers, numbers)),
            "distinct": counts().map(lambda it: it[0]),
        }.get(measure, comparisons(scale))
        return st.builds(
            AggregateCondition, matches(scale), st.just(measure), paths, st.tuples(tests),
            windows(scale),
        )  # fmt: skip

    measures = ["sum", "avg", "min", "max", "first", "last", "distinct"]
    return st.sampled_from(measures).flatmap(build)


def moment_conditions(scale: Scale) -> st.SearchStrategy[MomentCondition]:
    instants = st.integers(0, LAST).map(scale.at)
    spans = st.integers(1, 30).map(lambda n: n * scale.step)
    tests = st.one_of(
        st.builds(Comparison, st.sampled_from(["before", "after"]), instants),
        st.builds(Comparison, st.sampled_from(["within_last", "anniversary_within"]), spans),
        st.builds(Comparison, st.just("exists"), st.booleans()),
    )
    return st.builds(
        MomentCondition, matches(scale), st.sampled_from(["first", "last"]), st.tuples(tests),
        windows(scale, rolls=False),
    )  # fmt: skip


def sequence_conditions(scale: Scale) -> st.SearchStrategy[SequenceCondition]:
    gaps = st.none() | st.integers(1, 20).map(lambda n: n * scale.step)
    later = st.builds(SequenceStep, matches(scale), gaps, st.none() | matches(scale))
    return st.tuples(
        st.builds(SequenceStep, matches(scale)), st.lists(later, min_size=1, max_size=3)
    ).flatmap(
        lambda steps: st.builds(SequenceCondition, st.just((steps[0], *steps[1])), windows(scale))
    )


def session_conditions(scale: Scale) -> st.SearchStrategy[SessionCondition]:
    # Exact unless an event is later than the window (docs/segments): so windows are longer.
    order: Any = st.sampled_from(["gt", "gte", "lt", "lte", "is"])
    lengths = st.builds(Comparison, order, st.integers(0, 8).map(lambda n: n * scale.step))
    sizes = st.builds(Comparison, order, st.integers(0, 6))
    return st.builds(
        SessionCondition,
        st.lists(lengths, max_size=1).map(tuple),
        st.lists(sizes, max_size=1).map(tuple),
        windows(scale, within_min=LATENESS_MAX + 1),
        count=st.one_of(
            st.just((Comparison("gte", 1),)),
            st.builds(Comparison, order, st.integers(0, 3)).map(lambda one: (one,)),
        ),
    )


def trait_conditions(scale: Scale) -> st.SearchStrategy[TraitCondition]:
    paths = st.sampled_from([
        ("plain",), ("dated",), ("dated",), ("never",), ("nested", "p"), ("nested", "list", "*"),
    ])  # fmt: skip
    tests = st.lists(comparisons(scale), min_size=1, max_size=2).map(tuple)
    return st.builds(lambda path, test: TraitCondition(Filter(path, test)), paths, tests)


def _latest(scale: Scale, root: Any, names: list[str]) -> st.SearchStrategy[LatestCondition]:
    spans = st.none() | st.integers(1, 40).map(lambda n: n * scale.step)
    fields = st.builds(
        lambda name, test: (Filter((name,), (test,)),),
        st.sampled_from(names), comparisons(scale, timed=False),
    )  # fmt: skip
    return st.builds(LatestCondition, st.just(root), fields, spans)


def person_conditions(scale: Scale) -> st.SearchStrategy[Condition]:
    """Every kind that is about who someone is, traits aside."""
    order: Any = st.sampled_from(["gt", "gte", "lt", "lte"])
    shares = st.builds(Comparison, order, st.sampled_from([0.25, 0.5, 0.75])).map(lambda it: (it,))
    percentiles = st.builds(Comparison, order, st.sampled_from([25, 50, 90])).map(lambda it: (it,))
    labels = st.builds(
        Comparison, st.sampled_from(["is", "is_not"]), st.sampled_from(LABELS)
    ).map(lambda it: (it,))  # fmt: skip
    minutes = st.integers(0, 23).map(lambda hour: hour * 60 + 30)
    days = st.sets(st.integers(0, 6), min_size=1).map(lambda it: tuple(sorted(it)))
    hours = st.tuples(minutes, minutes).filter(lambda it: it[0] != it[1])
    zones = st.sampled_from(["profile", "profile", *ZONES])
    models = st.sampled_from(MODELS)
    return st.one_of(
        st.builds(
            ConsentCondition, st.just("email"), st.sampled_from(["offers", "news"]),
            st.sampled_from(["granted", "refused", "unknown"]),
        ),
        st.builds(SampleCondition, st.sampled_from([0, 10, 50, 99.5, 100]), st.sampled_from("st")),
        st.builds(ListCondition, st.sampled_from(["ids", "plain", "nested"])),
        st.builds(lambda h, d, z: LocalTimeCondition(h[0], h[1], d, z), hours, days, zones),
        _latest(scale, "device", ["type", "os", "browser"]),
        _latest(scale, "location", ["country", "latitude"]),
        st.builds(
            NearCondition, st.just(52.5), st.just(13.4), st.sampled_from([1, 500, 8000]),
            st.none() | st.integers(1, 40).map(lambda n: n * scale.step),
        ),
        st.builds(ScoreCondition, models, shares, st.just(()) | percentiles),
        st.builds(ClusterCondition, models, labels, st.just(()) | shares),
    )  # fmt: skip


def leaves(scale: Scale) -> st.SearchStrategy[Condition]:
    """One condition of any kind that holds no other."""
    return st.one_of(
        trait_conditions(scale), event_conditions(scale), aggregate_conditions(scale),
        moment_conditions(scale), sequence_conditions(scale), session_conditions(scale),
        person_conditions(scale),
    )  # fmt: skip


def conditions(scale: Scale) -> st.SearchStrategy[Condition]:
    """Conditions nested freely; those of `first` may be referred to."""

    def nested(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
        groups = st.lists(inner, max_size=3).map(tuple)
        return st.builds(Not, inner) | st.builds(All, groups) | st.builds(AnyOf, groups)

    return st.recursive(leaves(scale), nested, max_leaves=4)


def definitions(scale: Scale) -> st.SearchStrategy[dict[str, Condition]]:
    """Two segments and one made of both."""
    both = All((SegmentCondition("first"), Not(SegmentCondition("second"))))
    return st.fixed_dictionaries(
        {"first": conditions(scale), "second": leaves(scale), "both": st.just(both)}
    )
