"""Comparisons: what is written reads back, types decide, and what cannot match is said."""

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.comparisons import (
    SPANS,
    compile_asked,
    contradiction,
    counts_asked,
    dump_comparison,
    read_comparison,
    spans_asked,
)
from campaigns.reading import read_yaml
from engine.core.model.conditions import Comparison
from engine.core.model.instants import DAY, SECOND, Instant

TEXTS = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=("Cs", "Cc")),
    max_size=12,
)
NUMBERS = st.integers(-(2**40), 2**40) | st.floats(-1e6, 1e6).map(lambda number: round(number, 3))
SCALARS = TEXTS | NUMBERS | st.booleans() | st.none()
SPAN = st.integers(1, 10**6).map(lambda seconds: seconds * SECOND)


def _comparisons() -> st.SearchStrategy[Comparison]:
    return st.one_of(
        st.builds(Comparison, st.sampled_from(["is", "is_not", "contains"]), SCALARS),
        st.builds(
            Comparison,
            st.sampled_from(["in", "not_in"]),
            st.lists(SCALARS, min_size=1, max_size=4).map(tuple),
        ),
        st.builds(Comparison, st.sampled_from(["gt", "gte", "lt", "lte"]), NUMBERS),
        st.builds(Comparison, st.sampled_from(["starts_with", "ends_with"]), TEXTS),
        st.builds(Comparison, st.sampled_from(sorted(SPANS)), SPAN),
        st.builds(Comparison, st.sampled_from(["before", "after"]), st.integers(0, 2**50)),
        st.builds(Comparison, st.just("exists"), st.booleans()),
        st.tuples(NUMBERS, NUMBERS).map(lambda pair: Comparison("between", (min(pair), max(pair)))),
    )


def _midnight(on: date) -> Instant:
    return (on - date(1970, 1, 1)).days * DAY


def _read(source: str, declared: str | None = None) -> tuple[Comparison, ...]:
    tree = read_yaml("x.yaml", f"c: {source}".encode())
    return compile_asked(read_comparison(tree["c"]), declared=declared, midnight=_midnight)


@given(st.lists(_comparisons(), min_size=1, max_size=3, unique_by=lambda one: one.operator))
def test_a_comparison_reads_back_as_itself(comparisons: list[Comparison]) -> None:
    if contradiction(comparisons):
        return
    dumped = json.dumps(dump_comparison(comparisons))

    assert _read(dumped) == tuple(comparisons)


def test_a_value_means_equal_and_a_list_any_of() -> None:
    assert _read("mobile") == (Comparison("is", "mobile"),)
    assert _read("[de, at]") == (Comparison("in", ("de", "at")),)


def test_the_declared_type_decides_what_a_text_is() -> None:
    assert _read("01234", "string") == (Comparison("is", "01234"),)
    assert _read("1234", "string") == (Comparison("is", "1234"),)
    assert _read("1234") == (Comparison("is", 1234),)
    assert _read("NO", "string") == (Comparison("is", "NO"),)
    assert _read("true", "boolean") == (Comparison("is", True),)
    assert _read("null", "string") == (Comparison("is", None),)


def test_a_date_starts_at_midnight() -> None:
    assert _read("{before: 1970-01-02}", "date") == (Comparison("before", DAY),)
    assert _read('{after: "1970-01-01T00:00:01Z"}') == (Comparison("after", SECOND),)


@pytest.mark.parametrize(
    ("source", "declared", "says"),
    [
        ("{gtee: 2}", None, 'Did you mean "gte"'),
        ("{}", None, "asks nothing"),
        ("{in: a}", None, "needs a list"),
        ("{in: []}", None, "at least one"),
        ("[]", None, "at least one"),
        ("{between: [1]}", None, "low and high"),
        ("{between: [3, 1]}", None, "lower first"),
        ("{gte: [1]}", None, "not a list"),
        ("{is: {a: b}}", None, "not a mapping"),
        ("{gte: many}", None, "not a number"),
        ('{gte: "2"}', None, "quoted"),
        ("{exists: 1}", None, "true or false"),
        ("{matches: '(a'}", None, "RE2"),
        ("{matches: '(?=a)'}", None, "RE2"),
        ("{within_last: P1D}", None, "Write 1d"),
        ("{before: tomorrow}", None, "not an instant"),
        ("{before: 2026-02-30}", None, "calendar"),
        ("{gte: 5, lt: 2}", None, "nothing can match"),
        ("{gt: 2, lt: 2}", None, "nothing can match"),
        ("{between: [1, 2], gt: 3}", None, "nothing can match"),
        ("{is: 7, lt: 2}", None, "nothing can match"),
        ("{is: a, lt: 2}", None, "nothing can match"),
        ("{exists: false, is: a}", None, "nothing can match"),
        ("{gte: 2}", "string", "cannot be asked of a string"),
        ("{contains: a}", "number", "cannot be asked of a number"),
        ("mobile", "number", "not a number"),
        ("yes", "boolean", "not true or false"),
    ],
)
def test_a_wrong_comparison_says_what_is_wrong(source: str, declared: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("(", r"\(")):
        _read(source, declared)


def test_counts_are_whole_and_spans_are_durations() -> None:
    two = read_comparison(read_yaml("x.yaml", b"c: {gte: 2}")["c"])
    half = read_comparison(read_yaml("x.yaml", b"c: {gte: 0.5}")["c"])
    minutes = read_comparison(read_yaml("x.yaml", b"c: {gte: 2m, lt: 1h}")["c"])

    assert counts_asked(two) == (Comparison("gte", 2),)
    assert [one.operand for one in spans_asked(minutes)] == [120 * SECOND, 3600 * SECOND]
    with pytest.raises(ValueError, match="whole number"):
        counts_asked(half)
    with pytest.raises(ValueError, match="not a duration"):
        spans_asked(two)
