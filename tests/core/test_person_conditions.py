"""Conditions about the person, kind by kind: what they mean and what is said of them."""

from typing import Any

import pytest

from engine.core.errors import CampaignError
from engine.core.features.latest import distance_km
from engine.core.model.campaigns import MemberList
from engine.core.model.conditions import (
    ClusterCondition,
    Comparison,
    Condition,
    ConsentCondition,
    Filter,
    LatestCondition,
    ListCondition,
    NearCondition,
    SampleCondition,
    ScoreCondition,
    TraitCondition,
)
from engine.core.model.instants import DAY, HOUR, NEVER, ProfileId
from engine.core.model.people import Contact, Event, Profile, Score
from engine.core.segments import compile_segments
from tests.core.build import at

NOON = at("2026-03-02T12:00Z")


def someone(number: int = 1, **facts: Any) -> Profile:
    return Profile(**{"id": ProfileId(number), "zone": "UTC", **facts})


def answer(
    condition: Condition,
    profile: Profile | None = None,
    *events: Event,
    now: int = NOON,
    lists: dict[str, MemberList] | None = None,
) -> tuple[bool, int]:
    segments = compile_segments({"only": condition}, session_gap=HOUR, lists=lists or {})
    features: dict[str, Any] = {}
    for event in events:
        segments.observe(features, event)
    return segments.evaluate("only", features, profile or someone(), now=now)


def seen(when: int, *, accepted: int | None = None, **context: Any) -> Event:
    return Event(1, "Page Viewed", when, when if accepted is None else accepted, {}, context)


def on(root: Any, within: int | None = None, **fields: str) -> LatestCondition:
    tests = tuple(Filter((name,), (Comparison("is", value),)) for name, value in fields.items())
    return LatestCondition(root, tests, within)


# --- consent -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({}, "unknown"),
        ({"consent": {"email": {"offers": True}}}, "granted"),
        ({"consent": {"email": {"offers": False}}}, "refused"),
        ({"consent": {"sms": {"offers": True}}}, "unknown"),
        (
            {
                "consent": {"email": {"offers": True}},
                "addresses": {"email": Contact(withdrawn=frozenset({"offers"}))},
            },
            "refused",
        ),
        ({"addresses": {"email": Contact(withdrawn=frozenset({"*"}))}}, "refused"),
        ({"addresses": {"email": Contact(withdrawn=frozenset({"news"}))}}, "unknown"),
    ],
)
def test_consent_is_exactly_one_of_granted_refused_and_unknown(
    facts: dict[str, Any], state: str
) -> None:
    profile = someone(**facts)

    answers = {
        each: answer(ConsentCondition("email", "offers", each), profile)
        for each in ("granted", "refused", "unknown")
    }

    assert answers == {each: (each == state, NEVER) for each in answers}


# --- sample --------------------------------------------------------------------------------------


def test_whoever_is_in_a_sample_is_in_every_larger_one_of_the_same_salt() -> None:
    people = [someone(number) for number in range(1, 2_001)]

    inside = [
        {p.id for p in people if answer(SampleCondition(percent, "spring"), p)[0]}
        for percent in (1.0, 10.0, 50.0, 100.0)
    ]

    assert inside[0] < inside[1] < inside[2] < inside[3] == {p.id for p in people}
    assert 150 < len(inside[1]) < 250  # 200 expected, with a standard deviation of 13


def test_samples_of_two_salts_are_independent() -> None:
    people = [someone(number) for number in range(1, 4_001)]

    both = sum(
        all(answer(SampleCondition(50.0, salt), person)[0] for salt in ("spring", "autumn"))
        for person in people
    )

    assert 850 < both < 1150  # a quarter of 4,000; the standard deviation is 27


@pytest.mark.parametrize("sample", [SampleCondition(101, "x"), SampleCondition(5, "a|b")])
def test_a_sample_that_is_none_is_refused(sample: SampleCondition) -> None:
    with pytest.raises(CampaignError, match="sample"):
        answer(sample)


# --- list ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trait", "facts", "is_listed"),
    [
        ((), {"external_id": "u7"}, True),
        ((), {"external_id": "u8"}, False),
        ((), {"external_id": ""}, False),
        (("plan",), {"traits": {"plan": "u7"}}, True),
        (("plan",), {"traits": {"plan": 42}}, True),
        (("plan",), {"traits": {"plan": 42.0}}, True),
        (("plan",), {"traits": {"plan": True}}, False),
        (("plan",), {"traits": {"plan": None}}, False),
        (("plan",), {"traits": {"plan": ["u7"]}}, False),
        (("plan",), {}, False),
        (("account", "id"), {"traits": {"account": {"id": "u7"}}}, True),
    ],
)
def test_a_list_holds_ids_or_the_values_of_a_trait(
    trait: tuple[str, ...], facts: dict[str, Any], is_listed: bool
) -> None:
    lists = {"vip": MemberList(trait, frozenset({"u7", "42", "True", "None"}))}

    assert answer(ListCondition("vip"), someone(**facts), lists=lists) == (is_listed, NEVER)


