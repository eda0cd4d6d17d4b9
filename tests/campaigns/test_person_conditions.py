"""Conditions about the person as written: what they compile to, and what is said of slips."""

import pytest

from campaigns.compile import compile_workspace
from engine.core.model.campaigns import MemberList, Program
from engine.core.model.conditions import (
    All,
    ClusterCondition,
    Comparison,
    Condition,
    ConsentCondition,
    EventCondition,
    EventMatch,
    Filter,
    LatestCondition,
    ListCondition,
    LocalTimeCondition,
    NearCondition,
    SampleCondition,
    ScoreCondition,
    TraitCondition,
    Window,
)
from engine.core.model.instants import DAY
from tests.campaigns.build import a_workspace, problems_of


def a_program(when: str, lists: dict[str, str] | None = None) -> Program:
    workspace = a_workspace({"segments/it.yaml": f"segment: it\nwhen: {when}\n", **(lists or {})})
    return compile_workspace(
        workspace,
        release=1,
        phases={},
        templates={},
        blind=lambda trait, kind, value: f"blind:{trait}:{value}",
    )


def compiled(when: str) -> Condition:
    return a_program(when).segments["it"]


def at_least(value: float) -> tuple[Comparison, ...]:
    return (Comparison("gte", value),)


def equal(name: str, value: object) -> Filter:
    return Filter((name,), (Comparison("is", value),))


def reported(name: str, *more: Filter) -> EventMatch:
    return EventMatch(f"Message {name}", more)


def of(name: str, value: object) -> Filter:
    return Filter(("properties", name), (Comparison("is", value),))


BY_A_PERSON = Filter(("properties", "is_machine"), (Comparison("is_not", True),))


@pytest.mark.parametrize(
    ("when", "condition"),
    [
        ("{consent: {channel: email, topic: offers}}", ConsentCondition("email", "offers")),
        (
            "{consent: {channel: sms, topic: offers, is: unknown}}",
            ConsentCondition("sms", "offers", "unknown"),
        ),
        ("{sample: {percent: 2.5, salt: spring}}", SampleCondition(2.5, "spring")),
        (
            '{local_time: {from: "18:00", to: "22:00"}}',
            LocalTimeCondition(1080, 1320),
        ),
        (
            '{local_time: {from: "22:00", to: "06:00", days: [fri, sat], zone: Asia/Tokyo}}',
            LocalTimeCondition(1320, 360, (4, 5), "Asia/Tokyo"),
        ),
        ("{local_time: {days: sun}}", LocalTimeCondition(0, 1440, (6,))),
        (
            "{device: {type: mobile, os: [iOS, Android], within: 30d}}",
            LatestCondition(
                "device",
                (equal("type", "mobile"),
                 Filter(("os",), (Comparison("in", ("iOS", "Android")),))),
                30 * DAY,
            ),
        ),
        (
            "{location: {country: NO}}",
            LatestCondition("location", (equal("country", "NO"),)),
        ),
        (
            "{location: {near: {latitude: 52.5, longitude: 13.4, km: 50}, within: 7d}}",
            NearCondition(52.5, 13.4, 50, 7 * DAY),
        ),
        (
            "{location: {city: Berlin, near: {latitude: 52.5, longitude: 13.4, km: 50}}}",
            All((
                LatestCondition("location", (equal("city", "Berlin"),)),
                NearCondition(52.5, 13.4, 50),
            )),
        ),
        ("{score: {model: churn, value: {gte: 0.8}}}", ScoreCondition("churn", at_least(0.8))),
        (
            "{score: {model: churn, percentile: {gte: 90}}}",
            ScoreCondition("churn", (), at_least(90)),
        ),
        (
            "{cluster: {model: shoppers, is: loyal, confidence: {gte: 0.7}}}",
            ClusterCondition("shoppers", (Comparison("is", "loyal"),), at_least(0.7)),
        ),
        (
            "{message: {delivered: any}}",
            EventCondition(reported("Delivered"), at_least(1)),
        ),
        (
            "{message: {opened: nudge, channel: email, within: 7d, count: {gte: 2}}}",
            EventCondition(
                reported("Opened", of("campaign", "nudge"), of("channel", "email"), BY_A_PERSON),
                at_least(2),
                Window(7 * DAY),
            ),
        ),
        (
            "{message: {clicked: any, template: remind, ever: true}}",
            EventCondition(reported("Clicked", of("template", "remind"), BY_A_PERSON)),
        ),
    ],
)  # fmt: skip
def test_each_kind_compiles_to_its_noun(when: str, condition: Condition) -> None:
    assert compiled(when) == condition


