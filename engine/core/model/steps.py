"""Journeys, compiled: a flat graph of steps by id."""

from typing import Any, Literal, TypeAlias

from msgspec import Struct, field

from engine.core.model.conditions import Condition, EventMatch, LocalTimeCondition
from engine.core.model.instants import SECOND, Scalar


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

    `send_time` names the model that knows it. Without one, or where it knows nothing of a person,
    the instant is drawn uniformly, and logged as such.
    """

    id: StepId
    within: int
    next: StepId | None = None
    send_time: str | None = None


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


class Recommend(Struct, frozen=True, tag="recommend"):
    """Ask a model for `n` items, which templates then read under the name `save_as`.

    `exclude` hides more than the model does by itself. `if_fewer` are found: "skip" the messages
    that would show them, "fill" with as many as there are, or "hide" them all.
    """

    id: StepId
    model: str
    n: int = 4
    save_as: str = "picks"
    exclude: tuple[str, ...] = ()
    if_fewer: Literal["skip", "fill", "hide"] = "fill"
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
    | Recommend
    | Send
    | Update
    | Track
    | Webhook
    | Exit
)
