"""P11, P16: real `antiphon worker` processes are killed under load; the others take over.

`web` accepts meanwhile. The sandbox's log, written before it answers, stands for the provider's own
ledger: nothing acknowledged is lost, no step is played twice, no marketing goes out twice.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from engine.store.connection import Row
from engine.store.database import Database
from tests.engine.serving import Served, command
from tests.engine.test_serve import a_key
from tests.test_kill import NOTE, RECEIPT, REMINDER, SETTINGS, Load

S = TypeVar("S", bound=Served)
LEASE_SECONDS = 2.0
KILLS = 3
SLACK_SECONDS = 4.0
"""What a loaded machine may add: the promise itself is a quarter of the lease."""
DRAIN_SECONDS_MAX = 90.0


class Web(Served):
    command_line = ("web", "--port", "0")


class Worker(Served):
    command_line = ("worker",)
    says = r"Antiphon works for .* as (worker-\w+)"

    @property
    def owner(self) -> str:
        return self.url


@pytest.fixture
def shop(
    tmp_path: Path,
    postgres_server: Callable[..., str],
    postgres_template: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The workspace of `test_kill`, applied to a PostgreSQL database of its own."""
    url = postgres_server(template=postgres_template)
    monkeypatch.setenv("ANTIPHON_DATABASE_URL", url)
    monkeypatch.setenv("ANTIPHON_LEASE_SECONDS", str(LEASE_SECONDS))
    folder = tmp_path / "shop"
    for name, text in {
        "antiphon.yaml": SETTINGS,
        "campaigns/receipt.yaml": RECEIPT,
        "campaigns/reminder.yaml": REMINDER,
        "templates/email/note.txt": NOTE,
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    applied = command("apply", folder)
    assert applied.returncode == 0, applied.stderr
    return folder


@pytest.fixture
def rows(shop: Path) -> Iterator[Callable[[str], list[Row]]]:
    import os

    database = Database(os.environ["ANTIPHON_DATABASE_URL"], read_only=True)

    def ask(sql: str) -> list[Row]:
        with database.read() as connection:
            return connection.execute(sql)

    yield ask
    database.close()


@pytest.fixture
def started() -> Iterator[list[Served]]:
    running: list[Served] = []
    yield running
    for each in running:
        if each.process.poll() is None:
            each.kill()


def until(what: Callable[[], bool], *, seconds: float, why: str) -> float:
    """Wait for something; how many seconds it took."""
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < seconds, why
        time.sleep(0.02)
    return time.monotonic() - began


@pytest.mark.slow
def test_a_killed_workers_share_is_taken_over_and_nothing_is_lost_or_doubled(
    shop: Path,
    rows: Callable[[str], list[Row]],
    started: list[Served],
    record_property: Callable[[str, object], None],
) -> None:
    def start(kind: type[S]) -> S:
        process = kind(shop)
        started.append(process)
        return process

    web = start(Web)
    workers = [start(Worker), start(Worker)]
    load = Load()
    key = a_key(shop)
    threads = load.against(web, key, life=0)
    takeovers: list[float] = []

    for _ in range(KILLS):
        until(lambda: _is_shared(rows, workers), seconds=30, why="the shares are not even")
        time.sleep(0.5)
        dead = workers.pop(0)
        dead.kill()
        takeovers.append(
            until(
                lambda gone=dead.owner: _owned(rows)[gone] == 0,  # type: ignore[misc]
                seconds=LEASE_SECONDS * 1.25 + SLACK_SECONDS,
                why="nobody took over",
            )
        )
        workers.append(start(Worker))
    load.stop()
    for thread in threads:
        thread.join()
    load.repeat_all(web, key)
    _drain(rows)
    stops = [worker.terminate() for worker in workers]

    print(f"taken over after {', '.join(f'{it:.2f}' for it in takeovers)} s")
    record_property("takeover_seconds", takeovers)
    assert stops == [0, 0]
    assert set(_owned(rows)) == {""}, "a clean stop gives everything up"
    _nothing_is_lost_or_doubled(shop, rows, load)
    assert web.terminate() == 0


def test_a_worker_without_postgresql_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTIPHON_DATABASE_URL", raising=False)
    assert command("init", tmp_path / "shop").returncode == 0

    for name in ("worker", "web"):
        answer = command(name, tmp_path / "shop")

        assert answer.returncode == 2
        assert "postgresql://" in answer.stderr
        assert answer.stderr.count("\n") <= 2


def test_one_engine_for_all_and_workers_keep_out_of_each_others_way(
    shop: Path, started: list[Served]
) -> None:
    worker = Worker(shop)
    started.append(worker)

    beside = command("tick", shop, "--until", "now")
    worker.terminate()
    started.append(Served(shop))
    refused = command("worker", shop)

    assert beside.returncode == 2
    assert "another engine" in beside.stderr
    assert refused.returncode == 2
    assert "antiphon web" in refused.stderr


def _owned(rows: Callable[[str], list[Row]]) -> Counter[str]:
    return Counter(dict(rows("SELECT owner, count(*) FROM partition GROUP BY owner")))


def _is_shared(rows: Callable[[str], list[Row]], workers: list[Worker]) -> bool:
    owned = _owned(rows)
    return all(owned[worker.owner] == 16 // len(workers) for worker in workers)


def _drain(rows: Callable[[str], list[Row]]) -> None:
    waiting = (
        "SELECT (SELECT count(*) FROM enrollment WHERE status = 'active') + "
        "(SELECT count(*) FROM message WHERE status IN ('queued', 'attempting', 'deferred')) + "
        "(SELECT count(*) FROM event WHERE flags = 0 "
        "AND seq > (SELECT min(position) FROM partition))"
    )
    until(
        lambda: rows(waiting) == [(0,)],
        seconds=DRAIN_SECONDS_MAX,
        why="some events or messages are still under way",
    )


def _nothing_is_lost_or_doubled(shop: Path, rows: Callable[[str], list[Row]], load: Load) -> None:
    events: Counter[str] = Counter(
        json.loads(text)["order"]
        for (text,) in rows(
            "SELECT properties FROM event WHERE name IN ('Order Completed', 'Product Added')"
        )
    )
    assert len(load.acknowledged) > 50
    assert load.acknowledged - events.keys() == set()
    assert set(events.values()) == {1}
    enrollments = Counter(key for (key,) in rows("SELECT key FROM enrollment"))
    assert enrollments == events
    messages = rows("SELECT id, topic, status FROM message")
    assert len(messages) == len(events)
    ledger = _ledger(shop)
    ambiguous: Counter[Any] = Counter(
        id for (id,) in rows("SELECT message_id FROM attempt WHERE outcome = 'ambiguous'")
    )
    reasons = {row[0] for row in rows("SELECT reason FROM message WHERE status = 'dropped'")}
    assert {status for _, _, status in messages} <= {"sent", "unknown"}, reasons
    for id, topic, status in messages:
        if status == "sent":
            assert ledger[id] >= 1, f"message {id} is sent, the provider never had it"
        if topic == "offers":
            assert ledger[id] <= 1, f"message {id} is marketing and went out {ledger[id]} times"
            assert (status == "unknown") == (ambiguous[id] > 0)
        else:
            assert status == "sent"
            assert ledger[id] - 1 <= ambiguous[id]


def _ledger(shop: Path) -> Counter[int]:
    """How often the sandbox accepted each message."""
    return Counter(
        int(json.loads(line)["id"])
        for path in (shop / ".antiphon" / "outbox").rglob("*.jsonl")
        for line in path.read_text().splitlines()
    )
