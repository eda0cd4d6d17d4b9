"""`learning` of antiphon.yaml: what a purchase is, who may be profiled, what no model reads."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from campaigns.forms import LIST_SHORTHAND, EventName, Form, Path, Words, one_of
from campaigns.models import Purchases
from campaigns.reading import Text
from engine.core.model.campaigns import Profiling

_BOUGHT = Purchases()
_ASKED = Profiling()


def _text(value: str) -> Text:
    return Text(value)


class PurchasesForm(Form):
    """The event of a purchase and the paths in it; those of a line are told from `items`.

    `returned` names the event that takes a purchase back, with its value.
    """

    event: EventName = Field(default_factory=lambda: _text(_BOUGHT.event))
    value: Path = Field(default_factory=lambda: _text(_BOUGHT.value))
    items: Words = Field(default_factory=lambda: _text(_BOUGHT.items))
    item: Path = Field(default_factory=lambda: _text(_BOUGHT.item))
    category: Path = Field(default_factory=lambda: _text(_BOUGHT.category))
    returned: Words = Field(default_factory=lambda: _text(_BOUGHT.returned))
    returned_value: Path = Field(default_factory=lambda: _text(_BOUGHT.returned_value))


class ProfilingForm(Form):
    """The trait by which somebody refuses to be profiled, and what is done where it is silent."""

    trait: Path = Field(default_factory=lambda: _text(_ASKED.trait))
    unknown: Annotated[Literal["allow", "refuse"], BeforeValidator(one_of("allow", "refuse"))] = (
        "allow"
    )


class LearningForm(Form):
    """What every model keeps to. `sensitive` names categories and features none of them reads."""

    purchases: PurchasesForm = Field(default_factory=PurchasesForm)
    profiling: ProfilingForm = Field(default_factory=ProfilingForm)
    sensitive: Annotated[list[Words], LIST_SHORTHAND] = Field(default_factory=list)
