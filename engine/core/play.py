"""The core loop: one person's events and due instants in order, to every consequence.

`play` changes the person in place and returns effects as data; it reads no clock, draws no random
number and touches nothing outside its arguments, so the same input always gives the same output.

One event, in this order: features observe it, its traits are set (the caller has stored them; only
an `update` step returns SetTrait), the segments it can have touched are asked again, continuous
audiences are checked, exit_when, waits, triggers. Events of our own that follow from it (a segment
entered or left, a `track` step) are played next, at the same instant, first come first served.

Then what falls due, in time order, and at one instant: segments and audiences whose verdict stops
holding, enrollments by (priority, due instant, id), schedules by name, and last all sends, which
compete for what room a cap leaves. An event comes before a timer of the same instant. So the events
of one profile may be cut into batches between any two instants without changing anything.

The first play of a new release (`State.release`) re-evaluates every segment, arms schedules and
backfills, at `floor`, or for a new person with their first event. Whatever changes a program, a
pause included, must therefore come as a new release, and the caller plays every profile once.
Read next: `scene`, `journeys`, `entry`.
"""

from collections.abc import Callable, Sequence
from typing import Final

from engine.core.clocktime import iso
from engine.core.errors import JourneyLoop
from engine.core.journeys.arming import arm_schedules, cross_schedules, rearm_dates
from engine.core.journeys.audiences import check_audiences
from engine.core.journeys.competition import is_sending, next_to_send
from engine.core.journeys.entry import backfill, start_journeys
from engine.core.journeys.migration import meet_operators
from engine.core.journeys.passage import advance, hear
from engine.core.journeys.schedules import fire
from engine.core.journeys.viewed import EXPERIMENT_VIEWED, take_exposure
from engine.core.model.campaigns import Program
from engine.core.model.effects import Effect, Evaluate, Pick, Wake
from engine.core.model.instants import NEVER, Instant
from engine.core.model.people import Enrollment, Event, Exposed, Person
from engine.core.profiling import may_be_profiled
from engine.core.roster import Crossing, roster_of
from engine.core.scene import Scene, no_one_shown, nothing_picked
from engine.core.segments import Segments, in_order

DUE_ITEMS_MAX: Final = 1_000
"""Timers of one profile that may act at one instant; more means they set each other off."""


def play(
    person: Person,
    events: Sequence[Event],
    *,
    program: Program,
    segments: Segments,
    floor: Instant,
    horizon: Instant,
    evaluate: Evaluate,
    new_id: Callable[[str], int],
    still_queued: Callable[[Sequence[int]], frozenset[int]] = lambda messages: frozenset(),
    shown: Callable[[str, str], Exposed | None] = no_one_shown,
    pick: Pick = nothing_picked,
) -> list[Effect]:
    """Play a person's events and due instants up to the horizon, included.

    Args:
        events: In the order committed (by `accepted_at`, then `seq`); those past the horizon are
            left alone.
        segments: Compiled from the same program.
        floor: The owner's clock when the batch began; no item is played earlier, so a late timer
            acts now and not in the past.
        new_id: Hands out ids; asked for "enrollment" or "message".
        still_queued: Which of these messages wait for their first attempt: a more important one
            may take their place. Asked only where a cap is closed.
        shown: The first exposure of a unit of (experiment, unit) that is not the profile. Asked
            only where one is about to be exposed.
        pick: What a recommender answers. Asked only where a journey reaches a step that asks.
    Returns:
        Every effect in order. The last is a Wake if the profile's one timer must be armed anew.
    Raises:
        JourneyLoop: If campaigns set each other off without end.
    """
    scene = Scene(
        person, person.state, program, roster_of(program), segments, evaluate, new_id, floor,
        still_queued, shown, pick,
    )  # fmt: skip
    if person.profile.scores:
        # A run made by another word than is live now, or than a merge has left.
        profiling, traits = program.profiling, person.profile.traits
        if not may_be_profiled(traits.get(profiling.trait), profiling):
            scene.drop_scores()
    # The armed timer is never later than what the profile waits for: a bound that costs nothing.
    bound = person.state.armed_at
    meets_release = person.state.release != program.release
    if meets_release and not (person.is_new and events):
        _meet_release(scene)
        meets_release = False
        bound = _next_due(scene)
    has_news = segments.reads_news and not meets_release and scene.has_news()
    for event in events:
        if event.accepted_at > horizon:
            break
        if bound < event.accepted_at:
            bound = _play_due(scene, before=event.accepted_at, floor=floor)
        scene.earliest = NEVER
        scene.now = max(event.accepted_at, floor)
        if has_news:
            has_news = _meet_news(scene)
        scene.seq, scene.is_old, scene.emitted = event.seq, event.is_old, 0
        _play_one(scene, event, meets_release=meets_release)
        if scene.queue:
            _play_following(scene)
        meets_release = False
        if scene.earliest < bound:
            bound = scene.earliest
    if has_news:
        # Woken by whoever brought it: with nothing due meanwhile, that is at the horizon.
        scene.now = max(floor, min(bound, horizon))
        _meet_news(scene)
        bound = _next_due(scene)
    if bound <= horizon:
        _arm(scene, _play_due(scene, before=horizon + 1, floor=floor), horizon)
    elif bound < person.state.armed_at or person.state.armed_at <= horizon:
        _arm(scene, _next_due(scene), horizon)
    return scene.effects


