"""A person as loaded for a batch: profile, events, scores, memberships and enrollments."""

from typing import Any, Literal

from msgspec import Struct, field

from engine.core.model.instants import NEVER, EnrollmentId, Instant, ProfileId
from engine.core.model.steps import StepId


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
    and recommenders by the name the step gave them.
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
