"""Journeys as written: a list of steps, blocks nested inside, the next step implicit."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias, cast

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from campaigns.condition_forms import ConditionForm
from campaigns.durations import WEEKDAYS
from campaigns.event_forms import MatchForm
from campaigns.experiment_forms import ExperimentPlan
from campaigns.forms import (
    LIST_SHORTHAND,
    AnyDuration,
    EventName,
    Flag,
    Form,
    Free,
    Key,
    Path,
    Slug,
    Span,
    StepName,
    WallTime,
    Weekday,
    Words,
    ZoneOrProfile,
    one_of,
)
from campaigns.number_scalars import Weight
from campaigns.person_forms import LocalTimeFacts
from campaigns.reading import Text
from campaigns.step_scalars import PickCount, SavedName, Times
from engine.core.model.instants import DAY, SECOND

LATER_STEPS: Final[tuple[str, ...]] = ()
"""Steps of the full language that this version does not have."""


PICKS: Final = "picks"
"""The name under which a recommendation reaches templates unless its step says another."""


class StepForm(Form):
    """Every step may carry an `id`; it names the step in reports and over versions."""

    id: StepName | None = None


class DelayStep(StepForm):
    delay: AnyDuration


BEST_TIME_MAX: Final = 7 * DAY


class BestTimeFacts(Form):
    """`model` names who knows the person's hour: a `send_time` of models/."""

    within: Span
    model: Slug | None = None

    @model_validator(mode="after")
    def _is_a_week_at_most(self) -> "BestTimeFacts":
        if self.within > BEST_TIME_MAX:
            raise ValueError("a best time lies within a week. Write within: 24h, at most 7d")
        return self


class BestTimeStep(StepForm):
    best_time: BestTimeFacts


class DelayUntilFacts(Form):
    """A wall time, or the best time within a span: one of the two."""

    at: WallTime | None = None
    days: list[Weekday] = Field(
        default_factory=lambda: cast(list[Weekday], list(WEEKDAYS)), min_length=1
    )
    zone: ZoneOrProfile | None = None
    best_time: BestTimeFacts | None = None

    @model_validator(mode="after")
    def _is_one_time(self) -> "DelayUntilFacts":
        if (self.at is None) == (self.best_time is None):
            raise ValueError('delay_until takes one time: at: "09:00", or best_time: {within: 24h}')
        if self.best_time is not None and self.model_fields_set & {"days", "zone"}:
            raise ValueError("days and zone belong to `at`; a best time is the person's own")
        return self


class DelayUntilStep(StepForm):
    delay_until: DelayUntilFacts


class WaitFacts(MatchForm):
    timeout: AnyDuration
    counting_from: Annotated[
        Literal["entry", "step", "ever"], BeforeValidator(one_of("entry", "step", "ever"))
    ] = "step"


class WaitForStep(StepForm):
    wait_for: WaitFacts
    then: list["JourneyStep"] = Field(default_factory=list)
    on_timeout: list["JourneyStep"] = Field(default_factory=list)


class ArmForm(Form):
    if_: ConditionForm = Field(alias="if")
    do: list["JourneyStep"] = Field(default_factory=list)


class BranchStep(StepForm):
    branch: list[ArmForm] = Field(min_length=1)
    else_: list["JourneyStep"] = Field(default_factory=list, alias="else")


class VariantForm(Form):
    weight: Weight | None = None
    do: list["JourneyStep"] = Field(default_factory=list)


class ExperimentStepForm(StepForm, ExperimentPlan):
    experiment: Slug
    variants: dict[Key, VariantForm] = Field(min_length=2)


class SplitStep(StepForm):
    split: dict[Key, VariantForm] = Field(min_length=2)


class SendFacts(Form):
    channel: Slug
    template: Slug
    topic: Slug | None = None
    expires: Span | None = None
    send_window: LocalTimeFacts | None = None


class SendStep(StepForm):
    send: SendFacts


class FirstPossibleStep(StepForm):
    first_possible: list["JourneyStep"] = Field(min_length=1)


EXCLUDED: Final = ("purchased", "out_of_stock")


class RecommendFacts(Form):
    """`exclude` hides more than the model does; `if_fewer` than n are found: the message that would
    show them is skipped, shows as many as there are, or none."""

    model: Slug
    n: PickCount = 4
    as_: SavedName = Field(default_factory=lambda: Text(PICKS), alias="as")
    exclude: Annotated[
        list[Annotated[Literal["purchased", "out_of_stock"], BeforeValidator(one_of(*EXCLUDED))]],
        LIST_SHORTHAND,
    ] = Field(default_factory=list)
    if_fewer: Annotated[
        Literal["skip", "fill", "hide"], BeforeValidator(one_of("skip", "fill", "hide"))
    ] = "fill"


class RecommendStep(StepForm):
    recommend: RecommendFacts


