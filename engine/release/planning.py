"""What applying a workspace would do: the difference, whom it touches, and what forbids it.

A plan is made against one release and one set of files, and its id says both: whoever applies by
that id gets what they were shown or a refusal. Reading only; `publish` acts.
Read next: `plan_words`, which says it; `passages`, for the people inside.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from msgspec import structs

from campaigns.compile import campaign_versions, compile_workspace, unkeyed
from campaigns.declarations import Blind
from campaigns.moves import moves_of
from campaigns.plan import Change, difference
from campaigns.problems import Problem
from campaigns.schema import CampaignFile, SegmentTriggerForm
from campaigns.workspace import Workspace
from engine import asof
from engine.core.model.campaigns import Campaign, Move
from engine.core.model.instants import Instant
from engine.core.segments import Segments, for_program
from engine.release import operating, releases
from engine.release.experiment_orders import (
    ExperimentStanding,
    experiment_drift,
    experiment_standings,
)
from engine.release.impact import exposed, known_versions, members, n_profiles
from engine.release.operating import Standing
from engine.release.passages import Passage, passages, refusals, unknown_origins
from engine.store.connection import Connection


def as_written(trait: str, kind: str, value: object) -> str:
    """No marker at all: pii values as the files say them."""
    return f"{trait}={value}"


EVENTS_REPLAYED_MAX: Final = 100_000
"""A new segment is counted by replaying history only up to this many events."""


@dataclass(frozen=True)
class Entering:
    """Those who come into a campaign at once; None: too long a history to count them here."""

    campaign: str
    segment: str
    n_people: int | None


@dataclass(frozen=True)
class Plan:
    """What applying files would do.

    Attributes:
        live: The release it was made against, 0 before the first.
        digest: That of the files.
        inside: Everyone in campaigns that change or go and who is not on the new version.
        exposed: By experiment whose phase ends, how many have seen it.
        built: Segments whose features must be built from history, of `n_profiles` profiles.
        held: What operators have done to campaigns; it stays.
        experiments_held: What they have done to experiments, where the files do not say the same.
        moves: How people are brought to new versions, by campaign.
        refused: Why it cannot be applied.
        models: Of models that something reads, what somebody should look at, in sentences.
    """

    live: int
    digest: str
    changes: tuple[Change, ...]
    inside: tuple[Passage, ...] = ()
    entering: tuple[Entering, ...] = ()
    exposed: Mapping[str, int] = field(default_factory=dict)
    built: tuple[str, ...] = ()
    n_profiles: int = 0
    held: Mapping[str, Standing] = field(default_factory=dict)
    experiments_held: Mapping[str, ExperimentStanding] = field(default_factory=dict)
    moves: Mapping[str, Move] = field(default_factory=dict)
    refused: tuple[Problem, ...] = ()
    models: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Which files upon which release: `antiphon apply --plan ID` applies nothing else."""
        return f"{self.live}-{self.digest}"


def plan(
    connection: Connection,
    workspace: Workspace,
    *,
    now: Instant,
    blind: Blind = as_written,
    is_rollback: bool = False,
) -> Plan:
    """What applying a workspace would do.

    Args:
        blind: Makes markers of pii values, as profiles hold them. Without one nobody new is
            counted through a segment that asks for one.
        is_rollback: Nobody is moved, and nothing is refused for the people inside: they finish.
    """
    newest = releases.live(connection)
    digest = workspace.content_hash
    held = {name: it for name, it in operating.standings(connection).items() if it.held}
    drifted = experiment_drift(workspace, experiment_standings(connection))
    if newest is None:
        changes = tuple(difference(None, workspace))
        amiss = _models_amiss(connection, workspace, now=now)
        return Plan(0, digest, changes, held=held, experiments_held=drifted, models=amiss)
    if newest.digest == digest:
        amiss = _models_amiss(connection, workspace, now=now)
        return Plan(newest.number, digest, (), held=held, experiments_held=drifted, models=amiss)
    old = releases.workspace_of(connection, newest.digest)
    changes = tuple(difference(old, workspace, may_move=not is_rollback))
    names = [it.name for it in changes if it.construct == "campaign"]
    before, after = _graphs(old), _graphs(workspace)
    versions = {name: it.version for name, it in after.items()}
    moves = {
        it.campaign: it
        for it in moves_of(workspace, release=newest.number + 1, versions=versions)
        if it.campaign in names and not is_rollback
    }
    inside = passages(
        connection,
        names,
        live=before,
        new=after,
        forms=workspace.campaigns,
        moves=moves,
        graphs=partial(_graph_of, connection, before, {}),
        may_strand=is_rollback,
        now=now,
    )
    built, entering = _arriving(
        connection, _segments(old, blind), _segments(workspace, blind), old, workspace, names, now
    )
    restarted = [it.name for it in changes if it.opens_phase and it.kind == "~"]
    known = known_versions(connection, sorted(moves))
    return Plan(
        live=newest.number,
        digest=digest,
        changes=changes,
        inside=tuple(inside),
        entering=tuple(entering),
        exposed=exposed(connection, restarted),
        built=tuple(built),
        n_profiles=n_profiles(connection) if built else 0,
        held=held,
        experiments_held=drifted,
        moves=moves,
        refused=(
            *refusals(inside, workspace.campaigns),
            *unknown_origins(moves, workspace.campaigns, known),
        ),
        models=_models_amiss(connection, workspace, now=now),
    )


