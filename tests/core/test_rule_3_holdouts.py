"""Rule 3: the holdout hears a ghost, through the same gates, exposed at the same instant."""

from collections import Counter

import pytest

from engine.core.model.campaigns import Cap, Holdout, QuietHours, Reentry
from engine.core.model.effects import Discard, Emit, Expose, Ghost, Hold, SendMessage, SetTrait
from engine.core.model.instants import DAY, HOUR
from engine.core.model.steps import Delay, Duration, Expression, Track, Update
from tests.core.build import (
    DAY_ONE,
    a_campaign,
    a_person,
    a_send,
    a_theatre,
    an_event,
    at,
    only,
    person_held_by,
)

HALF = Holdout(0.5, "cart-seed")
HELD = person_held_by(0.5, seed="cart-seed")
TREATED = person_held_by(0.5, seed="cart-seed", is_held=False)


def added(person, theatre, when=DAY_ONE, **more):
    return theatre.play(person, an_event("Product Added", when), **more)


def test_a_held_out_person_gets_a_ghost_and_never_a_message():
    theatre = a_theatre(a_campaign("cart", a_send(), holdout=HALF))

    effects = added(a_person(HELD), theatre)

    (ghost,) = only(effects, Ghost)
    assert not only(effects, SendMessage)
    assert (ghost.held_by, ghost.template_hash, ghost.at) == ("cart", "h1", at(DAY_ONE))


def test_both_sides_are_exposed_when_the_last_gate_allows():
    theatre = a_theatre(
        a_campaign("cart", a_send(), holdout=HALF), quiet_hours=QuietHours(21 * 60, 9 * 60)
    )
    seen = {}
    for number in (HELD, TREATED):
        person = a_person(number)
        at_night = added(person, theatre, "2026-03-02T23:00Z")
        at_nine = theatre.play(person, until="2026-03-03T09:00Z")
        assert len(only(at_night, Hold)) == 1
        assert not only(at_night, Expose)
        seen[number] = [(e.experiment, e.variant, e.at) for e in only(at_nine, Expose)]

    nine = at("2026-03-03T09:00Z")
    assert seen == {
        HELD: [("holdout:cart", "held_out", nine)],
        TREATED: [("holdout:cart", "treated", nine)],
    }


def test_someone_whom_the_gates_refuse_is_not_exposed():
    theatre = a_theatre(a_campaign("cart", a_send(), holdout=HALF))

    effects = [added(a_person(number, consent=False), theatre) for number in (HELD, TREATED)]

    assert [only(each, Expose) for each in effects] == [[], []]
    assert [len(only(each, Discard)) for each in effects] == [1, 1]


def test_a_person_is_exposed_to_a_holdout_once():
    reentry = Reentry(when="after_exit")
    theatre = a_theatre(a_campaign("cart", a_send(), holdout=HALF, reentry=reentry))
    person = a_person(HELD)

    first = added(person, theatre)
    second = added(person, theatre, "2026-03-05T10:00Z")

    assert (len(only(first, Expose)), len(only(second, Expose))) == (1, 0)
    assert len(only(second, Ghost)) == 1


def test_once_exposed_the_side_holds_whatever_the_share_becomes():
    reentry = Reentry(when="after_exit")
    wide = a_theatre(a_campaign("cart", a_send(), holdout=HALF, reentry=reentry))
    narrow = a_theatre(
        a_campaign("cart", a_send(), holdout=Holdout(0.0, "cart-seed"), reentry=reentry),
        release=2,
    )
    person, newcomer = a_person(HELD), a_person(HELD)

    added(person, wide)
    kept = added(person, narrow, "2026-03-05T10:00Z", floor="2026-03-05T10:00Z")
    fresh = added(newcomer, narrow, "2026-03-05T10:00Z")

    assert len(only(kept, Ghost)) == 1
    assert len(only(fresh, SendMessage)) == 1


def test_ghosts_meet_the_cap_of_real_messages_and_of_their_own():
    reentry = Reentry(when="after_exit")
    theatre = a_theatre(
        a_campaign("cart", a_send(), holdout=HALF, reentry=reentry), caps=(Cap(1, DAY),)
    )
    person = a_person(HELD)

    added(person, theatre)
    second = added(person, theatre, "2026-03-02T12:00Z")

    assert [hold.until for hold in only(second, Hold)] == [at("2026-03-03T10:00Z")]


def test_a_ghost_never_defers_a_real_message():
    theatre = a_theatre(
        a_campaign("cart", a_send(), holdout=HALF, priority=90),
        a_campaign("other", a_send(), trigger="Product Added", priority=10),
        caps=(Cap(1, DAY),),
    )

    effects = added(a_person(HELD), theatre)

    assert [message.draft.campaign for message in only(effects, SendMessage)] == ["other"]
    assert [ghost.draft.campaign for ghost in only(effects, Ghost)] == ["cart"]


