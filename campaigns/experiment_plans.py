"""What an experiment is, wherever it is written: at its step, in experiments/*.yaml, or in both.

Its *design* is what assignment depends on. Another design is another experiment, so it opens a
phase with a new seed; more coverage does not, because it moves nobody.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from msgspec import to_builtins

from campaigns.conditions import Conditions
from campaigns.problems import advice
from campaigns.reading import Text
from campaigns.schema import CampaignFile, ExperimentFile
from campaigns.step_forms import (
    AnalysisForm,
    ExperimentPlan,
    ExperimentStepForm,
    LayerForm,
    MetricsForm,
    SendStep,
    walk,
)
from campaigns.workspace import Workspace
from engine.core.model import Campaign, Experiment, Step, Variant


@dataclass(frozen=True)
class Located:
    """An experiment's step in a campaign, and its file where it has one."""

    campaign: CampaignFile
    step_id: str
    step: ExperimentStepForm
    plan: ExperimentFile | None

    def given(self, key: str) -> Any:
        """A part of the plan from wherever it stands, None if nowhere."""
        here = getattr(self.step, key)
        return here if here is not None or self.plan is None else getattr(self.plan, key)

    @property
    def weights(self) -> dict[str, int]:
        """Planned weights by variant; 1 where nothing is said."""
        planned = {} if self.plan is None else self.plan.variants
        weights = {str(name): form.weight for name, form in planned.items()}
        for name, form in self.step.variants.items():
            if form.weight is not None:
                weights[str(name)] = form.weight
        return {
            str(name): 1 if (weight := weights.get(str(name))) is None else weight
            for name in self.step.variants
        }

    @property
    def control(self) -> str:
        """The variant that the others are compared with."""
        return str(self.given("control") or "control")

    @property
    def coverage(self) -> float:
        """The share of units that take part."""
        given = self.given("coverage")
        return 1.0 if given is None else float(given)

    @property
    def metrics(self) -> MetricsForm | None:
        found: MetricsForm | None = self.given("metrics")
        return found

    @property
    def analysis(self) -> AnalysisForm:
        found: AnalysisForm | None = self.given("analysis")
        return found or AnalysisForm()

    @property
    def layer(self) -> LayerForm | None:
        found: LayerForm | None = self.given("layer")
        return found


def located(workspace: Workspace) -> Iterator[Located]:
    """Every experiment step of every campaign."""
    for campaign in workspace.campaigns.values():
        for step_id, step in walk(campaign.journey):
            if isinstance(step, ExperimentStepForm):
                plan = workspace.experiments.get(str(step.experiment))
                yield Located(campaign, step_id, step, plan)


def compile_experiment(found: Located, *, phase: int, seed: str) -> Experiment:
    """One phase of an experiment, as the core assigns by it."""
    metrics, layer = found.metrics, found.layer
    return Experiment(
        name=str(found.step.experiment),
        campaign=str(found.campaign.name),
        variants=tuple(Variant(name, weight) for name, weight in found.weights.items()),
        seed=seed,
        phase=phase,
        coverage=found.coverage,
        layer=(f"layer:{layer.name}", layer.from_, layer.to) if layer else None,
        control=found.control,
        metrics={}
        if metrics is None
        else {
            "primary": tuple(map(str, metrics.primary)),
            "secondary": tuple(map(str, metrics.secondary)),
            "guardrails": tuple(map(str, metrics.guardrails)),
        },
        analysis=found.analysis.model_dump(),
    )


def design(found: Located, *, workspace: Workspace, campaign: Campaign) -> dict[str, Any]:
    """What assignment and treatment depend on, as plain data; coverage is not part of it."""
    layer = found.layer
    sends = {
        f"{send.send.channel}/{send.send.template}": workspace.template_hash(
            str(send.send.channel), str(send.send.template)
        )
        for variant in found.step.variants.values()
        for _, send in walk(variant.do)
        if isinstance(send, SendStep)
    }
    return {
        "weights": found.weights,
        "control": found.control,
        "layer": [str(layer.name), layer.from_, layer.to] if layer else None,
        "arms": _arms(found, campaign.steps),
        "templates": sends,
    }


def digest(data: Any) -> str:
    """12 hex digits of the JSON, keys in the author's order: the order of arms decides who gets
    which, so sorting them would hide a change.
    """
    text = json.dumps(_as_used(to_builtins(data)), separators=(",", ":"), ensure_ascii=True)
    return sha256(text.encode()).hexdigest()[:12]


_ADDED: Final = frozenset({"send_window", "account"})
"""Fields that came after 0.1. Unused they are left out, or an upgrade would look like an edit: it
would strand whoever is inside and open a new phase of every experiment."""


