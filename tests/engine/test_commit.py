"""The writing thread on both databases: nobody is told before it is durable, nobody waits alone."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from engine import failpoints
from engine.core.errors import CommitUnknown, Overloaded, StoreError
from engine.intake.commit import GroupCommit
from engine.store.connection import Connection
from engine.store.database import Database
from tests.engine.ingesting import NOW, Intake, a_track, prepared

WAIT = 10.0


@pytest.fixture
def intake(database: Database) -> Intake:
    return Intake(database)


@pytest.fixture
def commit(intake: Intake) -> Iterator[GroupCommit]:
    running = GroupCommit(intake.database, intake.ingest, clock=lambda: NOW, queue_rows_max=10)
    yield running.start()
    failpoints.install(None)
    running.stop()


def blocked(commit: GroupCommit) -> tuple[threading.Event, Future[None]]:
    """Hold the writer inside a task until the event is set."""
    started, release = threading.Event(), threading.Event()

    def wait(connection: Connection) -> None:
        started.set()
        release.wait(WAIT)

    future = commit.run(wait)
    started.wait(WAIT)
    return release, future


def test_an_answer_means_committed(commit: GroupCommit, intake: Intake) -> None:
    answers = commit.submit(prepared(a_track(), a_track())).result(WAIT)

    assert [it.status for it in answers] == ["accepted", "duplicate"]
    assert intake.rows("SELECT count(*) FROM event") == [(1,)]


def test_what_waits_is_committed_in_one_group(commit: GroupCommit, intake: Intake) -> None:
    release, _ = blocked(commit)
    futures = [commit.submit(prepared(a_track(messageId=f"m-{i}"))) for i in range(5)]
    commits: list[str] = []
    failpoints.install(commits.append)

    release.set()
    answers = [future.result(WAIT)[0].status for future in futures]

    assert answers == ["accepted"] * 5
    assert commits.count("ingest commit") == 1
    assert commits.count("reply") == 5


def test_too_much_waiting_is_refused_and_the_rest_is_kept(
    commit: GroupCommit, intake: Intake
) -> None:
    release, _ = blocked(commit)
    ten = commit.submit(prepared(*[a_track(messageId=f"m-{i}") for i in range(10)]))

    with pytest.raises(Overloaded, match="10 events are waiting"):
        commit.submit(prepared(a_track(messageId="one too many")))
    release.set()

    assert len(ten.result(WAIT)) == 10
    assert commit.waiting() == 0


def test_other_work_shares_the_thread_and_its_result_is_durable(
    commit: GroupCommit, database: Database
) -> None:
    def work(connection: Connection) -> str:
        connection.execute("INSERT INTO setting (name, value) VALUES ('a', '1')")
        return threading.current_thread().name

    assert commit.run(work).result(WAIT) == "writer"
    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM setting") == [(1,)]


def test_work_that_fails_hurts_nobody_else(commit: GroupCommit) -> None:
    def work(connection: Connection) -> None:
        connection.execute("INSERT INTO setting (name, value) VALUES ('a', '1')")
        raise ZeroDivisionError

    failing = commit.run(work)
    with pytest.raises(ZeroDivisionError):
        failing.result(WAIT)
    assert commit.submit(prepared(a_track())).result(WAIT)[0].status == "accepted"


def test_a_request_that_cannot_be_written_does_not_fail_its_group(
    commit: GroupCommit, intake: Intake
) -> None:
    release, _ = blocked(commit)
    poison = prepared(a_track(messageId="poison", userId="bob"))
    poison.facts[0][1].at = 2**70  # no database takes it
    futures = [commit.submit(it) for it in (prepared(a_track()), poison)]

    release.set()

    assert futures[0].result(WAIT)[0].status == "accepted"
    with pytest.raises(StoreError):
        futures[1].result(WAIT)
    assert intake.rows("SELECT count(*) FROM event") == [(1,)]
    assert commit.submit(prepared(a_track(messageId="m", userId="bob"))).result(WAIT)


def test_a_caller_who_hung_up_does_not_stop_the_thread(commit: GroupCommit) -> None:
    release, _ = blocked(commit)
    gone = commit.submit(prepared(a_track()))
    stays = commit.submit(prepared(a_track(messageId="m-2")))

    assert gone.cancel()
    release.set()

    assert stays.result(WAIT)[0].status == "accepted"


def test_stopping_finishes_what_is_queued_and_refuses_more(
    commit: GroupCommit, intake: Intake
) -> None:
    release, _ = blocked(commit)
    queued = commit.submit(prepared(a_track()))
    stopping = threading.Thread(target=commit.stop)
    stopping.start()
    release.set()
    stopping.join(WAIT)

    assert queued.result(WAIT)[0].status == "accepted"
    with pytest.raises(Overloaded):
        commit.submit(prepared(a_track(messageId="late")))
    with pytest.raises(Overloaded):
        commit.run(lambda connection: None)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_after_a_crash_nobody_was_told_and_nobody_waits_for_ever(
    commit: GroupCommit, intake: Intake
) -> None:
    release, _ = blocked(commit)
    first = commit.submit(prepared(*[a_track(messageId=f"m-{i}") for i in range(2)]))

    def crash(name: str) -> None:
        if name == "event insert":
            raise failpoints.Crash

    failpoints.install(crash)
    release.set()

    with pytest.raises(CommitUnknown):
        first.result(WAIT)
    failpoints.install(None)
    assert intake.rows("SELECT count(*) FROM event") == [(0,)]
    with pytest.raises(Overloaded):
        commit.submit(prepared(a_track()))


def test_many_threads_lose_and_double_nothing(database: Database) -> None:
    intake = Intake(database, events_per_part=60)
    commit = GroupCommit(database, intake.ingest, clock=lambda: NOW).start()
    answers: list[str] = []

    def send(worker: int) -> None:
        for i in range(20):
            items = [
                a_track(messageId=f"m-{worker % 3}-{i}", userId=f"u-{i}"),
                a_track(messageId=f"n-{worker}-{i}", userId=f"u-{i}"),
            ]
            answers.extend(it.status for it in commit.submit(prepared(*items)).result(WAIT))

    workers = [threading.Thread(target=send, args=(n,)) for n in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    commit.stop()

    assert (answers.count("accepted"), answers.count("duplicate")) == (180, 60)
    assert intake.rows("SELECT count(*), max(seq) FROM event") == [(180, 180)]
    assert intake.rows("SELECT count(*) FROM profile") == [(20,)]
