"""The table of docs/segments.md, row by row: each operator on missing, null and other types."""

from typing import Any

import pytest

from engine.core.clocktime import parse_instant
from engine.core.conditions.comparisons import TESTS, TIMED
from engine.core.errors import CampaignError
from engine.core.model.conditions import Comparison, EventMatch, Filter, TraitCondition
from engine.core.model.instants import DAY, HOUR, NEVER
from engine.core.model.people import Event
from engine.core.segments import compile_segments, matches_event
from tests.core.build import someone

MISSING = object()
T, F = True, False
NOW = parse_instant("2026-03-02T09:00Z")

# operator, operand, then the answer for: missing, null, a wrong type, and values given beside.
TABLE: list[tuple[str, Any, bool, bool, tuple[Any, bool], list[tuple[Any, bool]]]] = [
    ("is", 1, F, F, ("1", F), [(1, T), (1.0, T), (True, F), (2, F)]),
    ("is", "x", F, F, (1, F), [("x", T), ("X", F)]),
    ("is", True, F, F, (1, F), [(True, T), (False, F)]),
    ("is", False, F, F, (0, F), [(False, T)]),
    ("is", None, F, T, (0, F), [(False, F), ("", F)]),
    ("is_not", 1, T, T, ("1", T), [(1, F), (1.0, F), (True, T), (2, T)]),
    ("is_not", None, T, F, (0, T), []),
    ("in", ("a", "b"), F, F, (1, F), [("a", T), ("c", F), (["a"], F)]),
    ("in", ("a", 1, None), F, T, (True, F), [("a", T), (1, T), (2, F)]),
    ("not_in", ("a", "b"), T, T, (1, T), [("a", F), ("c", T)]),
    ("gt", 2, F, F, ("3", F), [(3, T), (2, F), (2.5, T), (True, F)]),
    ("gte", 2, F, F, ("2", F), [(2, T), (1.9, F)]),
    ("lt", 2, F, F, ("1", F), [(1, T), (2, F), (False, F)]),
    ("lte", 2, F, F, ("1", F), [(2, T), (2.1, F)]),
    ("gt", "b", F, F, (3, F), [("c", T), ("b", F), ("B", F)]),
    ("between", (2, 4), F, F, ("3", F), [(2, T), (4, T), (4.1, F), (1, F)]),
    ("contains", "ob", F, F, (1, F), [("mobile", T), ("MOBILE", F), (["ob", 1], T), (["mob"], F)]),
    ("contains", 1, F, F, ("1", F), [([2, 1], T), ([True], F)]),
    ("not_contains", "ob", T, T, (1, T), [("mobile", F), (["ob"], F), ("desk", T)]),
    ("starts_with", "mo", F, F, (1, F), [("mobile", T), ("emo", F)]),
    ("ends_with", "le", F, F, (["le"], F), [("mobile", T), ("let", F)]),
    ("matches", "^mo.*e$", F, F, (1, F), [("mobile", T), ("a mobile", F)]),
    ("matches", "ob", F, F, (["ob"], F), [("mobile", T)]),
    ("exists", True, F, T, ([], T), [(False, T), (0, T)]),
    ("exists", False, T, F, ([], F), [(False, F)]),
    ("before", NOW, F, F, (1, F), [("2026-03-02T08:59Z", T), ("2026-03-02T09:00Z", F), ("no", F)]),
    ("after", NOW, F, F, (1, F), [("2026-03-02T10:01+01:00", T), ("2026-03-02T10:00+01:00", F)]),
    ("within_last", DAY, F, F, (NOW, F), [("2026-03-02", T), ("2026-03-01T09:00Z", F),
                                          ("2026-03-02T09:00Z", T), ("2026-03-03", F)]),
    ("within_next", DAY, F, F, (NOW, F), [("2026-03-03", T), ("2026-03-03T09:00Z", T),
                                          ("2026-03-02T09:00Z", F), ("2026-03-04", F)]),
    ("anniversary_within", 7 * DAY, F, F, (302, F), [("1990-03-09", T), ("1990-03-02", T),
                                                     ("1990-03-10", F), ("1990-03-01", F),
                                                     ("2026-03-05", F)]),
]  # fmt: skip


def answer(comparison: Comparison, value: Any, *, now: int = NOW) -> tuple[bool, int]:
    condition = TraitCondition(Filter(("trait",), (comparison,)))
    segments = compile_segments({"only": condition}, session_gap=HOUR)
    traits = {} if value is MISSING else {"trait": value}
    return segments.evaluate("only", {}, someone(traits), now=now)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]} {row[1]!r}")
def test_each_operator_says_what_its_row_of_the_table_says(row: Any) -> None:
    operator, operand, of_missing, of_null, wrong, others = row
    comparison = Comparison(operator, operand)

    assert answer(comparison, MISSING)[0] is of_missing
    assert answer(comparison, None)[0] is of_null
    for value, expected in [wrong, *others]:
        assert answer(comparison, value)[0] is expected, value


def test_every_operator_has_a_row() -> None:
    assert {row[0] for row in TABLE} == {*TESTS, *TIMED}


