"""The webhook step: a call asked for, an answer waited for, and nobody stuck without one."""

import pytest

from engine.core.journeys.webhooks import WAIT_MAX
from engine.core.model.campaigns import Holdout, TemplateFacts
from engine.core.model.conditions import EventMatch
from engine.core.model.effects import Call, Discard, Exited, SendMessage
from engine.core.model.instants import HOUR, SECOND
from engine.core.model.people import Event
from engine.core.model.steps import Expression, Send, Track, Webhook
from tests.core.build import (
    a_campaign,
    a_person,
    a_send,
    a_theatre,
    an_event,
    at,
    but_wakes,
    only,
    person_held_by,
)

ADDED = an_event("Product Added", "2026-03-02T10:00Z", cart_id="c1")


def asking(*after, **changes):
    """A campaign that asks for stock, and then tracks what came of it."""
    step = Webhook(
        **{
            "id": "ask",
            "url": "https://shop.example/stock",
            "body": {"cart": Expression("event.cart_id")},
            "save_as": "reply",
            "next": "tell",
            **changes,
        }
    )
    steps = after or (Track("tell", "Told", {"code": Expression("reply.code")}),)
    return a_campaign("cart", step, *steps, exit_when=EventMatch("Order Completed"))


def answered(message, when, *, seq=9, is_ours=True, **said):
    instant = at(when)
    return Event(
        seq, "Webhook Answered", instant, instant, {"message": message, **said}, is_ours=is_ours
    )


def told(effects):
    return [each.properties for each in effects if getattr(each, "event", "") == "Told"]


def test_the_request_is_computed_and_the_journey_holds_until_it_is_answered():
    theatre, person = a_theatre(asking()), a_person()

    effects = theatre.play(person, ADDED)

    (call,) = only(effects, Call)
    assert call.request == {
        "method": "POST",
        "url": "https://shop.example/stock",
        "headers": {},
        "body": {"cart": "c1"},
        "secrets": [],
        "timeout": 10 * SECOND,
        "wants_reply": True,
    }
    assert call.expires_at == call.at + HOUR
    assert [each.step for each in person.enrollments] == ["ask"]


def test_the_answer_goes_on_at_once_and_can_be_read_by_later_steps():
    theatre, person = a_theatre(asking()), a_person()
    (call,) = only(theatre.play(person, ADDED), Call)

    effects = theatre.play(
        person, answered(call.message, "2026-03-02T10:00:05Z", reply={"code": "SPRING"})
    )

    assert told(effects) == [{"code": "SPRING"}]
    assert not person.enrollments


def test_a_template_reads_the_answer_and_one_that_lacks_it_is_not_sent():
    mail = a_send("tell")
    theatre = a_theatre(
        asking(mail), templates={("email", "hello"): TemplateFacts("h1", ("reply.code",))}
    )
    lucky, unlucky = a_person(1), a_person(2)

    for person, reply in ((lucky, {"code": "X"}), (unlucky, {})):
        (call,) = only(theatre.play(person, ADDED), Call)
        effects = theatre.play(person, answered(call.message, "2026-03-02T10:01Z", reply=reply))
        if person is lucky:
            (message,) = only(effects, SendMessage)
            assert message.context["reply"] == {"code": "X"}
        else:
            assert [row.why for row in only(effects, Discard)] == ["missing value: reply.code"]


@pytest.mark.parametrize(
    ("on_error", "left"),
    [("continue", "finished"), ("exit", "the webhook ask failed: http 500")],
)
def test_a_failure_goes_on_or_ends_the_journey_as_the_step_says(on_error, left):
    steps = (Track("tell", "Told", {}),)
    theatre, person = a_theatre(asking(*steps, on_error=on_error)), a_person()
    (call,) = only(theatre.play(person, ADDED), Call)

    effects = theatre.play(person, answered(call.message, "2026-03-02T10:01Z", why="http 500"))

    assert [each.why for each in only(effects, Exited)] == [left]
    assert len(told(effects)) == (on_error == "continue")


@pytest.mark.parametrize("on_error", ["continue", "exit"])
def test_nobody_waits_for_ever_for_an_answer_that_does_not_come(on_error):
    theatre = a_theatre(asking(Track("tell", "Told", {}), on_error=on_error))
    person = a_person()

    effects = theatre.play(person, ADDED, until="2026-03-03T10:00Z")

    (left,) = only(effects, Exited)
    assert left.at == ADDED.at + WAIT_MAX
    assert left.why == (
        "finished" if on_error == "continue" else "the webhook ask failed: no answer in time"
    )


