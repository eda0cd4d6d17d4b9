"""From files to what is played: check, plan, apply, load.

An applied state of the workspace is one `release` row that holds its files, so whatever people
inside are still on can be compiled again. Applying is one transaction and wakes every profile once:
each then meets the new definitions at the engine's own pace (`rebuild`, `core.play`).
"""

import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec

from campaigns.compile import Phase, compile_workspace, phase_digests
from campaigns.conditions import Blind
from campaigns.load import load_bundle, load_workspace
from campaigns.plan import Change, difference, render_plan
from campaigns.problems import InvalidWorkspace, Problem
from campaigns.workspace import Workspace
from channels.expressions import evaluate
from channels.templates import CompiledTemplate, compile_template, template_names
from engine.core.errors import CampaignError
from engine.core.model import Campaign, Experiment, Instant, Program
from engine.core.segments import Segments, for_program
from engine.playbook import Playbook
from engine.store.connection import Connection
from engine.store.database import Database
from engine.vault import Vault

Templates = Mapping[tuple[str, str], CompiledTemplate]

_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(dict[str, bytes]).decode
_experiment: Final = msgspec.json.Decoder(Experiment)


@dataclass(frozen=True)
class Checked:
    """A workspace that passed every check, with what was compiled on the way."""

    workspace: Workspace
    program: Program
    segments: Segments
    templates: Templates


@dataclass(frozen=True)
class Applied:
    """The release now live. `changes` is empty when nothing differed and nothing was written."""

    release: int
    changes: tuple[Change, ...]
    n_woken: int


# --- files -> checked ---------------------------------------------------------------------------


def check(directory: Path, *, environ: Mapping[str, str] | None = None) -> Checked:
    """Read and compile a workspace without touching a database.

    Raises:
        InvalidWorkspace: With every problem that was found.
    """
    return compiled(load_workspace(directory, environ=environ))


def compiled(
    workspace: Workspace,
    *,
    release: int = 0,
    phases: Mapping[str, Phase] | None = None,
    blind: Blind | None = None,
) -> Checked:
    """A loaded workspace compiled, templates and all.

    Args:
        blind: Makes markers of pii values. Without one nothing that asks for a pii value matches,
            which is right wherever no profile is involved.
    Raises:
        InvalidWorkspace: With every problem that was found.
    """
    templates = compile_templates(workspace)
    program = compile_workspace(
        workspace,
        release=release,
        phases=phases or {},
        templates={key: template.facts() for key, template in templates.items()},
        blind=blind or (lambda trait, kind, value: "no key"),
    )
    return Checked(workspace, program, for_program(program), templates)


def compile_templates(workspace: Workspace) -> dict[tuple[str, str], CompiledTemplate]:
    """Every template of a workspace, compiled; all their errors at once.

    Raises:
        InvalidWorkspace: With one problem per template that does not compile.
    """
    templates: dict[tuple[str, str], CompiledTemplate] = {}
    problems: list[Problem] = []
    for channel, name in sorted(template_names(workspace.files)):
        try:
            templates[(channel, name)] = compile_template(channel, name, workspace.files)
        except CampaignError as error:
            problems.append(_problem(str(error)))
    if problems:
        raise InvalidWorkspace(problems)
    return templates


def _problem(words: str) -> Problem:
    """A template's error, which begins with file:line, as a problem."""
    place, _, message = words.partition(": ")
    file, _, line = place.rpartition(":")
    return Problem(file, int(line), "", message) if line.isdigit() else Problem("", 0, "", words)


# --- checked -> applied -------------------------------------------------------------------------


def plan(connection: Connection, workspace: Workspace) -> list[Change]:
    """What applying a workspace would change."""
    live = latest(connection)
    return difference(None if live is None else _loaded(live[1], environ=None), workspace)


def apply(connection: Connection, workspace: Workspace, *, now: Instant) -> Applied:
    """Make a checked workspace the live one, within the caller's transaction.

    Applying what is live already changes nothing. An experiment whose design differs from its
    current phase opens the next, with a new seed that only never-exposed units see.
    """
    from engine.store import bulk  # it brings SQLAlchemy, which `check` need not wait for

    live = latest(connection)
    changes = difference(None if live is None else _loaded(live[1], environ=None), workspace)
    if live is not None and not changes:
        return Applied(live[0], (), 0)
    release = 1 if live is None else live[0] + 1
    phases = _open_phases(connection, workspace, now=now)
    program = compiled(workspace, release=release, phases=phases).program
    bulk.insert(
        connection,
        "release",
        ("number", "digest", "applied_at", "bundle"),
        [(release, workspace.content_hash, now, zlib.compress(_pack(dict(workspace.files))))],
    )
    bulk.insert(
        connection,
        "campaign_version",
        ("campaign", "version", "release"),
        [(name, campaign.version, release) for name, campaign in program.campaigns.items()],
        on_conflict="ignore",
    )
    bulk.insert(
        connection,
        "experiment_phase",
        ("experiment", "phase", "seed", "digest", "definition", "started_at"),
        [
            (
                name,
                phase.number,
                phase.seed,
                phase.digest,
                msgspec.json.encode(program.experiments[name, phase.number]).decode(),
                now,
            )
            for name, phase in phases.items()
        ],
        on_conflict=("definition",),  # coverage may grow within a phase
    )
    return Applied(release, tuple(changes), _wake_everyone(connection, now=now))


