"""Rule 5 in the shell: a queued message gives way until its attempt row exists, and not after."""

from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest

from engine.core.model.campaigns import Campaign, EventTrigger
from engine.core.model.conditions import EventMatch
from engine.core.model.steps import Send
from engine.core.segments import for_program
from engine.release.playbook import Playbook
from engine.store import outcomes
from engine.store.connection import Connection
from tests.rig.build import a_playbook
from tests.rig.stage import Stage


def a_rivalry() -> Playbook:
    """The rig's workspace with two campaigns about one e-mail; its cap is one a day."""
    playbook = a_playbook()
    program = playbook.program
    cap = msgspec.structs.replace(program.caps[0], max=1)
    rivals = {
        name: Campaign(
            name=name,
            version="v1",
            trigger=EventTrigger(EventMatch(event)),
            steps={"mail": Send("mail", "email", "last")},
            first="mail",
            topic="offers",
            priority=priority,
        )
        for name, event, priority in (("weak", "Poked", 20), ("strong", "Shoved", 80))
    }
    program = msgspec.structs.replace(program, campaigns=rivals, caps=(cap,))
    return replace(playbook, program=program, segments=for_program(program))


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    opened = Stage(database_url)
    opened.process.playbook = a_rivalry()
    opened.identify("u1")
    opened.track("u1", "Poked")
    opened.settle()
    yield opened
    opened.close()


def by_campaign(stage: Stage) -> dict[str, tuple[str, str]]:
    rows = stage.rows("SELECT campaign, status, reason FROM message ORDER BY id")
    return {row[0]: (row[1], row[2]) for row in rows}


def test_a_queued_message_is_dropped_with_its_reason_and_the_stronger_one_goes_out(
    stage: Stage,
) -> None:
    stage.track("u1", "Shoved")
    stage.settle()
    stage.drain("email")

    assert by_campaign(stage) == {
        "weak": ("dropped", "displaced by strong, priority 80"),
        "strong": ("sent", ""),
    }
    assert len(stage.email.calls) == 1


def test_once_its_attempt_exists_a_message_is_not_displaced(stage: Stage) -> None:
    stage.drain("email")
    stage.track("u1", "Shoved")
    stage.settle()

    found = by_campaign(stage)
    assert found["weak"] == ("sent", "")
    assert found["strong"][0] == "deferred"


def test_an_attempt_that_begins_while_the_batch_is_played_wins_and_the_batch_is_played_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = outcomes.displace

    def too_late(connection: Connection, message: int, *, why: str) -> bool:
        monkeypatch.setattr(outcomes, "displace", honest)
        connection.execute("SELECT 1")
        return False  # as if the outbox had committed an attempt a moment ago

    monkeypatch.setattr(outcomes, "displace", too_late)
    stage.track("u1", "Shoved")

    refused = stage.tick()
    assert refused.is_refused
    assert by_campaign(stage) == {"weak": ("queued", "")}, "nothing of that batch is written"
    stage.drain("email")
    stage.settle()

    assert by_campaign(stage)["weak"] == ("sent", "")
    assert by_campaign(stage)["strong"][0] == "deferred"
