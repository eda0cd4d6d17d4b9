"""P7: a timer never fires early, whatever is done to the clock; after an outage oldest first.

`ANTIPHON_TEST_CLOCKS` seeds are played on the clock alone; some of them move a real engine.
"""

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from engine.core.model.instants import DAY, HOUR, MINUTE, SECOND, Instant
from engine.steady import JUMP_MAX, STEADY_FOR, DatabaseClock, SteadyClock
from engine.store import claims
from engine.store.database import Database
from tests.rig.recorder import replaced
from tests.rig.stage import NOON, Stage

N_CLOCKS = int(os.environ.get("ANTIPHON_TEST_CLOCKS", "2000"))


class Clocks:
    """True time, a wall clock that somebody sets wrong now and then, and one nobody can set."""

    def __init__(self, rng: random.Random, *, start: Instant = NOON) -> None:
        self.rng = rng
        self.true = start
        self.error = 0
        self.wrong_for = 0

    def wall(self) -> Instant:
        return self.true + self.error

    def monotonic(self) -> int:
        return self.true - NOON + HOUR

    def pass_by(self, span: int) -> None:
        """Time passes; a large error is put right before the clock counts as steady again."""
        self.true += span
        if self.wrong_for:
            self.wrong_for = max(0, self.wrong_for - span)
            if not self.wrong_for:
                self.error = 0

    def meddle(self) -> None:
        """Set the clock: by far, for some seconds, or by a little, as a daemon would."""
        if not self.wrong_for and self.rng.random() < 0.5:
            self.error = self.rng.choice((-1, 1)) * self.rng.randrange(2 * MINUTE, 400 * DAY)
            self.wrong_for = self.rng.randrange(1, STEADY_FOR)
        elif not self.wrong_for:
            self.error = self.rng.randrange(-10 * SECOND, 10 * SECOND)


def test_a_clock_that_was_wrong_for_seconds_is_never_believed() -> None:
    early, n_asked, n_answered = 0, 0, 0
    for seed in range(N_CLOCKS):
        clocks = Clocks(random.Random(f"clock {seed}"))
        clock = SteadyClock(wall=clocks.wall, monotonic=clocks.monotonic)
        for _ in range(60):
            if clocks.rng.random() < 0.1:
                clocks.meddle()
            clocks.pass_by(clocks.rng.randrange(1, 3 * SECOND))
            now = clock.now()
            n_asked += 1
            n_answered += now is not None
            early += now is not None and now > clocks.true + JUMP_MAX

    assert early == 0
    assert 0.3 * n_asked < n_answered < n_asked


def test_a_clock_that_stays_where_it_was_set_is_believed_in_the_end() -> None:
    clocks = Clocks(random.Random(1))
    clock = SteadyClock(wall=clocks.wall, monotonic=clocks.monotonic)

    clocks.error = DAY
    refused = clock.now()
    clocks.pass_by(STEADY_FOR)
    answered = clock.now()

    assert refused is None
    assert answered == clocks.wall()
    assert clock.latest() == answered


def test_many_small_steps_are_a_jump() -> None:
    """Each is less than the minute that is let pass; together they are an hour."""
    clocks = Clocks(random.Random(1))
    clock = SteadyClock(wall=clocks.wall, monotonic=clocks.monotonic)
    answers = []

    for _ in range(70):
        clocks.pass_by(SECOND)
        clocks.error += 50 * SECOND
        answers.append(clock.now())

    assert [it is None for it in answers[:2]] == [False, True]
    assert all(it is None for it in answers[1:])


@pytest.mark.parametrize("is_backwards", [False, True])
def test_the_instant_that_was_judged_is_the_one_that_is_given(is_backwards: bool) -> None:
    """The clock is set between a look and the next: whoever looks twice can be told anything."""
    clocks = Clocks(random.Random(1))
    jump = -DAY if is_backwards else DAY
    looks = iter([NOON, NOON + SECOND, NOON + 2 * SECOND + jump])
    clock = SteadyClock(wall=lambda: next(looks), monotonic=clocks.monotonic)

    clocks.pass_by(SECOND)
    first = clock.now()
    clocks.pass_by(SECOND)
    second = clock.now()

    assert (first, second) == (NOON + SECOND, None)
    assert clock.latest() == NOON + SECOND


def test_the_databases_clock_is_never_ahead_of_it(database: Database) -> None:
    ask = (
        "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
        if database.dialect == "postgresql"
        else "SELECT CAST((julianday('now') - 2440587.5) * 86400000000 AS bigint)"
    )
    clock = DatabaseClock(database)

    for _ in range(20):
        ours = clock()
        with database.read() as connection:
            theirs = int(connection.execute(ask)[0][0])
        # julianday() has milliseconds, in a double that resolves some tens of microseconds.
        assert ours <= theirs + (0 if database.dialect == "postgresql" else 2_000)
        assert theirs - ours < 10 * SECOND


# --- on a real engine -----------------------------------------------------------------------


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    opened = Stage(database_url)
    yield opened
    opened.close()


@pytest.mark.parametrize("seed", range(4))
def test_no_timer_of_an_engine_fires_early_while_its_clock_jumps(seed: int, stage: Stage) -> None:
    clocks = Clocks(random.Random(f"engine {seed}"))
    clock = SteadyClock(wall=clocks.wall, monotonic=clocks.monotonic)
    fired: list[tuple[Instant, Instant]] = []
    honest = claims.drop_timers

    def drop(connection: Any, timers: Any) -> None:
        fired.extend((due, clocks.true) for due, _ in timers)
        honest(connection, timers)

    with replaced((claims, "drop_timers", drop)):
        for number in range(300):
            if number % 10 == 0 and number < 100:
                stage.now = clocks.true
                stage.track(f"u{number}", "Product Added", cart="c1")
            if clocks.rng.random() < 0.1:
                clocks.meddle()
            clocks.pass_by(clocks.rng.randrange(1, SECOND))
            if not clocks.wrong_for and number > 100:
                clocks.pass_by(clocks.rng.randrange(2 * MINUTE))
            now = clock.now()
            if now is not None:
                stage.now = now
                stage.tick()

    assert len(fired) >= 10
    assert [due - at for due, at in fired if due > at + JUMP_MAX] == []


def test_after_an_outage_what_was_due_first_fires_first(stage: Stage) -> None:
    for number in range(40):
        stage.identify(f"u{number}")
        stage.track(f"u{number}", "Product Added", cart="c1")
        stage.now += random.Random(number).randrange(1, MINUTE)
    stage.settle()
    stage.now += 5 * HOUR
    fired: list[Instant] = []
    honest = claims.drop_timers

    def drop(connection: Any, timers: Any) -> None:
        fired.extend(due for due, _ in timers if due < stage.now)
        honest(connection, timers)

    with replaced((claims, "drop_timers", drop)):
        while not stage.tick(limit=7).is_idle:
            pass

    assert len(fired) >= 40
    assert fired == sorted(fired)
