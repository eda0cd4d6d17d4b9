"""The nouns, frozen: what the core is told, what it decides, and the compiled campaign language.

Everything here is plain data without behaviour. Instants are integer microseconds since
1970-01-01T00:00Z (`Instant`): they sort, merge and pack without a time zone to get wrong; text and
`datetime` exist only at the edges (`clocktime`). Read next: `segments`, `journeys`, `policy`,
`play`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NewType, TypeAlias

from msgspec import Struct, field

Instant: TypeAlias = int
"""Microseconds since the epoch, UTC."""

ProfileId = NewType("ProfileId", int)
EnrollmentId = NewType("EnrollmentId", int)

NEVER: Final[Instant] = 2**62
"""An instant that does not come: the `until` of a verdict that only an event can change."""

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

Scalar: TypeAlias = str | int | float | bool | None


# --- the segment language, compiled -------------------------------------------------------------

Operator: TypeAlias = Literal[
    "is", "is_not", "in", "not_in", "gt", "gte", "lt", "lte", "between",
    "contains", "not_contains", "starts_with", "ends_with", "matches", "exists",
    "before", "after", "within_last", "within_next", "anniversary_within",
]  # fmt: skip


class Comparison(Struct, frozen=True, omit_defaults=True):
    """One test of a value. `operand` is a scalar, or a tuple for `in`, `not_in`, `between`.

    Dates (`before`, `after`) are instants; spans (`within_*`) are microseconds.
    """

    operator: Operator
    operand: Any


class Filter(Struct, frozen=True, omit_defaults=True):
    """A dotted path and the tests its value must all pass; `*` in the path means any element."""

    path: tuple[str, ...]
    comparisons: tuple[Comparison, ...]


class EventMatch(Struct, frozen=True, omit_defaults=True):
    """Events of one name that pass every filter. Paths start at `properties` or `context`."""

    event: str
    where: tuple[Filter, ...] = ()


class Window(Struct, frozen=True, omit_defaults=True):
    """Which event times count: the last `within` microseconds, or [since, until), or ever."""

    within: int | None = None
    since: Instant | None = None
    until: Instant | None = None


class TraitCondition(Struct, frozen=True, tag="trait"):
    filter: Filter


class FollowedBy(Struct, frozen=True):
    """An event at most `within` microseconds after the one it follows."""

    match: EventMatch
    within: int


class EventCondition(Struct, frozen=True, tag="event"):
    """How many matching events lie in the window.

    With `not_followed_by`, an event counts only once the span has passed without the follower.
    """

    match: EventMatch
    count: tuple[Comparison, ...] = (Comparison("gte", 1),)
    window: Window = Window()
    not_followed_by: FollowedBy | None = None


class AggregateCondition(Struct, frozen=True, tag="aggregate"):
    """What one property comes to over the matching events in the window.

    `limit` bounds how many contributions are remembered; past it the verdict is approximate.
    """

    match: EventMatch
    measure: Literal["sum", "avg", "min", "max", "first", "last", "distinct"]
    path: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    window: Window = Window()
    limit: int = 1_000


class MomentCondition(Struct, frozen=True, tag="moment"):
    """When the first or last matching event happened; a value that is missing if none did."""

    match: EventMatch
    which: Literal["first", "last"]
    comparisons: tuple[Comparison, ...]
    window: Window = Window()


class SequenceStep(Struct, frozen=True):
    """A matching event at most `gap` microseconds after the step before, and none of `without`
    strictly between the two."""

    match: EventMatch
    gap: int | None = None
    without: EventMatch | None = None


class SequenceCondition(Struct, frozen=True, tag="sequence"):
    """Events of every step in the window, at strictly increasing times.

    `limit` bounds how many times are remembered for each step.
    """

    steps: tuple[SequenceStep, ...]
    window: Window = Window()
    limit: int = 1_000


class SessionCondition(Struct, frozen=True, tag="session"):
    """How many sessions (events no further apart than the gap) in the window pass: at least one.

    `duration` compares microseconds from first to last event, `events` their number, `count` the
    number of sessions that pass both. `limit` bounds how many sessions are remembered.
    """

    duration: tuple[Comparison, ...] = ()
    events: tuple[Comparison, ...] = ()
    window: Window = Window()
    limit: int = 512
    count: tuple[Comparison, ...] = (Comparison("gte", 1),)


class SegmentCondition(Struct, frozen=True, tag="segment"):
    segment: str


class ConsentCondition(Struct, frozen=True, tag="consent"):
    """What is known of the consent to one topic on one channel, withdrawals included."""

    channel: str
    topic: str
    state: Literal["granted", "refused", "unknown"] = "granted"


class SampleCondition(Struct, frozen=True, tag="sample"):
    """A share of all profiles, in percent, by a hash of the salt and the profile's id."""

    percent: float
    salt: str


