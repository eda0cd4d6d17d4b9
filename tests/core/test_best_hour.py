"""best_time with a model: each person's hour, a share that goes on exploring, and honest odds."""

from collections import Counter

import pytest

from engine.core.clocktime import local_time
from engine.core.model.effects import SendMessage
from engine.core.model.instants import DAY, HOUR
from engine.core.model.people import Score
from engine.core.model.steps import BestTime
from tests.core.build import a_campaign, a_person, a_send, a_theatre, an_event, only

ADDED = an_event("Product Added", "2026-03-02T10:00Z")
MODEL = "their-hour"


def timed(within=DAY, *, explored=0.1):
    campaign = a_campaign("cart", BestTime("hour", within, "mail", MODEL), a_send())
    return a_theatre(campaign, explored={MODEL: explored})


def sent_to(theatre, number, *, hour="20", zone="UTC", within=DAY):
    """(the message, what was logged) for somebody who acts at this hour."""
    person = a_person(number, zone=zone)
    if hour is not None:
        person.profile.scores[MODEL] = Score(0.6, label=hour, run=3)
    effects = theatre.play(person, ADDED, until=ADDED.at + within)
    (message,) = only(effects, SendMessage)
    (logged,) = [it for it in effects if getattr(it, "event", "") == "Send Time Explored"]
    return message, logged.properties


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_a_person_is_sent_to_within_their_hour_by_their_own_clock(zone):
    theatre = timed(explored=0.0)

    found = [sent_to(theatre, number, zone=zone)[0].at for number in range(1, 60)]

    assert {local_time(at, zone).hour for at in found} == {20}
    assert len(set(found)) == len(found), "they are spread over the hour"


def test_an_explore_share_goes_out_at_any_hour_for_ever():
    theatre, hours, explored = timed(explored=0.25), Counter(), 0

    for number in range(1, 2_001):
        message, logged = sent_to(theatre, number)
        hours[local_time(message.at, "UTC").hour] += 1
        explored += logged["explored"]

    # A quarter of 2,000 +- 4 standard deviations (19.4), and over all hours of the day.
    assert 422 <= explored <= 578
    assert set(hours) == set(range(24))
    assert hours[20] > 1_400


def test_the_logged_probability_is_that_of_the_hour_whichever_draw_gave_it():
    theatre, drawn, told = timed(explored=0.3), Counter(), {}

    for number in range(1, 3_001):
        _, logged = sent_to(theatre, number)
        drawn[logged["hour"]] += 1
        told[logged["hour"]] = logged["probability"]

    assert sum(told.values()) == pytest.approx(1)
    assert told[20] == pytest.approx(0.7 + 0.3 / 24)
    # Chi-squared with 23 degrees of freedom: 49.7 is its 99.9th percentile.
    expected = {hour: 3_000 * share for hour, share in told.items()}
    assert sum((drawn[hour] - n) ** 2 / n for hour, n in expected.items()) < 49.7


def test_what_the_model_said_is_logged_beside_it():
    _, logged = sent_to(timed(explored=0.0), 1)

    assert {key: logged[key] for key in ("model", "run", "best_hour", "explored")} == {
        "model": MODEL, "run": 3, "best_hour": 20, "explored": False,
    }  # fmt: skip


@pytest.mark.parametrize("hour", [None, "", "evening", "24", "9"])
def test_whom_the_model_does_not_know_is_drawn_over_the_whole_window(hour):
    theatre = timed(explored=0.0)

    found = [sent_to(theatre, number, hour=hour) for number in range(1, 400)]

    assert len({local_time(message.at, "UTC").hour for message, _ in found}) == 24
    assert all("model" not in logged for _, logged in found)


def test_a_window_without_the_hour_leaves_it_to_chance():
    theatre = timed(6 * HOUR, explored=0.0)  # from 10 to 16

    found = [sent_to(theatre, number, within=6 * HOUR) for number in range(1, 200)]

    assert {logged["hour"] for _, logged in found} == set(range(10, 16))
    told = {logged["hour"]: logged["probability"] for _, logged in found}
    assert sum(told.values()) == pytest.approx(1)
    assert all(logged["explored"] for _, logged in found)


def test_who_arrives_in_their_hour_is_sent_to_in_it():
    theatre = timed(explored=0.0)

    found = [sent_to(theatre, number, hour="10")[0].at for number in range(1, 60)]

    assert all(at < ADDED.at + HOUR for at in found)


def test_a_model_that_is_gone_from_the_workspace_is_as_none():
    campaign = a_campaign("cart", BestTime("hour", DAY, "mail", MODEL), a_send())
    theatre = a_theatre(campaign)

    found = [sent_to(theatre, number)[1] for number in range(1, 100)]

    assert len({logged["hour"] for logged in found}) > 12
    assert all("model" not in logged for logged in found)
