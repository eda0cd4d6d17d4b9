"""What an experiment is, wherever it is written: at its step, in experiments/*.yaml, or in both.

Its *design* is what assignment depends on. Another design is another experiment, so it opens a
phase with a new seed; more coverage does not, because it moves nobody.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Literal, TypeAlias

from msgspec import to_builtins

from campaigns.analysis_forms import AnalysisForm, MetricsForm
from campaigns.experiment_forms import AllocationForm, LayerForm
from campaigns.reading import Text
from campaigns.schema import CampaignFile, ExperimentFile
from campaigns.settings_forms import CapForm, TriesForm
from campaigns.step_forms import ExperimentStepForm, SendStep, walk
from campaigns.workspace import SETTINGS_FILE, Workspace
from engine.core.model.campaigns import Bandit, Campaign
from engine.core.model.steps import Step


class Planned(ABC):
    """An experiment, wherever it is written: what its step and its file say of it together."""

    @property
    @abstractmethod
    def name(self) -> Text:
        """Its name, where it is written."""

    @property
    @abstractmethod
    def file(self) -> str:
        """The file in which it is written."""

    @property
    @abstractmethod
    def variants(self) -> dict[Text, int | None]:
        """The weight that each variant gives itself, in order."""

    @abstractmethod
    def given(self, key: str) -> Any:
        """A part of the plan from wherever it stands, None if nowhere."""

    @property
    def weights(self) -> dict[str, int]:
        """Planned weights by variant; 1 where nothing is said."""
        plan: ExperimentFile | None = getattr(self, "plan", None)
        planned = {} if plan is None else plan.variants
        weights = {str(name): form.weight for name, form in planned.items()}
        for name, weight in self.variants.items():
            if weight is not None:
                weights[str(name)] = weight
        return {
            str(name): 1 if (weight := weights.get(str(name))) is None else weight
            for name in self.variants
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

    @property
    def unit(self) -> str:
        """What is drawn: profile, user, anonymous or traits.PATH."""
        return str(self.given("unit") or "profile")

    @property
    def bandit(self) -> Bandit | None:
        form: AllocationForm | None = self.given("allocation")
        if form is None or form.bandit is None:
            return None
        it = form.bandit
        return Bandit(it.algorithm, it.floor, it.every, it.explore)

    @property
    def state(self) -> Literal["draft", "live", "stopped"]:
        state: Literal["draft", "live", "stopped"] | None = self.given("state")
        return state or "live"

    @property
    def winner(self) -> str:
        """The variant that everybody gets once it is stopped, "" for what the control gets."""
        return str(self.given("winner") or "")


@dataclass(frozen=True)
class Located(Planned):
    """An experiment's step in a campaign, and its file where it has one."""

    campaign: CampaignFile
    step_id: str
    step: ExperimentStepForm
    plan: ExperimentFile | None

    @property
    def name(self) -> Text:
        return self.step.experiment

    @property
    def file(self) -> str:
        return self.campaign.file

    @property
    def variants(self) -> dict[Text, int | None]:
        return {name: form.weight for name, form in self.step.variants.items()}

    def given(self, key: str) -> Any:
        here = getattr(self.step, key)
        return here if here is not None or self.plan is None else getattr(self.plan, key)


@dataclass(frozen=True)
class Served(Planned):
    """An experiment of experiments/*.yaml whose values clients ask for; no journey has it."""

    plan: ExperimentFile

    @property
    def name(self) -> Text:
        return self.plan.experiment

    @property
    def file(self) -> str:
        return self.plan.file

    @property
    def variants(self) -> dict[Text, int | None]:
        return {name: form.weight for name, form in self.plan.variants.items()}

    def given(self, key: str) -> Any:
        return getattr(self.plan, key)