class ListCondition(Struct, frozen=True, tag="list"):
    """Whoever stands in a list of the workspace; its values are in `Program.lists`."""

    list: str


class LocalTimeCondition(Struct, frozen=True, tag="local_time"):
    """Clocks show a minute in [from, to) on one of these days; over midnight where `to` is not
    after `from`, and then the day is the one on which it began.

    `days` are 0 (Monday) to 6; `zone` is an IANA name or "profile".
    """

    from_minute: int = 0
    to_minute: int = 1440
    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    zone: str = "profile"


class LatestCondition(Struct, frozen=True, tag="latest"):
    """What the last event whose context carried the `root` said of it passes every filter.

    Paths are one field below the root. With `within`, older news is as none.
    """

    root: Literal["device", "location"]
    fields: tuple[Filter, ...]
    within: int | None = None


class NearCondition(Struct, frozen=True, tag="near"):
    """The last known location lies at most `km` from a place, in degrees, along a great circle."""

    latitude: float
    longitude: float
    km: float
    within: int | None = None


class ScoreCondition(Struct, frozen=True, tag="score"):
    """A model's prediction passes, by its value and by its percentile; without one it fails."""

    model: str
    value: tuple[Comparison, ...] = ()
    percentile: tuple[Comparison, ...] = ()


class ClusterCondition(Struct, frozen=True, tag="cluster"):
    """A model put the profile into such a cluster, as surely as asked; without one it fails."""

    model: str
    label: tuple[Comparison, ...]
    confidence: tuple[Comparison, ...] = ()


class All(Struct, frozen=True, tag="all"):
    conditions: tuple["Condition", ...]


class AnyOf(Struct, frozen=True, tag="any"):
    conditions: tuple["Condition", ...]


class Not(Struct, frozen=True, tag="not"):
    condition: "Condition"


Condition: TypeAlias = (
    TraitCondition
    | EventCondition
    | AggregateCondition
    | MomentCondition
    | SequenceCondition
    | SessionCondition
    | SegmentCondition
    | ConsentCondition
    | SampleCondition
    | ListCondition
    | LocalTimeCondition
    | LatestCondition
    | NearCondition
    | ScoreCondition
    | ClusterCondition
    | All
    | AnyOf
    | Not
)
"""`none: [...]` compiles to `Not(AnyOf(...))`."""


class Verdict(Struct, frozen=True):
    """Whether a condition holds, and until when that answer stands if no event arrives."""

    matches: bool
    until: Instant = NEVER


# --- journeys, compiled: a flat graph of steps by id --------------------------------------------


class Duration(Struct, frozen=True):
    """An exact span, or calendar steps counted in the profile's zone (`P1M`, `P1D`)."""

    exact: int = 0
    months: int = 0
    days: int = 0


class Expression(Struct, frozen=True):
    """A value computed when its step is processed; `reads` are the dotted paths it needs.

    One whole expression keeps its type; text around it makes a string.
    """

    source: str
    reads: tuple[str, ...] = ()


Value: TypeAlias = Scalar | list[Any] | dict[str, Any] | Expression
StepId: TypeAlias = str


class Delay(Struct, frozen=True, tag="delay"):
    id: StepId
    duration: Duration
    next: StepId | None = None


class DelayUntil(Struct, frozen=True, tag="delay_until"):
    """Wait for the next such wall time, the present instant included.

    `days` are 0 (Monday) to 6; `zone` is an IANA name or "profile".
    """

    id: StepId
    at_minute: int
    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    zone: str = "profile"
    next: StepId | None = None


