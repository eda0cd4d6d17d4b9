"""What pydantic found wrong, in the words of the language, at the line where it stands."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from campaigns import (
    condition_forms,
    event_forms,
    metric_forms,
    person_forms,
    schema,
    settings_forms,
    step_forms,
    trial_forms,
)
from campaigns.forms import Form
from campaigns.problems import Problem, advice, sentence
from campaigns.reading import List, Map, Text, shorten

LATER: Final = "is not available in this version"

_LATER_KEYS: Final[dict[type[Form], tuple[str, ...]]] = {
    metric_forms.MetricFile: ("rates", "sql"),
    settings_forms.ConsentForm: ("double_opt_in",),
    step_forms.SendFacts: ("backup",),
}
"""Keys of the full language that stand in forms we do have."""

_NEEDED_WHY: Final[dict[tuple[type[Form] | None, str], str]] = {
    (step_forms.WaitFacts, "timeout"): ": nobody may wait for ever. Write timeout: 24h",
    (step_forms.RepeatFacts, "times"): ": a journey must end. Write times: 3",
    (step_forms.RepeatFacts, "every"): ", the span from one round to the next. Write every: 1d",
}

_UNIONS: Final[dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]]] = {
    "condition_kind()": (
        "condition",
        condition_forms.CONDITIONS,
        (),
    ),
    "step_kind()": ("step", step_forms.STEPS, step_forms.LATER_STEPS),
    "trigger_kind()": ("trigger", schema.TRIGGERS, schema.LATER_TRIGGERS),
    "expected_kind()": ("expectation", trial_forms.EXPECTED, ()),
}
"""By discriminator: what is chosen there, the words that choose, and those of later versions."""

_TAGGED: Final[tuple[type[Form], ...]] = (
    *person_forms.FORMS.values(),
    condition_forms.TraitForm, event_forms.EventForm, event_forms.SequenceForm,
    event_forms.SessionForm,
    condition_forms.SegmentForm, condition_forms.AllForm, condition_forms.AnyForm,
    condition_forms.NoneForm, condition_forms.NotForm, step_forms.DelayStep,
    step_forms.DelayUntilStep, step_forms.BestTimeStep, step_forms.WaitForStep,
    step_forms.BranchStep, step_forms.FirstPossibleStep, step_forms.RepeatStep,
    step_forms.WebhookStep, step_forms.ExperimentStepForm, step_forms.SplitStep,
    step_forms.RecommendStep, step_forms.SendStep, step_forms.UpdateStep, step_forms.TrackStep,
    step_forms.ExitStep,
    schema.EventTriggerForm, schema.SegmentTriggerForm, schema.ScheduleTriggerForm,
    schema.DateTriggerForm, schema.ApiTriggerForm, trial_forms.ExpectedSendAt,
    trial_forms.ExpectedSilence,
)  # fmt: skip
"""Forms reached through a choice: pydantic puts the chosen word into the path before their keys."""


def problems_of(
    error: ValidationError, *, file: str, tree: Map, forms: Mapping[int, type[Form]]
) -> list[Problem]:
    """One problem for each thing pydantic refused.

    Args:
        forms: Which form was tried on the mapping with this `id` (`Form._remember_place`).
    """
    return [
        _problem(details, file=file, tree=tree, forms=forms)
        for details in error.errors(include_url=False)
    ]


def _problem(
    details: ErrorDetails, *, file: str, tree: Map, forms: Mapping[int, type[Form]]
) -> Problem:
    place = _Place(tree, details["loc"], forms)
    kind = details["type"]
    key = place.key
    if kind == "extra_forbidden":
        return Problem(file, place.line, key, _unknown_key(key, place, forms))
    if kind == "missing":
        owner = f'"{place.owner}" needs' if place.owner else "the file needs"
        why = _NEEDED_WHY.get((forms.get(id(place.value)), str(details["loc"][-1])), "")
        return Problem(file, place.line, "", f'{owner} the key "{details["loc"][-1]}"{why}.')
    if kind == "union_tag_not_found":
        discriminator = str(details["ctx"]["discriminator"]).strip("'")
        return _unknown_choice(file, place, discriminator)
    if kind == "value_error":
        message = str(details["ctx"]["error"])
    elif kind in ("model_type", "dict_type", "model_attributes_type"):
        message = f"a mapping of keys is needed here, not {_found(place.value)}"
    elif kind == "list_type":
        message = f"a list is needed here, not {_found(place.value)}"
    elif kind == "too_short":
        least = details["ctx"]["min_length"]
        message = f"at least {least} {'entry is' if least == 1 else 'entries are'} needed here"
    elif kind == "too_long":
        most = details["ctx"]["max_length"]
        message = f"at most {most} {'entry is' if most == 1 else 'entries are'} allowed here"
    else:
        message = details["msg"]
    found = shorten(place.value) if isinstance(place.value, str) else ""
    is_named = not key or place.is_entry or message.startswith((f"{key} ", f"{key}:"))
    prefix = "" if is_named else f"{key}: "
    return Problem(file, place.line, found, sentence(f"{prefix}{message}"))


class _Place:
    """Where a pydantic path leads in the tree; words of choices in the path are passed over."""

    def __init__(
        self, tree: Map, path: tuple[int | str, ...], forms: Mapping[int, type[Form]]
    ) -> None:
        self.value: Any = tree
        self.parent: Map | None = None
        self.line = tree.line
        self.key = self.owner = ""
        self.is_entry = False
        is_arrival = True
        for part in path:
            if is_arrival and isinstance(self.value, Map):
                is_arrival = False
                if forms.get(id(self.value)) in _TAGGED:
                    continue
            if isinstance(self.value, Map) and part in self.value:
                self.parent, self.owner = self.value, self.key
                self.key = str(part)
                self.line = self.value.key_lines[self.key]
                self.value = self.value[self.key]
                self.is_entry = False
                is_arrival = True
            elif isinstance(self.value, List) and isinstance(part, int) and part < len(self.value):
                self.value = self.value[part]
                self.line = self.value.line
                self.is_entry = isinstance(self.value, Map)
                is_arrival = True
        if path and isinstance(path[-1], str) and path[-1] != self.key and path[-1] != "[key]":
            self.owner = self.key
        if isinstance(self.value, Map) and self.parent is None:
            self.line = 1


def _unknown_key(key: str, place: _Place, forms: Mapping[int, type[Form]]) -> str:
    form = forms.get(id(place.parent))
    if form is None:
        return f'unknown key "{shorten(key)}".'
    if key in _LATER_KEYS.get(form, ()):
        return f'"{key}" {LATER}.'
    if key == "<<":
        return 'unknown key "<<": YAML merge keys are not part of the language. Write the keys out.'
    allowed = [field.alias or name for name, field in form.model_fields.items()]
    words = [*step_forms.LATER_STEPS] if issubclass(form, step_forms.StepForm) else []
    if key in words or (key in step_forms.STEPS and issubclass(form, step_forms.StepForm)):
        return f'"{key}" starts a step of its own. Give it its own dash: "- {key}: …".'
    return f'unknown key "{shorten(key)}".{advice(key, allowed)}'


def _unknown_choice(file: str, place: _Place, discriminator: str) -> Problem:
    noun, allowed, later = _UNIONS[discriminator]
    article = "an" if noun[0] in "aeiou" else "a"
    line = place.line
    if not isinstance(place.value, Map):
        found = _found(place.value)
        example = f"{allowed[0]}: …"
        return Problem(
            file, line, found, f"{article} {noun} is a mapping such as `{example}`, not {found}."
        )
    keys = [key for key in place.value if key not in ("id", "then", "else", "at")]
    found = next(iter(keys), "")
    for key in keys:
        if key in later:
            line = place.value.key_lines[key]
            return Problem(file, line, key, f'the {noun} "{key}" {LATER}.')
    line = place.value.key_lines.get(found, line)
    if not found:
        return Problem(file, line, "", f"this {noun} says nothing. Allowed: {', '.join(allowed)}.")
    return Problem(
        file, line, found, f'"{shorten(found)}" is not {article} {noun}.{advice(found, allowed)}'
    )


def _found(value: Any) -> str:
    if isinstance(value, Map):
        return "a mapping"
    if isinstance(value, List):
        return "a list"
    return f'"{shorten(value)}"' if isinstance(value, Text) and value else "nothing"
