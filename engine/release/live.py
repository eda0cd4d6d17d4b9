"""What is played: the live release compiled, with all that people inside still need of older ones.

People finish on their version (rule 6), so each version that someone is inside is compiled again
from the release that held it; one that nobody is on any more is not, and so is forgotten.
"""

import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

import msgspec

from campaigns.compile import Phase
from campaigns.declarations import Blind
from campaigns.workspace import Workspace
from channels.content.expressions import evaluate
from engine.bandits.weights import allocation_of
from engine.core.model.campaigns import Allocation, Campaign, Experiment, Move, Program
from engine.core.segments import for_program
from engine.release import operating, releases
from engine.release.checking import compiled
from engine.release.experiment_orders import experiment_standings, overruled_experiments
from engine.release.playbook import Playbook
from engine.store.connection import Connection
from engine.store.database import Database
from engine.vault import Vault

_experiment: Final = msgspec.json.Decoder(Experiment)
_steps: Final = msgspec.json.Decoder(dict[str, str])


def load_playbook(
    database: Database, *, vault: Vault, environ: Mapping[str, str] | None = os.environ
) -> Playbook | None:
    """The live release, compiled, with the older versions that people are still inside.

    None if nothing was ever applied. Raises CampaignError if a `${env:NAME}` is missing now.
    """
    with database.read() as connection:
        live = releases.live(connection)
        if live is None:
            return None
        return playbook_of(
            connection,
            database,
            releases.workspace_of(connection, live.digest, environ=environ),
            release=live.number,
            phases=releases.current_phases(connection),
            same_since=_same_since(connection, live.digest),
            vault=vault,
        )


def playbook_of(
    connection: Connection,
    database: Database,
    workspace: Workspace,
    *,
    release: int,
    phases: Mapping[str, Phase],
    same_since: int,
    vault: Vault,
) -> Playbook:
    """A workspace as that release plays it, live already or being prepared (`backfill`).

    Args:
        same_since: The first release from which on the same files were live.
    """
    checked = compiled(workspace, release=release, phases=phases, blind=vault.mark, is_checked=True)
    moves = _moves(connection)
    program = msgspec.structs.replace(
        checked.program,
        moves=moves,
        pinned=_pinned(connection, checked.program, moves, vault.mark),
        experiments={**_past_phases(connection), **checked.program.experiments},
    )
    found = operating.standings(connection)
    program = operating.overruled(program, found)
    program = overruled_experiments(program, experiment_standings(connection))
    program = with_allocations(connection, program)
    segments = for_program(program)
    features_at = _features_at(database, vault)
    return Playbook(
        workspace=checked.workspace,
        program=program,
        segments=segments,
        templates=checked.templates,
        evaluate=evaluate,
        # What only an operator has changed since asks for no feature that was not kept before.
        features_at=lambda release: (
            segments.feature_keys if release >= same_since else features_at(release)
        ),
        feeds=checked.feeds,
        stopped=operating.stopped(found),
    )


ALLOCATIONS_MAX: Final = 64
"""Versions of a bandit's weights that are played by: those of a clock that was set back, too."""


def with_allocations(connection: Connection, program: Program) -> Program:
    """The program with what its bandits have learnt by now; no release is needed for that."""
    bandits = {it.name for it in program.experiments.values() if it.bandit is not None}
    if not bandits:
        return program
    rows = connection.select_in(
        "SELECT experiment, phase, version, since, weights, contexts FROM bandit_weights "
        "WHERE experiment IN (?) ORDER BY experiment, phase, version",
        sorted(bandits),
    )
    learnt: dict[str, list[Allocation]] = {}
    for name, phase, *kept in rows:
        if phase == program.phases.get(name, 1):
            learnt.setdefault(name, []).append(allocation_of(*kept))
    return msgspec.structs.replace(
        program,
        allocations={name: tuple(them[-ALLOCATIONS_MAX:]) for name, them in learnt.items()},
    )