def _models_amiss(connection: Connection, workspace: Workspace, *, now: Instant) -> tuple[str, ...]:
    if not workspace.models:
        return ()
    from engine.learning.mentions import amiss

    return tuple(amiss(connection, workspace, now=now))


def _graphs(workspace: Workspace) -> dict[str, Campaign]:
    versions = campaign_versions(workspace)
    return {
        name: structs.replace(it, version=versions[name]) for name, it in unkeyed(workspace).items()
    }


def _graph_of(
    connection: Connection,
    live: Mapping[str, Campaign],
    known: dict[str, dict[str, Campaign]],
    name: str,
    version: str,
) -> Campaign | None:
    """The graph of a version that is live, or else from the release that first held it.

    Args:
        known: What was read already, by digest.
    """
    if name in live and live[name].version == version:
        return live[name]
    rows = connection.execute(
        "SELECT r.digest FROM campaign_version v JOIN release r ON r.number = v.release "
        "WHERE v.campaign = ? AND v.version = ?",
        (name, version),
    )
    if not rows:
        return None
    digest = str(rows[0][0])
    if digest not in known:
        known[digest] = unkeyed(releases.workspace_of(connection, digest))
    return known[digest].get(name)


def _arriving(
    connection: Connection,
    before: Segments,
    after: Segments,
    old: Workspace,
    new: Workspace,
    names: Iterable[str],
    now: Instant,
) -> tuple[list[str], list[Entering]]:
    """Segments whose features must be built, and who comes in at once through which."""
    built = [name for name in after.names if after.features_of[name] - before.feature_keys]
    changed = {
        name
        for name in after.names
        if name not in old.segments
        or old.trees[old.segments[name].file] != new.trees[new.segments[name].file]
    }
    entering: list[Entering] = []
    for name in names:
        segment = _backfilled(new.campaigns.get(name))
        if segment is None or _backfilled(old.campaigns.get(name)) is not None:
            continue  # whoever has met a campaign's backfill once does not meet it again
        audience = new.campaigns[name].audience
        asked = {segment} if audience is None else {segment, str(audience.segment)}
        n_people: int | None
        if not asked & changed:
            n_people = members(connection, asked)
        else:
            n_people = _replayed(connection, after, asked, now=now)
        entering.append(Entering(name, segment, n_people))
    return built, entering


def _segments(workspace: Workspace, blind: Blind) -> Segments:
    return for_program(
        compile_workspace(workspace, release=0, phases={}, templates={}, blind=blind)
    )


def _backfilled(form: CampaignFile | None) -> str | None:
    """The segment whose present members a live campaign takes in."""
    if form is None or form.state != "live" or not isinstance(form.trigger, SegmentTriggerForm):
        return None
    change = form.trigger.segment
    return str(change.enter) if change.enter and change.backfill == "current" else None


def _replayed(
    connection: Connection, segments: Segments, names: set[str], *, now: Instant
) -> int | None:
    """How many would be inside all of these segments now, by history; None if it is too long."""
    rows = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM event LIMIT ?) AS few", (EVENTS_REPLAYED_MAX + 1,)
    )
    if int(rows[0][0]) > EVENTS_REPLAYED_MAX:
        return None
    return sum(
        all(segments.asks[name](then.features, then.profile, now)[0] for name in names)
        for then in asof.profiles_at(connection, segments, at=now)
    )
