"""The contexts of a bandit as written -> the core's, and what of them nobody could ever be in.

The first context that holds counts, so one that the earlier ones leave nobody to is refused, and so
is one that asks a client where no client is. Read next: `assignment_checks`, which asks this.
"""

from contextlib import suppress
from typing import Any

from campaigns.condition_forms import ConditionForm
from campaigns.conditions import Conditions
from campaigns.contradictions import Segments, why_never
from campaigns.experiment_forms import AllocationForm, ClientForm
from campaigns.experiment_plans import Found, Served, file_of, planned
from campaigns.experiments import compile_attributes
from campaigns.reading import Text
from campaigns.references import references
from engine.core.errors import CampaignError
from engine.core.model.campaigns import Context
from engine.core.model.conditions import All, Condition, Filter, Not, TraitCondition

_CLIENT = "a client's word for "
"""Before the path of an attribute where it is weighed beside traits: it is no trait."""


def compile_contexts(conditions: Conditions, found: Found) -> tuple[Context, ...] | None:
    """What a bandit's weights may depend on; what is wrong with it is reported."""
    file = file_of(found, "allocation")
    contexts = []
    for name, asking in _written(found).items():
        if isinstance(asking, ClientForm):
            where = compile_attributes(conditions, asking.where, file)
            contexts.append(Context(str(name), where=where))
        else:
            contexts.append(Context(str(name), conditions.condition(asking, file)))
    return tuple(contexts) or None


def segments_of_contexts(found: Found) -> list[str]:
    """The segments that a bandit's contexts name themselves, in order."""
    return sorted({str(name) for it in conditions_of_contexts(found) for name in references(it)})


def conditions_of_contexts(found: Found) -> list[ConditionForm]:
    """What contexts ask of the person, as written."""
    return [it for it in _written(found).values() if not isinstance(it, ClientForm)]


def check_contexts(found: Found, conditions: Conditions) -> None:
    """Report contexts of a journey that ask a client, and what is wrong with any condition."""
    for context in compile_contexts(conditions, found) or ():
        if context.where and not isinstance(found, Served):
            name = _name(found, context)
            conditions.report(
                file_of(found, "allocation"),
                name.line,
                str(name),
                f'the context "{name}" asks what a client says of itself, but here there is no '
                "client. Ask the person: trait: {...}, or segment: NAME.",
            )


def check_contexts_reached(conditions: Conditions, segments: Segments) -> None:
    """Report contexts that earlier ones leave nobody to; conditions must have compiled."""
    for found in planned(conditions.workspace):
        earlier: list[Condition] = []
        for context in compile_contexts(conditions, found) or ():
            own = _as_condition(context)
            with suppress(CampaignError):  # what the core refuses is said where it is compiled
                if _is_empty(own, earlier, segments):
                    name = _name(found, context)
                    conditions.report(
                        file_of(found, "allocation"),
                        name.line,
                        str(name),
                        f'nobody is ever in the context "{name}": whoever it asks for is in an '
                        "earlier one, and the first that holds counts. Delete it, or put it first.",
                    )
            earlier.append(own)


def _is_empty(own: Condition, earlier: list[Condition], segments: Segments) -> bool:
    """Whether the earlier ones leave nobody; what nobody meets by itself is said of it alone."""
    left = All((own, *(Not(it) for it in earlier)))
    return (
        bool(earlier) and why_never(own, segments) is None and why_never(left, segments) is not None
    )


def _name(found: Found, context: Context) -> Text:
    return next(name for name in _written(found) if name == context.name)


def _written(found: Found) -> dict[Text, Any]:
    form: AllocationForm | None = found.given("allocation")
    return {} if form is None or form.bandit is None else dict(form.bandit.contexts)


def _as_condition(context: Context) -> Condition:
    """A context as one condition, to be weighed against others."""
    asked = [Filter((_CLIENT + it.path[0], *it.path[1:]), it.comparisons) for it in context.where]
    tests = tuple(TraitCondition(it) for it in asked)
    return context.condition if context.condition is not None else All(tests)