def _play_following(scene: Scene) -> None:
    """Play our own events, first come first served; `Scene.emit` bounds how many can come."""
    while scene.queue:
        event, crossing = scene.queue.popleft()
        _play_one(scene, event, crossing)


def _play_one(
    scene: Scene, event: Event, crossing: Crossing | None = None, *, meets_release: bool = False
) -> None:
    """Play one event alone; what follows from it waits in the scene's queue."""
    touched = scene.segments.observe(scene.state.features, event)
    if event.consent or event.addresses or event.zone:
        touched |= scene.reveal(event)
    if event.traits:
        touched |= scene.learn(event.traits)
    if meets_release:
        _take_up_release(scene)
    elif touched:
        scene.refresh(in_order(touched))
    if event.name == EXPERIMENT_VIEWED and crossing is None:
        take_exposure(scene, event)
    if scene.roster.dates and (event.traits or event.zone):
        rearm_dates(scene, traits=event.traits, has_moved=bool(event.zone))
    if crossing is not None:
        cross_schedules(scene, crossing)
    if scene.person.enrollments:
        check_audiences(scene)
        hear(scene, event)
    if crossing is not None or event.is_ours or event.name in scene.roster.triggers:
        start_journeys(scene, event, crossing)


def _meet_release(scene: Scene) -> None:
    """Play the arrival of a release by itself, not with an event."""
    _take_up_release(scene)
    check_audiences(scene)
    _play_following(scene)


def _meet_news(scene: Scene) -> bool:
    """Play what came from outside the log; false, because then it is none any more."""
    scene.seq, scene.is_old, scene.emitted = 0, False, 0
    scene.meet_news()
    check_audiences(scene)
    _play_following(scene)
    return False


def _take_up_release(scene: Scene) -> None:
    """Ask every segment of a new release, drop what it no longer knows, arm what it schedules."""
    state, segments = scene.state, scene.segments
    # First of all: nobody may hear, enter or walk on before they stand where they are moved to.
    arrived = meet_operators(scene) if scene.person.enrollments else []
    state.release = scene.program.release
    state.told = segments.news.of(scene.person.profile) if segments.news else {}
    for name in state.memberships.keys() - set(scene.roster.segments):
        del state.memberships[name]
    for key in state.features.keys() - segments.feature_keys:
        del state.features[key]
    scene.refresh(scene.roster.segments)
    arm_schedules(scene)
    backfill(scene)
    for enrollment in arrived:
        if enrollment.status == "active" and enrollment.campaign not in scene.roster.paused:
            advance(scene, enrollment, arrived=True)


def _play_due(scene: Scene, *, before: Instant, floor: Instant) -> Instant:
    """Play everything that falls due before an instant; when the next thing is due after it."""
    n_items = 0
    scene.seq, scene.is_old = 0, False
    while (due := _next_due(scene)) < before:
        now = max(due, floor)
        if now > scene.now:
            n_items = 0
        n_items += 1
        if n_items > DUE_ITEMS_MAX:
            raise JourneyLoop(
                f"profile {scene.person.profile.id}: more than {DUE_ITEMS_MAX:,} timers acted at"
                f" {iso(now)}; a campaign without any delay probably starts itself again"
            )
        scene.now, scene.emitted = now, 0
        _play_due_item(scene, due)
        if scene.queue:
            _play_following(scene)
    return due


def _play_due_item(scene: Scene, due: Instant) -> None:
    """The first thing due at this instant; the rest follows when asked again."""
    state = scene.state
    names = [name for name, each in state.memberships.items() if each.until <= due]
    if names:
        scene.refresh(sorted(names))
        return
    if state.audiences and any(until <= due for until in state.audiences.values()):
        check_audiences(scene)
        return
    walking: list[Enrollment] = []
    sending: list[Enrollment] = []
    for each in _moving(scene):
        if is_sending(scene, each):
            sending.append(each)
        elif each.due_at <= due:
            walking.append(each)
    if walking:
        advance(scene, scene.most_important(walking), arrived=False)
        return
    fires = [name for name, at in state.schedules.items() if at <= due]
    if fires:
        fire(scene, min(fires))
        return
    advance(scene, next_to_send(scene, sending, due=due), arrived=False)


def _next_due(scene: Scene) -> Instant:
    """The earliest instant at which anything of this profile acts by itself."""
    state = scene.state
    due = NEVER
    for membership in state.memberships.values():
        if membership.until < due:
            due = membership.until
    if state.audiences:
        due = min(due, *state.audiences.values())
    if state.schedules:
        due = min(due, *state.schedules.values())
    for each in _moving(scene):
        if each.due_at < due:
            due = each.due_at
    return due


def _moving(scene: Scene) -> list[Enrollment]:
    """Active enrollments of campaigns that are not paused."""
    if not scene.person.enrollments:
        return []
    paused = scene.roster.paused
    return [
        each
        for each in scene.person.enrollments
        if each.status == "active" and each.campaign not in paused
    ]


def _arm(scene: Scene, due: Instant, horizon: Instant) -> None:
    """Re-arm the profile's one timer lazily: only if it fired, or would fire too late.

    A timer that turns out too early costs one empty play; moving every timer costs a write each.
    """
    state = scene.state
    has_fired = state.armed_at <= horizon
    if has_fired:
        state.armed_at = NEVER
    if due < state.armed_at:
        state.armed_at = due
        scene.effects.append(Wake(due))