def test_a_list_that_is_not_there_is_named() -> None:
    with pytest.raises(CampaignError, match=r'segment "only": there is no list "vip"'):
        answer(ListCondition("vip"))


# --- device and location -------------------------------------------------------------------------


def test_the_device_is_that_of_the_last_event_that_told_of_one() -> None:
    phone = on("device", type="mobile")
    told = seen(NOON - HOUR, device={"type": "mobile", "os": "iOS"})
    silent = seen(NOON, page={"path": "/"})

    assert answer(phone, None, told, silent) == (True, NEVER)


def test_a_new_device_replaces_the_old_one_as_a_whole() -> None:
    phone = seen(NOON - HOUR, device={"type": "mobile", "os": "iOS"})
    desktop = seen(NOON, device={"type": "desktop"})

    assert answer(on("device", os="iOS"), None, phone, desktop) == (False, NEVER)


def test_a_late_event_is_slotted_in_by_its_own_time() -> None:
    desktop = seen(NOON - HOUR, device={"type": "desktop"})
    late = seen(NOON - 2 * HOUR, accepted=NOON, device={"type": "mobile"})

    assert answer(on("device", type="mobile"), None, desktop, late) == (False, NEVER)


def test_a_device_dated_in_the_future_counts_from_then_on() -> None:
    early = seen(NOON + HOUR, accepted=NOON, device={"type": "mobile"})

    assert answer(on("device", type="mobile"), None, early) == (False, NOON + HOUR)


def test_what_was_told_too_long_ago_is_as_never_told() -> None:
    told = seen(NOON - 5 * HOUR, device={"type": "mobile"})
    lately = on("device", 6 * HOUR, type="mobile")
    is_not = LatestCondition(
        "device", (Filter(("type",), (Comparison("is_not", "mobile"),)),), 6 * HOUR
    )

    assert answer(lately, None, told) == (True, NOON + HOUR)
    assert answer(is_not, None, told) == (False, NOON + HOUR)
    assert answer(is_not, None, told, now=NOON + HOUR) == (True, NEVER)


def test_an_event_of_our_own_tells_no_device() -> None:
    ours = Event(1, "Message Delivered", NOON, NOON, {}, {"device": {"type": "mobile"}})

    assert answer(on("device", type="mobile"), None, ours) == (False, NEVER)


def test_a_field_that_is_not_remembered_is_refused() -> None:
    with pytest.raises(CampaignError, match='device: "colour" is not remembered'):
        answer(on("device", colour="red"))


@pytest.mark.parametrize(
    ("here", "there", "km"),
    [
        # Known great circles: Berlin-Munich, Berlin-Sydney, a quarter and half of the meridian's
        # circle on a sphere of 6371.0088 km, and across the date line.
        ((52.5200, 13.4050), (48.1374, 11.5755), 504.2),
        ((52.5200, 13.4050), (-33.8688, 151.2093), 16_091.0),
        ((0.0, 0.0), (90.0, 0.0), 10_007.557),
        ((0.0, 0.0), (0.0, 180.0), 20_015.115),
        ((0.0, 179.5), (0.0, -179.5), 111.195),
    ],
)
def test_distances_are_those_of_the_globe(here: Any, there: Any, km: float) -> None:
    found = distance_km(*here, *there)

    assert found == pytest.approx(km, rel=1e-3)
    assert distance_km(*there, *here) == pytest.approx(found)


@pytest.mark.parametrize(
    ("location", "is_near"),
    [
        ({"latitude": 52.39, "longitude": 13.06}, True),  # Potsdam
        ({"latitude": 53.55, "longitude": 9.99}, False),  # Hamburg
        ({"country": "DE"}, False),
        ({"latitude": "52.39", "longitude": "13.06"}, False),
        ({"latitude": 520.39, "longitude": 13.06}, False),
    ],
)
def test_near_means_within_so_many_kilometres(location: dict[str, Any], is_near: bool) -> None:
    near_berlin = NearCondition(52.52, 13.405, 50)

    assert answer(near_berlin, None, seen(NOON, location=location)) == (is_near, NEVER)


def test_a_place_that_is_none_is_refused() -> None:
    with pytest.raises(CampaignError, match="latitude is -90 to 90"):
        answer(NearCondition(152.52, 13.405, 50))


def test_a_text_too_long_to_name_a_place_is_not_remembered() -> None:
    somewhere = seen(NOON, location={"city": "x" * 300, "country": "DE"})
    segments = compile_segments({"only": on("location", country="DE")}, session_gap=HOUR)
    features: dict[str, Any] = {}

    segments.observe(features, somewhere)

    assert list(features.values()) == [[[NOON, "DE", None, None, None, None]]]