@dataclass(frozen=True)
class Capped(Planned):
    """A cap of antiphon.yaml that tries several limits, and its file where it has one.

    Attributes:
        goals: Of the campaigns: what it is judged by where its file names no metrics.
    """

    cap: CapForm
    tries: TriesForm
    plan: ExperimentFile | None
    goals: tuple[Text, ...]

    @property
    def name(self) -> Text:
        assert self.cap.name is not None
        return self.cap.name

    @property
    def file(self) -> str:
        return SETTINGS_FILE

    @property
    def limits(self) -> dict[str, int]:
        """The limit that each variant stands for."""
        return {f"max-{limit}": limit for limit in self.tries.limits}

    @property
    def variants(self) -> dict[Text, int | None]:
        return {Text(name, line=self.cap.line): None for name in self.limits}

    @property
    def control(self) -> str:
        return f"max-{self.tries.compared_with}"

    @property
    def metrics(self) -> MetricsForm | None:
        said = super().metrics
        if said is not None or not self.goals:
            return said
        return MetricsForm(primary=list(self.goals))

    def given(self, key: str) -> Any:
        return None if self.plan is None else getattr(self.plan, key)


Found: TypeAlias = Located | Served | Capped
"""An experiment, wherever it is written."""


def file_of(found: Found, key: str) -> str:
    """The file in which a key of the plan stands."""
    if isinstance(found, Located) and getattr(found.step, key, None) is None and found.plan:
        return found.plan.file
    return found.file


def located(workspace: Workspace) -> Iterator[Located]:
    """Every experiment step of every campaign."""
    for campaign in workspace.campaigns.values():
        for step_id, step in walk(campaign.journey):
            if isinstance(step, ExperimentStepForm):
                plan = workspace.experiments.get(str(step.experiment))
                yield Located(campaign, step_id, step, plan)


def served(workspace: Workspace) -> Iterator[Served]:
    """Every experiment that clients are served; one that a journey has is not."""
    elsewhere = {str(found.name) for found in (*located(workspace), *capped(workspace))}
    for name, plan in workspace.experiments.items():
        if plan.is_served and name not in elsewhere:
            yield Served(plan)


def capped(workspace: Workspace) -> Iterator[Capped]:
    """Every cap that tries several limits."""
    goals: dict[str, Text] = {}
    for campaign in workspace.campaigns.values():
        if campaign.goal is not None:
            goals.setdefault(str(campaign.goal.metric), campaign.goal.metric)
    for cap in workspace.settings.caps:
        if cap.tries is not None:
            plan = workspace.experiments.get(str(cap.name))
            yield Capped(cap, cap.tries, plan, tuple(goals.values()))


def planned(workspace: Workspace) -> Iterator[Found]:
    """Every experiment there is, those of journeys first."""
    yield from located(workspace)
    yield from served(workspace)
    yield from capped(workspace)


def design(
    found: Found,
    *,
    workspace: Workspace,
    campaign: Campaign | None,
    rules: Mapping[str, Any],
) -> dict[str, Any]:
    """What assignment and treatment depend on, as plain data; coverage is not part of it.

    Args:
        rules: As `rules_of` gives them, with a digest of the audience.
    """
    layer = found.layer
    said = {
        "weights": found.weights,
        "control": found.control,
        "layer": [str(layer.name), layer.from_, layer.to] if layer else None,
    }
    if isinstance(found, Capped):
        cap = found.cap
        counted = [cap.per, str(cap.channel or ""), str(cap.topic or "")]
        return {**said, "arms": {}, "templates": {}, "cap": counted, **rules}
    if isinstance(found, Served) or campaign is None:
        return {**said, "arms": {}, "templates": {}, **rules}
    sends = {
        f"{send.send.channel}/{send.send.template}": workspace.template_hash(
            str(send.send.channel), str(send.send.template)
        )
        for variant in found.step.variants.values()
        for _, send in walk(variant.do)
        if isinstance(send, SendStep)
    }
    arms = _arms(found, campaign.steps)
    return {**said, "arms": arms, "templates": sends, **rules}


def digest(data: Any) -> str:
    """12 hex digits of the JSON, keys in the author's order: the order of arms decides who gets
    which, so sorting them would hide a change.
    """
    text = json.dumps(_as_used(to_builtins(data)), separators=(",", ":"), ensure_ascii=True)
    return sha256(text.encode()).hexdigest()[:12]


_ADDED: Final = frozenset({"send_window", "account", "send_time"})
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
