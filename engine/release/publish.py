"""Make files what is played: prepare beside the engine, then go live in one transaction.

`prepare` plans and compiles and only reads, so that a long look at a large workspace keeps nobody
from writing; `go_live` refuses if anything it rested on has changed meanwhile. Going live wakes
every profile once: each meets the new definitions, moves included, at the engine's own pace
(`rebuild`, `core.play`). Read next: `planning`, `releases`, `live`.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from campaigns import experiment_plans
from campaigns.compile import Phase, phase_digests
from campaigns.declarations import Blind
from campaigns.load import load_bundle
from campaigns.plan import Change
from campaigns.problems import InvalidWorkspace
from campaigns.workspace import Workspace
from engine.core.errors import UsageError
from engine.core.model.campaigns import Program
from engine.core.model.instants import Instant
from engine.core.segments import for_program
from engine.failpoints import hit
from engine.release import releases
from engine.release.checking import Checked, check, compile_templates, compiled
from engine.release.live import load_playbook
from engine.release.operating import wake_everyone, wake_inside
from engine.release.planning import Plan, as_written, plan
from engine.release.releases import current_phases
from engine.store.connection import Connection
from engine.store.database import Database

__all__ = [
    "Applied",
    "Built",
    "Checked",
    "Ready",
    "apply",
    "apply_files",
    "check",
    "compile_templates",
    "compiled",
    "current_phases",
    "go_live",
    "load_playbook",
    "next_phases",
    "plan",
    "prepare",
]

TRIES_MAX: Final = 3
Write = Callable[[Callable[[Connection], Any]], Any]


class Built(NamedTuple):
    """What a backfill came to: the release that is live now, how many people it concerns at once,
    or why it cannot go live."""

    release: int
    n_concerned: int
    why: str = ""


Build = Callable[[], Built]


@dataclass(frozen=True)
class Ready:
    """A workspace planned and compiled, to go live upon the release that it was planned for.

    `is_prepared` says that a backfill has looked at everyone, and wakes those it concerns.
    """

    workspace: Workspace
    plan: Plan
    program: Program
    phases: Mapping[str, Phase]
    kind: releases.Kind = "apply"
    is_prepared: bool = False


@dataclass(frozen=True)
class Applied:
    """The release now live. `changes` is empty when nothing differed and nothing was written."""

    release: int
    changes: tuple[Change, ...]
    n_woken: int


class Outrun(UsageError):
    """Another release went live since the plan was made; look at a new plan."""


def prepare(
    connection: Connection,
    workspace: Workspace,
    *,
    now: Instant,
    blind: Blind = as_written,
    kind: releases.Kind = "apply",
) -> Ready:
    """Plan and compile a workspace. Reads only.

    Args:
        blind: Makes markers of pii values, for the plan's counts.
        kind: A rollback moves nobody.
    """
    planned = plan(connection, workspace, now=now, blind=blind, is_rollback=kind == "rollback")
    phases = next_phases(connection, workspace)
    # What goes back was live before: what a newer program has learnt to refuse must not stop it.
    was_live = kind == "rollback"
    release = planned.live + 1
    program = compiled(workspace, release=release, phases=phases, is_checked=was_live).program
    return Ready(workspace, planned, program, phases, kind)


def go_live(connection: Connection, ready: Ready, *, now: Instant) -> Applied:
    """Make what was prepared the live release, within the caller's transaction.

    What is live already changes nothing. An experiment whose design differs from its current phase
    opens the next, with a new seed that only never-exposed units see.

    Raises:
        InvalidWorkspace: If it would strand people.
        Outrun: If another release is live than the one it was planned for.
    """
    from engine.release import drafts  # it brings SQLAlchemy, which `check` need not wait for

    newest = releases.live(connection)
    planned = ready.plan
    if planned.live != (newest.number if newest else 0):
        raise Outrun
    if not ready.is_prepared:
        drafts.supersede(connection)
    if newest is not None and not planned.changes:
        return Applied(newest.number, (), 0)
    if planned.refused:
        raise InvalidWorkspace(planned.refused)
    release = releases.record(
        connection,
        digest=planned.digest,
        files=None if releases.holds(connection, planned.digest) else ready.workspace.files,
        kind=ready.kind,
        summary=[f'{it.kind} {it.construct} "{it.name}"' for it in planned.changes],
        now=now,
    )
    _write_versions(connection, ready, release)
    _write_phases(connection, ready, now=now)
    n_woken = 0 if ready.is_prepared else wake_everyone(connection, now=now)
    for campaign in planned.moves if ready.is_prepared else ():
        wake_inside(connection, campaign, now=now)  # a move concerns them, whatever was drafted
    hit("release commit")
    return Applied(release, planned.changes, n_woken)


def apply(
    connection: Connection,
    workspace: Workspace,
    *,
    now: Instant,
    blind: Blind = as_written,
    kind: releases.Kind = "apply",
) -> Applied:
    """Prepare a checked workspace and make it live, all within the caller's transaction."""
    ready = prepare(connection, workspace, now=now, blind=blind, kind=kind)
    return go_live(connection, ready, now=now)


def apply_files(
    database: Database,
    payload: Mapping[str, Any],
    *,
    write: Write,
    now: Callable[[], Instant],
    blind: Blind = as_written,
    build: Build | None = None,
) -> dict[str, Any]:
    """Make files live that came as {"files": {path: text}, "plan": ID or None}; as plain data.

    Raises:
        InvalidWorkspace: If they do not check, or would strand people.
        UsageError: If they, or what is live, are not what the plan with that id was about.
    """
    files = {path: text.encode() for path, text in payload["files"].items()}
    workspace = load_bundle(files, environ=os.environ)
    shown = payload.get("plan")
    if shown is None:
        return publish(database, workspace, write=write, now=now, blind=blind, build=build)
    _require_shown(database, shown, workspace)
    try:
        return publish(database, workspace, write=write, now=now, blind=blind, tries=1, build=build)
    except Outrun:
        _require_shown(database, shown, workspace)
        raise