# --- score and cluster ---------------------------------------------------------------------------


@pytest.mark.parametrize("operator", ["gte", "is_not", "lt"])
def test_whoever_has_no_score_passes_no_comparison(operator: Any) -> None:
    condition = ScoreCondition("churn", (Comparison(operator, 0.8),))

    assert answer(condition, someone(scores={"other": Score(0.9)})) == (False, NEVER)


def test_a_score_is_compared_by_value_and_by_percentile() -> None:
    top = ScoreCondition("churn", (Comparison("gte", 0.8),), (Comparison("gte", 90),))

    answers = [
        answer(top, someone(scores={"churn": score}))[0]
        for score in (Score(0.8, 90.0), Score(0.79, 95.0), Score(0.9, 89.9))
    ]

    assert answers == [True, False, False]


def test_a_cluster_is_a_label_and_how_sure_the_model_is() -> None:
    loyal = ClusterCondition(
        "shoppers", (Comparison("in", ("loyal", "fan")),), (Comparison("gte", 0.7),)
    )

    answers = [
        answer(loyal, someone(scores={"shoppers": score}))[0]
        for score in (Score(0.7, 0, "fan"), Score(0.6, 0, "fan"), Score(0.9, 0, "new"))
    ]

    assert answers == [True, False, False]


def test_a_score_that_is_asked_nothing_is_refused() -> None:
    with pytest.raises(CampaignError, match='model "churn" is asked nothing'):
        answer(ScoreCondition("churn"))


# --- dates in the zone of the person -------------------------------------------------------------


def dated(operator: Any, span: int) -> TraitCondition:
    return TraitCondition(Filter(("day",), (Comparison(operator, span),)))


@pytest.mark.parametrize(
    ("zone", "begins", "ends"),
    [
        ("UTC", "2026-03-07T00:00Z", "2026-03-11T00:00Z"),
        ("Asia/Tokyo", "2026-03-06T15:00Z", "2026-03-10T15:00Z"),
        # New York's clocks go forward on 8 March, the day itself is over at 04:00Z.
        ("America/New_York", "2026-03-07T04:00Z", "2026-03-11T04:00Z"),
    ],
)
def test_a_birthday_is_near_by_the_calendar_of_the_person(
    zone: str, begins: str, ends: str
) -> None:
    born = someone(zone=zone, traits={"day": "1990-03-10"})
    soon = dated("anniversary_within", 3 * DAY)

    assert answer(soon, born, now=NOON) == (False, at(begins))
    assert answer(soon, born, now=at(begins)) == (True, at(ends))
    assert answer(soon, born, now=at(ends))[0] is False


def test_a_date_without_a_time_is_its_midnight_where_the_person_lives() -> None:
    signed_up = someone(zone="Asia/Tokyo", traits={"day": "2026-03-02"})

    assert answer(dated("within_last", DAY), signed_up) == (True, at("2026-03-02T15:00Z"))


def test_a_date_with_a_time_means_the_same_instant_everywhere() -> None:
    signed_up = someone(zone="Asia/Tokyo", traits={"day": "2026-03-02T00:00Z"})

    assert answer(dated("within_last", DAY), signed_up) == (True, at("2026-03-03T00:00Z"))


# --- in words ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "words", "found"),
    [
        (
            ConsentCondition("email", "offers"),
            "consent to offers by email",
            "refused: withdrawn by a link",
        ),
        (SampleCondition(100, "x"), 'in the 100 % sample "x"', "inside"),
        (ListCondition("vip"), 'on the list "vip"', ""),
        (on("device", DAY, type="mobile"), "last device of the last 1d: type is mobile",
         "type mobile; 2026-03-02T12:00:00Z"),
        (NearCondition(52.52, 13.405, 50), "last location: within 50 km of 52.52, 13.405",
         "27.5 km away; 2026-03-02T12:00:00Z"),
        (ScoreCondition("churn", (Comparison("gte", 0.8),)), "score churn: value at least 0.8",
         "0.9, percentile 95, run 3"),
        (ClusterCondition("kinds", (Comparison("is", "fan"),)), "cluster kinds is fan", "in none"),
    ],
)  # fmt: skip
def test_an_explanation_says_what_is_asked_and_what_is_known(
    condition: Condition, words: str, found: str
) -> None:
    lists = {"vip": MemberList((), frozenset())}
    segments = compile_segments({"only": condition}, session_gap=HOUR, lists=lists)
    features: dict[str, Any] = {}
    place = {"latitude": 52.39, "longitude": 13.06}
    segments.observe(features, seen(NOON, device={"type": "mobile"}, location=place))
    profile = someone(
        addresses={"email": Contact(withdrawn=frozenset({"*"}))},
        scores={"churn": Score(0.9, 95.0, "", 3)},
    )

    (row,) = segments.explain("only", features, profile, now=NOON)

    assert (row["condition"], row["found"]) == (words, found)
