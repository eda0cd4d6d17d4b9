"""The page of a send_time model: what it says, that it stands alone, and that it can be found."""

import re

import numpy as np
import pytest

from campaigns.models import SendTimeModel
from engine.learning.send_times import Judgement, SendTimes
from engine.learning.send_times.pictures import hour_bars
from engine.learning.send_times.report import page

MODEL = SendTimeModel("their-hour", "When <they> read us", events=("Message Clicked",))
BETTER = Judgement(n=90, own=0.4, common=0.25, gain=0.15, std_error=0.02)
NO_BETTER = Judgement(n=90, own=0.26, common=0.25, gain=0.01, std_error=0.02)


def found(*hours: int) -> SendTimes:
    n = len(hours)
    prior = np.full(24, 0.5 / 23)
    prior[19] = 0.5
    return SendTimes(
        ids=np.arange(n), hours=np.array(hours), shares=np.full(n, 0.3),
        confidence=np.array([1.0 if it == 19 else 0.8 for it in hours]), n_acts=np.full(n, 12.0),
        prior=prior, fallback=19,
    )  # fmt: skip


def test_the_page_says_whether_it_is_read_and_why_and_stands_alone() -> None:
    said = page(found(8, 8, 8, 19), BETTER, MODEL, as_of="2026-11-20")

    assert said.startswith("<!doctype html>")
    assert "When &lt;they&gt; read us" in said
    assert "as of 2026-11-20" in said
    assert "Publish this run" in said
    assert "surely more than the 25.0% in the hour that is best for all (90 people)." in said
    assert not re.search(r"<script|src=|href=|@import|url\(", said)


def test_a_run_that_is_no_better_is_kept_aside_and_says_so() -> None:
    said = page(found(8, 19), NO_BETTER, MODEL)

    assert "Keep what is there" in said
    assert "Publish this run" not in said
    assert "not surely more than" in said
    assert "−2.9 points to +4.9 points" in said.replace("\u00a0", " ")


def test_what_could_not_be_judged_is_said_instead_of_a_figure() -> None:
    said = page(found(8), None, MODEL)

    assert "Too few act often enough to tell" in said
    assert "Unseen acts in their own hour" not in said


def test_each_hour_is_a_bar_with_its_people_and_the_most_frequent_are_listed() -> None:
    said = page(found(8, 8, 8, 19, 23), BETTER, MODEL).replace("\u00a0", " ")

    titles = re.findall(r"<title>(\d\d):00 to \d\d:59: ([^<]+)</title>", said)
    shares, people = titles[:24], titles[24:]
    assert dict(shares)["19"] == "50 %"
    assert {hour: n for hour, n in people if n != "0"} == {"08": "3", "19": "1", "23": "1"}
    listed = re.findall(r"<td>(\d\d:00)</td><td[^>]*>(\d)</td><td[^>]*>(\d+ %)</td>", said)
    assert listed == [("08:00", "3", "60 %"), ("19:00", "1", "20 %"), ("23:00", "1", "20 %")]


@pytest.mark.parametrize("values", [[1.0] * 23, [*[1.0] * 23, -1.0], [*[1.0] * 23, float("nan")]])
def test_what_is_no_day_is_not_drawn(values: list[float]) -> None:
    with pytest.raises(ValueError, match="24 values"):
        hour_bars(values, said=str, label="")


def test_a_day_without_anything_is_an_empty_drawing() -> None:
    assert hour_bars([0.0] * 24, said=str, label="").count('height="0.0"') == 24
