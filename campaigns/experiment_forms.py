"""An experiment as written, at its step or in experiments/*.yaml: who is in it, how it is read.

Scalars that only experiments have are read here, too: a margin, a unit, a way to spend alpha.
Read next: `experiment_plans`, which compiles it; `experiment_checks`, which refuses what would not
hold.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    WithJsonSchema,
    model_validator,
)

from campaigns.analysis_forms import AnalysisForm, MetricsForm, only
from campaigns.condition_forms import ConditionForm
from campaigns.event_forms import Where
from campaigns.forms import (
    Form,
    Free,
    Key,
    Share,
    Shorthand,
    Slug,
    Span,
    Words,
    one_of,
    text_of,
)
from campaigns.number_scalars import Weight
from campaigns.reading import Map, Text, shorten
from engine.core.model.campaigns import OTHERWISE
from engine.core.model.instants import DAY, HOUR

UNITS: Final = ("profile", "user", "anonymous")
"""What may be assigned besides `traits.PATH`: the canonical profile, an id of the caller's."""


def _unit(value: Any) -> Text:
    text = text_of(value)
    if text in UNITS or re.fullmatch(r"traits(\.[^.\s{}*]+)+", text):
        return text
    near = {"user_id": "user", "anonymous_id": "anonymous", "profile_id": "profile"}.get(str(text))
    hint = f' Did you mean "{near}"?' if near else ""
    raise ValueError(
        f'"{shorten(text)}" is not a unit.{hint} Write profile, user, anonymous or a trait: '
        "traits.account_id"
    )


Unit: TypeAlias = Annotated[
    Text,
    PlainValidator(_unit),
    WithJsonSchema(
        {"type": "string", "description": "profile, user, anonymous or traits.account_id"}
    ),
]

HASHES: Final = ("2", "s256", "1")


# --- who is in it -------------------------------------------------------------------------------


class LayerForm(Form):
    """A place in a layer: the experiment reaches only units from `from` up to `to`."""

    name: Slug
    from_: Share = Field(default=0.0, alias="from")
    to: Share = 1.0

    @model_validator(mode="after")
    def _is_a_range(self) -> "LayerForm":
        if self.from_ >= self.to:
            raise ValueError(
                f"the range {self.from_:.0%} to {self.to:.0%} holds nobody. Write from: the lower "
                "share, to: the higher one"
            )
        return self


class NamespaceForm(LayerForm):
    """A place in a namespace of an experiment that began in GrowthBook; the name is theirs."""

    name: Words


class RequiredForm(Form):
    """Another experiment in which the unit must have this variant."""

    experiment: Slug
    variant: Key


def _required(value: Any) -> Any:
    return only(value) if isinstance(value, Map) else value


class SegmentAudienceForm(Form):
    segment: Slug


ALGORITHMS: Final = ("thompson", "top_two")
CONTEXTS_MAX: Final = 12
"""Contexts of one bandit, the rest not counted: each learns from its own units alone at first."""


class ClientForm(Form):
    """What a client says of itself: `where: {device: mobile}`."""

    where: Where = Field(min_length=1)


def _context_kind(value: Any) -> str:
    is_client = set(value) == {"where"} if isinstance(value, Mapping) else False
    return "where" if is_client or isinstance(value, ClientForm) else "condition"


ContextForm: TypeAlias = Annotated[
    Annotated[ClientForm, Tag("where")] | Annotated[ConditionForm, Tag("condition")],
    Discriminator(_context_kind),
]


class BanditForm(Form):
    """Weights that move towards what works. `explore` is a permanent slice at the planned ones.

    Each of the `contexts` learns weights of its own: the first that holds counts, else the rest,
    which is called `otherwise`.
    """

    algorithm: Annotated[Literal["thompson", "top_two"], BeforeValidator(one_of(*ALGORITHMS))] = (
        "thompson"
    )
    floor: Share = 0.05
    every: Span = DAY
    explore: Share = 0.1
    contexts: dict[Key, ContextForm] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_few_contexts(self) -> "BanditForm":
        if len(self.contexts) > CONTEXTS_MAX:
            raise ValueError(
                f"{len(self.contexts)} contexts are too many; at most {CONTEXTS_MAX} are learnt "
                "apart, because each needs units of its own. Put those together that should differ "
                "least"
            )
        if OTHERWISE in self.contexts:
            raise ValueError(
                f'"{OTHERWISE}" is what the rest is called, which needs no line. Rename or delete '
                "this context"
            )
        return self

    @model_validator(mode="after")
    def _can_learn(self) -> "BanditForm":
        if not 0.0001 <= self.floor < 0.5:
            raise ValueError(
                f"the floor {self.floor:g} is not from 0.01% to below 50%: an arm that nobody "
                "gets any more can never be read. Write floor: 5%"
            )
        if self.every < HOUR:
            raise ValueError("every is less than an hour. Weights are learnt from whole days: 1d")
        if not 0 <= self.explore <= 0.5:
            raise ValueError(f"explore {self.explore:g} is not a share up to 50%. Write 10%")
        return self


class AllocationForm(Form):
    """Planned weights throughout (`fixed`), or a bandit's."""

    bandit: BanditForm | None = None


def _allocated(value: Any) -> Any:
    """`allocation: fixed` is a mapping that names no bandit."""
    if isinstance(value, Text):
        if value != "fixed":
            raise ValueError(
                f'"{shorten(value)}" is not allowed here. Write fixed, or '
                "{bandit: {algorithm: thompson}}"
            )
        return Map(line=value.line)
    return value


FIXED: Final = Shorthand(_allocated, {"const": "fixed"})
HASH_SCHEMA: Final = {"enum": [2, "2", "s256", 1, "1"]}

STATES: Final = ("draft", "live", "stopped")


class ExperimentPlan(Form):
    """What may stand at the step or in experiments/*.yaml, but only in one of them."""

    metrics: MetricsForm | None = None
    analysis: AnalysisForm | None = None
    coverage: Share | None = None
    layer: LayerForm | None = None
    control: Key | None = None
    allocation: Annotated[AllocationForm | None, FIXED] = None
    unit: Unit | None = None
    hash: Annotated[
        Literal["2", "s256", "1"] | None,
        BeforeValidator(one_of(*HASHES)),
        WithJsonSchema(HASH_SCHEMA),
    ] = None
    forced: dict[Words, Key] | None = None
    requires: Annotated[list[RequiredForm] | None, Shorthand(_required, {"type": "object"})] = None
    audience: SegmentAudienceForm | None = None
    state: Annotated[
        Literal["draft", "live", "stopped"] | None, BeforeValidator(one_of(*STATES))
    ] = None
    winner: Key | None = None


class PlannedVariantForm(Form):
    """A variant in experiments/*.yaml: its weight, and the value that a served one stands for."""

    weight: Weight | None = None
    value: Free = None
    do: list[Any] = Field(default_factory=list)


SERVED_ONLY: Final = ("where", "sticky", "programme", "seed", "imported", "namespace")
"""Keys of experiments/*.yaml that mean something only where no journey has the step."""