def test_side_effects_of_the_held_out_are_ghosts_too_unless_told_otherwise():
    steps = (
        Update("mark", {"nudged": True}, next="tell"),
        Track("tell", "Nudged", {}, next="count"),
        Update("count", {"seen": Expression("now")}, even_in_holdout=True),
    )
    theatre = a_theatre(a_campaign("cart", *steps, holdout=HALF))

    effects = added(a_person(HELD), theatre)

    assert [(row.step, row.why) for row in only(effects, Discard)] == [
        ("mark", "holdout"),
        ("tell", "holdout"),
    ]
    assert not only(effects, Emit)
    assert [(e.name, e.value) for e in only(effects, SetTrait)] == [
        ("seen", "2026-03-02T10:00:00Z")
    ]


def test_a_transactional_message_skips_every_holdout_and_exposes_nobody():
    everyone = Holdout(1.0, "g")
    order = a_campaign("order", a_send(), topic="orders", holdout=everyone)
    mixed = a_campaign("mixed", a_send(topic="orders", next="more"), a_send("more"))
    theatre = a_theatre(order, mixed, global_holdout=everyone)

    effects = added(a_person(), theatre)

    assert [message.draft.campaign for message in only(effects, SendMessage)] == ["mixed", "order"]
    assert [ghost.step for ghost in only(effects, Ghost)] == ["more"]
    assert [expose.campaign for expose in only(effects, Expose)] == ["mixed"]


ALL_LEVELS = {
    "global_holdout": Holdout(0.5, "global-seed", "2026-H1"),
    "programme_holdouts": {"retention": Holdout(0.5, "programme-seed")},
}


def exposures_by_person(n_people):
    campaign = a_campaign("cart", a_send(), holdout=HALF, programme="retention")
    theatre = a_theatre(campaign, **ALL_LEVELS)
    for number in range(1, n_people + 1):
        effects = added(a_person(number), theatre)
        exposed = {expose.experiment: expose.variant for expose in only(effects, Expose)}
        yield exposed, only(effects, Ghost, SendMessage)[0]


def test_each_holdout_is_counted_among_those_whom_no_outer_one_held():
    names = ["holdout:global@2026-H1", "holdout:programme:retention", "holdout:cart"]
    seen = Counter()
    for exposed, message in exposures_by_person(2_000):
        seen[tuple(exposed.get(name, "-") for name in names)] += 1
        held = [name for name, variant in exposed.items() if variant == "held_out"]
        assert (type(message) is Ghost) is bool(held)
        if held:
            assert "holdout:" + message.held_by in {held[0], held[0].split("@")[0]}

    assert set(seen) == {
        ("held_out", "-", "-"),
        ("treated", "held_out", "-"),
        ("treated", "treated", "held_out"),
        ("treated", "treated", "treated"),
    }
    # Independent halves: 1/2, 1/4, 1/8, 1/8; five standard deviations are at most 112.
    assert abs(seen["held_out", "-", "-"] - 1_000) < 112
    assert abs(seen["treated", "treated", "held_out"] - 250) < 75
    assert abs(seen["treated", "treated", "treated"] - 250) < 75


def test_the_probability_of_each_side_is_recorded():
    theatre = a_theatre(a_campaign("cart", a_send(), holdout=Holdout(0.1, "tenth")))
    held = person_held_by(0.1, seed="tenth")
    treated = person_held_by(0.1, seed="tenth", is_held=False)

    probabilities = [
        only(added(a_person(number), theatre), Expose)[0].probability for number in (held, treated)
    ]

    assert probabilities == pytest.approx([0.1, 0.9])


def test_a_new_period_draws_anew():
    def sides(period):
        theatre = a_theatre(a_campaign("cart", a_send()), global_holdout=Holdout(0.5, "g", period))
        return [bool(only(added(a_person(n), theatre), Ghost)) for n in range(1, 201)]

    first, second = sides("2026-H1"), sides("2026-H2")

    n_same = sum(one == other for one, other in zip(first, second, strict=True))
    assert 65 < n_same < 135  # 100 of 200 if independent; five standard deviations are 35.


def test_the_delay_before_a_ghost_is_the_delay_before_a_message():
    cart = a_campaign("cart", Delay("rest", Duration(HOUR), "mail"), a_send(), holdout=HALF)
    theatre = a_theatre(cart)

    played = [
        only(added(a_person(n), theatre, until="2026-03-09T00:00Z"), Ghost, SendMessage)[0]
        for n in (HELD, TREATED)
    ]

    assert [(m.at, m.step, m.visit, m.draft) for m in played[:1]] == [
        (m.at, m.step, m.visit, m.draft) for m in played[1:]
    ]
