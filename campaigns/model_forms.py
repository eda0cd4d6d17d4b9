"""models/*.yaml as written: what is learnt, from what, and how often it is learnt anew.

The first key is the kind: `cluster`, `score`, `recommender`, `send_time` or `uplift`. Nearly
everything has a default, so `cluster: shoppers` is a whole file. Read next: `recommender_forms`;
`model_compile`, which makes the definitions that training reads; `model_checks`, for what no file
can see alone.
"""

from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from campaigns.event_forms import Where
from campaigns.forms import (
    LIST_SHORTHAND,
    EventName,
    Flag,
    Form,
    Key,
    Named,
    Path,
    Share,
    Shorthand,
    Slug,
    Span,
    Words,
    one_of,
)
from campaigns.model_scalars import (
    Clusters,
    EventsAtLeast,
    Folds,
    Hysteresis,
    Money,
    Stability,
    TrainingBudget,
)
from campaigns.reading import Map, Text
from campaigns.refresh_forms import REFRESH_SHORTHAND, RefreshForm

Imputed: TypeAlias = Annotated[
    Literal["median", "iterative"], BeforeValidator(one_of("median", "iterative"))
]
Features: TypeAlias = Annotated[list[Path] | None, LIST_SHORTHAND, Field(min_length=1)]
Events: TypeAlias = Annotated[list[EventName] | None, LIST_SHORTHAND, Field(min_length=1)]


class ModelFile(Named):
    """What every model has: words about it, when it is learnt anew, and for how long it counts."""

    title: Words | None = None
    description: Words | None = None
    refresh: Annotated[RefreshForm | None, REFRESH_SHORTHAND] = None
    stale_after: Span | None = None


# --- clusters -----------------------------------------------------------------------------------


class KForm(Form):
    """How many clusters are tried: from the least to the most."""

    from_: Clusters = Field(default=2, alias="from")
    to: Clusters = 10

    @model_validator(mode="after")
    def _is_a_range(self) -> "KForm":
        if self.from_ > self.to:
            raise ValueError(f"from {self.from_} to {self.to} is no range. Write the least first")
        return self


def _exactly(value: Any) -> Any:
    """`k: 4` means `k: {from: 4, to: 4}`."""
    if not isinstance(value, Text):
        return value
    both = Map(line=value.line)
    for key in ("from", "to"):
        both[key] = value
        both.key_lines[key] = value.line
    return both


ALGORITHMS_OF_CLUSTERS: Final = ("kmeans", "gmm", "dbscan", "hdbscan", "rfm")
FIND_THEIR_OWN_K: Final = ("dbscan", "hdbscan", "rfm")


class ClusterFile(ModelFile):
    """Groups found among people, each with a name of its own."""

    KIND: ClassVar = "cluster"

    cluster: Slug
    algorithm: Annotated[
        Literal["kmeans", "gmm", "dbscan", "hdbscan", "rfm"],
        BeforeValidator(one_of(*ALGORITHMS_OF_CLUSTERS)),
    ] = "kmeans"
    features: Features = None
    k: Annotated[KForm | None, Shorthand(_exactly, {"type": "integer", "minimum": 2})] = None
    min_share: Share | None = None
    min_stability: Stability | None = None
    hysteresis: Hysteresis | None = None
    impute: Imputed | None = None
    among: Slug | None = None

    @model_validator(mode="after")
    def _fits_its_algorithm(self) -> "ClusterFile":
        if self.k is not None and self.algorithm in FIND_THEIR_OWN_K:
            raise ValueError(f"{self.algorithm} finds the number of clusters itself. Delete k")
        if self.algorithm == "rfm" and self.features is not None:
            raise ValueError("rfm reads recency, frequency and monetary alone. Delete features")
        if self.min_share is not None and self.min_share >= 0.5:
            raise ValueError("min_share is the least a cluster holds: below 50%. Write 2%")
        return self


# --- scores -------------------------------------------------------------------------------------


