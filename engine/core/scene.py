"""What is being played: one person, one instant, and what has followed so far.

The scene keeps the few things every verb of the core must agree on: effects in order, events of our
own waiting to be played, segments re-evaluated when (and only when) they can have changed.
Read next: `play`, which sets it; `journeys`, which acts on it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple, TypeAlias

from msgspec import Struct, field

from engine.core.conditions.compiled import ZONE
from engine.core.errors import JourneyLoop
from engine.core.model.campaigns import Campaign, Program
from engine.core.model.effects import Effect, Emit, Evaluate, ForgetScores, Pick, PickAsk
from engine.core.model.instants import NEVER, Instant
from engine.core.model.people import Enrollment, Event, Exposed, Membership, Person, State
from engine.core.model.steps import StepId
from engine.core.profiling import may_be_profiled
from engine.core.roster import CROSSINGS, Crossing, Roster
from engine.core.segments import NOBODY, Segments, in_order

EMITTED_MAX = 32
"""Events of our own that one item may cause, beyond one for every segment."""


class Outcome(Enum):
    """What a step did instead of leading on to the next one."""

    HOLD = "hold"
    EXIT = "exit"


HOLD: Final = Outcome.HOLD
EXIT: Final = Outcome.EXIT
"""By these names, because Python 3.11 takes 0.1 us to find a member in its class."""


Onward: TypeAlias = StepId | Outcome | None
"""Where a step leads: a step, the end of the journey (None), or nowhere yet."""


class Happening(NamedTuple):
    """An event to play. `crossing` is set only on our own, so nobody can forge one."""

    event: Event
    crossing: Crossing | None = None


def no_one_shown(experiment: str, unit: str) -> Exposed | None:
    """No exposure of a unit beside the profile's own is known."""
    return None


def nothing_picked(ask: PickAsk) -> list[dict[str, Any]]:
    """No recommender is there."""
    return []


