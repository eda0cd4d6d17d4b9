"""Durations, shares and wall times: what is written is what is meant, or a word says why not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.durations import (
    SPAN_MAX,
    dump_duration,
    dump_instant,
    dump_span,
    parse_duration,
    parse_instant,
    parse_rate,
    parse_share,
    parse_span,
    parse_wall_time,
)
from engine.core.model.instants import DAY, HOUR, MINUTE, SECOND
from engine.core.model.steps import Duration

SPANS = st.integers(1, SPAN_MAX // SECOND).map(lambda seconds: seconds * SECOND)
CALENDAR = st.builds(Duration, months=st.integers(0, 60), days=st.integers(0, 999)).filter(
    lambda duration: bool(duration.months or duration.days)
)


@given(SPANS)
def test_an_exact_span_reads_back_as_itself(span: int) -> None:
    assert parse_span(dump_span(span)) == span


@given(CALENDAR | SPANS.map(lambda span: Duration(exact=span)))
def test_a_duration_reads_back_as_itself(duration: Duration) -> None:
    assert parse_duration(dump_duration(duration)) == duration


@given(st.integers(-(2**40), 2**50))
def test_an_instant_reads_back_as_itself(instant: int) -> None:
    assert parse_instant(dump_instant(instant)) == instant


def test_units_mean_what_the_guide_says() -> None:
    assert parse_span("90s") == 90 * SECOND
    assert parse_span("30m") == 30 * MINUTE
    assert parse_span("24h") == parse_span("1d") == 24 * HOUR
    assert parse_span("2w") == 14 * DAY
    assert parse_span("1h30m") == 90 * MINUTE
    assert parse_duration("P1M") == Duration(months=1)
    assert parse_duration("P2W") == Duration(days=14)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("soon", "not a duration"),
        ("30", "not a duration"),
        ("30 m", "not a duration"),
        ("0m", "no time at all"),
        ("30m1h", "largest first"),
        ("1h1h", "largest first"),
        ("20w600w", "largest first"),
        ("999999999w", "ten years"),
        ("P1D", "Write 1d"),
        ("P1M", "Write 30d"),
        ("PT1H", "not a duration"),
    ],
)
def test_a_wrong_span_says_what_to_write(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_span(text)


@pytest.mark.parametrize("text", ["P", "P0D", "PT1H", "P1.5D", "P99Y", "1P"])
def test_a_wrong_calendar_step_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|no time|ten years"):
        parse_duration(text)


def test_shares_are_percentages_or_fractions() -> None:
    assert parse_share("10%") == parse_share("0.1") == 0.1
    assert parse_share("2.5 %") == 0.025
    assert (parse_share("0"), parse_share("100%")) == (0.0, 1.0)
    with pytest.raises(ValueError, match="10%"):
        parse_share("10")
    with pytest.raises(ValueError, match="not a share"):
        parse_share("-1%")


def test_wall_times_have_two_digits_each() -> None:
    assert parse_wall_time("09:30") == 570
    for text in ("9:30", "24:00", "09:60", "09:30:00", "0930"):
        with pytest.raises(ValueError, match="time of day"):
            parse_wall_time(text)


def test_an_instant_needs_its_zone() -> None:
    assert parse_instant("2026-03-02T09:00Z") == parse_instant("2026-03-02T10:00+01:00")
    with pytest.raises(ValueError, match="no zone"):
        parse_instant("2026-03-02T09:00")
    with pytest.raises(ValueError, match="not an instant"):
        parse_instant("2026-13-02T09:00Z")


@pytest.mark.parametrize(
    ("text", "rate"),
    [("100/s", (100, SECOND)), ("1/m", (1, MINUTE)), ("50000/d", (50_000, DAY))],
)
def test_a_rate_is_a_number_in_some_time(text: str, rate: tuple[int, int]) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("100", "is not a rate. Write a whole number of calls"),
        ("1.5/s", "is not a rate"),
        ("100/min", "is not a rate"),
        ("-1/s", "is not a rate"),
        ("9999999/s", "is not a rate"),
        ("0/s", "lets nothing through"),
    ],
)
def test_what_is_no_rate_is_told_how_one_is_written(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        parse_rate(text)