def publish(
    database: Database,
    workspace: Workspace,
    *,
    write: Write,
    now: Callable[[], Instant],
    blind: Blind = as_written,
    kind: releases.Kind = "apply",
    tries: int = TRIES_MAX,
    build: Build | None = None,
) -> dict[str, Any]:
    """Prepare while others write, then go live; once more if another release came between.

    Args:
        build: Brings a backfill to its end. None: features that are new are never built
            beforehand, and each profile builds its own when it is played.
    """
    from engine.release.words import rendered

    while True:
        with database.read() as connection:
            ready = prepare(connection, workspace, now=now(), blind=blind, kind=kind)
            is_long = build is not None and _asks_many_about_the_past(connection, ready)
        if build is not None and is_long:
            return _build(ready, build, write=write, now=now)
        try:
            done: Applied = write(partial(go_live, ready=ready, now=now()))
        except Outrun:
            tries -= 1
            if not tries:
                raise
            continue
        words = rendered(ready.plan) if done.changes else ""
        return {"release": done.release, "plan": words, "woken": done.n_woken}


def _asks_many_about_the_past(connection: Connection, ready: Ready) -> bool:
    """Whether so many people lack a feature of the release that theirs are built beforehand."""
    from engine.release import drafts

    newest = releases.live(connection)
    if newest is None or not ready.plan.changes or ready.plan.refused:
        return False
    if not drafts.is_worth_preparing(connection):
        return False
    live = releases.workspace_of(connection, newest.digest)
    before = compiled(live, is_checked=True).segments
    return not for_program(ready.program).feature_keys <= before.feature_keys


def _build(
    ready: Ready, build: Build, *, write: Write, now: Callable[[], Instant]
) -> dict[str, Any]:
    """Have the release prepared until it is live, and give what came of it."""
    from engine.release import drafts
    from engine.release.words import rendered

    plan = ready.plan
    write(
        lambda connection: drafts.begin(
            connection,
            kind=ready.kind,
            digest=plan.digest,
            files=ready.workspace.files,
            now=now(),
        )
    )
    built = build()
    if built.why:
        raise UsageError(f"the release was prepared but cannot go live: {built.why}")
    return {"release": built.release, "plan": rendered(plan), "woken": built.n_concerned}


def _require_shown(database: Database, shown: str, workspace: Workspace) -> None:
    """Refuse unless a plan made now would bear the id that somebody agreed to."""
    with database.read() as connection:
        newest = releases.live(connection)
    live = newest.number if newest else 0
    if shown == f"{live}-{workspace.content_hash}":
        return
    upon, _, digest = shown.partition("-")
    if digest == workspace.content_hash and upon.isdigit():
        what = f"release {live} is live, and the plan was made upon release {upon}"
    elif upon == str(live):
        what = "the files have changed since the plan was made"
    else:
        what = f"the files and the live release ({live}) are not those of that plan"
    raise UsageError(f"--plan {shown}: {what}. Nothing was applied. See: antiphon plan")


def next_phases(connection: Connection, workspace: Workspace) -> dict[str, Phase]:
    """The phase each experiment of a workspace is in once it is applied."""
    current = current_phases(connection)
    coverages = {str(found.name): found.coverage for found in experiment_plans.planned(workspace)}
    phases: dict[str, Phase] = {}
    for name, digest in phase_digests(workspace).items():
        known, coverage = current.get(name), coverages[name]
        if known is None:
            phases[name] = Phase(1, name, digest, coverage)
        elif known.digest == digest and coverage >= known.coverage:
            phases[name] = known._replace(coverage=coverage)
        else:
            number = known.number + 1
            phases[name] = Phase(number, f"{name}#{number}", digest, coverage)
    return phases


def _write_versions(connection: Connection, ready: Ready, release: int) -> None:
    from engine.store import bulk

    bulk.insert(
        connection,
        "campaign_version",
        ("campaign", "version", "release"),
        [(name, it.version, release) for name, it in ready.program.campaigns.items()],
        on_conflict="ignore",
    )
    bulk.insert(
        connection,
        "campaign_move",
        ("release", "campaign", "version", "origin", "steps"),
        [
            (release, it.campaign, it.version, it.origin, msgspec.json.encode(it.steps).decode())
            for it in ready.plan.moves.values()
        ],
    )


def _write_phases(connection: Connection, ready: Ready, *, now: Instant) -> None:
    from engine.release.frozen_plans import frozen_plan, plan_hash
    from engine.store import bulk

    current = current_phases(connection)
    rows = []
    for name, phase in ready.phases.items():
        experiment = ready.program.experiments[name, phase.number]
        is_new = name not in current or current[name].number != phase.number
        kept = frozen_plan(experiment, ready.workspace, started_at=now) if is_new else ""
        definition = msgspec.json.encode(experiment).decode()
        rows.append(
            (name, phase.number, phase.seed, phase.digest, definition, now, kept, plan_hash(kept))
        )
    bulk.insert(
        connection,
        "experiment_phase",
        (
            "experiment", "phase", "seed", "digest", "definition", "started_at", "plan",
            "plan_hash",
        ),
        rows,
        # Coverage may grow within a phase; how it is to be analysed was said when it opened.
        on_conflict=("definition",),
    )  # fmt: skip
