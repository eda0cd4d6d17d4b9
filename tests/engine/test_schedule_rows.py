"""The table of schedules: each run begins once, whoever asks, on both databases."""

import random
import subprocess
import sys
from collections import Counter

import pytest

from engine.core.model.instants import DAY, HOUR, MINUTE, SECOND, Instant
from engine.schedule import Cron, Every, Times, next_fire
from engine.scheduling import rows
from engine.scheduling.leading import lead, step_down
from engine.scheduling.plans import Plan
from engine.scheduling.rows import HANDED, HELD, PATIENCE, TRIES_MAX, Run
from engine.store.database import Database
from tests.engine.test_schedule import at

NINE = at("2026-03-02T09:00")
DAILY = Cron("0 9 * * *")


def a_plan(times: Times = DAILY, *, grace: int = HOUR) -> Plan:
    return Plan("retention", times, "UTC", grace)


def keep(database: Database, *, now: Instant, **plans: Plan) -> None:
    with database.write() as connection:
        rows.keep(connection, plans, now=now)


def claim(
    database: Database, *, now: Instant, owner: str = "a", engine: rows.Engine = "embedded"
) -> list[Run]:
    with database.write() as connection:
        return rows.claim(connection, owner=owner, engine=engine, now=now, limit=10)


def take(database: Database, fire_at: Instant, *, now: Instant, owner: str = "f") -> Run | str:
    with database.write() as connection:
        return rows.take(connection, "daily", fire_at, owner=owner, now=now)


def finish(database: Database, run: Run, *, now: Instant, result: str = "done") -> bool:
    with database.write() as connection:
        return rows.finish(connection, run, result=result, now=now)


def kept(database: Database) -> list[tuple[object, ...]]:
    with database.read() as connection:
        return connection.execute(
            "SELECT fire_at, claimed_by, tries, engine, result FROM schedule_run ORDER BY fire_at"
        )


def next_at(database: Database) -> Instant | None:
    with database.read() as connection:
        ((found,),) = connection.execute("SELECT next_at FROM schedule")
    return None if found is None else int(found)


def test_what_is_due_is_claimed_once_and_comes_again_the_next_day(database: Database) -> None:
    keep(database, now=NINE - HOUR, daily=a_plan())

    early = claim(database, now=NINE - 1)
    first = claim(database, now=NINE, owner="a")
    second = claim(database, now=NINE, owner="b")

    assert early == second == []
    assert [(it.schedule, it.fire_at, it.owner, it.tries) for it in first] == [
        ("daily", NINE, "a", 1)
    ]
    assert next_at(database) == NINE + DAY


def test_a_schedule_that_is_new_or_changed_never_fires_for_the_past(database: Database) -> None:
    keep(database, now=NINE + 1, daily=a_plan())
    assert claim(database, now=NINE + 1) == []

    keep(database, now=NINE + 2, daily=a_plan(Every(DAY, NINE - 10 * MINUTE)))

    assert claim(database, now=NINE + MINUTE) == []
    assert next_at(database) == NINE + DAY - 10 * MINUTE


def test_a_release_that_changes_nothing_leaves_what_is_due(database: Database) -> None:
    keep(database, now=NINE - HOUR, daily=a_plan())
    keep(database, now=NINE + SECOND, daily=a_plan())

    assert [it.fire_at for it in claim(database, now=NINE + SECOND)] == [NINE]

    keep(database, now=NINE + SECOND)
    with database.read() as connection:
        assert connection.execute("SELECT * FROM schedule") == []


def test_of_many_that_were_missed_only_the_latest_begins(database: Database) -> None:
    keep(database, now=NINE, daily=a_plan(Every(MINUTE)))

    claimed = claim(database, now=NINE + 30 * MINUTE + SECOND)

    assert [it.fire_at for it in claimed] == [NINE + 30 * MINUTE]
    assert next_at(database) == NINE + 31 * MINUTE


def test_what_is_later_than_its_grace_is_left_and_says_so(database: Database) -> None:
    keep(database, now=NINE - HOUR, daily=a_plan(grace=HOUR))

    assert claim(database, now=NINE + HOUR + 1) == []

    assert kept(database) == [
        (NINE, "a", 1, "embedded", "missed: nobody could begin it within 60 min")
    ]
    assert next_at(database) == NINE + DAY


