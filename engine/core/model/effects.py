"""What the core wants done, as data: nothing of it has happened yet."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from msgspec import Struct, field

from engine.core.model.gates import Draft
from engine.core.model.instants import EnrollmentId, Instant, ProfileId
from engine.core.model.steps import Expression, StepId


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
    `allocation` is the version of a bandit's weights, 0 for the planned ones, and `context` the one
    they were read in, "" where weights are the same for all; `flag` keeps it out of the analysis.
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
    context: str = ""


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


class ForgetScores(Struct, frozen=True, tag="forget_scores"):
    """They refuse to be profiled: what models say of them is to be deleted."""

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
    | ForgetScores
    | Emit
    | Wake
    | Entered
    | Exited
    | Moved
)

Evaluate: TypeAlias = Callable[[Expression, Mapping[str, Any]], Any]
"""Sandboxed evaluation of an expression over plain data; raises LookupError on a missing value."""


class PickAsk(Struct, frozen=True):
    """What a journey asks of a recommender for one person.

    Attributes:
        n: Items that are wanted.
        n_spare: Further ones that take the place of any that cannot be had any more by the time the
            message is made.
        exclude: Hidden besides what the model hides: "purchased", "out_of_stock".
        items: What the trigger was about: neither shown again nor without its meaning.
    """

    profile_id: ProfileId
    model: str
    n: int
    n_spare: int
    exclude: tuple[str, ...]
    items: tuple[str, ...]
    at: Instant


Pick: TypeAlias = Callable[[PickAsk], list[dict[str, Any]]]
"""The items, the best first, at most n + n_spare: each with `id`, what is known of it, and the
`source`, `reason` and `score` by which it was chosen."""
