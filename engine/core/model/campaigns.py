"""Campaigns and experiments as they are played, and the whole program of a workspace."""

from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct, field

from engine.core.model.conditions import Condition, EventMatch, Filter, LocalTimeCondition
from engine.core.model.instants import DAY, MINUTE, NEVER, Instant
from engine.core.model.steps import Step, StepId


class EventTrigger(Struct, frozen=True, tag="event"):
    """`key` is a dotted path (`properties.cart_id`): one enrollment per profile and its value."""

    match: EventMatch
    key: str | None = None


class SegmentTrigger(Struct, frozen=True, tag="segment"):
    segment: str
    on: Literal["enter", "exit"] = "enter"
    backfill: Literal["none", "current"] = "none"


class DateTrigger(Struct, frozen=True, tag="date"):
    """A date trait's day, each year or once, plus `offset_days`, at a wall time in `zone`.

    Once for each anniversary (or date): a person whose trait changes back and forth enters once.
    """

    trait: tuple[str, ...]
    at_minute: int = 0
    offset_days: int = 0
    is_yearly: bool = False
    zone: str = "profile"


class ApiTrigger(Struct, frozen=True, tag="api"):
    """Started for one person by `POST /v1/campaigns/{name}/trigger`.

    `key` is a path of what the call brings; without one every call is an enrollment of its own.
    """

    key: str | None = None


class ScheduleTrigger(Struct, frozen=True, tag="schedule"):
    """A five-field cron line read in `zone` ("profile" or an IANA name)."""

    cron: str
    zone: str


Trigger: TypeAlias = EventTrigger | SegmentTrigger | ScheduleTrigger | DateTrigger | ApiTrigger


class Reentry(Struct, frozen=True):
    when: Literal["never", "after_exit", "after_gap"] = "never"
    gap: int = 0
    while_active: Literal["ignore", "restart", "parallel"] = "ignore"


class Holdout(Struct, frozen=True):
    """A share of profiles, in [0, 1], kept silent; sticky within its named period."""

    share: float
    seed: str
    period: str = ""


class Campaign(Struct, frozen=True):
    """One version of one campaign file. `version` is the hash of everything that it pins."""

    name: str
    version: str
    trigger: Trigger
    steps: dict[StepId, Step]
    first: StepId | None
    title: str = ""
    state: Literal["draft", "live", "paused", "draining", "archived"] = "live"
    programme: str | None = None
    audience: Condition | None = None
    is_continuous: bool = False
    reentry: Reentry = Reentry()
    holdout: Holdout | None = None
    exit_when: EventMatch | None = None
    goal: str | None = None
    priority: int = 50
    topic: str = ""
    when_capped: Literal["defer", "drop"] = "defer"
    send_window: LocalTimeCondition | None = None


class Move(Struct, frozen=True):
    """How one release brings people of a campaign's older versions to its own (rule 6).

    `origin` is the version they come from, or "any". `steps` maps old steps to new ones; a step
    that is not in it goes to its namesake, if that is still the same kind of step.
    """

    release: int
    campaign: str
    version: str
    origin: str = "any"
    steps: dict[StepId, StepId] = field(default_factory=dict)


class Unenrolment(Struct, frozen=True):
    """An operator ends a campaign for whoever is inside: all, at one step, or `only` these.

    `last` is the last enrollment there was: who entered later is not concerned, also where a merge
    brings a profile together with one that has not met the order yet.
    """

    release: int
    campaign: str
    step: StepId | None = None
    only: tuple[int, ...] | None = None
    why: str = ""
    last: int = NEVER


class Variant(Struct, frozen=True):
    """One arm. `value` is what a served experiment gives whoever asks for it."""

    name: str
    weight: int
    value: Any = None


class Context(Struct, frozen=True):
    """Who a bandit learns weights of their own for: everything that is given must hold.

    `condition` asks the person, `where` what a client says of itself.
    """

    name: str
    condition: Condition | None = None
    where: tuple[Filter, ...] = ()


class Bandit(Struct, frozen=True):
    """How an experiment learns its weights: at least `floor` for every arm, anew each `every`.

    A share `explore` of the units is drawn at the planned weights for ever, by a seed of its own.
    `contexts` are asked in order; None where everybody has the same weights.
    """

    algorithm: Literal["thompson", "top_two"] = "thompson"
    floor: float = 0.05
    every: int = DAY
    explore: float = 0.1
    contexts: tuple[Context, ...] | None = None

    @property
    def context_names(self) -> tuple[str, ...]:
        """Every context a unit may be of, in order, the rest last; none without contexts."""
        if self.contexts is None:
            return ()
        return (*(it.name for it in self.contexts), OTHERWISE)

    @property
    def is_for_clients(self) -> bool:
        """Whether a client knows all that its contexts ask, and so could decide by itself."""
        return self.contexts is not None and all(it.condition is None for it in self.contexts)


OTHERWISE: Final = "otherwise"
"""The context of whoever is in none of those named."""


class Allocation(Struct, frozen=True):
    """The weights a bandit gave its arms from an instant on; `version` counts from 1.

    `contexts` has those of each context by its name; a name that is absent has `weights`.
    """

    version: int
    since: Instant
    weights: dict[str, int]
    contexts: dict[str, dict[str, int]] = field(default_factory=dict)


