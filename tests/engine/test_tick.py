"""The loop, on both databases: one transaction a batch, in order, by its one owner."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from engine import failpoints
from engine.core.errors import CommitUnknown, NotOwner
from engine.core.model.instants import HOUR, MINUTE, SECOND
from engine.failpoints import Crash
from tests.rig.stage import Stage, an_event


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    opened = Stage(database_url)
    yield opened
    opened.close()


@contextmanager
def dying_at(name: str) -> Iterator[None]:
    def at(hit: str) -> None:
        if hit == name:
            raise Crash

    failpoints.install(at)
    try:
        with pytest.raises(Crash):
            yield
    finally:
        failpoints.install(None)


@contextmanager
def meanwhile(name: str, act: Any) -> Iterator[None]:
    """Have something happen once when a failpoint is reached."""

    def at(hit: str) -> None:
        if hit == name:
            failpoints.install(None)
            act()

    failpoints.install(at)
    try:
        yield
    finally:
        failpoints.install(None)


def test_an_event_changes_state_enrollment_timer_and_position_together(stage: Stage) -> None:
    stage.identify("u1")
    stage.track("u1", "Product Added", cart="c1")

    with dying_at("step commit"):
        stage.tick()
    before = [stage.rows(f"SELECT count(*) FROM {it}") for it in ("profile_state", "enrollment")]
    stage.restart()
    stage.settle()

    assert before == [[(0,)], [(0,)]]
    assert stage.rows("SELECT campaign, step FROM enrollment") == [("cart", "settle")]
    ((due,),) = stage.rows("SELECT min(due) FROM timer")
    assert due == stage.now + 30 * MINUTE


def test_a_batch_that_was_committed_is_not_played_again_after_a_crash(stage: Stage) -> None:
    stage.identify("u1")
    stage.track("u1", "Order Completed", order="o1")

    with dying_at("tick commit"):
        stage.tick()
    stage.restart()
    stage.settle()

    assert len(stage.messages("receipt")) == 1


def test_a_commit_nobody_can_tell_of_is_looked_up_and_not_repeated(stage: Stage) -> None:
    stage.identify("u1")
    stage.track("u1", "Order Completed", order="o1")
    honest = stage.process.ticker._write

    def lost(work: Any) -> Any:
        honest(work)
        stage.process.ticker._write = honest
        raise CommitUnknown

    stage.process.ticker.claim(now=stage.now)
    stage.process.ticker._tenure.is_unproven = False
    stage.process.ticker._write = lost
    with pytest.raises(CommitUnknown):
        stage.tick()
    stage.settle()

    assert len(stage.messages("receipt")) == 1


def test_a_timer_does_not_overtake_an_event_that_waits_for_the_next_batch(stage: Stage) -> None:
    """An outage: the wait's event came at once, its timeout fell due long before the restart."""
    stage.identify("u1")
    stage.track("u1", "Product Added", cart="c1")
    stage.settle()
    stage.now += 29 * MINUTE
    stage.identify("u2")
    stage.track("u1", "Order Completed", order="o1")
    stage.now += 5 * HOUR

    while not stage.tick(limit=1).is_idle:
        pass

    rows = stage.rows("SELECT status, step, reason FROM enrollment WHERE campaign = 'cart'")
    assert rows == [("exited", "settle", "exit_when: Order Completed")]


def test_a_timer_that_fires_among_the_events_of_a_batch_is_armed_again(stage: Stage) -> None:
    """On a virtual clock: the delay ends before the event comes, and a wait of hours begins."""
    stage.identify("u1")
    stage.track("u1", "Product Added", cart="c1")
    stage.settle()
    stage.now += 31 * MINUTE
    stage.track("u1", "Page Seen")
    stage.now += MINUTE

    stage.tick(floor=0)

    ((step, due_at),) = stage.rows("SELECT step, due_at FROM enrollment WHERE campaign = 'cart'")
    ((timer,),) = stage.rows("SELECT min(due) FROM timer")
    assert step == "wait"
    assert timer is not None
    assert timer <= due_at


