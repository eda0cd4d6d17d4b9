"""Conditions about events in words, with what was found for them."""

from typing import Any

import pytest

from engine.core.clocktime import parse_instant
from engine.core.model.conditions import (
    AggregateCondition,
    Comparison,
    Condition,
    EventMatch,
    Filter,
    MomentCondition,
    SequenceCondition,
    SequenceStep,
    SessionCondition,
    Window,
)
from engine.core.model.instants import DAY, HOUR
from engine.core.model.people import Event
from engine.core.segments import compile_segments
from tests.core.build import someone

ORDER = EventMatch("Order Completed")
REVENUE = ("properties", "revenue")
BEGIN = parse_instant("2026-03-02T09:00Z")
NOW = parse_instant("2026-03-04T09:00Z")
MONTH = Window(within=30 * DAY)


def total(measure: Any, *tests: Comparison, window: Window = MONTH) -> Condition:
    return AggregateCondition(ORDER, measure, REVENUE, tests, window)


CASES: list[tuple[Condition, str, str, str]] = [
    (
        total("sum", Comparison("gte", 40)),
        "sum of properties.revenue of Order Completed is at least 40 in the last 30d",
        "40.5",
        "2026-04-01T09:00:00Z",
    ),
    (
        total("sum", Comparison("gte", 40), window=Window()),
        "sum of properties.revenue of Order Completed is at least 40",
        "40.5",
        "",
    ),
    (
        total("avg", Comparison("lt", 5), window=Window(since=BEGIN)),
        "mean of properties.revenue of Order Completed is less than 5 since 2026-03-02T09:00:00Z",
        "20.25",
        "",
    ),
    (
        total("max", Comparison("between", (30, 31))),
        "largest properties.revenue of Order Completed is between 30 and 31 in the last 30d",
        "30.25",
        "2026-04-02T09:00:00Z",
    ),
    (
        total("first", Comparison("is", 10.25)),
        "first properties.revenue of Order Completed is 10.25 in the last 30d",
        "10.25",
        "2026-04-01T09:00:00Z",
    ),
    (
        total("last", Comparison("exists", False)),
        "last properties.revenue of Order Completed does not exist in the last 30d",
        "30.25",
        "2026-04-02T09:00:00Z",
    ),
    (
        total("distinct", Comparison("gte", 2)),
        "number of different properties.revenue of Order Completed at least 2 in the last 30d",
        "2",
        "2026-04-01T09:00:00Z",
    ),
    (
        MomentCondition(ORDER, "first", (Comparison("within_last", 3 * DAY),)),
        "first time of Order Completed lies in the last 3d",
        "2026-03-02T09:00:00Z",
        "2026-03-05T09:00:00Z",
    ),
    (
        MomentCondition(EventMatch("Refunded"), "last", (Comparison("before", BEGIN),)),
        "last time of Refunded is before 2026-03-02T09:00:00Z",
        "never",
        "",
    ),
    (
        SequenceCondition(
            (
                SequenceStep(ORDER),
                SequenceStep(
                    EventMatch(
                        "Order Completed", (Filter(REVENUE, (Comparison("gt", 20),)),)
                    ),
                    25 * HOUR,
                    EventMatch("Refunded"),
                ),
            ),
            MONTH,
        ),
        "Order Completed, then Order Completed where properties.revenue is more than 20 at most "
        "1d 1h later without Refunded between in the last 30d",
        "Order Completed 2 remembered, latest 2026-03-03T09:00:00Z; "
        "Order Completed 1 remembered, latest 2026-03-03T09:00:00Z",
        "2026-04-01T09:00:00Z",
    ),
    (
        SessionCondition(events=(Comparison("gte", 1),), window=MONTH),
        "a session with at least 1 events in the last 30d",
        "one that passes, its last event 2026-03-03T09:00:00Z",
        "2026-04-02T09:00:00Z",
    ),
    (
        SessionCondition(events=(Comparison("lte", 1),), window=MONTH),
        "a session with at most 1 events in the last 30d",
        "latest of 1 events over 0s, 2026-03-03T09:00:00Z",
        "2026-04-02T09:00:00Z",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "words", "found", "until"), CASES)
def test_a_condition_about_events_is_told_with_what_was_found_and_until_when(
    condition: Condition, words: str, found: str, until: str
) -> None:
    segments = compile_segments({"only": condition}, session_gap=HOUR)
    features: dict[str, Any] = {}
    for day, revenue in enumerate((10.25, 30.25)):
        at = BEGIN + day * DAY
        segments.observe(features, Event(day, "Order Completed", at, at, {"revenue": revenue}))

    (row,) = segments.explain("only", features, someone(), now=NOW)

    assert row["condition"] == words
    assert row["found"] == found
    assert (row["until"] or "") == until
    assert row["approximate"] == ""


@pytest.mark.parametrize("condition", [case[0] for case in CASES])
def test_a_condition_about_events_is_told_of_someone_who_did_nothing(condition: Condition) -> None:
    segments = compile_segments({"only": condition}, session_gap=HOUR)

    (row,) = segments.explain("only", {}, someone(), now=NOW)

    assert row["until"] is None
    assert row["found"] in ("missing", "0", "0.0", "never", "none")
