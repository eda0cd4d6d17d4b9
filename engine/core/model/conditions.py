"""The segment language, compiled: what may be asked of a person, and the verdict."""

from typing import Any, Literal, TypeAlias

from msgspec import Struct

from engine.core.model.instants import NEVER, Instant

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