def has_learnt_more(connection: Connection, program: Program) -> bool:
    """Whether a bandit has weights that the program was not loaded with."""
    bandits = sorted({it.name for it in program.experiments.values() if it.bandit is not None})
    if not bandits:
        return False
    rows = connection.select_in(
        "SELECT experiment, phase, max(version) FROM bandit_weights "
        "WHERE experiment IN (?) GROUP BY experiment, phase",
        bandits,
    )
    return any(
        int(version) > max((it.version for it in program.allocations.get(name, ())), default=0)
        for name, phase, version in rows
        if phase == program.phases.get(name, 1)
    )


def _same_since(connection: Connection, digest: str) -> int:
    """The first of the releases up to the live one that all hold its files."""
    rows = connection.execute(
        "SELECT coalesce(max(number), 0) + 1 FROM release WHERE digest <> ?", (digest,)
    )
    return int(rows[0][0])


def _moves(connection: Connection) -> tuple[Move, ...]:
    """Every move that someone inside an older version may not have met, oldest first."""
    rows = connection.execute(
        "SELECT m.release, m.campaign, m.version, m.origin, m.steps FROM campaign_move m "
        "WHERE EXISTS (SELECT 1 FROM enrollment e WHERE e.status = 'active' "
        "AND e.campaign = m.campaign AND e.version <> m.version) ORDER BY m.release, m.campaign"
    )
    return tuple(
        Move(int(release), campaign, version, origin, _steps.decode(steps))
        for release, campaign, version, origin, steps in rows
    )


def _pinned(
    connection: Connection, program: Program, moves: tuple[Move, ...], blind: Blind
) -> dict[tuple[str, str], Campaign]:
    """The versions that are not the applied ones and that people are inside or on the way to."""
    wanted = {
        (name, version): int(release)
        for name, version, release in connection.execute(
            "SELECT e.campaign, e.version, v.release FROM "
            "(SELECT DISTINCT campaign, version FROM enrollment WHERE status = 'active') e "
            "JOIN campaign_version v ON v.campaign = e.campaign AND v.version = e.version"
        )
    }
    for move in moves:
        wanted.setdefault((move.campaign, move.version), move.release)
    programs: dict[int, Program] = {}
    pinned: dict[tuple[str, str], Campaign] = {}
    for (name, version), release in sorted(wanted.items()):
        applied = program.campaigns.get(name)
        if applied is not None and applied.version == version:
            continue
        if release not in programs:
            programs[release] = _program_of(connection, release, blind)
        campaign = programs[release].campaigns.get(name)
        if campaign is not None:
            # Under the name that the enrollments bear, whatever a newer program would call it.
            pinned[name, version] = msgspec.structs.replace(campaign, version=version)
    return pinned


def _past_phases(connection: Connection) -> dict[tuple[str, int], Experiment]:
    """Every phase ever opened: people on an older version are still assigned by theirs."""
    rows = connection.execute("SELECT experiment, phase, definition FROM experiment_phase")
    return {(name, phase): _experiment.decode(text) for name, phase, text in rows}


def _program_of(connection: Connection, release: int, blind: Blind) -> Program:
    digest = releases.release_of(connection, release).digest
    workspace = releases.workspace_of(connection, digest)
    return compiled(workspace, release=release, blind=blind, is_checked=True).program


def _features_at(database: Database, vault: Vault) -> Callable[[int], frozenset[str]]:
    """Which features an earlier release kept; 0 (never played) kept none."""

    @lru_cache(maxsize=32)
    def features_of(digest: str) -> frozenset[str]:
        with database.read() as connection:
            workspace = releases.workspace_of(connection, digest)
        return for_program(
            compiled(workspace, blind=vault.mark, is_checked=True).program
        ).feature_keys

    @lru_cache(maxsize=1024)
    def features_at(release: int) -> frozenset[str]:
        if release == 0:
            return frozenset()
        with database.read() as connection:
            digest = releases.release_of(connection, release).digest
        return features_of(digest)

    return features_at