def _as_used(data: Any) -> Any:
    if isinstance(data, dict):
        return {
            key: _as_used(value)
            for key, value in data.items()
            if not (key in _ADDED and value is None)
        }
    return [_as_used(each) for each in data] if isinstance(data, (list, tuple)) else data


def _arms(found: Located, steps: Mapping[str, Step]) -> dict[str, Any]:
    """Each arm's own steps; where an arm leads back to is the journey's business."""
    arms: dict[str, Any] = {}
    for name, variant in found.step.variants.items():
        ids = [step_id for step_id, _ in walk(variant.do, f"{found.step_id}.{name}.")]
        own = {step_id: number for number, step_id in enumerate(ids)}
        arms[str(name)] = [_own_links(to_builtins(steps[step_id]), own) for step_id in ids]
    return arms


def _own_links(step: dict[str, Any], own: Mapping[str, int]) -> dict[str, Any]:
    """Ids as numbers within the arm: renaming a step, or what follows the arm, changes nothing."""
    linked = dict(step)
    for key in ("id", "next", "then", "on_timeout", "otherwise"):
        if key in linked:
            linked[key] = own.get(linked[key], "out")
    match linked.get("type"):
        case "repeat":
            linked["body"] = own.get(linked["body"], "out")
        case "first_possible":
            linked["sends"] = [own.get(send, "out") for send in linked["sends"]]
    arms = linked.get("arms")
    if isinstance(arms, dict):
        linked["arms"] = {name: own.get(target, "out") for name, target in arms.items()}
    elif arms is not None:
        linked["arms"] = [(condition, own.get(target, "out")) for condition, target in arms]
    return linked


# --- checks -------------------------------------------------------------------------------------


def check_experiments(conditions: Conditions) -> None:
    """Report what is wrong with any experiment, alone or beside the others."""
    workspace = conditions.workspace
    seen: dict[str, Located] = {}
    for found in located(workspace):
        name = found.step.experiment
        if first := seen.get(str(name)):
            conditions.report(
                found.campaign.file,
                name.line,
                str(name),
                f'the experiment "{name}" already runs at {first.campaign.file}:'
                f"{first.step.experiment.line}. One experiment is one step; rename one.",
            )
            continue
        seen[str(name)] = found
        _check_variants(found, conditions)
        _check_plan(found, conditions)
    for planned, plan in workspace.experiments.items():
        _check_metrics(plan.metrics, plan.file, conditions)
        if planned not in seen:
            _check_layer_name(plan, plan.file, conditions)
    _check_layers(list(seen.values()), conditions)


def _check_variants(found: Located, conditions: Conditions) -> None:
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
    if all(weight == 0 for weight in found.weights.values()):
        conditions.report(
            file,
            step.line,
            "variants",
            "every weight is 0, so nobody can get any variant. Give two of them weight: 1.",
        )
    if found.control not in names:
        conditions.report(
            file,
            step.line,
            found.control,
            f'the experiment "{step.experiment}" has no variant "{found.control}" to compare '
            f"with. Name the one that changes nothing: control: {min(names)}.",
        )


def _check_plan(found: Located, conditions: Conditions) -> None:
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
    _check_metrics(step.metrics, file, conditions)
    if found.metrics is None:
        conditions.report(
            file,
            step.line,
            "metrics",
            f'the experiment "{step.experiment}" is judged by nothing. Name a metric: '
            "metrics: {primary: NAME}.",
        )
    if found.coverage == 0:
        conditions.report(file, step.line, "coverage", "a coverage of 0% reaches nobody.")
    _check_layer_name(step if step.layer or plan is None else plan, file, conditions)


def _check_metrics(metrics: MetricsForm | None, file: str, conditions: Conditions) -> None:
    if metrics is None:
        return
    seen: set[str] = set()
    for name in (*metrics.primary, *metrics.secondary, *metrics.guardrails):
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


def _check_layers(experiments: list[Located], conditions: Conditions) -> None:
    """Ranges of one layer must not overlap: that no unit is in two of them is its whole point."""
    placed = [found for found in experiments if found.layer is not None]
    for index, found in enumerate(placed):
        for other in placed[:index]:
            mine, theirs = found.layer, other.layer
            assert mine is not None
            assert theirs is not None
            if mine.name == theirs.name and mine.from_ < theirs.to and theirs.from_ < mine.to:
                name: Text = found.step.experiment
                conditions.report(
                    found.campaign.file,
                    name.line,
                    str(name),
                    f'"{name}" ({mine.from_:.0%} to {mine.to:.0%}) overlaps '
                    f'"{other.step.experiment}" ({theirs.from_:.0%} to {theirs.to:.0%}) in the '
                    f'layer "{mine.name}". Move one.',
                )
