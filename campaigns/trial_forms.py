"""What tests/*.yaml say: given a person, what models say of them and events; expect messages.

Each is played on a virtual clock by `engine.simulation.trials`. What a model answers is given, not
learnt: a test is about the campaign that reads it. Read next: `given_models`, which checks that.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from campaigns.forms import (
    EventName,
    Flag,
    Form,
    Free,
    Key,
    Named,
    Path,
    Shorthand,
    Slug,
    Span,
    When,
    Words,
)
from campaigns.model_scalars import Confidence, HourOfDay, Number, Percentile
from campaigns.reading import Map, Text


class GivenProfile(Form):
    id: Words
    traits: dict[Path, Free] = Field(default_factory=dict)
    consent: dict[Slug, dict[Slug, Flag]] = Field(default_factory=dict)


class GivenEvent(Form):
    at: When
    event: EventName
    properties: dict[Path, Free] = Field(default_factory=dict)
    context: dict[Path, Free] = Field(default_factory=dict)


class GivenScore(Form):
    """What a model predicts of the person. Only what is given may be compared."""

    value: Number | None = None
    percentile: Percentile | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "GivenScore":
        if self.value is None and self.percentile is None:
            raise ValueError("it says nothing. Write 0.8, or {value: 0.8, percentile: 95}")
        return self


class GivenCluster(Form):
    """The cluster that the person is in, and how sure that is."""

    is_: Words = Field(alias="is")
    confidence: Confidence | None = None


def _under(key: str) -> Shorthand:
    """One word or number where a mapping may stand means a mapping of this key alone."""

    def expanded(value: Any) -> Any:
        if not isinstance(value, Text):
            return value
        mapping = Map(line=value.line)
        mapping[key] = value
        mapping.key_lines[key] = value.line
        return mapping

    return Shorthand(expanded, {"type": "number" if key == "value" else "string"})


class GivenForm(Form):
    """The person, their events, and by model what it says of them.

    `picks` is what each recommender answers: ids of items, or rows with whatever is shown.
    `best_hours` are hours of the person's own clock; nobody is drawn to explore another.
    """

    profile: GivenProfile
    events: list[GivenEvent] = Field(default_factory=list)
    scores: dict[Slug, Annotated[GivenScore, _under("value")]] = Field(default_factory=dict)
    clusters: dict[Slug, Annotated[GivenCluster, _under("is")]] = Field(default_factory=dict)
    best_hours: dict[Slug, HourOfDay] = Field(default_factory=dict)
    picks: dict[Slug, list[Free]] = Field(default_factory=dict)


class ExpectedSend(Form):
    channel: Slug
    template: Slug
    campaign: Slug | None = None


class ExpectedSendAt(Form):
    """A message at an instant, or less than `within` after it: a drawn minute is nobody's to name.

    Without `within` (0) it is that instant and no other.
    """

    at: When
    within: Span = 0
    send: ExpectedSend


class ExpectedSilence(Form):
    nothing_until: When


EXPECTED: Final = ("send", "nothing_until")


def expected_kind(value: Any) -> str | None:
    """The kind of expectation that a mapping is, by its keys."""
    if isinstance(value, Mapping):
        return next((kind for kind in EXPECTED if kind in value), None)
    return None


Expected: TypeAlias = Annotated[
    Annotated[ExpectedSendAt, Tag("send")] | Annotated[ExpectedSilence, Tag("nothing_until")],
    Discriminator(expected_kind),
]


class TestFile(Named):
    """Given a profile and events, these messages and no others up to the last instant named."""

    __test__ = False  # pytest must not take it for a test of ours

    KIND: ClassVar = "test"

    test: Words
    given: GivenForm
    force: dict[Slug, Key] = Field(default_factory=dict)
    expect: list[Expected] = Field(min_length=1)
