"""Aggregates, moments and sequences as written: what they compile to, and each slip at its line."""

import pytest

from campaigns.checks import check_workspace
from campaigns.compile import compile_segment_files, names_of
from campaigns.conditions import Conditions
from engine.core.clocktime import parse_instant
from engine.core.model.conditions import (
    AggregateCondition,
    All,
    Comparison,
    Condition,
    EventCondition,
    EventMatch,
    MomentCondition,
    SequenceCondition,
    SequenceStep,
    SessionCondition,
    Window,
)
from engine.core.model.instants import DAY, HOUR
from tests.campaigns.build import a_workspace, problems_of

EVENTS = """\
event: Order Completed
properties:
  revenue: {type: number}
  plan: {type: string}
  email: {type: string, pii: true}
  products:
    type: list
    properties: {price: {type: number}}
"""
ORDER = EventMatch("Order Completed")


def compiled(when: str) -> Condition:
    workspace = a_workspace({
        "events/completed.yaml": EVENTS, "segments/whale.yaml": f"segment: whale\nwhen:\n  {when}\n"
    })  # fmt: skip
    assert check_workspace(workspace, names=names_of(workspace))[0] == []
    conditions = Conditions(workspace, names=names_of(workspace), blind=lambda *_: "", problems=[])
    return compile_segment_files(conditions)["whale"]


def test_each_measure_becomes_a_condition_of_its_own_over_the_same_events() -> None:
    found = compiled(
        "{event: Order Completed, count: {gte: 2}, sum: {properties.revenue: {gte: 100}}, "
        "avg: {properties.revenue: {lt: 9.5}}, within: 30d, limit: 50}"
    )

    month = Window(within=30 * DAY)
    path = ("properties", "revenue")
    assert found == All((
        EventCondition(ORDER, (Comparison("gte", 2),), month),
        AggregateCondition(ORDER, "sum", path, (Comparison("gte", 100),), month, 50),
        AggregateCondition(ORDER, "avg", path, (Comparison("lt", 9.5),), month, 50),
    ))  # fmt: skip


def test_a_measure_alone_counts_nothing_and_keeps_a_thousand() -> None:
    found = compiled("{event: Order Completed, last: {properties.plan: [pro, team]}}")

    assert found == AggregateCondition(
        ORDER, "last", ("properties", "plan"), (Comparison("in", ("pro", "team")),)
    )


def test_first_and_last_times_compare_dates_and_spans() -> None:
    found = compiled(
        "{event: Order Completed, first_time: {within_last: 30d}, last_time: {before: 2026-01-01}}"
    )

    midnight = parse_instant("2026-01-01T00:00+01:00")
    assert found == All((
        MomentCondition(ORDER, "first", (Comparison("within_last", 30 * DAY),)),
        MomentCondition(ORDER, "last", (Comparison("before", midnight),)),
    ))  # fmt: skip


def test_a_sequence_has_steps_gaps_and_what_must_not_come_between() -> None:
    found = compiled(
        "{sequence: [{event: Product Added}, {event: Order Completed, gap: 1h, "
        "without: {event: Product Added}}], within: 7d}"
    )

    added = EventMatch("Product Added")
    assert found == SequenceCondition(
        (SequenceStep(added), SequenceStep(ORDER, HOUR, added)), Window(within=7 * DAY)
    )


def test_a_session_of_all_time_says_how_many_are_remembered() -> None:
    found = compiled("{session: {events: {gte: 9}, ever: true, limit: 40}}")

    assert found == SessionCondition(events=(Comparison("gte", 9),), limit=40)


REVENUE = "properties.revenue"
SLIPS = [
    (f"{{event: Order Completed, sum: {{{REVENUE}: 1, properties.plan: 2}}}}", "at most 1 entry"),
    ("{event: Order Completed, sum: {properties.plan: 1}}", "is a string; a number is needed."),
    ("{event: Order Completed, sum: {properties.revenu: 1}}", 'Did you mean "revenue"?'),
    (f"{{event: Order Completed, sum: {{{REVENUE}: {{exists: true}}}}}}", "there always is one"),
    (f"{{event: Order Completed, avg: {{{REVENUE}: {{contains: 1}}}}}}", "contains cannot compare"),
    (f"{{event: Order Completed, avg: {{{REVENUE}: 0.1234567}}}}", "more than six decimals"),
    (f"{{event: Order Completed, max: {{{REVENUE}: {{gte: 5, lt: 2}}}}}}", "nothing can match"),
    ("{event: Order Completed, last: {properties.email: x}}", "is pii: it is not added up"),
    ("{event: Order Completed, last: {properties.products.*.price: 1}}", "leads to many values"),
    ("{event: Order Completed, distinct: {properties.plan: {gte: 3}}}", "Write limit: 1000"),
    (
        "{event: Order Completed, distinct: {properties.plan: {gte: 3}}, limit: 2}",
        "compares with more than the 2 values that are remembered. Write limit: 3.",
    ),
    ("{event: Order Completed, count: 2, limit: 5}", "`limit` bounds nothing here"),
    (f"{{event: Order Completed, sum: {{{REVENUE}: 1}}, limit: 5}}", "`limit` bounds nothing here"),
    (f"{{event: Order Completed, sum: {{{REVENUE}: 1}}, within: 1d, limit: 0}}", "from 1 to 10000"),
    (
        f"{{event: Order Completed, sum: {{{REVENUE}: 1}}, "
        "not_followed_by: {event: Product Added, for: 1h}}",
        "not_followed_by goes with a count alone",
    ),
    ("{event: Order Completed, first_time: 2026-01-01}", "first_time: is cannot compare when"),
    ("{event: Order Completed, last_time: {within_next: 1d}}", "within_next cannot compare when"),
    ("{event: Order Completed, last_time: {before: soon}}", '"soon" is not an instant'),
    (
        "{event: Order Completed, last_time: {within_last: 1d}, within: 2d}",
        "last_time looks at all of history and takes no `within`",
    ),
    ("{sequence: [{event: Product Added}]}", "sequence: at least 2 entries are needed here."),
    (
        "{sequence: [{event: Product Added}, {event: Order Completed}], ever: true}",
        "a sequence needs a window",
    ),
    (
        "{sequence: [{event: Product Added, gap: 1h}, {event: Order Completed}], within: 1d}",
        "nothing comes before the first step of a sequence",
    ),
    (
        "{sequence: [{event: Product Added}, {event: Order Complete, gap: 1h}], within: 1d}",
        'Did you mean "Order Completed"?',
    ),
    (
        "{sequence: [{event: Product Added}, {event: Order Completed, gasp: 1h}], within: 1d}",
        'unknown key "gasp". Did you mean "gap"?',
    ),
    ("{session: {events: {gte: 3}, ever: true}}", "a session needs a window"),
]


@pytest.mark.parametrize(("when", "says"), SLIPS)
def test_a_slip_in_a_condition_about_events_is_named_at_its_line(when: str, says: str) -> None:
    found = problems_of({
        "events/completed.yaml": EVENTS, "segments/whale.yaml": f"segment: whale\nwhen:\n  {when}\n"
    })  # fmt: skip

    assert len(found) == 1, found
    assert found[0].startswith("segments/whale.yaml:3: ")
    assert says in found[0]
