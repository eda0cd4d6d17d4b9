"""The tables `schedule` and `schedule_run`: what is due, and who runs it, each run once.

due: `schedule.next_at` has come. Whoever moves it on, in the transaction that inserts the run, has
    claimed it; the key (schedule, fire_at) holds against everybody else, also of the other engine.
held: `held_until` is renewed while the run goes on. Who lets it pass is taken for dead, and
    another takes the run over: jobs have keys of their own, so what was done is not done again.
finished: with what came of it, in words. A run that nobody could begin in time says so, too.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from engine.core.clocktime import iso
from engine.core.model.instants import MINUTE, Instant
from engine.schedule import latest_fire, next_fire
from engine.scheduling.plans import Plan, decode, encode
from engine.store.bulk import insert
from engine.store.connection import Connection

Engine: TypeAlias = Literal["embedded", "prefect"]

HELD: Final = MINUTE
"""How long a run is held without a word; it is renewed three times as often."""
TRIES_MAX: Final = 3
PATIENCE: Final = 2 * MINUTE
"""How long Prefect has for a run that its own schedule should start, before we start it."""
HANDED: Final = "handed over by "
"""What the holder of a run is called between our hand-over and the flow that takes it."""
_RUN: Final = ("schedule", "fire_at", "claimed_by", "held_until", "tries", "engine", "result")


class Run(NamedTuple):
    """A run that the caller has claimed."""

    schedule: str
    fire_at: Instant
    plan: Plan
    owner: str
    tries: int

    @property
    def key(self) -> str:
        """What everything that the run writes is unique by, however often it is tried."""
        return f"{self.schedule}:{self.fire_at}"


def keep(connection: Connection, plans: Mapping[str, Plan], *, now: Instant) -> None:
    """Bring the table to the release: what is new or has changed fires next after now."""
    rows = connection.execute("SELECT name, definition FROM schedule")
    known = {str(name): str(definition) for name, definition in rows}
    for name in known.keys() - plans.keys():
        connection.execute("DELETE FROM schedule WHERE name = ?", (name,))
    for name, plan in plans.items():
        definition = encode(plan)
        if known.get(name) == definition:
            continue
        connection.execute("DELETE FROM schedule WHERE name = ?", (name,))
        insert(
            connection,
            "schedule",
            ("name", "definition", "next_at", "native"),
            [(name, definition, next_fire(plan.times, now, plan.zone), "")],
            on_conflict="ignore",
        )


def is_anything_due(connection: Connection, *, now: Instant) -> bool:
    """Whether `claim` would find something: a look that writes nothing."""
    return bool(
        connection.execute(
            "SELECT 1 FROM schedule WHERE next_at <= ? UNION ALL "
            "SELECT 1 FROM schedule_run WHERE finished_at IS NULL AND held_until <= ? LIMIT 1",
            (now, now),
        )
    )


def claim(
    connection: Connection, *, owner: str, engine: Engine, now: Instant, limit: int
) -> list[Run]:
    """Claim up to `limit` runs: those whose holder died first, then what has become due."""
    found = _left_behind(connection, owner=owner, engine=engine, now=now, limit=limit)
    rows = connection.execute(
        "SELECT name, definition, next_at, native FROM schedule WHERE next_at <= ? "
        "ORDER BY next_at, name",
        (now,),
    )
    for name, definition, next_at, native in rows:
        if len(found) >= limit:
            break
        patience = PATIENCE if engine == "prefect" and native == definition else 0
        if next_at > now - patience:
            continue
        run = _claim_due(
            connection, str(name), str(definition), int(next_at), owner=owner, engine=engine,
            now=now, until=now - patience,
        )  # fmt: skip
        if run is not None:
            found.append(run)
    return found


def take(
    connection: Connection,
    schedule: str,
    fire_at: Instant,
    *,
    owner: str,
    now: Instant,
    engine: Engine = "prefect",
) -> Run | str:
    """Begin a run by name, as a Prefect flow does; or the reason why it is not ours to begin.

    One that nobody claimed is claimed if it is due: Prefect's own clock may be first. Who holds it
    already may go on: a flow that is retried is the same one.
    """
    rows = connection.execute("SELECT definition FROM schedule WHERE name = ?", (schedule,))
    if not rows:
        return f'there is no schedule "{schedule}" in the live release'
    definition = str(rows[0][0])
    plan = decode(definition)
    kept = connection.execute(
        "SELECT claimed_by, held_until, tries, finished_at, result FROM schedule_run "
        "WHERE schedule = ? AND fire_at = ?",
        (schedule, fire_at),
    )
    if not kept:
        if next_fire(plan.times, fire_at - 1, plan.zone) != fire_at:
            return f'"{schedule}" does not fire at {iso(fire_at)}'
        if fire_at > now:
            return f'"{schedule}" fires at {iso(fire_at)}, not yet'
        if fire_at < now - plan.grace:
            return f"{iso(fire_at)} is longer ago than the grace of {_words(plan.grace)}"
        if not _insert(connection, schedule, fire_at, owner=owner, engine=engine, now=now):
            return "another has just begun it"
        following = next_fire(plan.times, fire_at, plan.zone)
        connection.execute(
            "UPDATE schedule SET next_at = ? WHERE name = ? AND definition = ? AND next_at <= ?",
            (following, schedule, definition, fire_at),
        )
        return Run(schedule, fire_at, plan, owner, 1)
    holder, held_until, tries, finished_at, result = kept[0]
    if finished_at is not None:
        return f"it is done already: {result}"
    if holder != owner and not str(holder).startswith(HANDED) and held_until > now:
        return f"{holder} is at it"
    # A frozen holder that wakes up finds its name gone, and writes nothing more about the run.
    is_ours = connection.execute(
        "UPDATE schedule_run SET claimed_by = ?, held_until = ?, engine = ? "
        "WHERE schedule = ? AND fire_at = ? AND claimed_by = ? AND finished_at IS NULL "
        "AND held_until = ? RETURNING tries",
        (owner, now + HELD, engine, schedule, fire_at, holder, held_until),
    )
    return Run(schedule, fire_at, plan, owner, int(tries)) if is_ours else "another has it now"


def hold(connection: Connection, run: Run, *, until: Instant, owner: str = "") -> bool:
    """Hold a run longer, under another name if one is given; False if it is not ours any more."""
    return bool(
        connection.execute(
            "UPDATE schedule_run SET held_until = ?, claimed_by = ? WHERE schedule = ? "
            "AND fire_at = ? AND claimed_by = ? AND finished_at IS NULL RETURNING fire_at",
            (until, owner or run.owner, run.schedule, run.fire_at, run.owner),
        )
    )


def finish(connection: Connection, run: Run, *, result: str, now: Instant) -> bool:
    """Write down what came of it; False if another has taken it over."""
    return bool(
        connection.execute(
            "UPDATE schedule_run SET finished_at = ?, held_until = ?, result = ? "
            "WHERE schedule = ? AND fire_at = ? AND claimed_by = ? AND finished_at IS NULL "
            "RETURNING fire_at",
            (now, now, result, run.schedule, run.fire_at, run.owner),
        )
    )


def stumble(connection: Connection, run: Run, *, why: str, now: Instant) -> None:
    """A try that failed: again in a minute, and later each time, or for good after the last."""
    if run.tries >= TRIES_MAX:
        finish(connection, run, result=f"failed {TRIES_MAX} times: {why}", now=now)
    else:
        hold(connection, run, until=now + MINUTE * run.tries)


def put_back(connection: Connection, run: Run, *, until: Instant) -> None:
    """Leave a run that never began to be claimed later, as the same try."""
    if hold(connection, run, until=until):
        connection.execute(
            "UPDATE schedule_run SET tries = ? WHERE schedule = ? AND fire_at = ?",
            (run.tries - 1, run.schedule, run.fire_at),
        )


# --- claiming -------------------------------------------------------------------------------------


def _claim_due(
    connection: Connection,
    name: str,
    definition: str,
    next_at: Instant,
    *,
    owner: str,
    engine: Engine,
    now: Instant,
    until: Instant,
) -> Run | None:
    plan = decode(definition)
    moved = connection.execute(
        "UPDATE schedule SET next_at = ? WHERE name = ? AND definition = ? AND next_at = ? "
        "RETURNING name",
        (next_fire(plan.times, until, plan.zone), name, definition, next_at),
    )
    if not moved:
        return None  # another process has just claimed it
    earliest = max(next_at, now - plan.grace)
    fire_at = latest_fire(plan.times, earliest - 1, until, plan.zone)
    if fire_at is None:
        late = f"missed: nobody could begin it within {_words(plan.grace)}"
        if _insert(connection, name, next_at, owner=owner, engine=engine, now=now):
            finish(connection, Run(name, next_at, plan, owner, 1), result=late, now=now)
        return None
    if not _insert(connection, name, fire_at, owner=owner, engine=engine, now=now):
        return None  # the other engine was first
    return Run(name, fire_at, plan, owner, 1)


def _insert(
    connection: Connection,
    name: str,
    fire_at: Instant,
    *,
    owner: str,
    engine: Engine,
    now: Instant,
) -> bool:
    marks = ", ".join("?" * len(_RUN))
    return bool(
        connection.execute(
            f"INSERT INTO schedule_run ({', '.join(_RUN)}) VALUES ({marks}) "
            "ON CONFLICT DO NOTHING RETURNING fire_at",
            (name, fire_at, owner, now + HELD, 1, engine, ""),
        )
    )


def _left_behind(
    connection: Connection, *, owner: str, engine: Engine, now: Instant, limit: int
) -> list[Run]:
    """Runs whose holder has not been heard of in time, or whose next try has come."""
    rows = connection.execute(
        "SELECT r.schedule, r.fire_at, r.held_until, r.tries, s.definition FROM schedule_run r "
        "LEFT JOIN schedule s ON s.name = r.schedule "
        "WHERE r.finished_at IS NULL AND r.held_until <= ? ORDER BY r.fire_at, r.schedule",
        (now,),
    )
    found: list[Run] = []
    for name, fire_at, held_until, tries, definition in rows[:limit]:
        again = connection.execute(
            "UPDATE schedule_run SET claimed_by = ?, held_until = ?, tries = ?, engine = ? "
            "WHERE schedule = ? AND fire_at = ? AND held_until = ? AND finished_at IS NULL "
            "RETURNING fire_at",
            (owner, now + HELD, int(tries) + 1, engine, name, fire_at, held_until),
        )
        if not again:
            continue
        if definition is None:
            gone = Run(str(name), int(fire_at), _NOTHING, owner, int(tries))
            finish(connection, gone, result="given up: its schedule is gone", now=now)
            continue
        run = Run(str(name), int(fire_at), decode(str(definition)), owner, int(tries) + 1)
        if run.tries > TRIES_MAX:
            finish(connection, run, result=f"given up after {TRIES_MAX} tries", now=now)
        else:
            found.append(run)
    return found


def _words(span: int) -> str:
    """A span in whole minutes."""
    return f"{span // MINUTE} min"


_NOTHING: Final = decode('{"job":"","times":{"type":"cron","line":""},"zone":"UTC","grace":0}')
