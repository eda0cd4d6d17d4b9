"""How an experiment is read, as written: its metrics, and the analysis that is frozen at the start.

Read next: `experiment_forms`, who is in it.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema, model_validator

from campaigns.durations import parse_share
from campaigns.forms import (
    LIST_SHORTHAND,
    Flag,
    Form,
    Path,
    Shorthand,
    Slug,
    Span,
    When,
    one_of,
    text_of,
)
from campaigns.number_scalars import Alpha
from campaigns.reading import List, Map, Text, number
from engine.core.model.instants import HOUR


def _margin(value: Any) -> tuple[float, bool]:
    """(size, is_relative): `10%` is of the control's mean, `0.5` in the metric's units."""
    text = text_of(value)
    if text.strip().endswith("%"):
        size, is_relative = parse_share(text), True
    else:
        size, is_relative = float(number(text)), False
    if not size > 0:
        raise ValueError(f"a margin of {text} allows nothing. Write what may be lost: 5%")
    return size, is_relative


class GuardrailForm(Form):
    """A metric that must not get worse; with a margin, it must be shown not to by more than it."""

    metric: Slug
    margin: Annotated[
        tuple[float, bool] | None,
        PlainValidator(_margin),
        WithJsonSchema({"type": ["string", "number"], "description": "5% or 0.2"}),
    ] = None


def _guarded(value: Any) -> Any:
    """`guardrails: unsubscribes` means `guardrails: [{metric: unsubscribes}]`."""
    if isinstance(value, Map | Text):
        value = only(value)
    if not isinstance(value, list):
        return value
    items = List(line=getattr(value, "line", 0))
    for each in value:
        if isinstance(each, Text):
            mapping = Map(line=each.line)
            mapping["metric"] = each
            mapping.key_lines["metric"] = each.line
            each = mapping
        items.append(each)
    return items


def only(value: Map | Text) -> List:
    """One thing where a list may stand, as a list of it."""
    items = List(line=value.line)
    items.append(value)
    return items


class MetricsForm(Form):
    """What an experiment is judged by. Names come from metrics/*.yaml."""

    primary: Annotated[list[Slug], LIST_SHORTHAND] = Field(min_length=1)
    secondary: Annotated[list[Slug], LIST_SHORTHAND] = Field(default_factory=list)
    guardrails: Annotated[
        list[GuardrailForm],
        Shorthand(
            _guarded,
            {
                "anyOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"type": ["string", "object"]}},
                ]
            },
        ),
    ] = Field(default_factory=list)

    @property
    def names(self) -> tuple[Text, ...]:
        """Every metric named, in order."""
        return (*self.primary, *self.secondary, *(it.metric for it in self.guardrails))


METHODS: Final = ("sequential", "fixed", "group_sequential", "bayesian")
CORRECTIONS: Final = ("holm", "bh", "bonferroni", "dunnett", "none")
ONE_LOOK: Final = ("fixed", "bayesian")
"""Methods that read once, as Dunnett's correction asks."""
ADJUSTS: Final = ("lin", "pooled", "none")
SPENDINGS: Final = ("obrien_fleming", "pocock")

LOOKS_MAX: Final = 50


def _looks(value: Any) -> tuple[float, ...]:
    """Shares of the planned sample at which one looks: `5` even ones, or a list of them."""
    if isinstance(value, list):
        shares = tuple(parse_share(text_of(each)) for each in value)
        is_rising = all(a < b for a, b in pairwise(shares))
        if not shares or not is_rising or shares[0] <= 0 or shares[-1] != 1:
            raise ValueError("looks are rising shares of the sample up to 100%: [25%, 50%, 100%]")
        if len(shares) > LOOKS_MAX:
            raise ValueError(f"{len(shares)} looks are too many; at most {LOOKS_MAX}")
        return shares
    count = number(text_of(value))
    if not isinstance(count, int) or not 1 <= count <= LOOKS_MAX:
        raise ValueError(f"{text_of(value)} is not a number of looks from 1 to {LOOKS_MAX}")
    return tuple(round(place / count, 12) for place in range(1, count + 1))


Spent: TypeAlias = tuple[str, float | None]


def _spending(value: Any) -> Spent:
    """(name, parameter) of a spending function: `{power: 2}` spends alpha * t**2."""
    if not isinstance(value, Mapping):
        return str(one_of(*SPENDINGS)(value)), None
    if set(value) not in ({"power"}, {"hsd"}):
        raise ValueError("spending is obrien_fleming, pocock, {power: 2} or {hsd: -4}")
    ((name, given),) = value.items()
    parameter = float(number(text_of(given)))
    if name == "power" and not 0 < parameter <= 10:
        raise ValueError(f"power {parameter:g} is not more than 0 and up to 10. Write {{power: 2}}")
    if name == "hsd" and not (-20 <= parameter <= 20 and parameter != 0):
        raise ValueError(f"hsd {parameter:g} is not from -20 to 20 without 0. Write {{hsd: -4}}")
    return str(name), parameter


class PriorForm(Form):
    """What was believed of the relative lift before: normal around `mean`."""

    mean: Annotated[
        float,
        PlainValidator(lambda value: _signed_share(text_of(value))),
        WithJsonSchema({"type": ["string", "number"], "description": "0% or -0.01"}),
    ] = 0.0
    sd: Annotated[
        float,
        PlainValidator(lambda value: _spread(text_of(value))),
        WithJsonSchema({"type": ["string", "number"], "description": "5% or 0.05"}),
    ]


def _signed_share(text: Text) -> float:
    share = parse_share(Text(text.removeprefix("-"), line=text.line, quoted=text.quoted))
    return -share if text.startswith("-") else share


def _spread(text: Text) -> float:
    share = parse_share(text)
    if not share > 0:
        raise ValueError(f"a deviation of {text} believes in nothing else. Write sd: 5%")
    return share


def _sample(value: Any) -> int:
    text = text_of(value)
    size = number(text)
    if text.quoted or not isinstance(size, int) or not 2 <= size <= 10**12:
        raise ValueError(f"the planned sample {text} is not a whole number of units, 2 at least")
    return size


def _lift(value: Any) -> float:
    text = text_of(value)
    if text.strip().endswith("%") and text.strip()[:-1].strip().replace(".", "", 1).isdigit():
        lift = float(text.strip()[:-1]) / 100  # it may well be more than 100 %
    else:
        lift = float(number(text))
    if not 0 < lift <= 100:
        raise ValueError(f"the smallest lift {text} is not above 0. Write 5%")
    return lift


class AnalysisForm(Form):
    """How an experiment is read; frozen as it stands when the phase opens."""

    method: Annotated[
        Literal["sequential", "fixed", "group_sequential", "bayesian"],
        BeforeValidator(one_of(*METHODS)),
    ] = "sequential"
    alpha: Alpha = 0.05
    correction: Annotated[
        Literal["holm", "bh", "bonferroni", "dunnett", "none"],
        BeforeValidator(one_of(*CORRECTIONS)),
    ] = "holm"
    adjust: Annotated[
        Literal["lin", "pooled", "none"] | None, BeforeValidator(one_of(*ADJUSTS))
    ] = None
    planned_sample: Annotated[
        int | None,
        PlainValidator(_sample),
        WithJsonSchema({"type": "integer", "minimum": 2}),
    ] = None
    smallest_lift: Annotated[
        float | None,
        PlainValidator(_lift),
        WithJsonSchema({"type": ["string", "number"], "description": "5% or 0.05"}),
    ] = None
    looks: Annotated[
        tuple[float, ...] | None,
        PlainValidator(_looks),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "integer", "minimum": 1, "maximum": LOOKS_MAX},
                    {"type": "array", "items": {"type": ["string", "number"]}},
                ]
            }
        ),
    ] = None
    spending: Annotated[
        Spent | None,
        PlainValidator(_spending),
        WithJsonSchema(
            {
                "anyOf": [
                    {"enum": list(SPENDINGS)},
                    {"type": "object", "description": "{power: 2} or {hsd: -4}"},
                ]
            }
        ),
    ] = None
    ends: When | None = None
    runs: Span | None = None
    dimensions: Annotated[list[Path], LIST_SHORTHAND] = Field(default_factory=list)
    prior: PriorForm | None = None
    opens_may_decide: Flag = False

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "AnalysisForm":
        if self.ends is not None and self.runs is not None:
            raise ValueError("ends and runs say the same thing twice. Keep one")
        if self.runs is not None and self.runs < HOUR:
            raise ValueError("runs is less than an hour; whole weeks are best: runs: 2w")
        if self.method == "group_sequential":
            if self.looks is None or self.planned_sample is None:
                raise ValueError(
                    "group_sequential needs looks and planned_sample: its alpha is spent over "
                    "them. Write looks: 5, planned_sample: 20000"
                )
        elif self.looks is not None or self.spending is not None:
            raise ValueError(
                f"looks and spending belong to method: group_sequential, not to {self.method}"
            )
        if self.prior is not None and self.method != "bayesian":
            raise ValueError(f"a prior belongs to method: bayesian, not to {self.method}")
        if self.correction == "dunnett" and self.method not in ONE_LOOK:
            raise ValueError(
                f"correction: dunnett is for one look (method: {' or '.join(ONE_LOOK)}), not "
                f"for {self.method}. Write correction: holm"
            )
        return self
