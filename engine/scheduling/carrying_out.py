"""One claimed run: held while it goes on, its job called, what came of it written down.

The embedded engine calls `carry_out`. A flow of Prefect, which lives in another process, asks for
the same in parts by `ANSWERS`, through the running server where there is one.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from engine.core.errors import AntiphonError, StoreError, UsageError
from engine.core.model.instants import MINUTE, SECOND, Instant
from engine.scheduling import broadcast, native, rows
from engine.scheduling.jobs import JOBS, Outcome
from engine.scheduling.means import Means
from engine.scheduling.rows import HELD, Run
from experiments.errors import ExperimentsError

log = logging.getLogger("antiphon.schedules")


def carry_out(means: Means, run: Run) -> Outcome:
    """Do what a run is for and write down what came of it; a failure is tried again later.

    What the workspace asks for and cannot be done is written down at once: no second try mends it.
    """
    try:
        with _held(means, run):
            outcome = JOBS[run.plan.job](means, run)
    except (UsageError, ExperimentsError) as error:
        log.warning('the schedule "%s": %s', run.schedule, error)
        outcome = Outcome(f"failed: {error}")
    except Exception as error:
        _stumbled(means, run, error)
        raise
    is_ours = means.write(lambda it: rows.finish(it, run, result=outcome.said, now=means.now()))
    if not is_ours:
        log.warning('the schedule "%s": another has taken the run over', run.schedule)
    return outcome


@contextmanager
def _held(means: Means, run: Run) -> Iterator[None]:
    """Renew our hold on the run in the background for as long as the block lasts."""
    is_over = threading.Event()

    def renew() -> None:
        while not is_over.wait(HELD / SECOND / 3):
            try:
                means.write(lambda it: rows.hold(it, run, until=means.now() + HELD))
            except StoreError as error:
                log.warning('the schedule "%s" could not be held: %s', run.schedule, error)

    thread = threading.Thread(target=renew, name=f"hold {run.schedule}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _stumbled(means: Means, run: Run, error: Exception) -> None:
    log.exception('the schedule "%s" failed, try %d', run.schedule, run.tries)
    why = str(error) if isinstance(error, AntiphonError) else type(error).__name__
    means.write(lambda it: rows.stumble(it, run, why=why, now=means.now()))


# --- in parts, for a flow in another process ------------------------------------------------------

EARLY_MAX: Final = MINUTE
CHUNK_HELD: Final = 10 * HELD
"""How long a broadcast of Prefect is held between two of its chunks, which may queue."""


def answer(means: Means, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Answer one question of a flow: {"do": a name of `ANSWERS`, …}.

    Raises:
        UsageError: If there is no such question, or the run is not the caller's any more.
    """
    found = ANSWERS.get(str(payload.get("do")))
    if found is None:
        raise UsageError(f'schedules do not know "{payload.get("do")}"')
    return found(means, payload)


def _begin(means: Means, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Take the run: why it is not the caller's to begin, or "" and its job.

    Prefect starts a flow up to seconds before its time: that one is told how many to wait.
    """
    early = int(payload["fire_at"]) - means.now()
    if 0 < early <= EARLY_MAX:
        return {"why": "", "job": "", "wait_seconds": early / SECOND}
    run = _taken(means, payload)
    if isinstance(run, str):
        return {"why": run, "job": "", "wait_seconds": 0}
    return {"why": "", "job": run.plan.job, "wait_seconds": 0}


def _work(means: Means, payload: Mapping[str, Any]) -> dict[str, Any]:
    outcome = carry_out(means, _required(means, payload))
    return {"said": outcome.said, "documents": dict(outcome.documents)}


def _chunks(means: Means, payload: Mapping[str, Any]) -> dict[str, Any]:
    run = _required(means, payload)
    try:
        chunks = broadcast.broadcast_chunks(means, run)
    except UsageError as error:
        said = f"failed: {error}"
        means.write(lambda it: rows.finish(it, run, result=said, now=means.now()))
        return {"why": said, "chunks": []}
    _hold_chunks(means, run)
    return {"why": "", "chunks": chunks}


def _chunk(means: Means, payload: Mapping[str, Any]) -> dict[str, Any]:
    run = _required(means, payload)
    _hold_chunks(means, run)
    n = broadcast.broadcast_chunk(means, run, int(payload["above"]), int(payload["up_to"]))
    return {"n": n}


def _finish(means: Means, payload: Mapping[str, Any]) -> dict[str, Any]:
    run = _required(means, payload)
    said = broadcast.said([int(n) for n in payload["counts"]])
    means.write(lambda it: rows.finish(it, run, result=said, now=means.now()))
    return {"said": said}


def _hold_chunks(means: Means, run: Run) -> None:
    means.write(lambda it: rows.hold(it, run, until=means.now() + CHUNK_HELD))


def _required(means: Means, payload: Mapping[str, Any]) -> Run:
    run = _taken(means, payload)
    if isinstance(run, str):
        raise UsageError(f'the run of "{payload["schedule"]}" is not ours any more: {run}')
    return run


def _taken(means: Means, payload: Mapping[str, Any]) -> Run | str:
    name, fire_at, owner = payload["schedule"], int(payload["fire_at"]), payload["owner"]
    now: Instant = means.now()
    found: Run | str = means.write(
        lambda it: rows.take(it, str(name), fire_at, owner=str(owner), now=now)
    )
    return found


def _plans(means: Means, payload: Mapping[str, Any]) -> dict[str, Any]:
    return native.plans(means, payload)


def _deployed(means: Means, payload: Mapping[str, Any]) -> dict[str, Any]:
    return native.deployed(means, payload)


ANSWERS: Final[Mapping[str, Callable[[Means, Mapping[str, Any]], dict[str, Any]]]] = {
    "begin": _begin,
    "work": _work,
    "chunks": _chunks,
    "chunk": _chunk,
    "finish": _finish,
    "plans": _plans,
    "deployed": _deployed,
}
