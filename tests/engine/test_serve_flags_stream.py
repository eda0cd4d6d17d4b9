"""Streams of changes: who is told, when, what keeps one open, and what ends it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from engine.flagging.catalog import catalog_of
from engine.store import migrate
from engine.store.database import Database
from engine.web import flags_stream
from engine.web.flags_stream import Pulse, stream
from engine.web.problem import Refusal
from tests.engine.flag_stage import Flags, an_experiment, flags_of, with_experiments


@pytest.fixture
def flags(tmp_path: Path) -> Iterator[Flags]:
    """On SQLite alone: a stream reads nothing of the database."""
    url = f"sqlite:///{tmp_path / 'antiphon.db'}"
    database = Database(url)
    migrate.upgrade(database)
    database.close()
    with flags_of(url, tmp_path) as opened:
        opened.house.apply(with_experiments(an_experiment()))
        yield opened


def a_request(state: Any, **headers: str) -> Request:
    app = SimpleNamespace(state=state)
    told = [(name.replace("_", "-").encode(), it.encode()) for name, it in headers.items()]
    return Request({"type": "http", "headers": told, "app": app})


def opened(flags: Flags, state: Any, **more: Any) -> AsyncIterator[bytes]:
    headers = more.pop("headers", {})
    answer = stream(
        a_request(state, **headers), flags.app.services, lambda etag: etag.encode(), **more
    )
    return answer.body_iterator  # type: ignore[attr-defined,no-any-return]


def etag(flags: Flags) -> bytes:
    program = flags.app.services.program()
    assert program is not None
    return catalog_of(program).etag.encode()


async def soon(said: AsyncIterator[bytes]) -> bytes:
    return await asyncio.wait_for(anext(said), 5)


def test_everyone_who_listens_is_told_of_a_change_of_experiments_and_of_nothing_else(
    flags: Flags,
) -> None:
    async def listen() -> list[bytes]:
        state = SimpleNamespace()
        streams = [opened(flags, state) for _ in range(3)]
        first = [await soon(it) for it in streams]
        segment = "segment: buyers\nwhen: {event: Order Completed}\n"
        flags.house.apply(with_experiments(an_experiment(), segments__buyers=segment))
        quiet = [asyncio.create_task(anext(it)) for it in streams]
        done, _ = await asyncio.wait(quiet, timeout=0.6)
        assert not done
        flags.house.apply(with_experiments(an_experiment(more="coverage: 50%\n")))
        told = [await asyncio.wait_for(it, 5) for it in quiet]
        return [*first, *told]

    found = asyncio.run(listen())

    assert found == [b"retry: 2000\n: listening\n\n"] * 3 + [etag(flags)] * 3


def test_whoever_comes_back_is_told_what_they_missed(flags: Flags) -> None:
    async def listen(heard: str) -> bytes:
        said = opened(flags, SimpleNamespace(), headers={"last_event_id": heard})
        await soon(said)
        return await soon(said)

    assert asyncio.run(listen("an older mark")) == etag(flags)


def test_a_quiet_stream_shows_that_it_lives_until_its_key_is_revoked(
    flags: Flags, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flags_stream, "KEEP_ALIVE_SECONDS", 0.1)
    answers = iter([True, True, False])

    async def listen() -> list[bytes]:
        return [it async for it in opened(flags, SimpleNamespace(), is_welcome=answers.__next__)]

    assert asyncio.run(listen())[1:] == [b": still here\n\n"] * 2


def test_a_stream_ends_with_the_server_and_after_its_time(
    flags: Flags, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def listen() -> int:
        said = opened(flags, SimpleNamespace())
        await soon(said)
        flags.app.services.is_stopping = lambda: True
        with pytest.raises(StopAsyncIteration):
            await soon(said)
        flags.app.services.is_stopping = lambda: False
        monkeypatch.setattr(flags_stream, "STREAM_SECONDS_MAX", 0.0)
        return len([it async for it in opened(flags, SimpleNamespace())])

    assert asyncio.run(listen()) == 1


def test_streams_take_no_more_than_half_of_all_connections(flags: Flags) -> None:
    async def listen() -> Refusal:
        state = SimpleNamespace(pulse=Pulse(flags.app.services))
        state.pulse.n_streams = flags.app.services.settings.connections_max // 2
        with pytest.raises(Refusal) as refused:
            opened(flags, state)
        return refused.value

    refusal = asyncio.run(listen())

    assert refusal.status == 503
    assert refusal.retry_after_seconds is not None


def test_a_process_that_has_not_heard_of_a_change_waits_for_it_but_not_for_ever(
    flags: Flags, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask() -> tuple[float, float, float]:
        services = flags.app.services
        pulse, loop = Pulse(services), asyncio.get_running_loop()

        async def took(mark: str) -> float:
            began = loop.time()
            await pulse.reached(mark)
            return loop.time() - began

        known = await took(etag(flags).decode())
        flags.house.apply(with_experiments(an_experiment(more="coverage: 50%\n")))
        coming = etag(flags).decode()
        kept = flags.house.process.playbook.program
        services.program = lambda: None
        pulse.look()
        task = asyncio.create_task(took(coming))
        await asyncio.sleep(0.3)
        assert not task.done()
        services.program = lambda: kept
        found = await asyncio.wait_for(task, 5)
        monkeypatch.setattr(flags_stream, "REACH_SECONDS_MAX", 0.3)
        return known, found, await took("never heard of")

    known, found, never = asyncio.run(ask())

    assert known < 0.1
    assert 0.3 <= found < 2.0
    assert 0.3 <= never < 1.0
