"""Seconds of `antiphon plan`: 200 campaigns, all of them changed, 100,000 people inside.

Promised: under 3, on a machine with nothing else to do. Run: python -m benchmarks.plan [CAMPAIGNS]
"""

import platform
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

from benchmarks.check import generated
from campaigns.load import load_bundle
from engine.core.model.instants import DAY, MINUTE
from engine.release.checking import compiled
from engine.release.planning import plan
from engine.release.publish import apply
from engine.release.words import rendered
from engine.store import bulk
from engine.store.connection import Connection
from engine.store.database import Database
from engine.store.migrate import upgrade

SECONDS_MAX = 3.0
PEOPLE = 100_000
NOW = 1_772_452_800_000_000
STEPS = ("settle", "bought", "morning")
COLUMNS = (
    "id", "profile_id", "campaign", "version", "key", "status", "entered_at", "step", "step_at",
    "due_at", "visit", "trigger_seq", "trigger", "variants", "held_by", "reason",
)  # fmt: skip


def fill(connection: Connection, versions: dict[str, str]) -> None:
    """People inside every campaign, a third at each step, and as many who have finished."""
    names = list(versions)
    rows = []
    for n in range(2 * PEOPLE):
        name = names[n % len(names)]
        at = NOW - n % 3000 * MINUTE
        status = "active" if n % 2 else "done"
        step = STEPS[n % len(STEPS)]
        rows.append(
            (
                n,
                n,
                name,
                versions[name],
                "",
                status,
                at,
                step,
                at,
                at + DAY,
                1,
                1,
                "{}",
                "{}",
                "",
                "",
            )
        )
    bulk.insert(connection, "enrollment", COLUMNS, rows)
    bulk.insert(
        connection, "profile_state", ("profile_id", "state"), [(n, b"") for n in range(PEOPLE)]
    )


def edited(files: dict[str, bytes]) -> dict[str, bytes]:
    """Every campaign's first delay is longer and moves its people; another segment is kept."""
    return {
        path: content.replace(b"delay: 30m", b"delay: 45m")
        .replace(b"journey:\n", b"migrate: {from: any}\njourney:\n")
        .replace(b"within: 2h\n    - session", b"within: 3h\n    - session")
        for path, content in files.items()
    }


def main(arguments: list[str]) -> int:
    n_campaigns = int(arguments[0]) if arguments else 200
    files = generated(n_campaigns)
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'plan.db'}", is_throwaway=True)
        upgrade(database)
        with database.write() as connection:
            apply(connection, load_bundle(files, environ={}), now=NOW - DAY)
            versions = connection.execute("SELECT campaign, version FROM campaign_version")
            fill(connection, dict(versions))
        newer = edited(files)
        started, worked = perf_counter(), process_time()
        checked = compiled(load_bundle(newer, environ={}))
        read = perf_counter()
        with database.read() as connection:
            found = plan(connection, checked.workspace, now=NOW)
        text = rendered(found)
        seconds, work = perf_counter() - started, process_time() - worked
        database.close()
    inside = sum(it.people.n_people for it in found.inside)
    assert inside == PEOPLE, inside
    print(
        f"{n_campaigns} campaigns, {inside:,} people inside: {seconds:.2f} s "
        f"({read - started:.2f} s of it to check the files; {work:.2f} s of processor), "
        f"{len(text.splitlines()):,} lines of plan "
        f"({platform.machine()}, Python {platform.python_version()})"
    )
    return 0 if n_campaigns != 200 or work < SECONDS_MAX else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