def test_an_answer_that_comes_too_late_finds_nobody():
    steps = (Track("tell", "Told", {}),)
    theatre, person = a_theatre(asking(*steps)), a_person()
    (call,) = only(theatre.play(person, ADDED, until="2026-03-02T12:00Z"), Call)

    effects = theatre.play(person, answered(call.message, "2026-03-02T12:00:01Z", reply={}))

    assert but_wakes(effects) == []


def test_nobody_outside_can_answer_for_us():
    theatre, person = a_theatre(asking()), a_person()
    (call,) = only(theatre.play(person, ADDED), Call)

    forged = answered(call.message, "2026-03-02T10:01Z", reply={"code": "FREE"}, is_ours=False)
    effects = theatre.play(person, forged)

    assert but_wakes(effects) == []
    assert [each.step for each in person.enrollments] == ["ask"]


def test_who_leaves_while_the_call_is_under_way_leaves_the_calls_row_alone():
    theatre, person = a_theatre(asking()), a_person()
    theatre.play(person, ADDED)

    effects = theatre.play(person, an_event("Order Completed", "2026-03-02T10:00:01Z"))

    assert only(effects, Discard) == []
    assert [each.why for each in only(effects, Exited)] == ["exit_when: Order Completed"]


def test_an_answer_heard_by_a_paused_campaign_counts_when_it_is_live_again():
    person = a_person()
    (call,) = only(a_theatre(asking()).play(person, ADDED), Call)
    paused = a_theatre(asking_paused(), release=2)

    held = paused.play(
        person, answered(call.message, "2026-03-02T10:01Z", reply={"code": "A"}),
        until="2026-03-02T20:00Z",
    )  # fmt: skip
    after = a_theatre(asking(), release=3).play(
        person, floor="2026-03-02T20:00Z", until="2026-03-02T20:00Z"
    )

    assert only(held, Exited) == []
    assert told(after) == [{"code": "A"}]


def asking_paused():
    from msgspec.structs import replace

    return replace(asking(), state="paused")


@pytest.mark.parametrize("even_in_holdout", [False, True])
def test_a_held_out_person_is_not_called_for_unless_the_step_says_so(even_in_holdout):
    from msgspec.structs import replace

    campaign = asking(Track("tell", "Told", {}), even_in_holdout=even_in_holdout)
    theatre = a_theatre(replace(campaign, holdout=Holdout(0.5, "cart")))
    person = a_person(person_held_by(0.5, seed="cart"))

    effects = theatre.play(person, ADDED)

    assert len(only(effects, Call)) == even_in_holdout
    assert ("holdout" in [row.why for row in only(effects, Discard)][:1]) is not even_in_holdout


def test_a_value_that_is_missing_leaves_its_reason_and_counts_as_a_failure():
    campaign = asking(a_send("tell"), url=Expression("event.nowhere"), on_error="exit")
    theatre, person = a_theatre(campaign), a_person()

    effects = theatre.play(person, ADDED)

    assert [row.why for row in only(effects, Discard)] == ["missing value: event.nowhere"]
    assert [each.why for each in only(effects, Exited)] == ["the webhook ask failed: missing value"]
    assert only(effects, SendMessage, Call) == []


def test_playing_the_answers_bit_by_bit_changes_nothing():
    theatre = a_theatre(asking(Track("tell", "Told", {"code": Expression("reply.code")})))
    (call,) = only(theatre.play(a_person(), ADDED), Call)
    answer = answered(call.message, "2026-03-02T10:30Z", reply={"code": "B"})
    order = an_event("Order Completed", "2026-03-02T11:00Z", seq=10)

    lives = []
    for cuts in ([], [1], [1, 2]):
        theatre.restart()
        person, effects, events = a_person(), [], [ADDED, answer, order]
        for start, end in zip([0, *cuts], [*cuts, 3], strict=True):
            effects += theatre.play(person, *events[start:end])
        lives.append((but_wakes(effects), person.enrollments, person.state.heard))

    assert lives[0] == lives[1] == lives[2]


def test_a_webhook_is_no_send():
    assert not isinstance(asking().steps["ask"], Send)