def test_a_batch_never_ends_inside_an_instant(stage: Stage) -> None:
    """The send of the third event is due at the instant of the fourth, which ends the journey."""
    stage.identify("u1")
    stage.settle()
    stage.now += SECOND
    stage.send(
        an_event("u1", "Product Viewed"),
        an_event("u1", "Product Viewed"),
        an_event("u1", "Product Added", cart="c1"),
        an_event("u1", "Order Completed", order="o1"),
    )

    done = stage.tick(limit=2)

    assert done.n_events == 4


def test_an_engine_whose_partitions_were_taken_writes_nothing_more(stage: Stage) -> None:
    stage.identify("u1")
    stage.settle()
    stage.track("u1", "Order Completed", order="o1")

    other = stage.process.a_ticker("other")
    other.claim(now=stage.now)
    with pytest.raises(NotOwner):
        stage.tick()

    assert stage.messages("receipt") == []


def test_a_clock_that_was_set_back_does_not_bar_the_next_start(stage: Stage) -> None:
    stage.identify("u1")
    stage.settle()

    stage.now -= 2 * MINUTE
    stage.restart()
    stage.now += HOUR
    stage.track("u1", "Order Completed", order="o1")
    stage.settle()

    assert len(stage.messages("receipt")) == 1


def test_a_timer_set_while_a_batch_is_played_survives_it(stage: Stage) -> None:
    """A release applied with an earlier `now` than the batch's: its wake must not be lost."""
    stage.identify("u1")
    stage.identify("u2")
    stage.track("u1", "Product Added", cart="c1")
    stage.settle()
    wake = stage.now + MINUTE
    stage.now += 31 * MINUTE

    with meanwhile("tick claim", lambda: stage.process.apply(2, now=wake)):
        stage.tick()
    stage.settle()

    assert [stage.state(user).state.release for user in ("u1", "u2")] == [2, 2]


def test_a_new_release_builds_its_features_from_history(stage: Stage) -> None:
    stage.identify("u1")
    for _ in range(3):
        stage.track("u1", "Product Viewed")
        stage.now += SECOND
    stage.settle()

    stage.process.apply(2, now=stage.now)
    stage.settle()

    assert stage.state("u1").state.memberships["viewer"].matches
    assert ("viewer",) in stage.rows("SELECT segment FROM membership")


def test_events_of_our_own_are_logged_and_not_played_again(stage: Stage) -> None:
    stage.identify("u1")
    stage.track("u1", "Product Viewed")
    stage.track("u1", "Product Viewed")

    stage.settle()
    stage.restart()
    stage.settle()

    rows = stage.rows("SELECT count(*) FROM event WHERE name = 'Welcomed'")
    assert rows == [(1,)]


def test_a_personal_value_taken_back_leaves_nothing_sealed(stage: Stage) -> None:
    stage.identify("u1")
    stage.settle()

    stage.identify("u1", phone=None)
    stage.settle()

    ((sealed, addresses),) = stage.rows("SELECT sealed, addresses FROM profile")
    assert "phone" not in sealed
    assert "sms" not in addresses


def test_nothing_is_written_where_nothing_was_due(stage: Stage) -> None:
    writes: list[Any] = []
    stage.identify("u1")
    stage.settle()
    honest = stage.process.ticker._write

    def counted(work: Any) -> Any:
        writes.append(work)
        return honest(work)

    stage.process.ticker._write = counted
    stage.tick()

    assert writes == []


def test_an_event_of_the_future_waits_for_its_instant(stage: Stage) -> None:
    """The clock was set back after the event was accepted: it is played, but not early."""
    stage.identify("u1")
    stage.settle()
    stage.track("u1", "Order Completed", order="o1")
    stage.now -= SECOND

    early = stage.tick()
    stage.now += SECOND
    stage.settle()

    assert early.is_idle
    assert len(stage.messages("receipt")) == 1
