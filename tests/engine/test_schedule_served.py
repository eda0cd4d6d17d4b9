"""Schedules in real processes: `serve` on SQLite, `scheduler` on PostgreSQL; nothing of Prefect."""

import time
from pathlib import Path

import pytest

from engine.core.clocktime import iso
from engine.core.model.instants import SECOND
from engine.steady import present
from engine.store.database import Database
from tests.engine.publishing import FILES, SETTINGS, written
from tests.engine.serving import Served, command
from tests.rig.process import SECRET

SCHEDULES = """schedules:
  sweep: {{run: retention, every: 1m, start: {start}}}
  bandit-updates: {{paused: true}}
"""


class Scheduler(Served):
    command_line = ("scheduler",)
    says = r"Antiphon keeps the schedules of \S+ as (\S+)"


@pytest.mark.slow
def test_a_schedule_that_is_applied_runs_at_its_instant(database_url: str, tmp_path: Path) -> None:
    environ = {
        "ANTIPHON_DATABASE_URL": database_url, "ANTIPHON_SECRET_KEY": SECRET, "PREFECT_API_URL": "",
    }  # fmt: skip
    shop = written(tmp_path / "shop", FILES)
    assert command("apply", shop, environ=environ).returncode == 0
    process = (Scheduler if database_url.startswith("postgresql") else Served)(
        shop, environ=environ
    )
    database = Database(database_url, read_only=True)
    try:
        start = (present() // SECOND + 6) * SECOND
        settings = SETTINGS + SCHEDULES.format(start=iso(start))
        (shop / "antiphon.yaml").write_text(settings)
        applied = command("apply", shop, environ=environ)
        assert applied.returncode == 0, applied.stderr
        rows = []
        deadline = time.monotonic() + 90
        while not rows and time.monotonic() < deadline:
            time.sleep(0.2)
            with database.read() as connection:
                rows = connection.execute(
                    "SELECT fire_at, finished_at, engine, tries, result FROM schedule_run "
                    "WHERE schedule = 'sweep' AND finished_at IS NOT NULL"
                )
    finally:
        database.close()
        code = process.terminate()

    assert code == 0, process.log
    ((fire_at, finished_at, engine, tries, result),) = rows
    assert (fire_at - start) % (60 * SECOND) == 0
    assert finished_at >= fire_at
    assert (engine, tries, result) == ("embedded", 1, "nothing was old enough")
