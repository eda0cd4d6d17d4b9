"""Pause, publish, move, resume: a step that people were moved to meanwhile acts once it is live."""

import pytest
from msgspec.structs import replace

from engine.core.model.effects import Call, SendMessage
from engine.core.model.instants import DAY, HOUR
from engine.core.model.steps import BestTime, Duration, Repeat, Webhook
from tests.core.build import Theatre, a_program, a_send, only
from tests.core.test_rule_6_versions import OLD, a_move, inside, newer, one, theatre_of

STEPS = [
    Webhook("ask", "https://shop.example/hook", next="mail"),
    BestTime("ask", 10 * HOUR, "mail"),
    Repeat("ask", times=3, every=Duration(DAY), body="mail", next=None, starts_now=False),
]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_a_step_reached_by_a_move_in_a_pause_is_not_passed_over_when_it_is_live_again(step):
    person = inside()
    paused, move = newer(step, a_send("mail"), state="paused"), a_move(settle="ask")
    ten_past, twenty_past = "2026-03-02T12:10Z", "2026-03-02T12:20Z"
    theatre_of(paused, move).play(person, until=ten_past, floor=ten_past)
    live = Theatre(
        a_program(
            replace(paused, state="live"),
            release=3,
            pinned={("cart", "v1"): OLD},
            moves=(move,),
        )
    )

    effects = live.play(person, until=twenty_past, floor=twenty_past)

    assert one(person).step == "ask"
    assert only(effects, SendMessage) == []
    assert len(only(effects, Call)) == isinstance(step, Webhook)