@pytest.mark.parametrize(
    ("operator", "operand", "word"),
    [
        ("resembles", 1, '"resembles" is unknown; allowed are is, is_not'),
        ("in", "a", "not a list"),
        ("between", (1,), "not a pair"),
        ("gt", True, "neither a number nor text"),
        ("starts_with", 1, "not text"),
        ("matches", "(", "not a pattern RE2 can read"),
        ("matches", r"(a)\1", "back-references do not exist"),
        ("matches", "a" * 1001, "at most 1000 characters"),
        ("exists", "yes", "neither true nor false"),
        ("before", "2026-01-01", "not an instant"),
        ("within_last", 0, "not a span"),
        ("is", (1, 2), "not text, a number"),
    ],
)
def test_an_operand_an_operator_does_not_take_is_refused_when_compiled(
    operator: Any, operand: Any, word: str
) -> None:
    condition = TraitCondition(Filter(("trait",), (Comparison(operator, operand),)))

    with pytest.raises(CampaignError, match='segment "only": ') as caught:
        compile_segments({"only": condition}, session_gap=HOUR)

    assert word in str(caught.value)


def test_a_hostile_pattern_takes_linear_time() -> None:
    # (a+)+$ takes a backtracking engine longer than the universe lasts on this text.
    assert answer(Comparison("matches", "(a+)+$"), "a" * 50_000 + "b") == (False, NEVER)


def test_dates_say_until_when_their_answer_stands() -> None:
    ten = parse_instant("2026-03-02T10:00Z")
    value = "2026-03-02T10:00Z"

    assert answer(Comparison("within_last", DAY), value) == (False, ten)
    assert answer(Comparison("within_last", DAY), value, now=ten) == (True, ten + DAY)
    assert answer(Comparison("within_last", DAY), value, now=ten + DAY) == (False, NEVER)
    assert answer(Comparison("within_next", DAY), value, now=ten - DAY - 1) == (False, ten - DAY)
    assert answer(Comparison("within_next", DAY), value, now=ten - DAY) == (True, ten)
    assert answer(Comparison("within_next", DAY), value, now=ten) == (False, NEVER)


def test_an_anniversary_begins_a_span_before_its_day_and_ends_with_it() -> None:
    week = Comparison("anniversary_within", 7 * DAY)
    begins, ends = parse_instant("2026-04-24"), parse_instant("2026-05-02")

    assert answer(week, "1990-05-01") == (False, begins)
    assert answer(week, "1990-05-01", now=begins - 1) == (False, begins)
    assert answer(week, "1990-05-01", now=begins) == (True, ends)
    assert answer(week, "1990-05-01", now=ends) == (False, parse_instant("2027-04-24"))


def test_an_anniversary_of_new_year_begins_in_the_old_year() -> None:
    week = Comparison("anniversary_within", 7 * DAY)

    assert answer(week, "1990-01-01", now=parse_instant("2026-12-28")) == (
        True,
        parse_instant("2027-01-02"),
    )


def test_the_29th_of_february_is_kept_on_the_28th_in_common_years() -> None:
    one_day = Comparison("anniversary_within", DAY)

    assert answer(one_day, "2004-02-29", now=parse_instant("2026-02-28T12:00Z"))[0]
    assert not answer(one_day, "2004-02-29", now=parse_instant("2026-03-01"))[0]
    assert answer(one_day, "2004-02-29", now=parse_instant("2028-02-29T12:00Z"))[0]


def event(**properties: Any) -> Event:
    return Event(1, "Order Completed", NOW, NOW, properties)


def order(path: str, *comparisons: Comparison) -> EventMatch:
    return EventMatch("Order Completed", (Filter(tuple(path.split(".")), comparisons),))


def test_a_star_passes_if_any_one_element_passes_every_test() -> None:
    match = order("properties.products.*.price", Comparison("gt", 5), Comparison("lt", 10))

    assert matches_event(match, event(products=[{"price": 1}, {"price": 7}]))
    assert not matches_event(match, event(products=[{"price": 1}, {"price": 11}]))
    assert not matches_event(match, event(products=[]))
    assert not matches_event(match, event(products={"price": 7}))


def test_a_star_that_meets_no_element_is_one_missing_value() -> None:
    absent = order("properties.products.*.price", Comparison("exists", False))

    assert matches_event(absent, event(products=[]))
    assert matches_event(absent, event())
    assert not matches_event(absent, event(products=[{"price": None}]))


def test_stars_reach_into_lists_of_lists_and_positions_into_one() -> None:
    tags = order("properties.items.*.tags.*", Comparison("is", "sale"))
    first = order("properties.items.0.sku", Comparison("is", "a"))
    bought = event(items=[{"sku": "a", "tags": ["new"]}, {"sku": "b", "tags": ["old", "sale"]}])

    assert matches_event(tags, bought)
    assert matches_event(first, bought)
    assert not matches_event(first, event(items=[]))


def test_spans_in_a_where_count_from_the_events_own_time() -> None:
    soon = order("properties.delivery", Comparison("within_next", 2 * DAY))

    assert matches_event(soon, event(delivery="2026-03-03"))
    assert not matches_event(soon, event(delivery="2026-03-10"))


def test_one_and_true_are_told_apart_even_by_matches_that_compare_equal() -> None:
    number = order("properties.gift", Comparison("is", 1))
    boolean = order("properties.gift", Comparison("is", True))

    assert matches_event(number, event(gift=1))
    assert not matches_event(boolean, event(gift=1))


def test_a_where_starts_at_properties_or_context() -> None:
    with pytest.raises(CampaignError, match='start at "properties'):
        compile_segments({}, matches=[order("price", Comparison("gt", 1))], session_gap=HOUR)


def test_protected_traits_compare_by_their_marker() -> None:
    marker = Comparison("is", "blind:2a")

    assert answer(marker, "blind:2a")[0]
    assert not answer(marker, "blind:2b")[0]