class RepeatFacts(Form):
    times: Times
    every: AnyDuration
    start: Annotated[Literal["now", "after"], BeforeValidator(one_of("now", "after"))] = "now"
    until: MatchForm | None = None
    do: list["JourneyStep"] = Field(min_length=1)


class RepeatStep(StepForm):
    repeat: RepeatFacts


METHODS_OF_HTTP: Final = ("POST", "PUT", "PATCH", "GET", "DELETE")
CALL_TIMEOUT_MAX: Final = 60 * SECOND


class WebhookFacts(Form):
    url: Words
    method: Annotated[
        Literal["POST", "PUT", "PATCH", "GET", "DELETE"], BeforeValidator(one_of(*METHODS_OF_HTTP))
    ] = "POST"
    headers: dict[Key, Words] = Field(default_factory=dict)
    body: Free = None
    save_as: SavedName | None = None
    timeout: Span = 10 * SECOND
    on_error: Annotated[
        Literal["continue", "exit"], BeforeValidator(one_of("continue", "exit"))
    ] = "continue"
    even_in_holdout: Flag = False

    @model_validator(mode="after")
    def _is_one_call(self) -> "WebhookFacts":
        if self.timeout > CALL_TIMEOUT_MAX:
            raise ValueError("timeout is that of one attempt, at most 60s; it is tried again")
        if self.method in ("GET", "DELETE") and self.body is not None:
            raise ValueError(f"a {self.method} has no body. Put what it needs into the url")
        return self


class WebhookStep(StepForm):
    webhook: WebhookFacts


class UpdateFacts(Form):
    traits: dict[Path, Free] = Field(min_length=1)
    even_in_holdout: Flag = False


class UpdateStep(StepForm):
    update: UpdateFacts


class TrackFacts(Form):
    event: EventName
    properties: dict[Path, Free] = Field(default_factory=dict)
    even_in_holdout: Flag = False


class TrackStep(StepForm):
    track: TrackFacts


class ExitStep(StepForm):
    exit: Flag

    @model_validator(mode="after")
    def _does_exit(self) -> "ExitStep":
        if not self.exit:
            raise ValueError("exit: false does nothing. Write exit: true, or delete the step")
        return self


STEPS: Final = (
    "delay", "delay_until", "best_time", "wait_for", "branch", "experiment", "split",
    "first_possible", "repeat", "recommend", "send", "update", "track", "webhook", "exit",
)  # fmt: skip


def step_kind(value: Any) -> str | None:
    """The kind of step that a mapping is, by its keys."""
    if isinstance(value, Mapping):
        return next((kind for kind in STEPS if kind in value), None)
    if isinstance(value, Form):
        return next((kind for kind in STEPS if kind in type(value).model_fields), None)
    return None


JourneyStep: TypeAlias = Annotated[
    Annotated[DelayStep, Tag("delay")]
    | Annotated[DelayUntilStep, Tag("delay_until")]
    | Annotated[BestTimeStep, Tag("best_time")]
    | Annotated[WaitForStep, Tag("wait_for")]
    | Annotated[BranchStep, Tag("branch")]
    | Annotated[ExperimentStepForm, Tag("experiment")]
    | Annotated[SplitStep, Tag("split")]
    | Annotated[FirstPossibleStep, Tag("first_possible")]
    | Annotated[RepeatStep, Tag("repeat")]
    | Annotated[RecommendStep, Tag("recommend")]
    | Annotated[SendStep, Tag("send")]
    | Annotated[UpdateStep, Tag("update")]
    | Annotated[TrackStep, Tag("track")]
    | Annotated[WebhookStep, Tag("webhook")]
    | Annotated[ExitStep, Tag("exit")],
    Discriminator(step_kind),
]

for _form in (
    WaitForStep, ArmForm, BranchStep, VariantForm, ExperimentStepForm, SplitStep,
    FirstPossibleStep, RepeatFacts, RepeatStep,
):  # fmt: skip
    _form.model_rebuild()


def blocks(step: StepForm) -> Iterator[tuple[str, list[JourneyStep]]]:
    """The blocks nested in a step, each with the word that leads to it."""
    match step:
        case WaitForStep():
            yield "then", step.then
            yield "on_timeout", step.on_timeout
        case BranchStep():
            for index, arm in enumerate(step.branch):
                yield f"if{index}", arm.do
            yield "else", step.else_
        case ExperimentStepForm():
            for name, variant in step.variants.items():
                yield str(name), variant.do
        case SplitStep():
            for name, variant in step.split.items():
                yield str(name), variant.do
        case FirstPossibleStep():
            yield "send", step.first_possible
        case RepeatStep():
            yield "do", step.repeat.do


def walk(steps: list[JourneyStep], prefix: str = "") -> Iterator[tuple[str, StepForm]]:
    """Every step with its id: the author's, or its place (`2`, `2.then.0`), blocks included."""
    for index, step in enumerate(steps):
        step_id = str(step.id or f"{prefix}{index}")
        yield step_id, step
        for word, block in blocks(step):
            yield from walk(block, f"{step_id}.{word}.")
