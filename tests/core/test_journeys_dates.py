"""Date triggers: a birthday or a renewal, each person's own, at their own wall time."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.clocktime import iso, local_time
from engine.core.journeys.dates import next_occasion
from engine.core.merge import merge_people
from engine.core.model.campaigns import DateTrigger, EventTrigger, Reentry
from engine.core.model.conditions import EventMatch, SegmentCondition
from engine.core.model.effects import Entered, SendMessage
from engine.core.model.instants import DAY
from engine.core.model.steps import Update
from tests.core.build import (
    a_campaign,
    a_person,
    a_send,
    a_theatre,
    an_event,
    at,
    has_done,
    only,
)

NINE = 9 * 60
BIRTHDAY = DateTrigger(("birthday",), NINE, is_yearly=True)


def congratulating(trigger=BIRTHDAY, **changes):
    return a_campaign("cheers", a_send(), trigger=trigger, **changes)


def sends(theatre, person, *events, until, floor=0):
    effects = theatre.play(person, *events, until=until, floor=floor)
    return [iso(message.at) for message in only(effects, SendMessage)]


def born(day, when="2026-03-02T10:00Z", **traits):
    return an_event("Profile Identified", when, traits={"birthday": day, **traits})


def test_a_birthday_is_kept_each_year_at_nine_by_the_persons_clock():
    theatre = a_theatre(congratulating())
    person = a_person(zone="America/New_York")

    found = sends(theatre, person, born("1990-05-17"), until="2028-06-01T00:00Z")

    assert found == ["2026-05-17T13:00:00Z", "2027-05-17T13:00:00Z", "2028-05-17T13:00:00Z"]


def test_a_birthday_written_as_a_week_date_has_its_day():
    theatre = a_theatre(congratulating())

    found = sends(theatre, a_person(), born("1990-W20-4"), until="2026-06-01T00:00Z")

    assert found == ["2026-05-17T09:00:00Z"]


def test_an_offset_comes_before_the_day_also_over_new_year():
    theatre = a_theatre(congratulating(DateTrigger(("birthday",), NINE, -7, True)))

    found = sends(theatre, a_person(), born("1990-01-03"), until="2028-01-01T00:00Z")

    assert found == ["2026-12-27T09:00:00Z", "2027-12-27T09:00:00Z"]


def test_a_date_without_years_fires_once_and_only_if_it_lies_ahead():
    trigger = DateTrigger(("renews_on",), NINE)
    theatre, person = a_theatre(congratulating(trigger)), a_person()
    event = an_event("Bought", "2026-03-02T10:00Z", traits={"renews_on": "2026-04-01"})
    past = an_event("Bought", "2026-03-02T10:00Z", traits={"renews_on": "2026-03-02"})

    assert sends(theatre, person, event, until="2028-01-01T00:00Z") == ["2026-04-01T09:00:00Z"]
    assert sends(theatre, a_person(2), past, until="2028-01-01T00:00Z") == []
    assert person.state.schedules == {}


def test_the_29th_of_february_is_kept_on_the_28th_in_common_years():
    theatre = a_theatre(congratulating())

    found = sends(theatre, a_person(), born("2000-02-29"), until="2028-03-05T00:00Z")

    assert found == ["2027-02-28T09:00:00Z", "2028-02-29T09:00:00Z"]


def test_a_wall_time_that_the_clocks_skip_is_the_first_instant_after_it():
    # Berlin, 2026-03-29: 02:00 became 03:00, which was 01:00Z.
    theatre = a_theatre(congratulating(DateTrigger(("birthday",), 2 * 60 + 30, is_yearly=True)))

    found = sends(
        theatre, a_person(zone="Europe/Berlin"), born("1990-03-29"), until="2026-04-01T00:00Z"
    )

    assert found == ["2026-03-29T01:00:00Z"]


def test_a_corrected_date_moves_the_fire_and_a_removed_one_takes_it_away():
    theatre, moved, removed = a_theatre(congratulating()), a_person(1), a_person(2)
    correction = born("1990-06-01", "2026-05-01T00:00Z")
    removal = born(None, "2026-05-01T00:00Z")

    assert sends(theatre, moved, born("1990-05-17"), correction, until="2026-12-31T00:00Z") == [
        "2026-06-01T09:00:00Z"
    ]
    assert sends(theatre, removed, born("1990-05-17"), removal, until="2027-12-31T00:00Z") == []


def test_a_birthday_corrected_after_its_mail_is_not_kept_twice_in_one_year():
    theatre, person = a_theatre(congratulating()), a_person()
    correction = born("1990-05-20", "2026-05-18T00:00Z")

    found = sends(theatre, person, born("1990-05-17"), correction, until="2027-12-31T00:00Z")

    assert found == ["2026-05-17T09:00:00Z", "2027-05-20T09:00:00Z"]


def test_who_moves_to_another_zone_is_met_at_nine_there():
    theatre, person = a_theatre(congratulating()), a_person(zone="Europe/Berlin")
    from msgspec.structs import replace

    moving = replace(an_event("Page", "2026-05-01T00:00Z"), zone="Asia/Tokyo")

    found = sends(theatre, person, born("1990-05-17"), moving, until="2026-12-31T00:00Z")

    assert found == ["2026-05-17T00:00:00Z"]


def test_a_zone_of_the_campaign_is_everyones():
    trigger = DateTrigger(("birthday",), NINE, is_yearly=True, zone="Europe/Berlin")
    theatre = a_theatre(congratulating(trigger))

    found = sends(
        theatre, a_person(zone="Asia/Tokyo"), born("1990-05-17"), until="2026-12-31T00:00Z"
    )

    assert found == ["2026-05-17T07:00:00Z"]


def test_an_update_step_that_sets_the_date_arms_it():
    renewing = a_campaign(
        "renew",
        Update("set", {"renews_on": "2026-04-01"}),
        trigger=EventTrigger(EventMatch("Bought")),
    )
    theatre = a_theatre(congratulating(DateTrigger(("renews_on",), NINE)), renewing)

    found = sends(
        theatre, a_person(), an_event("Bought", "2026-03-02T10:00Z"), until="2026-12-31T00:00Z"
    )

    assert found == ["2026-04-01T09:00:00Z"]


def test_only_members_of_the_audience_enter():
    campaign = congratulating(audience=SegmentCondition("buyers"))
    theatre = a_theatre(campaign, segments={"buyers": has_done("Order Completed")})
    buyer, other = a_person(1), a_person(2)
    order = an_event("Order Completed", "2026-04-01T00:00Z")

    assert sends(theatre, buyer, born("1990-05-17"), order, until="2026-12-31T00:00Z") == [
        "2026-05-17T09:00:00Z"
    ]
    assert sends(theatre, other, born("1990-05-17"), until="2026-12-31T00:00Z") == []


def test_a_birthday_missed_in_an_outage_is_kept_late_and_once():
    theatre, person = a_theatre(congratulating()), a_person()
    sends(theatre, person, born("1990-05-17"), until="2026-05-01T00:00Z")

    late = sends(
        theatre, person, floor="2026-05-19T08:00Z", until="2026-12-31T00:00Z"
    )  # fmt: skip

    assert late == ["2026-05-19T08:00:00Z"]


def test_a_new_release_arms_people_whose_date_was_known_before():
    person = a_person(is_new=False)
    person.profile.traits["birthday"] = "1990-05-17"

    found = sends(
        a_theatre(congratulating(), release=2), person, floor="2026-03-02T10:00Z",
        until="2026-12-31T00:00Z",
    )  # fmt: skip

    assert found == ["2026-05-17T09:00:00Z"]


@pytest.mark.parametrize("value", ["soon", "", None, 17, "05-17", ["1990-05-17"]])
def test_what_is_no_date_starts_nothing(value):
    theatre, person = a_theatre(congratulating()), a_person()

    assert sends(theatre, person, born(value), until="2028-01-01T00:00Z") == []
    assert person.state.schedules == {}


def test_reentry_after_exit_does_not_let_a_year_be_kept_twice():
    theatre = a_theatre(congratulating(reentry=Reentry(when="after_exit")))

    effects = theatre.play(a_person(), born("1990-05-17"), until="2027-12-31T00:00Z")

    assert len(only(effects, Entered)) == 2


def test_after_a_merge_the_date_is_kept_by_the_winners_clock():
    theatre = a_theatre(congratulating())
    winner, loser = a_person(1, zone="Asia/Tokyo"), a_person(2, zone="UTC")
    theatre.play(winner, an_event("Page", "2026-03-02T10:00Z"))
    theatre.play(loser, born("1990-05-17"))

    merge_people(
        winner, loser, program=theatre.program, segments=theatre.segments,
        now=at("2026-03-03T10:00Z"),
    )  # fmt: skip

    assert sends(theatre, winner, floor="2026-03-03T10:00Z", until="2026-12-31T00:00Z") == [
        "2026-05-17T00:00:00Z"
    ]


@given(
    day=st.dates(min_value=date(1930, 1, 1), max_value=date(2020, 12, 31)),
    offset=st.integers(-366, 366),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Apia", "America/St_Johns"]),
    days=st.integers(0, 3_000),
)  # fmt: skip
def test_the_next_occasion_is_the_first_one_after_now(day, offset, zone, days):
    trigger = DateTrigger(("birthday",), NINE, offset, True)
    now = at("2026-01-01T00:00Z") + days * DAY

    occasion = next_occasion(trigger, day.isoformat(), zone, after=now)

    # Of any 367 days one is it: none is skipped, and it shows nine o'clock there.
    assert occasion is not None
    assert now < occasion.at <= now + 367 * DAY
    assert (local_time(occasion.at, zone).hour, local_time(occasion.at, zone).minute) == (9, 0)
    before = next_occasion(trigger, day.isoformat(), zone, after=occasion.at - 400 * DAY)
    assert before is not None
    assert int(before.key) == int(occasion.key) - 1


def test_a_date_that_lies_years_ahead_has_its_first_anniversary():
    occasion = next_occasion(BIRTHDAY, "2031-05-17", "UTC", after=at("2026-03-02T10:00Z"))

    assert occasion is not None
    assert iso(occasion.at) == "2032-05-17T09:00:00Z"


def test_a_date_at_the_end_of_the_calendar_has_no_anniversary():
    assert next_occasion(BIRTHDAY, "9999-05-17", "UTC", after=at("2026-03-02T10:00Z")) is None