class WaitFor(Struct, frozen=True, tag="wait_for"):
    id: StepId
    match: EventMatch
    timeout: Duration
    counting_from: Literal["entry", "step", "ever"] = "step"
    then: StepId | None = None
    on_timeout: StepId | None = None


class Branch(Struct, frozen=True, tag="branch"):
    """The first arm whose condition holds, else `otherwise`."""

    id: StepId
    arms: tuple[tuple[Condition, StepId | None], ...]
    otherwise: StepId | None = None


class ExperimentStep(Struct, frozen=True, tag="experiment"):
    id: StepId
    experiment: str
    arms: dict[str, StepId | None]


class Split(Struct, frozen=True, tag="split"):
    """Random paths without inference; sticky per profile by hash of the campaign and step."""

    id: StepId
    weights: dict[str, int]
    arms: dict[str, StepId | None]


class Send(Struct, frozen=True, tag="send"):
    """`expires` counts from the instant the step is reached; `topic` and `send_window` None mean
    the campaign's. `channel` is the kind, by which people are reached; `account` the channel's name
    in antiphon.yaml where it is another."""

    id: StepId
    channel: str
    template: str
    topic: str | None = None
    expires: int | None = None
    next: StepId | None = None
    send_window: LocalTimeCondition | None = None
    account: str | None = None


class Update(Struct, frozen=True, tag="update"):
    id: StepId
    traits: dict[str, Value]
    even_in_holdout: bool = False
    next: StepId | None = None


class Track(Struct, frozen=True, tag="track"):
    id: StepId
    event: str
    properties: dict[str, Value]
    even_in_holdout: bool = False
    next: StepId | None = None


class Exit(Struct, frozen=True, tag="exit"):
    id: StepId


class FirstPossible(Struct, frozen=True, tag="first_possible"):
    """The first of these send steps that address, consent and suppression allow, or none."""

    id: StepId
    sends: tuple[StepId, ...]
    next: StepId | None = None


class BestTime(Struct, frozen=True, tag="best_time"):
    """Wait, at most `within` microseconds, for the hour at which this person is likeliest to act.

    Without a model of their hours the instant is drawn uniformly, and logged as such.
    """

    id: StepId
    within: int
    next: StepId | None = None


class Webhook(Struct, frozen=True, tag="webhook"):
    """Call a URL and hold until it has answered; `save_as` names its answer for later steps.

    `timeout` is that of one attempt. `secrets` names the parts ("url", "headers.Authorization")
    that were written with `${env:NAME}`: only those are ever filled in, at the call.
    """

    id: StepId
    url: Value
    body: Value = None
    method: Literal["POST", "PUT", "PATCH", "GET", "DELETE"] = "POST"
    headers: dict[str, Value] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    save_as: str | None = None
    timeout: int = 10 * SECOND
    on_error: Literal["continue", "exit"] = "continue"
    even_in_holdout: bool = False
    next: StepId | None = None


class Repeat(Struct, frozen=True, tag="repeat"):
    """Walk `body` up to `times`, a round each `every`; its last step leads back here.

    `starts_now` has the first round begin on arrival, else after one `every`. `until` ends it, also
    between two rounds.
    """

    id: StepId
    times: int
    every: Duration
    body: StepId | None
    starts_now: bool = True
    until: EventMatch | None = None
    next: StepId | None = None


Step: TypeAlias = (
    Delay
    | DelayUntil
    | BestTime
    | WaitFor
    | Branch
    | FirstPossible
    | ExperimentStep
    | Split
    | Repeat
    | Send
    | Update
    | Track
    | Webhook
    | Exit
)


# --- campaigns ----------------------------------------------------------------------------------


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


class Bandit(Struct, frozen=True):
    """How an experiment learns its weights: at least `floor` for every arm, anew each `every`.

    A share `explore` of the units is drawn at the planned weights for ever, by a seed of its own.
    """

    algorithm: Literal["thompson", "top_two"] = "thompson"
    floor: float = 0.05
    every: int = DAY
    explore: float = 0.1


class Allocation(Struct, frozen=True):
    """The weights a bandit gave its arms from an instant on; `version` counts from 1."""

    version: int
    since: Instant
    weights: dict[str, int]


