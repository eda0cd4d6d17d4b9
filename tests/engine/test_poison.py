"""P12: a poison item is set apart after five tries, and stops nobody. On both databases."""

from collections.abc import Iterator
from typing import Any

import pytest

import engine.ticking.poison
import engine.ticking.tick
from engine.core.model.instants import HOUR
from engine.failpoints import Crash
from tests.rig.recorder import Poisoned, Recorder, recording, replaced
from tests.rig.stage import Stage, an_event

DEATHS_MAX = 20
RECORDER = Recorder()
"""What poison strikes through: see `tests.rig.recorder`."""


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    opened = Stage(database_url)
    with recording(RECORDER):
        yield opened
    opened.close()


def live_until_idle(stage: Stage) -> int:
    """Tick until nothing is left, restarting after every death; gives how many there were."""
    deaths = 0
    while True:
        try:
            if stage.tick().is_idle:
                return deaths
        except (Crash, Poisoned):
            deaths += 1
            assert deaths < DEATHS_MAX, "the poison stops everybody"
            stage.restart()


@pytest.mark.parametrize("how", ["raise", "kill", "settle"])
def test_a_poison_event_is_parked_and_everybody_else_goes_on(stage: Stage, how: str) -> None:
    stage.identify("u1")
    stage.identify("u2")
    stage.send(
        an_event("u1", "Order Completed", order="o1"),
        an_event("u1", "Product Viewed", poison=how),
        an_event("u1", "Order Completed", order="o2"),
        an_event("u2", "Order Completed", order="o3"),
    )

    live_until_idle(stage)

    parked = stage.rows("SELECT kind, attempts FROM parked")
    assert parked == [("event", 5)]
    assert len(stage.messages("receipt")) == 3


def test_an_event_that_kills_the_process_has_killed_it_five_times_at_most_alone(
    stage: Stage,
) -> None:
    stage.identify("u1")
    stage.track("u1", "Product Viewed", poison="kill")

    deaths = live_until_idle(stage)

    # Three times with its batch, then alone until it has failed five times in all.
    assert deaths == 5
    ((reason, payload),) = stage.rows("SELECT reason, payload FROM parked")
    assert reason == "the process died while playing it"
    assert "poison" in payload


def test_what_is_parked_says_why(stage: Stage) -> None:
    stage.identify("u1")
    stage.track("u1", "Product Viewed", poison="raise")

    live_until_idle(stage)

    ((reason,),) = stage.rows("SELECT reason FROM parked")
    assert reason.startswith("Poisoned: event ")


def test_an_engine_started_often_with_nothing_to_play_parks_nobody(stage: Stage) -> None:
    stage.identify("u1")
    stage.settle()

    for _ in range(10):
        stage.restart()
        stage.tick()
    stage.track("u1", "Order Completed", order="o1")
    stage.settle()

    assert stage.rows("SELECT count(*) FROM parked") == [(0,)]
    assert len(stage.messages("receipt")) == 1


def test_a_timer_that_kills_the_process_takes_no_event_with_it(stage: Stage) -> None:
    stage.identify("u1")
    stage.identify("u2")
    stage.track("u1", "Product Added", cart="c1")
    stage.settle()
    stage.now += HOUR
    stage.track("u2", "Order Completed", order="o1")

    def play(person: Any, events: Any, **given: Any) -> Any:
        if any(it.campaign == "cart" for it in person.enrollments) and not events:
            raise Crash
        return RECORDER.play(person, events, **given)

    with replaced((engine.ticking.tick, "play", play)):
        live_until_idle(stage)

    assert stage.rows("SELECT kind FROM parked") == [("timer",)]
    assert len(stage.messages("receipt")) == 1


def test_a_due_step_that_raises_is_frozen_and_the_event_after_it_is_played(stage: Stage) -> None:
    stage.identify("u1")
    stage.track("u1", "Product Added", cart="c1")
    stage.settle()
    stage.now += HOUR
    stage.track("u1", "Product Viewed")

    def play(person: Any, events: Any, **given: Any) -> Any:
        due = [it for it in person.enrollments if it.due_at <= given["horizon"]]
        if any(it.campaign == "cart" for it in due):
            raise Poisoned("the step fails")
        return RECORDER.play(person, events, **given)

    with replaced((engine.ticking.tick, "play", play), (engine.ticking.poison, "play", play)):
        live_until_idle(stage)

    assert stage.rows("SELECT kind, reason FROM parked") == [
        ("enrollment", "Poisoned: the step fails")
    ]
    ((reason,),) = stage.rows("SELECT reason FROM enrollment WHERE campaign = 'cart'")
    assert reason == "parked: Poisoned: the step fails"
    assert len(stage.state("u1").state.features) > 0
