"""Trains in a process of its own, so that whoever plays and answers beside it is not kept waiting.

Fitting holds the interpreter for long stretches: in the process that serves, every event and every
page would wait for them. The child only reads, at a low priority, and hands back what it learnt;
keeping and publishing stay with the one writer. If it dies, nothing was kept, and that is said.

Read by `refreshing`; run as `python -m engine.learning.apart`, with the question on its stdin.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from engine.core.errors import StoreError, UsageError
from engine.core.model.instants import Instant
from engine.learning.artifact import pack, unpack
from engine.learning.lessons import Lesson
from engine.learning.refusals import Refused

NICE: Final = 10
SAID_BYTES: Final = 2_000
"""Of what a child wrote before it died, the last so many are repeated."""


class TrainingDied(StoreError):
    """The process that trained is gone: a schedule tries again, whoever asked by hand may."""


class Ask(msgspec.Struct, frozen=True):
    """A training to be done: of the workspace in a folder, on the database at an address."""

    directory: str
    url: str
    model: str
    as_of: Instant
    now: Instant
    config_hash: str


class Told(msgspec.Struct, frozen=True):
    """What came of it: a lesson, as bytes and plain data, or why there is none."""

    refused: str = ""
    artifact: bytes = b""
    is_better: bool = False
    verdict: str = ""
    metrics: dict[str, Any] = {}
    data_hash: str = ""
    values: dict[int, tuple[float, str]] = {}
    details: dict[int, str] = {}
    page: str = ""
    notes: tuple[str, ...] = ()
    instead: "Told | None" = None
    is_unseating: bool = False


def learn_apart(
    directory: Path, url: str, model: str, *, as_of: Instant, now: Instant, config_hash: str
) -> Lesson:
    """Have a model trained in a process of its own, and wait for it.

    Raises:
        Refused: If there is too little to learn from.
        UsageError: If another definition went live before it began.
        TrainingDied: If the process died; what it said last is in the words.
    """
    ask = Ask(str(directory), url, model, as_of, now, config_hash)
    child = subprocess.Popen(
        [sys.executable, "-m", "engine.learning.apart"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    said: list[bytes] = []
    listening = threading.Thread(target=_drain, args=(child.stderr, said), daemon=True)
    listening.start()
    try:
        # Its stdin stays open: when this process is gone, it ends, and so does the child.
        child.stdin.write(msgspec.json.encode(ask) + b"\n")
        child.stdin.flush()
        answer = child.stdout.read()
    except BrokenPipeError:
        answer = b""
    except BaseException:
        child.kill()
        raise
    finally:
        code = child.wait()
        listening.join(timeout=5)
        for pipe in (child.stdin, child.stdout):
            pipe.close()
    if code or not answer:
        raise TrainingDied(_died(model, code, b"".join(said)))
    return _lesson(msgspec.msgpack.decode(answer, type=Told))


def _drain(pipe: BinaryIO, said: list[bytes]) -> None:
    for line in pipe:
        said.append(line)
        del said[:-100]


def _died(model: str, code: int, said: bytes) -> str:
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    last = said[-SAID_BYTES:].decode(errors="replace").strip().splitlines()
    why = f": {last[-1]}" if last else ""
    return f'the process that trained "{model}" {how}{why}. Nothing was kept'


def _lesson(told: Told) -> Lesson:
    if told.refused:
        raise Refused(told.refused)
    return Lesson(
        artifact=unpack(told.artifact) if told.artifact else None,
        is_better=told.is_better,
        verdict=told.verdict,
        metrics=told.metrics,
        data_hash=told.data_hash,
        values=told.values,
        details=told.details,
        page=told.page,
        notes=told.notes,
        instead=None if told.instead is None else _lesson(told.instead),
        is_unseating=told.is_unseating,
    )


def _told(lesson: Lesson) -> Told:
    return Told(
        artifact=b"" if lesson.artifact is None else pack(lesson.artifact),
        is_better=lesson.is_better,
        verdict=lesson.verdict,
        metrics=dict(lesson.metrics),
        data_hash=lesson.data_hash,
        values=dict(lesson.values),
        details=dict(lesson.details),
        page=lesson.page,
        notes=tuple(lesson.notes),
        instead=None if lesson.instead is None else _told(lesson.instead),
        is_unseating=lesson.is_unseating,
    )


def _answer(ask: Ask) -> Told:
    """In the child: the training itself, on a connection that cannot write."""
    from engine.learning.refreshing import Learner, learn_here
    from engine.release.live import load_playbook
    from engine.settings import read_settings
    from engine.steady import elapsed
    from engine.store.database import Database
    from engine.vault import Vault

    secret = read_settings(Path(ask.directory)).secret_key
    database = Database(ask.url, read_only=True)
    try:
        playbook = load_playbook(database, vault=Vault({1: secret}, entropy=os.urandom))
        if playbook is None:
            raise UsageError("nothing is applied yet. Run: antiphon apply")
        learner = Learner(database, playbook, _nothing_is_written, elapsed)
        try:
            lesson = learn_here(
                learner, ask.model, as_of=ask.as_of, now=ask.now, config_hash=ask.config_hash
            )
        except Refused as refused:
            return Told(refused=str(refused))
        return _told(lesson)
    finally:
        database.close()


def _nothing_is_written(function: Any) -> Any:
    raise AssertionError("a training only reads")


def main() -> None:
    """Answer the question on stdin; nothing but the answer goes to stdout."""
    ask = msgspec.json.decode(_line(), type=Ask)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What a library prints must not get into the answer.
    os.nice(NICE)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        out.write(msgspec.msgpack.encode(_answer(ask), enc_hook=_plain))
        out.flush()
    except Exception as error:
        logging.getLogger("antiphon.learning").exception("the training failed")
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        sys.exit(1)


def _line() -> bytes:
    line = b""
    while not line.endswith(b"\n") and (piece := os.read(0, 65_536)):
        line += piece
    return line


def _plain(value: Any) -> Any:
    """A number of numpy's among plain data."""
    return value.item()


def _end_with_parent() -> None:
    # Not through `sys.stdin`: a thread that waits inside of it keeps the interpreter from ending.
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
