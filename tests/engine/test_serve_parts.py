"""The small parts of a running server: its clock, and the bridge from the writing thread."""

import asyncio
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from engine.core.errors import UsageError
from engine.core.model.instants import HOUR, MINUTE, SECOND
from engine.local import Address, read_address, write_address
from engine.settings import read_settings
from engine.steady import STEADY_FOR, SteadyClock
from engine.web.bridge import Bridge
from engine.web.problem import Refusal
from engine.write_keys import create


class Clocks:
    """A wall clock that somebody sets, and one that nobody can."""

    def __init__(self) -> None:
        self.wall = 1_772_442_000 * SECOND
        self.monotonic = 5 * HOUR

    def pass_by(self, span: int) -> None:
        self.wall += span
        self.monotonic += span


def a_clock() -> tuple[Clocks, SteadyClock]:
    clocks = Clocks()
    return clocks, SteadyClock(wall=lambda: clocks.wall, monotonic=lambda: clocks.monotonic)


@pytest.mark.parametrize("jump", [HOUR, -HOUR, 365 * 24 * HOUR])
def test_after_a_jump_nothing_is_dispatched_until_the_clock_has_been_steady(jump: int) -> None:
    clocks, clock = a_clock()
    clocks.pass_by(MINUTE)
    before = clock.is_steady()

    clocks.wall += jump
    at_once = clock.is_steady()
    clocks.pass_by(STEADY_FOR - 1)
    almost = clock.is_steady()
    clocks.pass_by(1)

    assert before
    assert not at_once
    assert not almost
    assert clock.is_steady()


def test_drift_and_time_passing_are_no_jump() -> None:
    clocks, clock = a_clock()

    for _ in range(100):
        clocks.pass_by(HOUR)
        clocks.wall += SECOND  # corrected by a second now and then
        assert clock.is_steady()


def test_a_waiter_that_is_gone_harms_neither_the_writer_nor_the_others() -> None:
    async def scenario() -> tuple[int, bool]:
        bridge = Bridge()
        futures: list[Future[int]] = [Future() for _ in range(3)]
        waiting = [asyncio.create_task(bridge.result(future)) for future in futures]
        await asyncio.sleep(0)
        waiting[1].cancel()
        writer = threading.Thread(
            target=lambda: [future.set_result(n) for n, future in enumerate(futures)]
        )
        writer.start()
        values = await asyncio.gather(*waiting, return_exceptions=True)
        writer.join()
        return int(values[0]) + int(values[2]), futures[1].cancelled()  # type: ignore[arg-type]

    total, was_cancelled = asyncio.run(scenario())

    assert total == 2
    assert not was_cancelled


def test_an_error_of_the_writer_reaches_the_waiter() -> None:
    async def scenario() -> None:
        future: Future[int] = Future()
        future.set_exception(OSError("disk"))
        await Bridge().result(future)

    with pytest.raises(OSError, match="disk"):
        asyncio.run(scenario())


def test_the_address_of_a_server_is_readable_by_its_user_only(tmp_path: Path) -> None:
    read_settings(tmp_path, environ={})

    path = write_address(tmp_path, Address("http://127.0.0.1:1", "token", 42))

    assert path.stat().st_mode & 0o777 == 0o600
    assert read_address(tmp_path) == Address("http://127.0.0.1:1", "token", 42)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"address": 7}', "\x00"])
def test_a_broken_address_file_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / ".antiphon").mkdir()
    (tmp_path / ".antiphon" / "serve.json").write_text(content)

    assert read_address(tmp_path) is None


def test_a_refusal_tells_people_and_machines() -> None:
    answer = Refusal(429, "too_many", "Wait.", field="batch", retry_after_seconds=7).answer()

    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "7"
    assert b'"title":"Too Many Requests"' in bytes(answer.body)
    assert b'"field":"batch"' in bytes(answer.body)


@pytest.mark.parametrize(
    ("payload", "word"),
    [({"kind": "admin"}, "--kind"), ({"kind": "server", "label": "x" * 101}, "--label")],
)
def test_a_key_of_an_unknown_kind_or_with_an_endless_label_is_refused(
    payload: dict[str, str], word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        create(None, payload)  # type: ignore[arg-type]
