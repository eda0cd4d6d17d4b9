"""Runs that a real Prefect server and worker begin by schedule, for a real `antiphon serve`.

A flow that is merely called proves nothing: with the wrong SQLAlchemy Prefect looks healthy and its
scheduler never makes a run.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.core.clocktime import iso
from engine.core.model.instants import MINUTE, SECOND
from engine.scheduling.jobs import JOBS
from engine.steady import present
from engine.store.database import Database
from tests.engine.publishing import CART, FILES, SETTINGS
from tests.engine.serving import Served, command

PREFECT = (sys.executable, "-m", "prefect")
SECONDS_MAX = 100.0
EXPERIMENT = CART.replace("topic: offers", "topic: offers\nholdout: 10%\ngoal: {metric: ordered}")
METRIC = "metric: ordered\nevent: Order Completed\nwithin: 1d\n"
SCHEDULES = """schedules:
  by-prefect: {{run: experiment-reports, every: 1m, start: {later}}}
  by-leader: {{run: retention, cron: "* * * * *"}}
  bandit-updates: {{paused: true}}
  experiment-reports: {{paused: true}}
  segment-backfill: {{paused: true}}
  retention: {{paused: true}}
"""
"""Spans Prefect counts as we do; every minute is more than is compared for a year, so the leader
begins those."""


def free_port() -> int:
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return int(it.getsockname()[1])


def wait_for(found: Callable[[], Any], *, what: str, seconds: float = SECONDS_MAX) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            if answer := found():
                return answer
        time.sleep(0.2)
    raise AssertionError(f"{what} did not come within {seconds:.0f} s")


@pytest.fixture
def prefect(tmp_path: Path) -> Iterator["Prefect"]:
    found = Prefect(tmp_path)
    yield found
    found.close()


class Prefect:
    """A server of its own on a free port, on SQLite in a folder of its own; nothing is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        port = free_port()
        self.api = f"http://127.0.0.1:{port}/api"
        self.environ = {
            **os.environ,
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": self.api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
            "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
            "PREFECT_LOGGING_TO_API_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        self.start("server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui")

    def start(self, *words: str) -> None:
        log = (self.folder / f"{words[0]}.log").open("wb")
        self.processes.append(
            subprocess.Popen(
                [*PREFECT, *words],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        )
        log.close()

    def is_up(self) -> bool:
        return httpx.get(f"{self.api}/health", timeout=2).status_code == 200

    def ask(self, path: str, **body: Any) -> Any:
        return httpx.post(f"{self.api}/{path}", json=body, timeout=10).raise_for_status().json()

    def flow_runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("flow_runs/filter", limit=200)
        return found

    def completed(self) -> list[dict[str, Any]]:
        return prefect_completed(self.flow_runs())

    def close(self) -> None:
        """They do not all heed SIGTERM: their whole groups are killed."""
        for it in reversed(self.processes):
            with suppress(ProcessLookupError):
                os.killpg(it.pid, signal.SIGKILL)
            it.wait(timeout=10)


def prefect_completed(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [it for it in found if it["state_type"] == "COMPLETED"]


def runs(folder: Path) -> list[tuple[Any, ...]]:
    database = Database(f"sqlite:///{folder / '.antiphon' / 'antiphon.db'}", read_only=True)
    try:
        with database.read() as connection:
            return connection.execute(
                "SELECT schedule, fire_at, engine, result, claimed_by FROM schedule_run "
                "WHERE finished_at IS NOT NULL ORDER BY schedule, fire_at"
            )
    finally:
        database.close()


@pytest.mark.slow
def test_prefects_clock_and_our_leader_begin_scheduled_runs_that_a_worker_carries_out_once(
    prefect: Prefect, tmp_path: Path
) -> None:
    shop, now = tmp_path / "shop", present() // SECOND * SECOND
    schedules = SCHEDULES.format(later=iso(now + 30 * SECOND))
    files = {
        **FILES,
        "antiphon.yaml": SETTINGS + schedules,
        "campaigns/cart.yaml": EXPERIMENT,
        "metrics/ordered.yaml": METRIC,
    }
    for name, text in files.items():
        (shop / name).parent.mkdir(parents=True, exist_ok=True)
        (shop / name).write_text(text)
    applied = command("apply", shop)
    assert applied.returncode == 0, applied.stderr
    served = Served(shop, environ=prefect.environ)
    try:
        wait_for(prefect.is_up, what="the server")
        prefect.start("worker", "start", "--pool", "antiphon", "--type", "process")
        deployed = command("flows", "deploy", shop, "--json", environ=prefect.environ)
        assert deployed.returncode == 0, deployed.stderr
        by_clock = wait_for(
            lambda: [it for it in prefect.completed() if it["auto_scheduled"]],
            what="a run that Prefect's own clock began",
        )
        wait_for(
            lambda: "by-leader" in {row[0] for row in runs(shop)},
            what="a run that our leader began",
        )
        done = runs(shop)
        flow_runs = prefect.flow_runs()
        deployments = prefect.ask("deployments/filter", limit=20)
        artifacts = prefect.ask("artifacts/latest/filter", limit=5)
        listed = command("scheduler", shop, "--list", "--json", environ=prefect.environ)
    finally:
        served.terminate()

    shared = json.loads(deployed.stdout)
    assert shared["prefect_clock"] == ["by-prefect"]
    assert "too often to compare" in shared["leader"]["by-leader"]
    assert {it["state_name"] for it in by_clock} == {"Completed"}
    # Our table knows each run once, by the instant and by the flow run that carried it out.
    assert {row[2] for row in done} == {"prefect"}
    owners = {f"flow run {it['id']}" for it in prefect_completed(flow_runs)}
    assert {row[4] for row in done} <= owners
    led = {row[4] for row in done if row[0] == "by-leader"}
    assert not {f"flow run {it['id']}" for it in flow_runs if it["auto_scheduled"]} & led
    assert all(row[1] % MINUTE == 0 for row in done if row[0] == "by-leader")
    assert all((row[1] - now - 30 * SECOND) % MINUTE == 0 for row in done if "prefect" in row[0])
    assert "1 reports in reports/experiments.html" in {row[3] for row in done}
    assert (shop / ".antiphon" / "reports" / "experiments.html").exists()
    # Prefect's scheduler makes runs ahead of time: they wait, and nobody called them.
    assert any(it["auto_scheduled"] and it["state_type"] == "SCHEDULED" for it in flow_runs)
    assert not [it for it in flow_runs if it["state_type"] in ("FAILED", "CRASHED")]
    assert {it["global_concurrency_limit"]["limit"] for it in deployments} == {1}
    assert len(deployments) == len(JOBS)
    assert [it["key"] for it in artifacts] == ["experiment-holdout-cart"]
    assert artifacts[0]["type"] == "markdown"
    assert {it["name"] for it in json.loads(listed.stdout)["schedules"]} == {
        "by-prefect", "by-leader",
    }  # fmt: skip