@pytest.mark.parametrize(
    ("when", "message"),
    [
        (
            "{consent: {channel: emial, topic: offers}}",
            'there is no kind of channel "emial". Did you mean',
        ),
        ("{consent: {channel: email, topic: ofers}}", 'there is no topic "ofers". Did you mean'),
        (
            "{consent: {channel: email, topic: offers, is: true}}",
            'is: "true" is not allowed here. Allowed: granted, refused, unknown.',
        ),
        ("{sample: {percent: 0, salt: x}}", "percent: 0 is not a percentage above 0"),
        ("{sample: {percent: 5}}", '"sample" needs the key "salt".'),
        ('{sample: {percent: 5, salt: "a|b"}}', "sample: a salt of 1 to 64 characters without |"),
        ("{list: vip}", 'there is no list "vip": lists/vip.csv is missing.'),
        ('{local_time: {from: "18:00"}}', "local_time: from and to belong together."),
        ("{local_time: {zone: UTC}}", "local_time: it says no time."),
        ('{local_time: {from: "18:00", to: "18:00"}}', "local_time: from and to are the same time"),
        ('{local_time: {from: "18:00", to: "25:00"}}', '"25:00" is not a time of day.'),
        ("{local_time: {days: [son]}}", '"son" is not allowed here. Did you mean "sun"?'),
        ("{device: {}}", "device: it asks nothing of the device."),
        ("{device: {typ: mobile}}", 'unknown key "typ". Did you mean "type"?'),
        ("{device: {type: {gte: 3}}}", "gte cannot be asked of a string"),
        ("{location: {within: 7d}}", "location: it asks nothing of the location."),
        (
            "{location: {near: {latitude: 99, longitude: 1, km: 5}}}",
            "near: latitude 99 is not between -90 and 90.",
        ),
        ("{location: {near: {latitude: 9, longitude: 1, km: 0}}}", "km: 0 is not more than 0."),
        ("{score: {model: churn}}", "score: it compares nothing."),
        (
            "{score: {model: churn, percentile: {gte: 900}}}",
            "percentile: 900 is outside 0 to 100, where every percentile lies.",
        ),
        ("{score: {model: churn, value: high}}", '"high" is not a number'),
        ("{cluster: {model: shoppers}}", '"cluster" needs the key "is".'),
        (
            "{cluster: {model: shoppers, is: {contains: x}}}",
            "a cluster has a name: contains cannot be asked of it.",
        ),
        ("{message: {channel: email}}", "message: it names one of sent, delivered, opened,"),
        ("{message: {opened: any, clicked: any}}", "message: it names one of sent, delivered,"),
        ("{message: {opened: nudg}}", 'there is no campaign "nudg". Did you mean "nudge"?'),
        ("{message: {opened: any, template: rem}}", 'there is no template "rem".'),
        ("{message: {opened: any, count: many}}", "count:"),
        ("{cluster: a}", "cluster: a mapping of keys is needed here"),
    ],
)
def test_a_slip_is_named_at_its_line(when: str, message: str) -> None:
    (problem,) = problems_of({"segments/it.yaml": f"segment: it\ntitle: It\nwhen: {when}\n"})

    assert problem.startswith("segments/it.yaml:3: ")
    assert message in problem


def test_a_date_trait_is_compared_with_a_date_as_dates() -> None:
    condition = compiled("{trait: {birthday: {after: 2000-01-01}}}")

    # Midnight in UTC on both sides: whoever was born on that very day is not after it.
    assert condition == TraitCondition(
        Filter(("birthday",), (Comparison("after", 946_684_800_000_000),))
    )


# --- lists ---------------------------------------------------------------------------------------


def test_a_list_of_users_is_read_with_the_workspace() -> None:
    program = a_program("{list: vip-2026}", {"lists/vip-2026.csv": "user_id\nu1\n\nu2\nu1\n"})

    assert program.segments["it"] == ListCondition("vip-2026")
    assert program.lists == {"vip-2026": MemberList((), frozenset({"u1", "u2"}))}


def test_a_list_of_a_pii_trait_is_kept_as_markers() -> None:
    program = a_program("{list: vip}", {"lists/vip.csv": "email\na@example.com\n"})

    assert program.lists == {
        "vip": MemberList(("email",), frozenset({"blind:email:a@example.com"}))
    }


def test_what_stands_in_a_list_is_in_no_feature_and_in_no_condition() -> None:
    short = a_program("{list: vip}", {"lists/vip.csv": "plan\npro\n"})
    other = a_program("{list: vip}", {"lists/vip.csv": "plan\nfree\n"})

    assert short.segments == other.segments
    assert short.campaigns == other.campaigns


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "lists/vip.csv:1: the list is empty."),
        ("user_id\nu1,u2\n", "lists/vip.csv:2: a list has one column, and here are 2."),
        ('user_id\n"  "\n', "lists/vip.csv:2: the value is empty."),
        ("user_id\n" + "x" * 513, "lists/vip.csv:2: the value has 513 characters;"),
        ("user_id\nu\x001\n", "lists/vip.csv:2: the value holds a control character."),
        ('user_id\n"u1\n', "lists/vip.csv:2: the row cannot be read:"),
        ("plam\npro\n", 'lists/vip.csv:1: the trait "plam" is not declared in antiphon.yaml. Did'),
    ],
)
def test_a_bad_row_of_a_list_is_named_at_its_line(text: str, problem: str) -> None:
    (found,) = problems_of({"lists/vip.csv": text})

    assert found.startswith(problem)


def test_a_list_has_limits_and_says_them() -> None:
    rows = "user_id\n" + "\n".join(f"u{n}" for n in range(200_001))

    (found,) = problems_of({"lists/vip.csv": rows})

    assert found.startswith("lists/vip.csv:200002: a list has at most 200,000 values.")


def test_a_list_with_many_bad_rows_names_twenty() -> None:
    found = problems_of({"lists/vip.csv": "user_id\n" + "a,b\n" * 100})

    assert len(found) == 21


def test_a_list_has_a_name_like_all_others() -> None:
    (found,) = problems_of({"lists/VIP 2026.csv": "user_id\nu1\n"})

    assert found.startswith("lists/VIP 2026.csv: a list is lists/NAME.csv")