def _open_phases(connection: Connection, workspace: Workspace, *, now: Instant) -> dict[str, Phase]:
    """The phase each experiment of a workspace is in once it is applied."""
    current = current_phases(connection)
    phases: dict[str, Phase] = {}
    for name, digest in phase_digests(workspace).items():
        known = current.get(name)
        if known is None:
            phases[name] = Phase(1, name, digest)
        elif known.digest == digest:
            phases[name] = known
        else:
            phases[name] = Phase(known.number + 1, f"{name}#{known.number + 1}", digest)
    return phases


def current_phases(connection: Connection) -> dict[str, Phase]:
    """The latest phase of every experiment that ever ran."""
    rows = connection.execute(
        "SELECT experiment, phase, seed, digest FROM experiment_phase ORDER BY phase"
    )
    return {name: Phase(number, seed, digest) for name, number, seed, digest in rows}


def _wake_everyone(connection: Connection, *, now: Instant) -> int:
    """Make every profile due: each meets the new release when its turn comes."""
    connection.execute(
        "INSERT INTO timer (due, profile_id) SELECT ?, profile_id FROM profile_state "
        "WHERE 1 = 1 ON CONFLICT DO NOTHING",
        (now,),
    )
    rows = connection.execute("SELECT count(*) FROM profile_state")
    return int(rows[0][0])


# --- applied -> played --------------------------------------------------------------------------


def latest(connection: Connection) -> tuple[int, bytes] | None:
    """The number and the stored files of the live release."""
    rows = connection.execute("SELECT number, bundle FROM release ORDER BY number DESC LIMIT 1")
    return (int(rows[0][0]), bytes(rows[0][1])) if rows else None


def load_playbook(
    database: Database, *, vault: Vault, environ: Mapping[str, str] | None = os.environ
) -> Playbook | None:
    """The live release, compiled, with the older versions that people are still inside.

    None if nothing was ever applied. Raises CampaignError if a `${env:NAME}` is missing now.
    """
    with database.read() as connection:
        live = latest(connection)
        if live is None:
            return None
        release, bundle = live
        phases = current_phases(connection)
        checked = compiled(
            _loaded(bundle, environ=environ),
            release=release,
            phases=phases,
            blind=_blind(vault),
        )
        program = msgspec.structs.replace(
            checked.program,
            pinned=_pinned(connection, checked.program, vault),
            experiments={**_past_phases(connection), **checked.program.experiments},
        )
    return Playbook(
        workspace=checked.workspace,
        program=program,
        segments=for_program(program),
        templates=checked.templates,
        evaluate=evaluate,
        features_at=_features_at(database, vault),
    )


def _pinned(
    connection: Connection, program: Program, vault: Vault
) -> dict[tuple[str, str], Campaign]:
    """The campaign versions that people are inside and that are no longer the applied ones."""
    inside = connection.execute(
        "SELECT DISTINCT e.campaign, e.version, v.release FROM enrollment e "
        "JOIN campaign_version v ON v.campaign = e.campaign AND v.version = e.version "
        "WHERE e.status = 'active'"
    )
    pinned: dict[tuple[str, str], Campaign] = {}
    for name, version, release in inside:
        applied = program.campaigns.get(name)
        if applied is not None and applied.version == version:
            continue
        campaign = _program_of(connection, release, vault).campaigns.get(name)
        if campaign is not None:
            pinned[name, version] = campaign
    return pinned


def _past_phases(connection: Connection) -> dict[tuple[str, int], Experiment]:
    """Every phase ever opened: people on an older version are still assigned by theirs."""
    rows = connection.execute("SELECT experiment, phase, definition FROM experiment_phase")
    return {(name, phase): _experiment.decode(text) for name, phase, text in rows}


def _program_of(connection: Connection, release: int, vault: Vault) -> Program:
    rows = connection.execute("SELECT bundle FROM release WHERE number = ?", (release,))
    workspace = _loaded(bytes(rows[0][0]), environ=None)
    return compiled(workspace, release=release, blind=_blind(vault)).program


def _features_at(database: Database, vault: Vault) -> Callable[[int], frozenset[str]]:
    """Which features an earlier release kept; 0 (never played) kept none."""

    @lru_cache(maxsize=32)
    def features_at(release: int) -> frozenset[str]:
        if release == 0:
            return frozenset()
        with database.read() as connection:
            return for_program(_program_of(connection, release, vault)).feature_keys

    return features_at


def _blind(vault: Vault) -> Blind:
    return vault.mark


def _loaded(bundle: bytes, *, environ: Mapping[str, str] | None) -> Workspace:
    return load_bundle(_unpack(zlib.decompress(bundle)), environ=environ)


def apply_files(connection: Connection, payload: Any, *, now: Instant) -> dict[str, Any]:
    """`apply` for files that came as {"files": {path: text}}; the result as plain data.

    Raises:
        InvalidWorkspace: If they do not check.
    """
    files = {path: text.encode() for path, text in payload["files"].items()}
    workspace = load_bundle(files, environ=os.environ)
    done = apply(connection, workspace, now=now)
    plan_text = render_plan(done.changes) if done.changes else ""
    return {"release": done.release, "plan": plan_text, "woken": done.n_woken}