def test_at_the_end_of_its_grace_it_still_begins(database: Database) -> None:
    keep(database, now=NINE - HOUR, daily=a_plan(grace=HOUR))

    assert [it.fire_at for it in claim(database, now=NINE + HOUR)] == [NINE]


def test_whose_holder_died_is_taken_over_until_its_tries_are_used_up(database: Database) -> None:
    keep(database, now=NINE - HOUR, daily=a_plan())
    (first,) = claim(database, now=NINE, owner="a")
    assert claim(database, now=NINE + HELD - 1, owner="b") == []

    now, tries = NINE, []
    for _ in range(TRIES_MAX):
        now += HELD
        tries += [it.tries for it in claim(database, now=now, owner="b")]

    assert tries == [2, 3]
    assert kept(database) == [(NINE, "b", 4, "embedded", "given up after 3 tries")]
    assert not finish(database, first, now=now), "whom it was taken from writes nothing more"


def test_a_hold_that_is_renewed_keeps_others_away(database: Database) -> None:
    keep(database, now=NINE - HOUR, daily=a_plan())
    (run,) = claim(database, now=NINE)

    with database.write() as connection:
        assert rows.hold(connection, run, until=NINE + 10 * HELD)

    assert claim(database, now=NINE + 9 * HELD, owner="b") == []
    assert finish(database, run, now=NINE + 9 * HELD)
    assert claim(database, now=NINE + 20 * HELD, owner="b") == []


def test_a_try_that_failed_comes_again_and_the_last_is_final(database: Database) -> None:
    keep(database, now=NINE - HOUR, daily=a_plan())
    now = NINE
    for _ in range(TRIES_MAX):
        (run,) = claim(database, now=now)
        with database.write() as connection:
            rows.stumble(connection, run, why="the disk is full", now=now)
        now += MINUTE * run.tries

    assert claim(database, now=now) == []
    assert kept(database)[0][4] == "failed 3 times: the disk is full"


def test_a_run_whose_schedule_is_gone_is_given_up(database: Database) -> None:
    keep(database, now=NINE - HOUR, daily=a_plan())
    claim(database, now=NINE)
    keep(database, now=NINE)

    assert claim(database, now=NINE + HELD) == []
    assert kept(database)[0][4] == "given up: its schedule is gone"


# --- beside Prefect -------------------------------------------------------------------------------


def test_a_flow_begins_what_is_due_and_nothing_else(database: Database) -> None:
    keep(database, now=NINE - HOUR, daily=a_plan())

    assert take(database, NINE, now=NINE - 1) == '"daily" fires at 2026-03-02T09:00:00Z, not yet'
    assert take(database, NINE + 1, now=NINE + 2) == (
        '"daily" does not fire at 2026-03-02T09:00:00.000001Z'
    )
    assert "longer ago" in str(take(database, NINE - DAY, now=NINE))
    run = take(database, NINE, now=NINE + SECOND)

    assert isinstance(run, Run)
    assert claim(database, now=NINE + SECOND) == [], "it is taken, also for our leader"
    assert take(database, NINE, now=NINE + SECOND, owner="g") == "f is at it"
    assert isinstance(take(database, NINE, now=NINE + SECOND, owner="f"), Run), "a retried flow"
    assert finish(database, run, now=NINE + MINUTE)
    assert take(database, NINE, now=NINE + MINUTE) == "it is done already: done"


def test_a_flow_takes_what_was_handed_over_and_only_the_first_one(database: Database) -> None:
    keep(database, now=NINE - HOUR, daily=a_plan())
    (run,) = claim(database, now=NINE, engine="prefect")
    assert take(database, NINE, now=NINE) == "a is at it"
    with database.write() as connection:
        assert rows.hold(connection, run, until=NINE + HOUR, owner=f"{HANDED}a")

    first = take(database, NINE, now=NINE, owner="f")
    second = take(database, NINE, now=NINE, owner="g")

    assert isinstance(first, Run)
    assert second == "f is at it"


def test_what_could_not_be_handed_over_stays_the_same_try(database: Database) -> None:
    keep(database, now=NINE - HOUR, daily=a_plan())
    now = NINE
    for _ in range(2 * TRIES_MAX):
        (run,) = claim(database, now=now, engine="prefect")
        assert run.tries == 1
        with database.write() as connection:
            rows.put_back(connection, run, until=now + SECOND)
        now += SECOND


