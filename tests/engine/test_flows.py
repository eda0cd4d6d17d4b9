"""Flows without a server: which there are, and where Prefect's own clock may be trusted."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from campaigns.schedule_forms import JOBS
from engine.core.model.instants import DAY, HOUR, MINUTE
from engine.schedule import Cron, Every, Rule, Times
from engine.scheduling import jobs
from engine.scheduling.native import disagreement
from engine.scheduling.plans import Plan, encode
from tests.engine.commanding import Antiphon
from tests.engine.commanding import antiphon as antiphon
from tests.engine.test_schedule import at

HOUSE = Path(__file__).parents[2]
MARCH = at("2026-03-01T00:00")


def test_every_job_has_its_plain_function_and_its_flow() -> None:
    from engine.flows import FLOWS

    assert set(JOBS) == set(jobs.JOBS) == set(FLOWS)
    assert all(asyncio.iscoroutinefunction(it.fn) for it in FLOWS.values())
    assert all(it.retries for it in FLOWS.values())


def test_prefect_yaml_deploys_every_flow() -> None:
    from engine.flows import FLOWS

    written = yaml.safe_load((HOUSE / "prefect.yaml").read_text())

    named = {it["entrypoint"].partition(":")[2] for it in written["deployments"]}
    assert named == {it.fn.__name__ for it in FLOWS.values()}
    assert {it["entrypoint"].partition(":")[0] for it in written["deployments"]} == {
        "engine/flows.py"
    }


@pytest.mark.parametrize(
    ("times", "zone", "said"),
    [
        (Cron("0 5 * * *"), "Europe/Berlin", ""),
        (Cron("0 9 * * mon-fri"), "America/New_York", ""),
        (Every(15 * MINUTE), "UTC", ""),
        (Every(DAY, MARCH + HOUR), "UTC", ""),
        (Rule("FREQ=MONTHLY;BYDAY=-1FR", MARCH), "Europe/Berlin", ""),
        # A time that the clocks skip: we fire at the end of the gap, croniter half an hour later.
        (Cron("30 2 * * *"), "Europe/Berlin", "at 2026-03-29T0"),
        (Rule("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", MARCH), "Europe/Berlin", "at 2026-03-29T0"),
        # `*/2` leaves the day unrestricted to cron(8), so that both must hold; one to croniter.
        (Cron("0 9 */2 * mon"), "UTC", "only one of the two clocks fires"),
        (Cron("* * * * *"), "UTC", "too often to compare"),
    ],
)
def test_prefects_clock_is_trusted_where_its_next_year_is_ours(
    times: Times, zone: str, said: str
) -> None:
    found = asyncio.run(disagreement(encode(Plan("retention", times, zone, HOUR)), now=MARCH))

    assert said in found
    assert bool(found) == bool(said)


def test_without_a_server_the_command_says_what_runs_schedules_then(
    antiphon: Antiphon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    said = antiphon("flows", "deploy", tmp_path)

    assert said.code == 2
    assert "PREFECT_API_URL is not set" in said.error
    assert "`antiphon serve` runs all schedules by itself" in said.error


def test_a_scheduler_of_its_own_needs_a_database_that_several_share(
    antiphon: Antiphon, tmp_path: Path
) -> None:
    said = antiphon("scheduler", tmp_path)

    assert said.code == 2
    assert "a SQLite file has one engine, which keeps the schedules, too" in said.error


@pytest.mark.parametrize("module", ["engine.cli", "engine.serve", "engine.scheduling.process"])
def test_prefect_is_imported_only_where_a_flow_is_run_or_started(module: str) -> None:
    code = f"import sys, {module}; sys.exit('prefect' in sys.modules or 'dateutil' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
