"""Who reads models, and which of those models somebody should look at before more people do.

`plan` and `apply` say it beside what operators have done: a segment over a score that nobody has
trained is empty, and over one that is old it is of people as they were.
"""

from collections.abc import Iterator
from typing import Final

from campaigns.contexts import conditions_of_contexts
from campaigns.durations import dump_span
from campaigns.experiment_plans import planned
from campaigns.model_compile import models_of
from campaigns.model_mentions import models_in
from campaigns.models import Model, RecommenderModel, SendTimeModel
from campaigns.step_forms import BestTimeStep, BranchStep, DelayUntilStep, RecommendStep, walk
from campaigns.workspace import Workspace
from engine.core.model.instants import DAY, Instant
from engine.learning.watching import is_stale, known_until
from engine.schedule import Cron, Every
from engine.store import models
from engine.store.connection import Connection
from engine.store.models import ModelRun

NAMED_MAX: Final = 3
"""Readers of one model that are named; of more it is said how many."""


def readers(workspace: Workspace) -> dict[str, list[str]]:
    """By model, the segments, steps and experiments that read it, in words."""
    found: dict[str, list[str]] = {}
    for model, reader in _mentions(workspace):
        own = found.setdefault(model, [])
        if reader not in own:
            own.append(reader)
    return found


def amiss(connection: Connection, workspace: Workspace, *, now: Instant) -> list[str]:
    """A sentence for each model that something reads and that is stale, refused or never trained.

    Of one that is only now declared, too: until its first refresh it is as one that is forgotten.
    """
    declared = models_of(workspace)
    asked = {name: who for name, who in readers(workspace).items() if name in declared}
    if not asked:
        return []
    runs: dict[str, list[ModelRun]] = {}
    for it in models.all_runs(connection, is_counted=False):
        runs.setdefault(it.model, []).append(it)
    found = []
    for name, who in sorted(asked.items()):
        why = _why(declared[name], runs.get(name, []), now=now)
        if why:
            found.append(f"! {_listed(who)} reads {name}, {why}")
    return found


def _why(model: Model, runs: list[ModelRun], *, now: Instant) -> str:
    champion = next((it for it in runs if it.status == "champion"), None)
    newest = next((it for it in runs if it.status != "loading"), None)
    train = f"antiphon model train {model.name}"
    if champion is not None and is_stale(champion, model.refresh.stale_after, now=now):
        days = (now - known_until(champion)) // DAY
        why = f"whose champion is {days} days old; {_refreshed(model)}"
        if newest is not None and newest.status == "refused":
            why += f" (run {newest.run} was refused: {newest.about.verdict})"
        return f"{why}. {train}"
    if champion is not None:
        return ""
    if newest is None:
        return f"which was never trained: {_meanwhile(model)}. {train}"
    read = f"of which nothing is read ({_meanwhile(model)})"
    if newest.status == "refused":
        return f"{read}; run {newest.run} was refused: {newest.about.verdict}"
    return f"{read}: {newest.about.verdict}"


def _meanwhile(model: Model) -> str:
    """Who answers for a model without a champion."""
    match model:
        case RecommenderModel():
            return f"its fallbacks answer ({', '.join(model.fallback)})"
        case SendTimeModel():
            return "hours are chosen as if there were no model"
        case _:
            return "nobody has an answer of it"


def _refreshed(model: Model) -> str:
    match model.refresh.times:
        case Every(span=span):
            return f"it is refreshed every {dump_span(span)}"
        case Cron(line=line):
            return f'it is refreshed at "{line}"'
        case rule:
            return f"it is refreshed by {rule.text}"


def _listed(who: list[str]) -> str:
    more = len(who) - NAMED_MAX
    return ", ".join(who[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def _mentions(workspace: Workspace) -> Iterator[tuple[str, str]]:
    for name, segment in workspace.segments.items():
        for _, asked in models_in(segment.when):
            yield str(asked), f'segment "{name}"'
    for name, campaign in workspace.campaigns.items():
        for step_id, step in walk(campaign.journey):
            for model in _asked_by(step):
                yield model, f'campaign "{name}", step "{step_id}"'
    for found in planned(workspace):
        for asking in conditions_of_contexts(found):
            for _, asked in models_in(asking):
                yield str(asked), f'experiment "{found.name}"'


def _asked_by(step: object) -> list[str]:
    match step:
        case BranchStep():
            return [str(model) for arm in step.branch for _, model in models_in(arm.if_)]
        case RecommendStep():
            return [str(step.recommend.model)]
        case BestTimeStep() if step.best_time.model is not None:
            return [str(step.best_time.model)]
        case DelayUntilStep() if step.delay_until.best_time is not None:
            model = step.delay_until.best_time.model
            return [] if model is None else [str(model)]
        case _:
            return []