class Experiment(Struct, frozen=True):
    """One phase of one experiment: its seed and weights never change.

    A journey has its step, or, where `campaign` is "", it is served to clients that ask.
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
    """At most `max` messages in any window of `per` microseconds; None means every one."""

    max: int
    per: int
    channel: str | None = None
    topic: str | None = None


class QuietHours(Struct, frozen=True):
    """Local wall minutes [from, to), over midnight where `to_minute` is smaller."""

    from_minute: int
    to_minute: int


class TemplateFacts(Struct, frozen=True):
    """What the core must know of a template: its content hash and the values it cannot do without.

    `requires` are dotted paths (`profile.first_name`, `event.cart_value`) read without a default
    and outside every condition.
    """

    hash: str
    requires: tuple[str, ...] = ()


class MemberList(Struct, frozen=True):
    """The values of one list: external ids, or of the trait at a path (pii ones as markers)."""

    trait: tuple[str, ...]
    values: frozenset[str]


class Program(Struct, frozen=True):
    """A whole workspace compiled: all that `play` needs to know that is not about a person.

    `campaigns` holds the applied versions; `pinned` older ones that still have people inside, by
    (campaign, version). `experiments` are by (name, phase); `phases` names each one's current.
    `allocations` are what bandits in their current phase have learnt, oldest first.
    `collect` is the span in microseconds within which sends of one profile compete (rule 5).
    `moves` and `unenrolments` are for whoever has not met the release they came with, oldest first.
    `rooms` are channels that write to a team's chat: the person's address is not asked for.
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


# --- a person, as loaded for a batch ------------------------------------------------------------


class Event(Struct, frozen=True, gc=False):
    """A dated fact. `at` is when it happened, `accepted_at` when we committed it.

    `traits`, `consent`, `addresses` (None: the channel's address is gone) and `zone` are changes it
    brings with it, applied before it is evaluated. `is_old` events update features but start no
    journey (rule 8). `is_ours` marks what the engine itself put into the log (an API trigger, a
    webhook's answer): nobody outside can send one.
    """

    seq: int
    name: str
    at: Instant
    accepted_at: Instant
    properties: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    traits: dict[str, Any] = field(default_factory=dict)
    is_old: bool = False
    is_ours: bool = False
    consent: dict[str, dict[str, bool]] | None = None
    addresses: dict[str, "Contact | None"] | None = None
    zone: str = ""


class Contact(Struct, frozen=True):
    """What may reach one address: why it is suppressed, until when, and the topics its owner
    withdrew from.

    `withdrawn` holds topic names, or "*" for all marketing.
    """

    suppressed: str | None = None
    withdrawn: frozenset[str] = frozenset()
    suppressed_until: Instant = NEVER


class Score(Struct, frozen=True, gc=False):
    """What the current run of one model says of a profile.

    A prediction has a `value` and its `percentile` (0 to 100) in that run; a clustering the `label`
    of the cluster and, as its `value`, how sure it is (0 to 1). `run` is the run's number.
    """

    value: float
    percentile: float = 0.0
    label: str = ""
    run: int = 0


class Profile(Struct):
    """A person's current facts. `addresses` has an entry for each channel that can reach them.

    `consent` is channel -> topic -> granted; absent means unknown. `external_id` is the id the
    caller uses, the user id where there is one. `scores` is by model.
    """

    id: ProfileId
    zone: str
    traits: dict[str, Any] = field(default_factory=dict)
    consent: dict[str, dict[str, bool]] = field(default_factory=dict)
    addresses: dict[str, Contact] = field(default_factory=dict)
    external_id: str = ""
    scores: dict[str, Score] = field(default_factory=dict)


class LedgerEntry(Struct, array_like=True, gc=False):
    """One message that counts towards caps; `ghost_of` names the campaign of a ghost.

    `message` and `priority` say what a more important message may displace; 0 is nothing.
    """

    at: Instant
    channel: str
    topic: str
    ghost_of: str | None = None
    message: int = 0
    priority: int = 0


class Membership(Struct, array_like=True, gc=False):
    """The last verdict of one segment about a profile.

    Whoever changes `matches` puts a new object in its place; `until` alone may be moved.
    """

    matches: bool
    until: Instant
    since: Instant


class Exposed(Struct, array_like=True, gc=False):
    """The first exposure of this profile to an experiment or holdout: it wins for ever.

    In a state it stands under the experiment's name, and under the name, a newline and the unit
    where the unit is not the profile.
    """

    variant: str
    phase: int
    at: Instant


