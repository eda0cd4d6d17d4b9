"""What no experiment may be: judged by nothing, without a control, in two places, overlapping.

Read next: `assignment_checks`, which asks whether everybody can be assigned as it says.
"""

from collections.abc import Iterator
from typing import Final

from campaigns.analysis_forms import MetricsForm
from campaigns.assignment_checks import check_assignment, check_requirements
from campaigns.conditions import Conditions
from campaigns.durations import dump_span
from campaigns.experiment_forms import SERVED_ONLY, ExperimentPlan
from campaigns.experiment_plans import (
    Capped,
    Found,
    Located,
    Served,
    capped,
    located,
    planned,
    served,
)
from campaigns.experiments import value_of
from campaigns.problems import Problem, advice
from campaigns.reading_notices import reading_notices
from campaigns.workspace import Workspace
from engine.core.model.instants import DAY

WEEK: Final = 7 * DAY


def check_experiments(conditions: Conditions) -> None:
    """Report what is wrong with any experiment, alone or beside the others."""
    workspace = conditions.workspace
    seen: dict[str, Found] = {}
    for found in located(workspace):
        name = found.name
        first = seen.get(str(name))
        if isinstance(first, Located):
            conditions.report(
                found.campaign.file,
                name.line,
                str(name),
                f'the experiment "{name}" already runs at {first.campaign.file}:'
                f"{first.step.experiment.line}. One experiment is one step; rename one.",
            )
            continue
        seen[str(name)] = found
        _check_arms(found, conditions)
        _check_places(found, conditions)
        _check_judged(found, conditions)
    for each in served(workspace):
        seen[str(each.name)] = each
        _check_values(each, conditions)
        _check_judged(each, conditions)
    for cap in capped(workspace):
        seen.setdefault(str(cap.name), cap)
        _check_judged(cap, conditions)
    for name_planned, plan in workspace.experiments.items():
        _check_metrics(plan.metrics, plan.file, conditions)
        if name_planned not in seen:
            _check_layer_name(plan, plan.file, conditions)
    for any_one in seen.values():
        _check_control(any_one, conditions)
        check_assignment(any_one, conditions)
    check_requirements(seen, conditions)
    _check_layers(list(seen.values()), conditions)


def experiment_notices(workspace: Workspace) -> Iterator[Problem]:
    """What is allowed but worth knowing: plans that nobody is in, units that clients lack, spans
    that cut a week."""
    yield from reading_notices(workspace)
    for found in planned(workspace):
        runs = found.analysis.runs
        if runs is not None and runs % WEEK:
            message = (
                f'"{found.name}" runs for {dump_span(runs)}: people do other things on other '
                "days of the week. Whole weeks compare like with like."
            )
            yield Problem(found.file, found.name.line, "runs", message)
        if isinstance(found, Served) and found.unit == "profile":
            message = (
                f'"{found.name}" draws by profile, so it is served only to people we know '
                "already, and only by remote evaluation. For any visitor: unit: anonymous; for "
                "whoever is logged in: unit: user."
            )
            yield Problem(found.file, found.name.line, "unit", message)
    in_use = {str(found.name) for found in planned(workspace)}
    for name, plan in workspace.experiments.items():
        if name not in in_use:
            message = (
                f'no journey has a step of "{name}", and its variants have no value for clients: '
                "nobody is in it."
            )
            yield Problem(plan.file, plan.name.line, name, message)


def _check_arms(found: Located, conditions: Conditions) -> None:
    """The arms of a step against the variants of its file."""
    file, step, plan = found.campaign.file, found.step, found.plan
    names = {str(name) for name in step.variants}
    if plan is not None:
        planned = {str(name): name for name in plan.variants}
        for name in step.variants:
            if planned and str(name) not in planned:
                conditions.report(
                    file,
                    name.line,
                    str(name),
                    f'the variant "{name}" is not in {plan.file}.{advice(name, planned)}',
                )
        for variant_name, variant in planned.items():
            if variant_name not in names:
                conditions.report(
                    plan.file,
                    variant.line,
                    variant_name,
                    f'the variant "{variant_name}" has no arm at {file}:{step.line}. Say what it '
                    "does there; `do: []` is nothing.",
                )
            if plan.variants[variant].do:
                conditions.report(
                    plan.file,
                    variant.line,
                    "do",
                    "what an arm does stands in the journey; a plan has only weights.",
                )
            if "value" in plan.variants[variant].model_fields_set:
                conditions.report(
                    plan.file,
                    variant.line,
                    "value",
                    f"a value is for clients that ask, but {file}:{step.line} has this "
                    "experiment's step. Delete the value, or give one of the two another name.",
                )
    for arm, form in step.variants.items():
        in_plan = plan is not None and any(
            str(other) == arm and its.weight is not None for other, its in plan.variants.items()
        )
        if form.weight is None and not in_plan:
            conditions.report(
                file, arm.line, str(arm), f'the variant "{arm}" needs a weight: weight: 1.'
            )
        if form.weight is not None and in_plan and plan is not None:
            conditions.report(
                file,
                arm.line,
                str(arm),
                f'the weight of "{arm}" also stands in {plan.file}. Keep one of them.',
            )