class Experiment(Struct, frozen=True):
    """One phase of one experiment: its seed and weights never change.

    A journey has its step, or, where `campaign` is "", it is served to clients that ask, or is a
    cap's (`is_cap`): its variants' values are limits, and the gate draws.
    `layer` is (layer seed, start, end) with the half-open range [start, end) in [0, 1]; `namespace`
    (name, start, end) is GrowthBook's, of an experiment that began there (`is_imported`).
    `unit` is what is drawn: profile, user, anonymous or `traits.PATH`. `audience` is a segment,
    `where` asks what a client says of itself. `forced` are units that
    somebody gave a variant by hand; `requires` names (experiment, variant) that a unit must have.
    Of a `stopped` one everybody gets the winner, or without one what the control gets.
    """

    name: str
    campaign: str
    variants: tuple[Variant, ...]
    seed: str
    phase: int = 1
    coverage: float = 1.0
    hash_version: Literal["2", "s256", "1"] = "2"
    layer: tuple[str, float, float] | None = None
    control: str = "control"
    metrics: dict[str, tuple[str, ...]] = field(default_factory=dict)
    analysis: dict[str, Any] = field(default_factory=dict)
    unit: str = "profile"
    is_imported: bool = False
    namespace: tuple[str, float, float] | None = None
    forced: dict[str, str] = field(default_factory=dict)
    requires: tuple[tuple[str, str], ...] = ()
    audience: str = ""
    where: tuple[Filter, ...] = ()
    is_sticky: bool = True
    programme: str = ""
    bandit: Bandit | None = None
    state: Literal["draft", "live", "stopped"] = "live"
    winner: str = ""
    is_cap: bool = False


class Topic(Struct, frozen=True):
    """What people agree to. `titles` are by language; `is_tracked`: opens and clicks are counted;
    `is_double`: a consent counts once the person has confirmed it by a link."""

    name: str
    title: str = ""
    is_transactional: bool = False
    titles: dict[str, str] = field(default_factory=dict)
    is_tracked: bool = True
    is_double: bool = False


class Cap(Struct, frozen=True):
    """At most `max` messages in any window of `per` microseconds; None means every one.

    One that `tries` several limits draws one for each profile, as the experiment of its name says;
    `max` is then the control's.
    """

    max: int
    per: int
    channel: str | None = None
    topic: str | None = None
    name: str = ""
    tries: tuple[int, ...] = ()


class QuietHours(Struct, frozen=True):
    """Local wall minutes [from, to), over midnight where `to_minute` is smaller."""

    from_minute: int
    to_minute: int


class TemplateFacts(Struct, frozen=True):
    """What the core must know of a template: its content hash and the values it cannot do without.

    `requires` are dotted paths (`profile.first_name`, `event.cart_value`) read without a default
    and outside every condition; `shows` names what it prints of what steps have saved (`picks`).
    """

    hash: str
    requires: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()


class MemberList(Struct, frozen=True):
    """The values of one list: external ids, or of the trait at a path (pii ones as markers)."""

    trait: tuple[str, ...]
    values: frozenset[str]


class Profiling(Struct, frozen=True):
    """Whether one may be profiled: the trait that says so, and what silence means."""

    trait: str = "profiling"
    unknown: Literal["allow", "refuse"] = "allow"


class Program(Struct, frozen=True):
    """A whole workspace compiled: all that `play` needs to know that is not about a person.

    `campaigns` holds the applied versions; `pinned` older ones that still have people inside, by
    (campaign, version). `experiments` are by (name, phase); `phases` names each one's current.
    `allocations` are what bandits in their current phase have learnt, oldest first.
    `collect` is the span in microseconds within which sends of one profile compete (rule 5).
    `moves` and `unenrolments` are for whoever has not met the release they came with, oldest first.
    `rooms` are channels that write to a team's chat: the person's address is not asked for.
    `explored` is, by model of send times, the share of sends that goes out at any hour.
    `item_paths` leads from what a trigger brings to the items it is about, by the event's name and
    for any other event under "": paths of keys, `*` for each entry of a list.
    `profiling` says who has no score, whatever models say of them.
    """

    release: int
    zone: str
    campaigns: dict[str, Campaign]
    segments: dict[str, Condition] = field(default_factory=dict)
    pinned: dict[tuple[str, str], Campaign] = field(default_factory=dict)
    experiments: dict[tuple[str, int], Experiment] = field(default_factory=dict)
    phases: dict[str, int] = field(default_factory=dict)
    topics: dict[str, Topic] = field(default_factory=dict)
    templates: dict[tuple[str, str], TemplateFacts] = field(default_factory=dict)
    caps: tuple[Cap, ...] = ()
    quiet_hours: QuietHours | None = None
    consent_unknown: Literal["refuse", "allow"] = "refuse"
    global_holdout: Holdout | None = None
    programme_holdouts: dict[str, Holdout] = field(default_factory=dict)
    session_gap: int = 30 * MINUTE
    pii_traits: frozenset[str] = frozenset()
    collect: int = 0
    lists: dict[str, MemberList] = field(default_factory=dict)
    moves: tuple[Move, ...] = ()
    unenrolments: tuple[Unenrolment, ...] = ()
    rooms: frozenset[str] = frozenset()
    allocations: dict[str, tuple[Allocation, ...]] = field(default_factory=dict)
    explored: dict[str, float] = field(default_factory=dict)
    item_paths: dict[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    profiling: Profiling = Profiling()
