"""What `check` calls impossible is impossible, and what it calls certain is certain.

The law is held against the brute-force oracle: no history of events and no traits may contradict
the prover. The examples say what it must find, and at which line.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.contradictions import why_never
from engine.core.model.conditions import (
    AggregateCondition,
    All,
    AnyOf,
    Comparison,
    Condition,
    EventCondition,
    EventMatch,
    Filter,
    Not,
    SegmentCondition,
    TraitCondition,
    Window,
)
from engine.core.model.people import Event
from tests.campaigns.build import problems_of
from tests.core import definitions
from tests.core.segments_oracle import Oracle

# Few variables and few values, so that conditions meet and exclude each other often.
small = st.integers(0, 3)
tests_of_a_value = definitions.comparisons()
events = st.builds(
    EventCondition,
    st.sampled_from([
        EventMatch("A"),
        EventMatch("A", (Filter(("properties", "v"), (Comparison("is", 1),)),)),
    ]),
    definitions.counts(),
    st.sampled_from([Window(), Window(within=10), Window(within=20), Window(since=9)]),
)  # fmt: skip
values = st.builds(
    AggregateCondition,
    st.just(EventMatch("A")),
    st.sampled_from(["sum", "avg", "max"]),
    st.just(("properties", "v")),
    st.tuples(definitions.amounts(or_missing=False)),
    st.sampled_from([Window(), Window(within=10)]),
)
traits = st.builds(
    lambda comparison: TraitCondition(Filter(("plain",), (comparison,))), tests_of_a_value
)
facts = (
    events
    | values
    | traits
    | definitions.about_events
    | definitions.session_conditions
    | st.just(SegmentCondition("other"))
)


def nested(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    groups = st.lists(inner, min_size=1, max_size=4).map(tuple)
    return st.builds(Not, inner) | st.builds(All, groups) | st.builds(AnyOf, groups)


anything = st.recursive(facts, nested, max_leaves=8)
SEEN: dict[str, int] = {"never": 0, "always": 0}


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(anything, traits, definitions.deliveries(), definitions.all_traits)
def test_what_is_called_impossible_or_certain_is_so_for_every_history(
    condition: Condition, other: Condition, history: list[Event], found: dict[str, Any]
) -> None:
    known = {"other": other}
    never = why_never(condition, known) is not None
    always = why_never(Not(condition), known) is not None
    SEEN["never"] += never
    SEEN["always"] += always

    if never or always:
        oracle = Oracle(known, session_gap=definitions.GAP)
        for now in range(0, definitions.HORIZON, 5):
            assert oracle.holds(condition, history, found, now) is always
    assert not (never and always)


def test_the_law_above_has_met_enough_of_both() -> None:
    if not sum(SEEN.values()):
        pytest.skip("the law did not run in this process")

    assert SEEN["never"] > 2
    assert SEEN["always"] > 2


ADDED = "event: Product Added"
IMPOSSIBLE = [
    ("all: [{trait: {ltv: {gte: 5}}}, {trait: {ltv: {lt: 3}}}]", "no value passes"),
    ("all: [{trait: {plan: a}}, {trait: {plan: b}}]", "no value passes"),
    ("all: [{trait: {plan: a}}, {not: {trait: {plan: a}}}]", "must hold and must not"),
    ("all: [{trait: {plan: {exists: false}}}, {trait: {plan: {starts_with: a}}}]", "no value"),
    ("all: [{segment: vip}, {not: {segment: vip}}]", 'in segment "vip"'),
    ("all: [{segment: vip}, {trait: {ltv: {lt: 10}}}]", "no value passes"),
    (f"all: [{{{ADDED}, count: {{gte: 5}}}}, {{{ADDED}, count: {{lt: 3}}}}]", "no number of"),
    (
        f"all: [{{{ADDED}, count: {{gte: 3}}, within: 1h}}, {{{ADDED}, count: {{lt: 3}}, "
        "within: 2h}]",
        "asks for more than",
    ),
    (
        f"all: [{{{ADDED}, within: 1h, where: {{properties.cart_id: a}}}}, "
        f"{{not: {{{ADDED}, within: 2h}}}}]",
        "asks for more than",
    ),
    (
        f"all: [{{{ADDED}, avg: {{properties.cart_value: {{gte: 5}}}}, within: 1d}}, "
        f"{{not: {{{ADDED}}}}}]",
        "asks for more than",
    ),
    (f"all: [{{{ADDED}, first_time: {{exists: true}}}}, {{not: {{{ADDED}}}}}]", "asks for more"),
    (
        f"{{{ADDED}, last_time: {{within_last: 7d, before: 1999-01-01, after: 2000-01-01}}}}",
        "no instant passes",
    ),
    (
        f"all: [{{sequence: [{{{ADDED}}}, {{event: Order Completed}}], within: 1d}}, "
        "{not: {event: Order Completed, within: 7d}}]",
        "asks for more than",
    ),
    ("session: {events: {lt: 1}, within: 2h}", "no session passes"),
]


@pytest.mark.parametrize(("when", "says"), IMPOSSIBLE)
def test_a_condition_that_nobody_can_meet_is_named_at_its_line(when: str, says: str) -> None:
    when = when if when.startswith("{") else f"{{{when}}}"

    found = problems_of({"segments/whale.yaml": f"segment: whale\nwhen:\n  {when}\n"})

    assert len(found) == 1, found
    assert found[0].startswith("segments/whale.yaml:3: nothing can match: ")
    assert says in found[0]


@pytest.mark.parametrize(
    "when",
    [
        f"{{{ADDED}, count: {{gte: 0}}}}",
        "{any: [{trait: {plan: {is_not: a}}}, {trait: {plan: {is_not: b}}}]}",
        "{any: [{trait: {plan: {exists: true}}}, {trait: {plan: {exists: false}}}]}",
        "{any: [{segment: vip}, {not: {segment: vip}}]}",
    ],
)
def test_a_condition_that_everybody_meets_is_named_at_its_line(when: str) -> None:
    found = problems_of({"segments/whale.yaml": f"segment: whale\nwhen:\n  {when}\n"})

    assert len(found) == 1, found
    assert found[0].startswith("segments/whale.yaml:3: this always holds")


def test_the_smallest_impossible_part_is_named_and_not_what_holds_it() -> None:
    text = """\
    segment: whale
    when:
      all:
        - {trait: {ltv: {gte: 5}}}
        - any:
            - {event: Product Added}
            - all:
                - {trait: {plan: a}}
                - {trait: {plan: [b, c]}}
    """

    found = problems_of({
        "segments/whale.yaml": text,
        "segments/other.yaml": "segment: other\nwhen: {not: {segment: whale}}\n",
    })  # fmt: skip

    assert [one.split(": nothing")[0] for one in found] == ["segments/whale.yaml:7"]


def test_a_branch_that_nobody_can_take_is_named_in_its_campaign() -> None:
    campaign = """\
    campaign: nudge
    trigger: {event: Product Added}
    topic: offers
    journey:
      - branch:
          - if: {all: [{segment: vip}, {none: [{segment: vip}]}]}
            do: []
        else: []
    """

    found = problems_of({"campaigns/nudge.yaml": campaign})

    assert len(found) == 1, found
    assert found[0].startswith("campaigns/nudge.yaml:6: nothing can match")


@pytest.mark.parametrize(
    "when",
    [
        # Two addresses are protected values of which only markers are known here.
        "{all: [{trait: {email: a@example.com}}, {not: {trait: {email: b@example.com}}}]}",
        "{all: [{trait: {ltv: {gte: 1e300}}}, {trait: {ltv: {gt: 1e299}}}]}",
        f"{{all: [{{{ADDED}, within: 2h}}, {{not: {{{ADDED}, within: 1h}}}}]}}",
        f"{{all: [{{{ADDED}, count: {{gte: 3}}, within: 2h}}, {{{ADDED}, count: 1, within: 1h}}]}}",
    ],
)
def test_what_can_happen_raises_no_alarm(when: str) -> None:
    assert problems_of({"segments/whale.yaml": f"segment: whale\nwhen:\n  {when}\n"}) == []