def _check_places(found: Located, conditions: Conditions) -> None:
    """Each key stands at the step or in the file, and some only mean something to clients."""
    file, step, plan = found.campaign.file, found.step, found.plan
    if plan is not None:
        for key in ExperimentPlan.model_fields:
            if key in step.model_fields_set and key in plan.model_fields_set:
                conditions.report(
                    file,
                    step.line,
                    key,
                    f'"{key}" of the experiment "{step.experiment}" also stands in {plan.file}. '
                    "Keep one of them.",
                )
        for key in SERVED_ONLY:
            if key in plan.model_fields_set:
                conditions.report(
                    plan.file,
                    plan.name.line,
                    key,
                    f'"{key}" belongs to experiments that clients ask for; {file}:{step.line} has '
                    f'the step of "{step.experiment}". Delete it.',
                )
    _check_metrics(step.metrics, file, conditions)
    _check_layer_name(step if step.layer or plan is None else plan, file, conditions)


def _check_values(found: Served, conditions: Conditions) -> None:
    """A served experiment has two values of one kind, or no client could rely on it."""
    plan = found.plan
    kinds: dict[str, str] = {}
    for name, form in plan.variants.items():
        if "value" not in form.model_fields_set:
            conditions.report(
                plan.file,
                name.line,
                str(name),
                f'the variant "{name}" has no value, and others have. Write what clients get: '
                "value: off.",
            )
            continue
        if form.do:
            conditions.report(
                plan.file, name.line, "do", "what an arm does stands in a journey; delete it."
            )
        kinds[str(name)] = _kind(value_of(plan, str(name)))
    if len(plan.variants) < 2:
        conditions.report(
            plan.file,
            plan.name.line,
            "variants",
            f'the experiment "{found.name}" compares nothing: it has one variant. Add another.',
        )
    if len(set(kinds.values())) > 1:
        said = ", ".join(f"{name} is {kind}" for name, kind in kinds.items())
        conditions.report(
            plan.file,
            plan.name.line,
            "variants",
            f"the values are of different kinds: {said}. Clients ask for one kind; quote them all, "
            "or none.",
        )
    _check_layer_name(plan, plan.file, conditions)


def _kind(value: object) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return "nothing"


def _check_judged(found: Found, conditions: Conditions) -> None:
    line = found.step.line if isinstance(found, Located) else found.name.line
    if all(weight == 0 for weight in found.weights.values()):
        conditions.report(
            found.file,
            line,
            "variants",
            "every weight is 0, so nobody can get any variant. Give two of them weight: 1.",
        )
    if found.metrics is None and isinstance(found, Capped):
        conditions.report(
            found.file,
            line,
            "metrics",
            f'what "{found.name}" tries is judged by nothing. Write experiments/{found.name}.yaml: '
            f"{{experiment: {found.name}, metrics: {{primary: NAME}}}}, or give a campaign a goal.",
        )
    elif found.metrics is None:
        conditions.report(
            found.file,
            line,
            "metrics",
            f'the experiment "{found.name}" is judged by nothing. Name a metric: '
            "metrics: {primary: NAME}.",
        )
    if found.coverage == 0:
        conditions.report(found.file, line, "coverage", "a coverage of 0% reaches nobody.")


def _check_control(found: Found, conditions: Conditions) -> None:
    names = {str(name) for name in found.variants}
    if found.control not in names:
        line = found.step.line if isinstance(found, Located) else found.name.line
        conditions.report(
            found.file,
            line,
            found.control,
            f'the experiment "{found.name}" has no variant "{found.control}" to compare '
            f"with. Name the one that changes nothing: control: {min(names, default='NAME')}.",
        )


def _check_metrics(metrics: MetricsForm | None, file: str, conditions: Conditions) -> None:
    if metrics is None:
        return
    seen: set[str] = set()
    for name in metrics.names:
        conditions.known("metric", name, conditions.names["metrics"], file)
        if name in seen:
            conditions.report(
                file, name.line, str(name), f'the metric "{name}" is named twice. Keep one.'
            )
        seen.add(str(name))


def _check_layer_name(plan: ExperimentPlan, file: str, conditions: Conditions) -> None:
    if plan.layer is not None:
        layers = {str(name) for name in conditions.workspace.settings.layers}
        conditions.known("layer", plan.layer.name, layers, file)


def _check_layers(experiments: list[Found], conditions: Conditions) -> None:
    """Ranges of one layer must not overlap: that no unit is in two of them is its whole point."""
    placed = [it for it in experiments if it.layer is not None and it.state != "stopped"]
    for index, found in enumerate(placed):
        for other in placed[:index]:
            mine, theirs = found.layer, other.layer
            assert mine is not None
            assert theirs is not None
            if mine.name != theirs.name:
                continue
            name = found.name
            if found.unit != other.unit:
                conditions.report(
                    found.file,
                    name.line,
                    str(name),
                    f'"{name}" draws by {found.unit} and "{other.name}" by {other.unit}, both in '
                    f'the layer "{mine.name}", which so keeps nobody apart. Use one unit in a '
                    "layer.",
                )
            if mine.from_ < theirs.to and theirs.from_ < mine.to:
                conditions.report(
                    found.file,
                    name.line,
                    str(name),
                    f'"{name}" ({mine.from_:.0%} to {mine.to:.0%}) overlaps '
                    f'"{other.name}" ({theirs.from_:.0%} to {theirs.to:.0%}) in the '
                    f'layer "{mine.name}". Move one.',
                )