class State(Struct, array_like=True):
    """What the core remembers of one profile: one msgpack blob, bounded by the definitions.

    `features` is keyed by the content hash of the feature's definition. `entries` remembers the
    last entry and exit per campaign (and key) for re-entry. `schedules` is the next fire per
    scheduled campaign. `armed_at` is the instant of the profile's one timer row. `heard` names, per
    active enrollment, the waits whose event has already come. `audiences` is until when each
    continuous audience that someone stands in is known to hold, and `backfilled` the campaigns that
    have asked about the members their segment had before them. `told` is what the segments were
    last told that no event brings: a model's run, the id of the caller, what an address withdrew.
    """

    features: dict[str, Any] = field(default_factory=dict)
    memberships: dict[str, Membership] = field(default_factory=dict)
    exposures: dict[str, Exposed] = field(default_factory=dict)
    ledger: list[LedgerEntry] = field(default_factory=list)
    entries: dict[str, tuple[Instant, Instant]] = field(default_factory=dict)
    schedules: dict[str, Instant] = field(default_factory=dict)
    armed_at: Instant = NEVER
    release: int = 0
    heard: dict[int, list[StepId]] = field(default_factory=dict)
    audiences: dict[str, Instant] = field(default_factory=dict)
    backfilled: list[str] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)


class Round(Struct, array_like=True, gc=False):
    """How many rounds of a repeat have begun, and when the last of them did.

    Number 0 is the wait before the first; it counts from `began_at` too.
    """

    number: int
    began_at: Instant


class Enrollment(Struct):
    """One profile's passage through one campaign version.

    `step` is where they stand, `visit` counts arrivals, `due_at` when the step acts by itself.
    `status` becomes done (ran off the end), exited (exit step, exit_when, left the audience) or
    dropped (nothing left to do because a merge or operator closed it). `message` is the id of a
    message that the gate defers, or of a webhook's call, while the step waits for it. `rounds` are
    those of the repeats someone is inside, outermost first; `saved` holds the answers of webhooks
    by the name the step gave them.
    """

    id: EnrollmentId
    campaign: str
    version: str
    key: str
    entered_at: Instant
    step: StepId | None
    step_at: Instant
    due_at: Instant = NEVER
    visit: int = 0
    status: Literal["active", "done", "exited", "dropped"] = "active"
    trigger_seq: int = 0
    trigger: dict[str, Any] = field(default_factory=dict)
    variants: dict[str, str] = field(default_factory=dict)
    is_held_out: bool = False
    held_by: str = ""
    message: int | None = None
    reason: str = ""
    rounds: dict[StepId, Round] = field(default_factory=dict)
    saved: dict[str, Any] = field(default_factory=dict)


class Person(Struct):
    """Everything about one profile that a batch may read or change.

    `is_new` is true until the profile's first batch commits: its segments start as "not in".
    """

    profile: Profile
    state: State
    enrollments: list[Enrollment] = field(default_factory=list)
    is_new: bool = False


# --- gates --------------------------------------------------------------------------------------


PlacementKind: TypeAlias = Literal["in-page", "banner", "modal"]


class Placement(Struct, frozen=True):
    """A web message as it waits for its visitor: what is shown in which slot, and until when.

    Of two in one slot the higher `priority` comes first.
    """

    name: str
    kind: PlacementKind
    priority: int
    html: str
    expires_at: Instant


class Draft(Struct, frozen=True):
    """A message the gate is asked about."""

    campaign: str
    channel: str
    template: str
    topic: Topic
    priority: int
    when_capped: Literal["defer", "drop"] = "defer"
    expires_at: Instant = NEVER
    requires: tuple[str, ...] = ()
    send_window: LocalTimeCondition | None = None
    account: str | None = None

    @property
    def sent_by(self) -> str:
        """The name of the channel in antiphon.yaml."""
        return self.account or self.channel


class Allow(Struct, frozen=True, tag="allow"):
    pass


class Defer(Struct, frozen=True, tag="defer"):
    until: Instant
    why: str


class Drop(Struct, frozen=True, tag="drop"):
    why: str


Decision: TypeAlias = Allow | Defer | Drop


