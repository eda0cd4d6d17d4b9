"""The schedules of a workspace and their last runs, for those who look."""

from typing import Any, Final

from campaigns.durations import dump_duration
from engine.core.clocktime import iso
from engine.core.model.instants import Instant
from engine.core.model.steps import Duration
from engine.release.playbook import Playbook
from engine.schedule import Cron, Every, Rule, Times, next_fire
from engine.scheduling.plans import encode, plans_of
from engine.store.database import Database

RUNS: Final = 3


def shown(database: Database, playbook: Playbook, *, now: Instant) -> list[dict[str, Any]]:
    """Each schedule: when it fires next, and its last runs, the newest first."""
    with database.read() as connection:
        rows = connection.execute("SELECT name, definition, next_at FROM schedule")
        runs = connection.execute(
            "SELECT schedule, fire_at, engine, finished_at, held_until, result FROM "
            "(SELECT r.*, row_number() OVER (PARTITION BY schedule ORDER BY fire_at DESC) AS place "
            f"FROM schedule_run r) AS placed WHERE place <= {RUNS} ORDER BY schedule, fire_at DESC"
        )
    kept = {str(name): (str(definition), next_at) for name, definition, next_at in rows}
    found: list[dict[str, Any]] = []
    for name, plan in plans_of(playbook.workspace).items():
        definition, next_at = kept.get(name, ("", None))
        if definition != encode(plan):  # nobody has begun to keep it yet
            next_at = next_fire(plan.times, now, plan.zone)
        found.append(
            {
                "name": name,
                "job": plan.job,
                "when": _words(plan.times),
                "zone": plan.zone,
                "next": None if next_at is None else iso(next_at),
                "runs": [
                    {
                        "fire_at": iso(fire_at),
                        "engine": engine,
                        "finished_at": None if finished_at is None else iso(finished_at),
                        "held_until": held_until,
                        "result": result,
                    }
                    for schedule, fire_at, engine, finished_at, held_until, result in runs
                    if schedule == name
                ],
            }
        )
    return found


def _words(times: Times) -> str:
    match times:
        case Cron(line=line):
            return line
        case Every(span=span):
            return f"every {dump_duration(Duration(exact=span))}"
        case Rule(text=text):
            return text
