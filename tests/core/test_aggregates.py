"""Aggregates by example: what counts, what a tie and nothing give, and how little is remembered."""

from typing import Any

import msgspec
import pytest

from engine.core.errors import CampaignError
from engine.core.features.kinds import Features
from engine.core.model.conditions import AggregateCondition, Comparison, EventMatch, Window
from engine.core.model.people import Event
from engine.core.segments import Segments, compile_segments
from tests.core.build import someone

TEN = Window(within=10)


def compiled(
    measure: Any, operator: Any, operand: Any, *, window: Window = TEN, path: str = "properties.v"
) -> Segments:
    condition = AggregateCondition(
        EventMatch("A"),
        measure,
        tuple(path.split(".")),
        (Comparison(operator, operand),),
        window,
    )
    return compile_segments({"only": condition}, session_gap=1)


def remembered(segments: Segments, values: list[Any], *, at: int | None = None) -> Features:
    """The values in turn, an instant apart from 1 on, or all at one instant."""
    features: Features = {}
    for seq, value in enumerate(values, start=1):
        when = seq if at is None else at
        segments.observe(features, Event(seq, "A", when, when, {"v": value}))
    return features


@pytest.mark.parametrize(
    ("measure", "operator", "operand", "values"),
    [
        ("sum", "is", 0.3, [0.1, 0.2, "7", True, None, [1], {"a": 1}]),
        ("sum", "is", 0, []),
        ("sum", "is", 5, [5, 1e11 + 1, -1e12]),
        ("avg", "is", 0.2, [0.1, 0.2, 0.3, "x", None, False]),
        ("avg", "exists", False, ["x", None]),
        ("avg", "is_not", 3, []),
        ("min", "is", -2, [3, -2, None, "-9", False]),
        ("max", "exists", False, [True, "z"]),
        ("first", "is", None, [None, "b"]),
        ("first", "is", "b", [[1], {"a": 1}, "b"]),
        ("last", "is", False, ["a", False, []]),
        ("last", "exists", False, [[], {}]),
        ("distinct", "is", 5, [1, 1.0, True, "1", False, None, "x" * 40, "x" * 40]),
        ("distinct", "is", 0, [None, []]),
    ],
)
@pytest.mark.parametrize("window", [TEN, Window()])
def test_each_measure_says_what_counts_and_what_nothing_gives(
    measure: str, operator: str, operand: Any, values: list[Any], window: Window
) -> None:
    segments = compiled(measure, operator, operand, window=window)

    features = remembered(segments, values)

    assert segments.evaluate("only", features, someone(), now=8)[0]


@pytest.mark.parametrize("window", [TEN, Window()])
def test_of_one_instant_the_first_is_the_least_and_the_last_the_greatest(window: Window) -> None:
    # null < false < true < numbers < text, in whatever order they come.
    values = [2, "b", None, True, "a", 1.5, False]

    for count in range(2, len(values) + 1):
        found = values[:count]
        ranked = sorted(found, key=lambda one: (rank(one), 0 if rank(one) < 3 else one))
        for measure, expected in (("first", ranked[0]), ("last", ranked[-1])):
            segments = compiled(measure, "is", expected, window=window)
            features = remembered(segments, found, at=3)
            assert segments.evaluate("only", features, someone(), now=5)[0], (measure, found)


def rank(value: Any) -> int:
    if value is None or isinstance(value, bool):
        return [None, False, True].index(value)
    return 4 if isinstance(value, str) else 3


def test_every_element_of_a_list_is_added_up() -> None:
    segments = compiled("sum", "is", 4.5, path="properties.v.*.price")

    features = remembered(segments, [[{"price": 1.5}, {"price": 2}, {}], [], [{"price": 1}]])

    assert segments.evaluate("only", features, someone(), now=5)[0]


@pytest.mark.parametrize("measure", ["sum", "avg", "min", "max", "first", "last"])
def test_of_all_time_the_state_does_not_grow(measure: str) -> None:
    segments = compiled(measure, "is", 7, window=Window())

    few = remembered(segments, [n % 100 for n in range(200)])
    many = remembered(segments, [n % 100 for n in range(20_000)])

    sizes = [len(msgspec.msgpack.encode(one)) for one in (few, many)]
    assert sizes[1] <= sizes[0] + 8  # the numbers themselves take a few bytes more
    assert sizes[1] < 48


def test_an_amount_from_the_future_waits_and_then_is_part_of_the_sum() -> None:
    segments = compiled("sum", "gte", 5, window=Window())
    features: Features = {}
    segments.observe(features, Event(1, "A", 50, 10, {"v": 3}))
    segments.observe(features, Event(2, "A", 10, 10, {"v": 2}))

    before = segments.evaluate("only", features, someone(), now=10)
    segments.observe(features, Event(3, "A", 60, 60, {"v": 1}))

    assert before == (False, 50)
    assert list(features.values()) == [[3, 0, 6_000_000]]


@pytest.mark.parametrize(
    ("measure", "operator", "operand", "says"),
    [
        ("sum", "exists", True, "exists cannot compare it"),
        ("sum", "gte", "9", "'9' is not a number"),
        ("avg", "is", 0.1234567, "more than six decimals"),
        ("max", "contains", 1, "contains cannot compare it"),
        ("distinct", "gte", 20_000, "the most that is remembered"),
    ],
)
def test_what_a_measure_cannot_be_compared_with_is_refused(
    measure: str, operator: str, operand: Any, says: str
) -> None:
    with pytest.raises(CampaignError, match=says):
        compiled(measure, operator, operand)