class Scene(Struct, eq=False):
    """One person on stage, with their state beside them because it is read most.

    `seq` is that of the outside event being played, 0 for a timer. `earliest` is the earliest due
    instant that anything has been given since it was last reset: it spares the search through all
    of them when nothing has come nearer.
    """

    person: Person
    state: State
    program: Program
    roster: Roster
    segments: Segments
    evaluate: Evaluate
    new_id: Callable[[str], int]
    now: Instant
    still_queued: Callable[[Sequence[int]], frozenset[int]] = lambda messages: frozenset()
    shown: Callable[[str, str], Exposed | None] = no_one_shown
    pick: Pick = nothing_picked
    seq: int = 0
    is_old: bool = False
    emitted: int = 0
    earliest: Instant = NEVER
    effects: list[Effect] = []
    queue: deque[Happening] = field(default_factory=deque)

    def emit(self, name: str, properties: Mapping[str, Any]) -> None:
        """Record an event of our own; it is played after what is being played now.

        Raises:
            JourneyLoop: If one item has caused more of them than any honest cascade would.
        """
        self._emit(name, dict(properties), None)

    def _emit(self, name: str, values: dict[str, Any], crossing: Crossing | None) -> None:
        self.emitted += 1
        if self.emitted > EMITTED_MAX + len(self.roster.segments):
            raise JourneyLoop(
                f'profile {self.person.profile.id}: "{name}" is event number {self.emitted} that'
                f" one event or timer set off; at most {EMITTED_MAX} besides one per segment are"
                " allowed. Two campaigns probably trigger each other; give one an audience that"
                " ends, or reentry: {when: after_gap}"
            )
        self.effects.append(Emit(name, values, self.now))
        if crossing is not None and crossing not in self.roster.followed:
            return
        # What follows from old news is old news too: it starts no journey (rule 8).
        event = Event(self.seq, name, self.now, self.now, values, is_old=self.is_old)
        self.queue.append(Happening(event, crossing))

    def refresh(self, names: Iterable[str]) -> None:
        """Ask these segments again; what changed becomes Segment Entered or Segment Exited.

        A segment without a membership is new to the person: its verdict is taken silently, unless
        the person is new too and so was "not in" before.
        """
        memberships = self.state.memberships
        asks = self.segments.asks
        features, profile, now = self.state.features, self.person.profile, self.now
        for name in names:
            matches, until = asks[name](features, profile, now)
            if until < self.earliest:
                self.earliest = until
            known = memberships.get(name)
            if known is None:
                memberships[name] = Membership(matches, until, now)
                if matches and self.person.is_new:
                    self._cross(name, True)
            elif known.matches == matches:
                known.until = until
            else:
                # Another object: who compares with what was read sees by identity what changed.
                memberships[name] = Membership(matches, until, now)
                self._cross(name, matches)

    def reveal(self, event: Event) -> frozenset[str]:
        """Take over the consent, addresses and zone that an event brings.

        Returns:
            The names of segments that may have changed.
        """
        profile = self.person.profile
        facts = []
        for channel, topics in (event.consent or {}).items():
            profile.consent.setdefault(channel, {}).update(topics)
            facts.append(f"consent:{channel}")
        for channel, contact in (event.addresses or {}).items():
            if contact is None:
                profile.addresses.pop(channel, None)
            else:
                profile.addresses[channel] = contact
            facts.append(f"consent:{channel}")
        if event.zone and event.zone != profile.zone:
            profile.zone = event.zone
            facts.append(ZONE)
        return self.segments.touched_by_facts(facts)

    def has_news(self) -> bool:
        """Whether anything from outside the log differs from what the segments were told."""
        return self.segments.news.of(self.person.profile) != self.state.told

    def meet_news(self) -> None:
        """Ask the segments again that it may have changed."""
        told, self.state.told = self.state.told, self.segments.news.of(self.person.profile)
        changed = self.segments.news.changed(told, self.state.told)
        self.refresh(in_order(self.segments.touched_by_facts(changed)))

    def learn(self, traits: Mapping[str, Any]) -> frozenset[str]:
        """Set traits; the names of segments that may have changed."""
        known = self.person.profile.traits
        changed = [
            name for name, value in traits.items() if name not in known or known[name] != value
        ]
        if not changed:
            return NOBODY
        known.update((name, traits[name]) for name in changed)
        touched = self.segments.touched_by_traits(changed)
        profiling = self.program.profiling
        if profiling.trait in changed and not may_be_profiled(known[profiling.trait], profiling):
            touched |= self.forget_scores()
        return touched

    def forget_scores(self) -> frozenset[str]:
        """Have what models say of them deleted; the names of segments that may have changed.

        Whoever takes the refusal back has no score before the next run: it is forgotten in this
        batch as it would be between two.
        """
        self.drop_scores()
        facts = [f"score:{model}" for model in self.segments.news.models]
        for fact in facts:
            self.state.told.pop(fact, None)
        return self.segments.touched_by_facts(facts)

    def drop_scores(self) -> None:
        """The same, and what was read of them counts as news that is still to be met."""
        self.person.profile.scores = {}
        self.effects.append(ForgetScores(self.now))

    def expect(self, due: Instant) -> None:
        """Something acts by itself at this instant."""
        if due < self.earliest:
            self.earliest = due

    def active(self) -> list[Enrollment]:
        """Enrollments still under way, in the one order in which they act."""
        active = [each for each in self.person.enrollments if each.status == "active"]
        if len(active) > 1:
            active.sort(key=self.importance)
        return active

    def importance(self, enrollment: Enrollment) -> tuple[int, Instant, int]:
        """Sorts by falling priority, then due instant, then id."""
        campaign = self.campaign_of(enrollment)
        priority = campaign.priority if campaign is not None else 0
        return (-priority, enrollment.due_at, enrollment.id)

    def most_important(self, enrollments: Sequence[Enrollment]) -> Enrollment:
        """The one that acts first; nothing is compared where there is but one."""
        if len(enrollments) == 1:
            return enrollments[0]
        return min(enrollments, key=self.importance)

    def campaign_of(self, enrollment: Enrollment) -> Campaign | None:
        """The version this enrollment runs on, or None if the program no longer has it."""
        return self.roster.versions.get((enrollment.campaign, enrollment.version))

    def _cross(self, segment: str, is_inside: bool) -> None:
        on = "enter" if is_inside else "exit"
        self._emit(CROSSINGS[on], {"segment": segment}, (segment, on))
