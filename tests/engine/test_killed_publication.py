"""A process is killed while it publishes a run: the old champion stays whole, the next run wins.

The death is a real SIGKILL of a process of its own, inside a transaction it never commits or right
after one it did; another process then finds what the database kept.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from engine.core.model.instants import HOUR, Instant
from engine.release.live import load_playbook
from engine.scores import Published as Run
from engine.scores import publish
from engine.store import scores
from engine.store.connection import Connection
from engine.store.database import Database
from engine.vault import Vault
from tests.engine.publishing import FILES, Published
from tests.rig.process import SECRET
from tests.rig.stage import NOON

N_PEOPLE: Final = 21_000
"""More than four batches of rows."""
KNOWN: Final = 30
"""People whom somebody has met; of the others only the rows of the run are kept."""
MODEL: Final = "churn"
RISKY = "segment: risky\nwhen: {score: {model: churn, value: {gte: 0.5}}}\n"
BEGUN, CROWNED, SWEPT = 1, 7, 8
"""Which write of a publication does what: 2 to 6 add rows."""


def before(who: int) -> float:
    return 0.9 if who <= 10 else 0.1


def after(who: int) -> float:
    """Five leave the segment, five come into it; all others stay where they are."""
    return 0.8 if 5 < who <= 15 else 0.2


def _values(of: Callable[[int], float]) -> dict[int, tuple[float, str]]:
    return {who: (of(who), "") for who in range(1, N_PEOPLE + 1)}


def _publish_and_die(url: str, now: Instant, write_number: int, is_committed: bool) -> None:
    """In a process of its own: the run of `after`, killed at one of its writes."""
    database = Database(url)
    playbook = load_playbook(database, vault=Vault({1: SECRET}, entropy=os.urandom), environ={})
    assert playbook is not None
    n_writes = 0

    def write(work: Callable[[Connection], Any]) -> Any:
        nonlocal n_writes
        n_writes += 1
        with database.write() as connection:
            done = work(connection)
            if n_writes == write_number and not is_committed:
                os.kill(os.getpid(), signal.SIGKILL)
        if n_writes == write_number:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    publish(
        database, _values(after), model=MODEL, kind="score", program=playbook.program,
        write=write, now=now,
    )  # fmt: skip


@pytest.fixture
def stage(database_url: str) -> Iterator[Published]:
    opened = Published(database_url)
    opened.apply({**FILES, "segments/risky.yaml": RISKY})
    for number in range(1, KNOWN + 1):
        opened.identify(f"u{number}")
    opened.settle()
    published(opened, before)
    opened.settle()
    yield opened
    opened.close()


def published(stage: Published, of: Callable[[int], float]) -> Run:
    return publish(
        stage.process.database,
        _values(of),
        model=MODEL,
        kind="score",
        program=stage.process.playbook.program,
        write=stage.process.write,
        now=stage.now,
    )


def killed(stage: Published, write_number: int, *, is_committed: bool = False) -> None:
    """Another process publishes and dies; a new life of ours begins."""
    stage.now += HOUR
    dying = multiprocessing.get_context("spawn").Process(
        target=_publish_and_die, args=(stage.url, stage.now, write_number, is_committed)
    )
    dying.start()
    dying.join(60)
    assert dying.exitcode == -signal.SIGKILL
    stage.restart()


def risky(stage: Published) -> list[int]:
    rows = stage.rows("SELECT profile_id FROM membership WHERE segment = 'risky' ORDER BY 1")
    return [int(row[0]) for row in rows]


def crossings(stage: Published) -> list[tuple[str, int]]:
    """Who came in and who left since the first run, each as often as it was written down."""
    rows = stage.rows(
        "SELECT name, profile_id FROM event WHERE at > ? AND properties LIKE '%\"risky\"%' "
        "AND name IN ('Segment Entered', 'Segment Exited') ORDER BY name, profile_id",
        NOON,
    )
    return [(str(name), int(who)) for name, who in rows]


MOVED = [("Segment Entered", who) for who in range(11, 16)] + [
    ("Segment Exited", who) for who in range(1, 6)
]


@pytest.mark.parametrize("write_number", [BEGUN + 3, CROWNED])
def test_a_publication_killed_before_its_commit_leaves_the_old_run_and_the_next_sweeps_it(
    stage: Published, write_number: int
) -> None:
    killed(stage, write_number)
    stage.settle()

    with stage.process.database.read() as connection:
        champion = scores.champion_of(connection, MODEL)
        read = [row for page in scores.pages(connection, MODEL, champion or 0) for row in page]
    torn = stage.rows("SELECT count(*) FROM model_score WHERE run = 2")[0][0]
    assert champion == 1
    assert {who: score.value for who, score, _ in read} == {
        who: before(who) for who in range(1, N_PEOPLE + 1)
    }
    assert torn == min(N_PEOPLE, (write_number - 2) * scores.BATCH)
    assert (risky(stage), crossings(stage)) == (list(range(1, 11)), [])

    stage.now += HOUR
    done = published(stage, after)
    stage.settle()

    assert (done.run, done.n_woken) == (3, 10)
    assert stage.rows("SELECT run, status FROM model_run ORDER BY run") == [
        (1, "retired"), (3, "champion"),
    ]  # fmt: skip
    assert stage.rows("SELECT run, count(*) FROM model_score GROUP BY run ORDER BY run") == [
        (1, N_PEOPLE), (3, N_PEOPLE),
    ]  # fmt: skip
    assert (risky(stage), crossings(stage)) == (list(range(6, 16)), MOVED)


def test_a_publication_killed_right_after_its_commit_is_read_and_wakes_each_once(
    stage: Published,
) -> None:
    killed(stage, CROWNED, is_committed=True)
    stage.settle()

    assert (risky(stage), crossings(stage)) == (list(range(6, 16)), MOVED)

    stage.now += HOUR
    again = published(stage, after)
    stage.settle()

    assert (again.run, again.n_woken) == (3, 0)
    assert crossings(stage) == MOVED
    assert stage.rows("SELECT run, status FROM model_run ORDER BY run") == [
        (1, "swept"), (2, "retired"), (3, "champion"),
    ]  # fmt: skip


def test_a_sweep_that_was_killed_is_ended_by_the_next_run(stage: Published) -> None:
    published(stage, before)
    killed(stage, SWEPT + 1)
    left = stage.rows("SELECT count(*) FROM model_score WHERE run = 1")[0][0]

    published(stage, after)
    stage.settle()

    assert left == N_PEOPLE - scores.BATCH
    assert stage.rows("SELECT run, status FROM model_run ORDER BY run") == [
        (1, "swept"), (2, "swept"), (3, "retired"), (4, "champion"),
    ]  # fmt: skip
    assert (risky(stage), crossings(stage)) == (list(range(6, 16)), MOVED)
