"""What conditions mean where SDKs differ, and what they do with nonsense."""

import pytest

from experiments.flags import compile_condition, unit_text
from experiments.flags.values import number_text


def holds(condition, attributes, groups=None):
    return compile_condition(condition, groups)(attributes)


@pytest.mark.parametrize(
    ("condition", "attributes", "expected"),
    [
        ({"age": {"$gt": 5}}, {"age": "8"}, True),  # Text is read as a number...
        ({"age": {"$gt": "5"}}, {"age": 8}, True),
        ({"age": {"$gt": 5}}, {"age": "old"}, False),  # ...and where it is none, nothing holds.
        ({"age": {"$lt": 5}}, {"age": "old"}, False),
        ({"age": {"$lt": 5}}, {}, True),  # A missing attribute compares as 0.
        ({"age": {"$gte": 1}}, {}, False),
        ({"age": {"$lt": 5}}, {"age": [1]}, False),
        ({"age": {"$gt": "0x0f"}}, {"age": 16}, True),
        ({"age": {"$gt": 1}}, {"age": "1_000"}, False),
        ({"word": {"$lt": "\ue000"}}, {"word": "😀"}, True),  # By UTF-16, not by code points.
        ({"version": {"$vlt": "10.0.0"}}, {"version": 9}, True),
        ({"flag": True}, {"flag": 1}, False),
        ({"n": 1}, {"n": 1.0}, True),
        ({"n": {"$in": [1]}}, {"n": True}, False),
        ({"when": {"$gt": "2026-01-01T00:00:00Z"}}, {"when": "2026-03-01T00:00:00Z"}, True),
        ({"name": {"$regex": "(?<first>An)na"}}, {"name": "Anna"}, True),
    ],
)
def test_values_compare_as_in_javascript(condition, attributes, expected):
    assert holds(condition, attributes) is expected


@pytest.mark.parametrize(
    "condition",
    [
        {"a": {"$unheardOf": 1}},
        {"a": {"$not": {"$unheardOf": 1}}},
        {"$not": {"a": {"$unheardOf": 1}}},
        {"$nor": [{"a": {"$unheardOf": 1}}]},
        {"$not": {"$or": 5}},
        {"$and": [{"$or": "abc"}]},
        {"$not": {"$savedGroup": {"id": "future"}}},
    ],
)
def test_what_is_not_understood_never_widens_an_audience(condition):
    assert not holds(condition, {"a": 1}, {"future": {"type": "of next year"}})


def test_an_unknown_operator_does_not_spoil_what_is_decided_without_it():
    assert holds({"$or": [{"a": 1}, {"a": {"$unheardOf": 1}}]}, {"a": 1})


def test_a_condition_nested_beyond_reason_holds_for_nobody():
    condition = {"a": 1}
    for _ in range(5_000):
        condition = {"$not": {"$not": condition}}

    assert not holds(condition, {"a": 1})


def test_groups_that_name_each_other_end():
    groups = {
        "one": {"type": "condition", "condition": {"$savedGroup": {"id": "two"}}},
        "two": {"type": "condition", "condition": {"$savedGroup": {"id": "one"}}},
    }

    assert not holds({"$savedGroup": {"id": "one"}}, {}, groups)


def test_a_malformed_group_keeps_everyone_out_of_its_opposite_too():
    assert not holds({"id": {"$notInGroup": "g"}}, {"id": 1}, {"g": {"type": "list"}})
    assert holds({"id": {"$notInGroup": "nowhere"}}, {"id": 1}, {})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, "1"), (1.0, "1"), ("1", "1"), (-2, "-2"), (2.5, "2.5"), (1e21, "1e+21"),
        (123456789012345680000, "123456789012345680000"), (1.5e-7, "1.5e-7"), (1e-6, "0.000001"),
        (0, None), ("", None), (None, None), (True, None), (float("nan"), None), ([1], None),
        (float("inf"), None), (10**400, None),
    ],
)  # fmt: skip
def test_a_unit_is_the_text_the_sdks_hash(value, expected):
    # The numbers are what String() gives in JavaScript (ECMA-262, Number::toString).
    assert unit_text(value) == expected


def test_numbers_are_written_as_javascript_writes_them():
    assert [number_text(each) for each in (-1e-7, 1.25e22, 0.1, -0.0, 100.0)] == [
        "-1e-7", "1.25e+22", "0.1", "0", "100",
    ]  # fmt: skip
