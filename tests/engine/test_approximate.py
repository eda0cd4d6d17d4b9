"""A verdict that became approximate is counted, once, in the transaction that made it so."""

from collections.abc import Iterator

import pytest

from engine.core.conditions import limits
from engine.core.model.instants import NEVER
from engine.store import people
from engine.web.gauges import count
from tests.rig.stage import Stage


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    opened = Stage(database_url)
    yield opened
    opened.close()


def counted(stage: Stage) -> int:
    with stage.process.database.read() as connection:
        return count(connection, now=stage.now).approximate


def save(stage: Stage, *keys: str) -> None:
    """Save the only person after these features of theirs passed a limit."""
    with stage.process.database.write() as connection:
        (loaded,) = people.load(connection, [1]).values()
        for key in keys:
            limits.note(loaded.person.state.features, key, NEVER)
        changes = people.Changes()
        changes.take(loaded)
        people.save(connection, changes, now=stage.now)


def test_each_feature_that_passes_a_limit_is_counted_once(stage: Stage) -> None:
    stage.identify("u1")
    stage.settle()
    before = counted(stage)

    save(stage, "first", "second")
    save(stage, "second", "third")
    save(stage)

    assert before == 0
    assert counted(stage) == 3
