"""What each kind of step does, and when."""

from typing import get_args

import pytest

from engine.core.errors import JourneyLoop
from engine.core.journeys.steps import STEPS
from engine.core.model import steps as model
from engine.core.model.campaigns import Reentry
from engine.core.model.conditions import Comparison, Filter, TraitCondition
from engine.core.model.effects import Discard, Emit, Exited, SendMessage, SetTrait, Wake
from engine.core.model.instants import HOUR, MINUTE
from engine.core.model.steps import (
    Branch,
    Delay,
    DelayUntil,
    Duration,
    Exit,
    Expression,
    Split,
    Track,
    Update,
)
from tests.core.build import (
    DAY_ONE,
    a_campaign,
    a_person,
    a_send,
    a_theatre,
    an_event,
    at,
    has_done,
    only,
)

IS_VIP = TraitCondition(Filter(("vip",), (Comparison("is", True),)))


def test_a_delay_holds_for_exactly_its_span():
    theatre = a_theatre(a_campaign("cart", Delay("rest", Duration(30 * MINUTE), "mail"), a_send()))
    person = a_person()

    early = theatre.play(person, an_event("Product Added", DAY_ONE), until="2026-03-02T10:29:59Z")
    late = theatre.play(person, until="2026-03-02T10:30Z")

    assert only(early, Wake) == [Wake(at("2026-03-02T10:30Z"))]
    assert not only(early, SendMessage)
    assert [message.at for message in only(late, SendMessage)] == [at("2026-03-02T10:30Z")]


def test_a_calendar_delay_is_counted_in_the_profiles_zone():
    # Berlin springs forward on 29 March 2026: the next day at the same wall time is 23 h away.
    theatre = a_theatre(a_campaign("cart", Delay("rest", Duration(days=1), "mail"), a_send()))
    person = a_person(zone="Europe/Berlin")

    effects = theatre.play(
        person, an_event("Product Added", "2026-03-28T10:00Z"), until="2026-03-30T00:00Z"
    )

    assert [message.at for message in only(effects, SendMessage)] == [at("2026-03-29T09:00Z")]


def test_a_delay_counts_from_when_its_step_is_processed():
    theatre = a_theatre(a_campaign("cart", Delay("rest", Duration(HOUR), "mail"), a_send()))
    person = a_person()

    effects = theatre.play(
        person,
        an_event("Product Added", DAY_ONE),
        floor="2026-03-02T10:40Z",
        until="2026-03-02T12:00Z",
    )

    assert [message.at for message in only(effects, SendMessage)] == [at("2026-03-02T11:40Z")]


def test_delay_until_goes_on_at_once_when_it_is_that_wall_time_now():
    step = DelayUntil("nine", 11 * 60, next="mail")
    theatre = a_theatre(a_campaign("cart", step, a_send()))
    person = a_person(zone="Europe/Berlin")

    effects = theatre.play(person, an_event("Product Added", DAY_ONE))

    assert [message.at for message in only(effects, SendMessage)] == [at(DAY_ONE)]


def test_delay_until_waits_for_the_next_such_day_in_its_zone():
    step = DelayUntil("nine", 9 * 60, days=(4,), zone="America/New_York", next="mail")
    theatre = a_theatre(a_campaign("cart", step, a_send()))
    person = a_person(zone="Europe/Berlin")

    effects = theatre.play(person, an_event("Product Added", DAY_ONE), until="2026-03-09T00:00Z")

    # Friday 6 March, 09:00 in New York (UTC-5 until 8 March).
    assert [message.at for message in only(effects, SendMessage)] == [at("2026-03-06T14:00Z")]


def test_a_branch_takes_the_first_arm_that_holds():
    step = Branch("fork", ((IS_VIP, "vip"), (has_done("Product Added"), "mail")), "none")
    steps = (step, a_send("vip"), a_send("mail"), a_send("none"))
    theatre = a_theatre(a_campaign("cart", *steps))

    vip = theatre.play(a_person(1, traits={"vip": True}), an_event("Product Added", DAY_ONE))
    other = theatre.play(a_person(2), an_event("Product Added", DAY_ONE))

    assert [message.step for message in only(vip, SendMessage)] == ["vip"]
    assert [message.step for message in only(other, SendMessage)] == ["mail"]


def test_a_branch_without_a_true_arm_takes_the_otherwise_path():
    theatre = a_theatre(a_campaign("cart", Branch("fork", ((IS_VIP, None),), "mail"), a_send()))

    effects = theatre.play(a_person(), an_event("Product Added", DAY_ONE))

    assert len(only(effects, SendMessage)) == 1