def test_the_leader_waits_a_while_for_prefects_own_clock(database: Database) -> None:
    keep(database, now=NINE - HOUR, daily=a_plan())
    with database.write() as connection:
        connection.execute("UPDATE schedule SET native = definition")

    assert claim(database, now=NINE + PATIENCE - 1, engine="prefect") == []
    assert [it.fire_at for it in claim(database, now=NINE + PATIENCE, engine="prefect")] == [NINE]


def test_without_prefect_its_clock_is_not_waited_for(database: Database) -> None:
    keep(database, now=NINE - HOUR, daily=a_plan())
    with database.write() as connection:
        connection.execute("UPDATE schedule SET native = definition")

    assert [it.fire_at for it in claim(database, now=NINE)] == [NINE]


@pytest.mark.parametrize("seed", range(6))
def test_engines_that_change_and_overlap_neither_repeat_nor_skip(
    database: Database, seed: int
) -> None:
    rng, now, began = random.Random(seed), NINE, Counter[Instant]()
    plan = a_plan(Every(10 * MINUTE), grace=HOUR)
    keep(database, now=now, daily=plan)
    end = NINE + 12 * HOUR
    while now < end:
        now += rng.randrange(1, 4) * MINUTE
        who = rng.choice(["leader", "prefect leader", "flow", "nobody"])
        if who == "flow":  # Prefect's own clock, sometimes late, sometimes twice
            fire = next_fire(plan.times, now - rng.randrange(0, 20) * MINUTE, "UTC")
            assert fire is not None
            for flow in rng.sample(["f", "g"], rng.randrange(1, 3)):
                run = take(database, fire, now=now, owner=f"{flow}{now}")
                if isinstance(run, Run):
                    began[run.fire_at] += 1
                    finish(database, run, now=now)
        elif who != "nobody":
            engine: rows.Engine = "embedded" if who == "leader" else "prefect"
            for run in claim(database, now=now, owner=who, engine=engine):
                began[run.fire_at] += 1
                finish(database, run, now=now)
    for run in claim(database, now=end):
        began[run.fire_at] += 1

    assert set(began.values()) == {1}
    done = [int(str(row[0])) for row in kept(database)]
    assert sorted(began) == done
    # Only where nobody looked for longer than a span is one left to a later one.
    expected = [NINE + n * 10 * MINUTE for n in range(1, 73)]
    skipped = [it for it in expected if it not in began]
    assert all(it + 10 * MINUTE in began or it + 10 * MINUTE in skipped for it in skipped[:-1])
    assert len(began) > 40


CLAIMER = """
import sys, time
from engine.core.model.instants import MINUTE
from engine.scheduling import rows
from engine.store.database import Database
url, name, start, n = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
database = Database(url)
for minute in range(1, n + 1):
    now = start + minute * MINUTE
    with database.write() as connection:
        for run in rows.claim(connection, owner=name, engine="embedded", now=now, limit=10):
            print(run.schedule, run.fire_at, flush=True)
            rows.finish(connection, run, result="done", now=now)
database.close()
"""


def test_two_processes_together_begin_every_run_once(database: Database) -> None:
    n = 60
    # The slower of the two may see a schedule that the faster has moved an hour on.
    keep(database, now=NINE, **{f"s{i}": a_plan(Every(MINUTE), grace=DAY) for i in range(3)})

    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, database.url, name, str(NINE), str(n)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("a", "b")
    ]
    said = [it.communicate(timeout=60)[0].split("\n") for it in processes]

    assert [it.returncode for it in processes] == [0, 0]
    begun = Counter(line for lines in said for line in lines if line)
    assert set(begun.values()) == {1}
    assert len(begun) == 3 * n


# --- who leads ------------------------------------------------------------------------------------


def test_one_leads_until_its_lease_runs_out(database: Database) -> None:
    def asks(owner: str, now: Instant) -> bool:
        with database.write() as connection:
            return lead(connection, "schedules", owner=owner, now=now, until=now + MINUTE)

    assert asks("a", NINE)
    assert not asks("b", NINE + MINUTE - 1)
    assert asks("a", NINE + MINUTE - 1)
    assert asks("b", NINE + 2 * MINUTE)
    with database.write() as connection:
        step_down(connection, "schedules", owner="b")
    assert asks("a", NINE + 2 * MINUTE)