class TargetForm(Form):
    """What is foretold: whether an event happens within a span, how often, or for how much.

    `not` around it foretells that it does not.
    """

    event: EventName | None = None
    where: Where = Field(default_factory=dict)
    within: Span | None = None
    count: Flag = False
    sum: Path | None = None
    not_: "TargetForm | None" = Field(default=None, alias="not")

    @model_validator(mode="after")
    def _is_one_question(self) -> "TargetForm":
        if self.not_ is not None:
            if self.model_fields_set - {"not_"}:
                raise ValueError("not stands alone: {not: {event: Order Completed, within: 60d}}")
            if self.not_.not_ is not None or self.not_.is_amount:
                raise ValueError("not is asked of whether something happens: {event, within}")
            return self
        if self.event is None:
            raise ValueError("a target is about an event: event: Order Completed")
        if self.within is None:
            raise ValueError("a target looks ahead for a span: within: 60d")
        if self.count and self.sum is not None:
            raise ValueError("count and sum both say what is measured; keep one")
        return self

    @property
    def is_amount(self) -> bool:
        """Whether it is a number rather than a yes or no."""
        return self.count or self.sum is not None


ALGORITHMS_OF_SCORES: Final = ("auto", "logistic", "forest", "boosting", "mlp", "lifetime")
ONLY_YES_OR_NO: Final = ("logistic", "mlp")
NOT_OF_LIFETIME: Final = ("features", "impute", "budget")


class ScoreFile(ModelFile):
    """A prediction for everyone: of what happens within a span from now."""

    KIND: ClassVar = "score"

    score: Slug
    target: TargetForm
    algorithm: Annotated[
        Literal["auto", "logistic", "forest", "boosting", "mlp", "lifetime"],
        BeforeValidator(one_of(*ALGORITHMS_OF_SCORES)),
    ] = "auto"
    features: Features = None
    gap: Span | None = None
    folds: Folds | None = None
    budget: TrainingBudget | None = None
    impute: Imputed | None = None
    among: Slug | None = None

    @model_validator(mode="after")
    def _fits_its_algorithm(self) -> "ScoreFile":
        if self.algorithm == "lifetime":
            for key in NOT_OF_LIFETIME:
                if getattr(self, key) is not None:
                    raise ValueError(f"lifetime reads purchases alone. Delete {key}")
            if not self.target.is_amount or self.target.where:
                raise ValueError(
                    "lifetime foretells purchases: how many, {count: true}, or for how much, "
                    "{sum: properties.revenue}, with neither not nor where"
                )
        if self.algorithm in ONLY_YES_OR_NO and self.target.is_amount:
            raise ValueError(
                f"{self.algorithm} foretells whether something happens, not how much. Write "
                "algorithm: auto"
            )
        return self


# --- send times ---------------------------------------------------------------------------------


class SendTimeFile(ModelFile):
    """The hour of the day at which each person acts."""

    KIND: ClassVar = "send_time"

    send_time: Slug
    events: Events = None
    sessions: Flag = True
    explore: Share | None = None
    min_events: EventsAtLeast | None = None

    @model_validator(mode="after")
    def _goes_on_learning(self) -> "SendTimeFile":
        if self.explore is not None and not 0 < self.explore < 1:
            raise ValueError(
                "explore is the share still sent at any hour: above 0%, or it can never be learnt "
                "anew, and below 100%. Write 10%"
            )
        return self


# --- uplift -------------------------------------------------------------------------------------


class UpliftFile(ModelFile):
    """Whom a message changes: from an experiment's variants, or from a campaign's holdout."""

    KIND: ClassVar = "uplift"

    uplift: Slug
    metric: Slug
    experiment: Slug | None = None
    campaign: Slug | None = None
    arm: Key | None = None
    control: Key | None = None
    budget: Share | None = None
    value: Money | None = None
    cost: Money | None = None
    features: Features = None

    @model_validator(mode="after")
    def _has_one_source(self) -> "UpliftFile":
        if (self.experiment is None) == (self.campaign is None):
            raise ValueError(
                "an uplift is learnt from one comparison: experiment: NAME, or campaign: NAME with "
                "its holdout"
            )
        if self.campaign is not None and (self.arm is not None or self.control is not None):
            raise ValueError(
                "of a campaign those sent to are compared with its holdout. Delete arm and control"
            )
        if self.budget is not None and not 0 < self.budget <= 1:
            raise ValueError("budget is the share that may be treated: above 0%. Write 50%")
        return self