def test_a_split_is_sticky_and_keeps_to_its_weights():
    step = Split("fork", {"a": 3, "b": 1}, {"a": "mail", "b": None})
    reentry = Reentry(when="after_exit")
    theatre = a_theatre(a_campaign("cart", step, a_send(), reentry=reentry))
    taken = {}
    for number in range(1, 2_001):
        person = a_person(number)
        first = theatre.play(person, an_event("Product Added", DAY_ONE))
        again = theatre.play(person, an_event("Product Added", "2026-03-03T10:00Z"))
        taken[number] = (len(only(first, SendMessage)), len(only(again, SendMessage)))

    assert all(first == again for first, again in taken.values())
    # Binomial(2000, 3/4): four standard deviations are 77.
    assert abs(sum(first for first, _ in taken.values()) - 1_500) < 78


def test_update_computes_its_values_and_the_next_step_sees_them():
    step = Update("mark", {"vip": True, "cart": Expression("event.cart_id")}, next="fork")
    fork = Branch("fork", ((IS_VIP, "mail"),))
    theatre = a_theatre(a_campaign("cart", step, fork, a_send()))
    person = a_person()

    effects = theatre.play(person, an_event("Product Added", DAY_ONE, cart_id="c1"))

    assert only(effects, SetTrait) == [
        SetTrait("vip", True, at(DAY_ONE)),
        SetTrait("cart", "c1", at(DAY_ONE)),
    ]
    assert person.profile.traits == {"vip": True, "cart": "c1"}
    assert len(only(effects, SendMessage)) == 1


def test_traits_that_come_with_an_event_apply_before_it_is_judged_and_are_not_set_again():
    theatre = a_theatre(a_campaign("cart", a_send(), audience=IS_VIP))
    person = a_person()

    effects = theatre.play(person, an_event("Product Added", DAY_ONE, traits={"vip": True}))

    assert person.profile.traits == {"vip": True}
    assert len(only(effects, SendMessage)) == 1
    assert not only(effects, SetTrait)


def test_an_update_without_its_value_leaves_a_reason_sets_nothing_and_goes_on():
    step = Update("mark", {"vip": True, "cart": Expression("event.cart_id")}, next="mail")
    theatre = a_theatre(a_campaign("cart", step, a_send()))
    person = a_person()

    effects = theatre.play(person, an_event("Product Added", DAY_ONE))

    assert [row.why for row in only(effects, Discard)] == ["missing value: event.cart_id"]
    assert person.profile.traits == {}
    assert len(only(effects, SendMessage)) == 1


def test_a_tracked_event_is_played_for_the_profile_at_the_same_instant():
    nudge = a_campaign("cart", Track("tell", "Nudged", {"cart": Expression("event.cart_id")}))
    thank = a_campaign("thanks", a_send(), trigger="Nudged")
    theatre = a_theatre(nudge, thank)

    effects = theatre.play(a_person(), an_event("Product Added", DAY_ONE, cart_id="c1"))

    assert only(effects, Emit) == [Emit("Nudged", {"cart": "c1"}, at(DAY_ONE))]
    assert [(m.draft.campaign, m.at) for m in only(effects, SendMessage)] == [
        ("thanks", at(DAY_ONE))
    ]


def test_an_exit_step_ends_the_journey():
    theatre = a_theatre(a_campaign("cart", Exit("out"), a_send()))

    effects = theatre.play(a_person(), an_event("Product Added", DAY_ONE))

    assert [effect.why for effect in only(effects, Exited)] == ["exit step"]
    assert not only(effects, SendMessage)


def test_campaigns_that_set_each_other_off_are_stopped():
    rule = Reentry(when="after_exit", while_active="parallel")
    ping = a_campaign("ping", Track("go", "Pong", {}), trigger="Ping", reentry=rule)
    pong = a_campaign("pong", Track("go", "Ping", {}), trigger="Pong", reentry=rule)
    theatre = a_theatre(ping, pong)

    with pytest.raises(JourneyLoop, match="trigger each other"):
        theatre.play(a_person(), an_event("Ping", DAY_ONE))


def test_campaigns_that_set_each_other_off_through_timers_are_stopped():
    rule = Reentry(when="after_exit", while_active="parallel")
    steps = (a_send(next="go"), Track("go", "Ping", {}))  # A send acts as a timer due at once.
    theatre = a_theatre(a_campaign("ping", *steps, trigger="Ping", reentry=rule))

    with pytest.raises(JourneyLoop, match="timers acted"):
        theatre.play(a_person(), an_event("Ping", DAY_ONE))


def test_a_circle_of_steps_is_stopped():
    steps = (Branch("a", (), "b"), Branch("b", (), "a"))
    theatre = a_theatre(a_campaign("cart", *steps))

    with pytest.raises(JourneyLoop, match="circle"):
        theatre.play(a_person(), an_event("Product Added", DAY_ONE))


def test_every_kind_of_step_has_its_one_function():
    assert set(STEPS) == set(get_args(model.Step))
