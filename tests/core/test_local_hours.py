"""`local_time`: what clocks show, to the instant, over midnight and through every clock change."""

import pytest

from engine.core.conditions.local_hours import compile_local_time
from engine.core.errors import CampaignError
from engine.core.model.conditions import LocalTimeCondition
from engine.core.model.instants import DAY, MINUTE, NEVER, ProfileId
from engine.core.model.people import Profile
from tests.core.build import at
from tests.core.person_oracle import clock_shows, local

WINDOWS = (
    LocalTimeCondition(1080, 1320),
    LocalTimeCondition(1320, 360, (4, 5)),
    LocalTimeCondition(120, 150),
    LocalTimeCondition(135, 180, (6,)),
    LocalTimeCondition(0, 1440, (5, 6)),
    LocalTimeCondition(30, 0),
    LocalTimeCondition(1430, 5, (6,)),
)
CHANGES = (
    ("Europe/Berlin", "2026-03-29"),  # 02:00 is 03:00
    ("Europe/Berlin", "2026-10-25"),  # 03:00 is 02:00 again
    ("Australia/Lord_Howe", "2026-04-05"),  # half an hour
    ("America/Havana", "2026-03-08"),  # midnight itself is skipped
    ("America/Havana", "2026-11-01"),  # and comes twice
    ("Pacific/Apia", "2011-12-30"),  # a whole day that never was
    ("Asia/Kolkata", "2026-03-29"),
)


def a_profile(zone: str) -> Profile:
    return Profile(ProfileId(1), zone)


@pytest.mark.parametrize(("zone", "day"), CHANGES)
@pytest.mark.parametrize("window", WINDOWS)
def test_the_hours_hold_exactly_while_clocks_show_them(
    window: LocalTimeCondition, zone: str, day: str
) -> None:
    ask = compile_local_time(window)
    start = at(f"{day}T00:00Z") - 2 * DAY
    holds, until = False, start

    for now in range(start, start + 10 * DAY, 5 * MINUTE):
        if now >= until:
            assert until in (now, start), "it changes between two looks"
            holds, until = ask({}, a_profile(zone), now)
        assert holds is clock_shows(window, local(now, zone)), local(now, zone)


def test_the_answer_changes_at_its_until_and_not_before() -> None:
    ask = compile_local_time(LocalTimeCondition(1080, 1320, (0,)))
    berlin = a_profile("Europe/Berlin")

    before = ask({}, berlin, at("2026-03-29T12:00Z"))
    during = ask({}, berlin, at("2026-03-30T16:00Z"))

    assert before == (False, at("2026-03-30T16:00Z"))
    assert during == (True, at("2026-03-30T20:00Z"))


def test_hours_that_a_clock_change_swallows_do_not_come_that_day() -> None:
    ask = compile_local_time(LocalTimeCondition(135, 165))

    answer = ask({}, a_profile("Europe/Berlin"), at("2026-03-28T12:00Z"))

    assert answer == (False, at("2026-03-30T00:15Z"))


def test_an_hour_that_clocks_repeat_counts_both_times() -> None:
    ask = compile_local_time(LocalTimeCondition(120, 150))
    berlin = a_profile("Europe/Berlin")

    spans = [ask({}, berlin, at(f"2026-10-25T0{hour}:10Z")) for hour in (0, 1)]

    assert spans == [(True, at("2026-10-25T00:30Z")), (True, at("2026-10-25T01:30Z"))]


def test_the_night_belongs_to_the_day_on_which_it_began() -> None:
    friday_night = compile_local_time(LocalTimeCondition(1320, 360, (4,)))

    saturday_morning = friday_night({}, a_profile("UTC"), at("2026-03-07T05:00Z"))
    friday_morning = friday_night({}, a_profile("UTC"), at("2026-03-06T05:00Z"))

    assert saturday_morning == (True, at("2026-03-07T06:00Z"))
    assert friday_morning == (False, at("2026-03-06T22:00Z"))


def test_a_zone_of_its_own_is_read_wherever_the_profile_lives() -> None:
    ask = compile_local_time(LocalTimeCondition(540, 600, zone="Asia/Tokyo"))

    assert ask({}, a_profile("America/New_York"), at("2026-03-02T00:30Z"))[0] is True


def test_a_day_that_is_always_never_changes() -> None:
    ask = compile_local_time(LocalTimeCondition())

    assert ask({}, a_profile("UTC"), at("2026-03-02T00:30Z")) == (True, NEVER)


def test_someone_who_moves_is_asked_by_the_clocks_of_the_new_place() -> None:
    ask = compile_local_time(LocalTimeCondition(1080, 1320))
    noon = at("2026-03-02T18:30Z")

    answers = [ask({}, a_profile(zone), noon)[0] for zone in ("Europe/Berlin", "America/New_York")]

    assert answers == [True, False]


@pytest.mark.parametrize(
    ("condition", "word"),
    [
        (LocalTimeCondition(60, 60), "same time"),
        (LocalTimeCondition(0, 60, ()), "at least one of mon to sun"),
        (LocalTimeCondition(0, 60, (7,)), "at least one of mon to sun"),
        (LocalTimeCondition(0, 60, zone="Mars/Base"), "Mars/Base"),
        (LocalTimeCondition(0, 1500), "between 00:00 and 23:59"),
    ],
)
def test_hours_that_cannot_be_are_refused(condition: LocalTimeCondition, word: str) -> None:
    with pytest.raises(CampaignError, match=word):
        compile_local_time(condition)
