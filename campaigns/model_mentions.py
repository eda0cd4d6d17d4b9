"""Who uses models: conditions and steps that name one, checked against models/*.yaml.

A score or a cluster may also be loaded from a file (`antiphon scores load`), so for those a name
without a model is a notice; what a step names must be there.
"""

from collections.abc import Iterator
from typing import Final

from campaigns.condition_forms import AllForm, AnyForm, ConditionForm, NoneForm, NotForm
from campaigns.conditions import Conditions
from campaigns.contexts import conditions_of_contexts
from campaigns.experiment_plans import file_of, planned
from campaigns.forms import Form
from campaigns.model_forms import ClusterFile, ScoreFile, UpliftFile
from campaigns.person_forms import ClusterForm, ScoreForm
from campaigns.problems import Problem, advice
from campaigns.reading import Text
from campaigns.recommender_forms import RecommenderFile
from campaigns.references import references
from campaigns.step_forms import (
    BestTimeStep,
    BranchStep,
    DelayUntilStep,
    RecommendStep,
    walk,
)
from campaigns.workspace import SETTINGS_FILE, Workspace

SCORING: Final = (ScoreFile.KIND, UpliftFile.KIND)
"""Models that give a person a number that a condition compares."""


def check_mentions(conditions: Conditions) -> None:
    """Report models that are not there or of another kind, and circles through what they learn."""
    for word, name, file in _in_conditions(conditions.workspace):
        _check_kind(conditions, word, name, file)
    for form in conditions.workspace.campaigns.values():
        for _, step in walk(form.journey):
            if isinstance(step, RecommendStep):
                check_named(conditions, form.file, "recommender", step.recommend.model)
            elif isinstance(step, BestTimeStep) and step.best_time.model is not None:
                check_named(conditions, form.file, "send_time", step.best_time.model)
            elif (
                isinstance(step, DelayUntilStep)
                and step.delay_until.best_time is not None
                and step.delay_until.best_time.model is not None
            ):
                check_named(conditions, form.file, "send_time", step.delay_until.best_time.model)
    _check_circles(conditions)


def check_named(conditions: Conditions, file: str, kind: str, name: Text) -> None:
    """Report a model that is not there, or is of another kind than the one needed."""
    models = conditions.workspace.models
    form = models.get(str(name))
    if form is None:
        if name in conditions.names.get("models", ()):
            return  # its own file is broken, and says so
        fitting = [str(it.name) for it in models.values() if kind == it.KIND]
        hint = advice(name, fitting) or f" Write models/{name}.yaml: {kind}: {name}."
        message = f'there is no {kind} "{name}".{hint}'
    elif kind != form.KIND:
        message = f'"{name}" is a {form.KIND} ({form.file}); a {kind} is needed here.'
    else:
        return
    conditions.report(file, name.line, str(name), message)


def mention_notices(workspace: Workspace) -> Iterator[Problem]:
    """Scores and clusters that no model of the workspace makes; purchases that nobody declares."""
    seen: set[str] = set()
    for _, name, file in _in_conditions(workspace):
        if name not in workspace.models and name not in seen:
            seen.add(str(name))
            message = (
                f'no file of models/ makes "{name}": it answers for those whom '
                f"`antiphon scores load {name} FILE` brings, and for nobody before."
            )
            yield Problem(file, name.line, str(name), message)
    bought = workspace.settings.learning.purchases
    if workspace.models and workspace.events and bought.event not in workspace.events:
        message = (
            f'models take "{bought.event}" for a purchase, and no file of events/ declares it. '
            "Name yours in antiphon.yaml: learning: {purchases: {event: NAME}}."
        )
        yield Problem(SETTINGS_FILE, 0, str(bought.event), message)


def models_in(form: ConditionForm) -> Iterator[tuple[str, Text]]:
    """(score or cluster, model) of every condition in one that asks a model."""
    for asking in _asking(form):
        if isinstance(asking, ScoreForm):
            yield "score", asking.score.model
        else:
            yield "cluster", asking.cluster.model


def asking_models(workspace: Workspace) -> Iterator[tuple[ScoreForm | ClusterForm, str]]:
    """Every condition of a workspace that asks a model, with its file."""
    for segment in workspace.segments.values():
        for asking in _asking(segment.when):
            yield asking, segment.file
    for campaign in workspace.campaigns.values():
        for _, step in walk(campaign.journey):
            if isinstance(step, BranchStep):
                for arm in step.branch:
                    for asking in _asking(arm.if_):
                        yield asking, campaign.file
    for found in planned(workspace):
        for condition in conditions_of_contexts(found):
            for asking in _asking(condition):
                yield asking, file_of(found, "allocation")


def _asking(form: ConditionForm) -> Iterator[ScoreForm | ClusterForm]:
    if isinstance(form, ScoreForm | ClusterForm):
        yield form
    else:
        for inner in _inner(form):
            yield from _asking(inner)


def _inner(form: Form) -> list[ConditionForm]:
    match form:
        case AllForm():
            return form.all
        case AnyForm():
            return form.any
        case NoneForm():
            return form.none
        case NotForm():
            return [form.not_]
        case _:
            return []


def _in_conditions(workspace: Workspace) -> Iterator[tuple[str, Text, str]]:
    for asking, file in asking_models(workspace):
        for word, name in models_in(asking):
            yield word, name, file


# --- kinds --------------------------------------------------------------------------------------


def _check_kind(conditions: Conditions, word: str, name: Text, file: str) -> None:
    form = conditions.workspace.models.get(str(name))
    if form is None:
        return
    fits = (ClusterFile.KIND,) if word == "cluster" else SCORING
    if form.KIND in fits:
        return
    message = f'"{name}" is a {form.KIND} ({form.file}); {word} asks a {" or ".join(fits)}.'
    if word == "score" and form.KIND == ClusterFile.KIND:
        message += f" Write cluster: {{model: {name}, is: NAME}}."
    elif word == "cluster" and form.KIND in SCORING:
        message += f" Write score: {{model: {name}, percentile: {{gte: 90}}}}."
    conditions.report(file, name.line, str(name), message)


# --- circles ------------------------------------------------------------------------------------


def _check_circles(conditions: Conditions) -> None:
    """Report a model that is learnt among people whom its own answer chooses."""
    workspace = conditions.workspace
    for form in workspace.models.values():
        among = form.among if isinstance(form, ClusterFile | ScoreFile) else None
        if isinstance(form, RecommenderFile):
            among = form.segment
        if among is None:
            continue
        circle = _way_back(workspace, str(form.name), str(among), frozenset())
        if circle:
            said = " -> ".join((str(form.name), *circle))
            message = f"the model is learnt among those it chooses: {said}. Break the circle."
            conditions.report(form.file, among.line, str(among), message)


def _way_back(
    workspace: Workspace, model: str, segment: str, passed: frozenset[str]
) -> tuple[str, ...]:
    """From a segment through what it asks to a model, or nothing."""
    form = workspace.segments.get(segment)
    if form is None or segment in passed:
        return ()
    for _, asked in models_in(form.when):
        if asked == model:
            return (segment, model)
        other = workspace.models.get(str(asked))
        among = other.among if isinstance(other, ClusterFile | ScoreFile) else None
        if among is not None:
            rest = _way_back(workspace, model, str(among), passed | {segment})
            if rest:
                return (segment, str(asked), *rest)
    for inner in references(form.when):
        rest = _way_back(workspace, model, str(inner), passed | {segment})
        if rest:
            return (segment, *rest)
    return ()
