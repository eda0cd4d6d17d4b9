"""Two profiles turn out to be one person: all that is known of one goes to the other (rule 7).

The most restrictive consent and holdout win; of two enrollments in one campaign and key the one
further along stays; caps count both; the earliest exposure wins, and where the two profiles had
been shown different variants an Assignment Conflict event says so, for the readout to set the unit
aside. Verdicts are not asked here: every segment is made due at once, so that the next `play` of
the winner crosses borders and triggers in its one usual way.

The caller stores the winner's enrollments under the winner's id, closes the loser and keeps its id
as a redirect.
"""

from typing import Final, NoReturn

from msgspec.structs import replace

from engine.core.assigning import exposure_name
from engine.core.journeys.arming import rearm_dates
from engine.core.journeys.holdouts import HELD_OUT, holder_of
from engine.core.journeys.passage import leave
from engine.core.model.campaigns import Profiling, Program
from engine.core.model.effects import Effect, Emit, Wake
from engine.core.model.instants import Instant
from engine.core.model.people import Enrollment, Exposed, Membership, Person, Profile, State
from engine.core.profiling import has_refused
from engine.core.roster import roster_of
from engine.core.scene import Scene
from engine.core.segments import Segments

ASSIGNMENT_CONFLICT: Final = "Assignment Conflict"


def merge_people(
    winner: Person, loser: Person, *, program: Program, segments: Segments, now: Instant
) -> list[Effect]:
    """Unite two people in place; the loser is left empty.

    Returns:
        Exits of enrollments that do not stay, conflicts of assignment, and a Wake at `now`: play
        the winner next.
    """
    scene = Scene(
        winner,
        winner.state,
        program=program,
        roster=roster_of(program),
        segments=segments,
        evaluate=_nothing_to_ask,
        new_id=_nothing_to_ask,
        now=now,
    )
    _unite_profiles(winner.profile, loser.profile, program.profiling)
    _unite_exposures(scene, loser.state)
    _unite_states(winner.state, loser.state, segments=segments, now=now)
    _unite_enrollments(scene, loser)
    rearm_dates(scene, traits=winner.profile.traits)  # what was armed had the loser's zone or date
    winner.is_new = winner.is_new and loser.is_new
    loser.enrollments, loser.state = [], State()
    winner.state.armed_at = now
    scene.effects.append(Wake(now))
    return scene.effects


def _unite_profiles(winner: Profile, loser: Profile, profiling: Profiling) -> None:
    """The winner's facts stand where the two differ; a refusal by either one stands always."""
    refused = has_refused(loser.traits, profiling)
    winner.traits = {**loser.traits, **winner.traits}
    if refused:
        winner.traits[profiling.trait] = loser.traits[profiling.trait]
    for channel, topics in loser.consent.items():
        known = winner.consent.setdefault(channel, {})
        for topic, is_granted in topics.items():
            known[topic] = known.get(topic, True) and is_granted
    for channel, contact in loser.addresses.items():
        mine = winner.addresses.get(channel)
        winner.addresses[channel] = (
            contact if mine is None else replace(mine, withdrawn=mine.withdrawn | contact.withdrawn)
        )


def _unite_exposures(scene: Scene, loser: State) -> None:
    exposures = scene.state.exposures
    for name, theirs in sorted(loser.exposures.items()):
        ours = exposures.get(name)
        if ours is None:
            exposures[name] = theirs
            continue
        kept, dropped = (ours, theirs) if ours.at <= theirs.at else (theirs, ours)
        if ours.variant != theirs.variant:
            if name.startswith("holdout:"):
                kept, dropped = _most_restrictive(ours, theirs)
            experiment, _ = exposure_name(name)
            conflict = {"experiment": experiment, "kept": kept.variant, "dropped": dropped.variant}
            scene.effects.append(Emit(ASSIGNMENT_CONFLICT, conflict, scene.now))
        exposures[name] = Exposed(kept.variant, kept.phase, min(ours.at, theirs.at))


def _most_restrictive(one: Exposed, other: Exposed) -> tuple[Exposed, Exposed]:
    return (one, other) if one.variant == HELD_OUT else (other, one)


def _unite_states(winner: State, loser: State, *, segments: Segments, now: Instant) -> None:
    winner.features = segments.merge(winner.features, loser.features)
    for name, membership in loser.memberships.items():
        winner.memberships.setdefault(name, membership)
    winner.memberships = {
        name: Membership(each.matches, now, each.since) for name, each in winner.memberships.items()
    }
    winner.ledger = sorted(winner.ledger + loser.ledger, key=lambda entry: entry.at)
    for name, (entered_at, exited_at) in loser.entries.items():
        mine = winner.entries.get(name, (entered_at, exited_at))
        winner.entries[name] = (max(mine[0], entered_at), max(mine[1], exited_at))
    winner.schedules = {**loser.schedules, **winner.schedules}
    winner.heard = {**loser.heard, **winner.heard}
    winner.audiences = dict.fromkeys({**loser.audiences, **winner.audiences}, now)
    winner.backfilled += [name for name in loser.backfilled if name not in winner.backfilled]
    # The older of the two releases, so that what either has not met yet is met by the next play.
    winner.release = min(winner.release, loser.release)


def _unite_enrollments(scene: Scene, loser: Person) -> None:
    """Move the loser's enrollments over; of twins the one further along stays."""
    winner = scene.person
    for theirs in loser.enrollments:
        twin = _twin_of(scene, theirs)
        winner.enrollments.append(theirs)
        if twin is not None:
            kept, dropped = (
                (twin, theirs) if _progress(twin) >= _progress(theirs) else (theirs, twin)
            )
            kept.held_by = kept.held_by or dropped.held_by
            leave(scene, dropped, "dropped", "merged")
    for enrollment in scene.active():
        campaign = scene.campaign_of(enrollment)
        reference = (enrollment.campaign, enrollment.version)
        if campaign is not None and reference not in scene.roster.transactional:
            holder = holder_of(winner, campaign, program=scene.program)
            enrollment.held_by = enrollment.held_by or holder
        enrollment.is_held_out = bool(enrollment.held_by)


def _twin_of(scene: Scene, enrollment: Enrollment) -> Enrollment | None:
    """The winner's active enrollment in the same campaign and key, unless they may run abreast."""
    campaign = scene.campaign_of(enrollment)
    may_be_two = campaign is not None and campaign.reentry.while_active == "parallel"
    if enrollment.status != "active" or may_be_two:
        return None
    for each in scene.active():
        if (each.campaign, each.key) == (enrollment.campaign, enrollment.key):
            return each
    return None


def _progress(enrollment: Enrollment) -> tuple[int, Instant]:
    """More steps are further along; of equal ones, the earlier to come in."""
    return enrollment.visit, -enrollment.entered_at


def _nothing_to_ask(*_: object) -> NoReturn:
    raise AssertionError("a merge computes no expression and hands out no id")
