"""A training in a process of its own says what it would say here, and its end is survived."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.core.errors import StoreError
from engine.core.model.instants import DAY
from engine.learning.apart import TrainingDied
from engine.learning.ordering import OPERATIONS
from engine.learning.refreshing import Learner, refresh
from engine.steady import elapsed
from tests.engine.publishing import Published
from tests.learning.shopping import a_shop
from tests.learning.test_refreshing import LEARNT


@pytest.fixture
def either(database_url: str) -> Iterator[Published]:
    opened = a_shop(database_url, files=LEARNT, n=160)
    yield opened
    opened.close()


def trained(shop: Published, name: str, folder: Path | None, **more: Any) -> Any:
    process = shop.process
    learner = Learner(process.database, process.playbook, process.write, elapsed, apart=folder)
    return refresh(learner, name, as_of=more.get("as_of", shop.now), now=shop.now)


def test_what_is_learnt_apart_is_what_is_learnt_here(either: Published, tmp_path: Path) -> None:
    shop = either
    for name in ("churn", "also-bought"):
        here = trained(shop, name, None)
        there = trained(shop, name, tmp_path)
        again = shop.rows(
            "SELECT data_hash, config_hash, seed FROM model_run WHERE model = ?", name
        )
        assert (here.status, there.status) == ("champion", "champion")
        assert len(set(again)) == 1
        assert there.metrics["primary"] == here.metrics["primary"]
    values = shop.rows(
        "SELECT profile_id FROM model_score WHERE model = 'churn' "
        "GROUP BY profile_id HAVING count(DISTINCT value) > 1 OR count(*) < 2"
    )
    assert values == []


def test_a_refusal_comes_back_in_its_words(either: Published, tmp_path: Path) -> None:
    done = trained(either, "churn", tmp_path, as_of=either.now - 200 * DAY)

    assert done.status == "refused"
    assert "too short to learn what follows within 30 days" in done.verdict


def test_a_process_that_is_killed_keeps_nothing_and_says_by_what(
    either: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def watched(*arguments: Any, **more: Any) -> subprocess.Popen[bytes]:
        begun.append(start(*arguments, **more))
        threading.Timer(0.5, lambda: os.kill(begun[0].pid, signal.SIGKILL)).start()
        return begun[0]

    monkeypatch.setattr("engine.learning.apart.subprocess.Popen", watched)

    with pytest.raises(
        StoreError, match=r'trained "churn" was ended by SIGKILL.* Nothing was kept$'
    ):
        trained(either, "churn", tmp_path)
    assert either.rows("SELECT count(*) FROM model_run") == [(0,)]


def test_whoever_asked_by_hand_for_a_training_that_was_killed_is_told_to_run_it_again(
    either: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise TrainingDied("the process was ended by SIGKILL. Nothing was kept")

    process = either.process
    learner = Learner(process.database, process.playbook, process.write, elapsed)
    monkeypatch.setattr("engine.learning.ordering.refresh", dies)

    with pytest.raises(StoreError, match="Nothing was kept; run it again"):
        OPERATIONS["model_train"](learner, {"model": "churn"}, now=either.now)


def test_an_error_in_it_is_told_by_its_last_line(either: Published, tmp_path: Path) -> None:
    (tmp_path / ".antiphon").write_text("no folder")

    with pytest.raises(StoreError, match=r"ended with 1: .*Error"):
        trained(either, "churn", tmp_path)


def test_it_ends_with_the_process_that_asked(tmp_path: Path) -> None:
    # A parent that is gone without a word: the pipe to its child is closed by the system alone.
    child = subprocess.Popen(
        [sys.executable, "-c", "import engine.learning.apart as it; it._end_with_parent()"],
        stdin=subprocess.PIPE,
    )
    time.sleep(0.2)
    was_running = child.poll() is None

    assert child.stdin is not None
    child.stdin.close()

    assert was_running
    assert child.wait(timeout=30) == 1