# --- effects: what the core wants done, as data -------------------------------------------------


class SendMessage(Struct, frozen=True, tag="send"):
    """Queue a message. `context` is what its template may read besides the profile."""

    enrollment: EnrollmentId
    message: int
    step: StepId
    visit: int
    draft: Draft
    variant: str
    template_hash: str
    context: dict[str, Any]
    at: Instant


class Ghost(SendMessage, frozen=True, tag="ghost"):
    """What the holdout would have been sent: recorded exactly like a message, never attempted."""

    held_by: str = ""


class Hold(Struct, frozen=True, tag="hold"):
    """A message the gate deferred: a row with its reason; the enrollment waits at its step."""

    enrollment: EnrollmentId
    message: int
    step: StepId
    visit: int
    draft: Draft
    variant: str
    at: Instant
    until: Instant
    why: str


class Discard(Struct, frozen=True, tag="drop"):
    """A message, side effect or entry that will not happen: a row with its reason.

    A refused entry has an enrollment id of its own, which no enrollment will ever bear.
    """

    enrollment: EnrollmentId
    message: int
    step: StepId
    visit: int
    draft: Draft | None
    variant: str
    at: Instant
    why: str
    campaign: str = ""


class Call(Struct, frozen=True, tag="call"):
    """Call a URL once, by the outbox; its answer comes back as an event of ours.

    `request` is the rendered method, url, headers, body and how to treat the answer (JSON values).
    """

    enrollment: EnrollmentId
    message: int
    step: StepId
    visit: int
    campaign: str
    variant: str
    request: dict[str, Any]
    at: Instant
    expires_at: Instant


class Displace(Struct, frozen=True, tag="displace"):
    """A queued message that a more important one takes the place of, if no attempt has begun."""

    message: int
    at: Instant
    why: str


class Expose(Struct, frozen=True, tag="expose"):
    """The instant assignment mattered. `experiment` is "holdout:<name>" for a holdout.

    `would_allow` is each arm's answer of the gate at this instant ("allow" or the reason), or
    None where a wait comes before the arm's first send. `unit` is "" where that is the profile.
    `allocation` is the version of a bandit's weights, 0 for the planned ones; `flag` keeps it out
    of the analysis.
    """

    experiment: str
    phase: int
    variant: str
    at: Instant
    probability: float
    campaign: str
    enrollment: EnrollmentId
    would_allow: dict[str, str | None] = field(default_factory=dict)
    unit: str = ""
    allocation: int = 0
    source: Literal["journey", "event", "api"] = "journey"
    flag: Literal["", "forced", "held_out", "off_plan"] = ""


class Misreport(Struct, frozen=True, tag="misreport"):
    """An exposure reported from outside that could not be taken as it is: counted by its reason.

    `experiment` is "" where there is none of the name.
    """

    experiment: str
    why: str
    at: Instant


class SetTrait(Struct, frozen=True, tag="set_trait"):
    name: str
    value: Any
    at: Instant


class Emit(Struct, frozen=True, tag="emit"):
    """An event of our own, already played for this profile; the log keeps it."""

    event: str
    properties: dict[str, Any]
    at: Instant


class Wake(Struct, frozen=True, tag="wake"):
    """Nothing can change for this profile before `at` unless an event arrives."""

    at: Instant


class Entered(Struct, frozen=True, tag="entered"):
    enrollment: EnrollmentId
    campaign: str
    at: Instant


class Exited(Struct, frozen=True, tag="exited"):
    enrollment: EnrollmentId
    campaign: str
    at: Instant
    why: str


class Moved(Struct, frozen=True, tag="moved"):
    """An enrollment goes on in another version of its campaign, at `step`."""

    enrollment: EnrollmentId
    campaign: str
    origin: str
    version: str
    step: StepId
    at: Instant


Effect: TypeAlias = (
    SendMessage
    | Call
    | Ghost
    | Hold
    | Discard
    | Displace
    | Expose
    | Misreport
    | SetTrait
    | Emit
    | Wake
    | Entered
    | Exited
    | Moved
)

Evaluate: TypeAlias = Callable[[Expression, Mapping[str, Any]], Any]
"""Sandboxed evaluation of an expression over plain data; raises LookupError on a missing value."""
