"""What can be read out: every experiment, and every holdout, with its plan.

An experiment is named as in its file. A holdout is "holdout:<campaign>", "holdout:programme:<name>"
or "holdout:global", with "@<period>" where it has one: the names of the exposure table.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, Final, Literal

from campaigns.experiment_plans import located
from campaigns.metrics import MetricDefinition, compile_metrics
from campaigns.step_forms import SendStep, walk
from campaigns.workspace import Workspace
from engine.core.errors import UsageError
from engine.core.journeys.holdouts import HELD_OUT, TREATED, exposure_name
from engine.core.model.campaigns import Bandit, Campaign, Experiment, Holdout, Program
from experiments.metrics import Role

Kind = Literal["A/B test", "cap", "campaign holdout", "programme holdout", "global holdout"]

SHARES: Final = 10_000
"""Holdout shares become integer weights of so many parts."""


@dataclass(frozen=True)
class Study:
    """One phase of one experiment, or one holdout, and how it is to be judged.

    Attributes:
        name: As in the exposure table.
        metrics: Each with its role; the first is primary.
        method, alpha, correction: As declared; the language's default where nothing is.
        analysis: Everything declared of how it is read, as the compiler gives it.
        unit: What is drawn: profile, user, anonymous or traits.PATH.
        bandit: How its weights are learnt; None for planned ones.
        sends: The steps whose messages are the treatment; None for every one of the campaign.
        allows_opens: Whether a metric that counts opens may decide.
        addresses: Of the warehouses that metrics lie in; they may hold passwords.
    """

    name: str
    title: str
    kind: Kind
    phase: int
    control: str
    weights: Mapping[str, int]
    metrics: tuple[tuple[MetricDefinition, Role], ...]
    method: Literal["sequential", "fixed", "group_sequential", "bayesian"] = "sequential"
    alpha: float = 0.05
    correction: Literal["holm", "bh", "bonferroni", "dunnett", "none"] = "holm"
    campaign: str = ""
    analysis: Mapping[str, Any] = field(default_factory=dict)
    unit: str = "profile"
    bandit: Bandit | None = None
    sends: frozenset[str] | None = None
    allows_opens: bool = False
    addresses: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def shown_kind(self) -> str:
        """The kind as a reader is told it: weights that are learnt make a bandit of a test."""
        return "bandit" if self.bandit is not None else self.kind

    @property
    def treatments(self) -> tuple[str, ...]:
        """Variants other than the control."""
        return tuple(name for name in self.weights if name != self.control)


def studies(program: Program, workspace: Workspace) -> list[Study]:
    """Everything that has metrics to be judged by, campaign by campaign, holdouts first."""
    known = compile_metrics(workspace)
    sends = _sends(workspace)
    found: list[Study] = []
    for campaign in program.campaigns.values():
        if campaign.holdout is not None:
            title = f"{campaign.title or campaign.name}, against its holdout"
            found += _holdout_study(
                program, known, [campaign], campaign.name, campaign.holdout, title,
                "campaign holdout",
            )  # fmt: skip
        for experiment in program.experiments.values():
            if experiment.campaign == campaign.name:
                found += _experiment_study(program, workspace, known, experiment, sends)
    for experiment in program.experiments.values():
        if experiment.campaign not in program.campaigns:
            found += _experiment_study(program, workspace, known, experiment, sends)
    for name, holdout in program.programme_holdouts.items():
        members = [it for it in program.campaigns.values() if it.programme == name]
        title = f"The programme {name} against silence"
        found += _holdout_study(
            program, known, members, f"programme:{name}", holdout, title, "programme holdout"
        )
    if program.global_holdout is not None:
        found += _holdout_study(
            program, known, list(program.campaigns.values()), "global", program.global_holdout,
            "Every campaign against silence", "global holdout",
        )  # fmt: skip
    connections = workspace.settings.connections
    addresses = {str(name): at for name, at in connections.items() if isinstance(at, str)}
    return [replace(it, addresses=addresses) for it in found]


def named(found: Iterable[Study], name: str) -> list[Study]:
    """The studies a user means by a name: an experiment, a campaign (its holdout), or "all".

    Raises:
        UsageError: If there is none.
    """
    known = list(found)
    if name == "all":
        chosen = known
    else:
        wanted = {name, f"holdout:{name}"}
        chosen = [it for it in known if it.name in wanted or it.name.partition("@")[0] in wanted]
    if chosen:
        return chosen
    names = [it.name for it in known]
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f' Did you mean "{near[0]}"?' if near else ""
    listed = ", ".join(names) or "none; a holdout needs a goal metric, an experiment metrics"
    raise UsageError(f'there is nothing to read out named "{name}".{hint} There is: {listed}')


def _experiment_study(
    program: Program,
    workspace: Workspace,
    known: Mapping[str, MetricDefinition],
    experiment: Experiment,
    sends: Mapping[str, frozenset[str]],
) -> list[Study]:
    """An experiment in its current phase: of a journey, served to clients, or of a cap."""
    metrics = _with_roles(known, experiment.metrics)
    if not metrics or program.phases.get(experiment.name, 1) != experiment.phase:
        return []
    form = workspace.experiments.get(experiment.name)
    title = str(form.title) if form and form.title else experiment.name
    weights = {it.name: it.weight for it in experiment.variants}
    given = experiment.analysis
    kind: Kind = "cap" if experiment.is_cap else "A/B test"
    return [
        Study(
            experiment.name, title, kind, experiment.phase, experiment.control, weights,
            metrics, campaign=experiment.campaign, unit=experiment.unit, bandit=experiment.bandit,
            sends=sends.get(experiment.name, frozenset()), analysis=given,
            allows_opens=bool(given.get("opens_may_decide")), **_method(given),
        )
    ]  # fmt: skip


def _sends(workspace: Workspace) -> dict[str, frozenset[str]]:
    """The sending steps inside the arms of each experiment."""
    return {
        str(found.name): frozenset(
            step_id
            for name, variant in found.step.variants.items()
            for step_id, step in walk(variant.do, f"{found.step_id}.{name}.")
            if isinstance(step, SendStep)
        )
        for found in located(workspace)
    }


def _holdout_study(
    program: Program,
    known: Mapping[str, MetricDefinition],
    campaigns: list[Campaign],
    label: str,
    holdout: Holdout,
    title: str,
    kind: Kind,
) -> list[Study]:
    """A holdout judged by its campaigns' goals, then by the metrics of their experiments."""
    roles: dict[str, list[str]] = {"primary": [], "secondary": [], "guardrails": []}
    analysis: Mapping[str, Any] = {}
    names = {it.name for it in campaigns}
    for campaign in campaigns:
        if campaign.goal is not None:
            roles["primary"].append(campaign.goal)
    for experiment in program.experiments.values():
        if experiment.campaign in names:
            # Looks, ends and samples are planned for the experiment, and mean nothing here.
            planned_looks = experiment.analysis.get("method") == "group_sequential"
            analysis = {} if planned_looks else experiment.analysis
            for role in ("primary", "secondary", "guardrails"):
                into = "secondary" if role == "primary" else role
                roles[into] += experiment.metrics.get(role, ())
    metrics = _with_roles(known, roles)
    if not metrics:
        return []
    held = round(holdout.share * SHARES)
    # The global holdout is about every campaign, also where there is one: none may reach it.
    is_of_one = len(campaigns) == 1 and kind != "global holdout"
    return [
        Study(
            exposure_name(label, holdout), title, kind, 1, HELD_OUT,
            {HELD_OUT: held, TREATED: SHARES - held}, metrics,
            campaign=campaigns[0].name if is_of_one else "", **_method(analysis),
        )
    ]  # fmt: skip


def _with_roles(
    known: Mapping[str, MetricDefinition], roles: Mapping[str, Iterable[str]]
) -> tuple[tuple[MetricDefinition, Role], ...]:
    """Each metric once, under the first role that names it."""
    found: dict[str, tuple[MetricDefinition, Role]] = {}
    pairs: tuple[tuple[str, Role], ...] = (
        ("primary", "primary"),
        ("secondary", "secondary"),
        ("guardrails", "guardrail"),
    )
    for written, role in pairs:
        for name in roles.get(written, ()):
            if name in known:
                found.setdefault(name, (known[name], role))
    return tuple(found.values())


def _method(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: given[key] for key in ("method", "alpha", "correction") if key in given}
