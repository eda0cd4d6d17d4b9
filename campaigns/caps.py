"""The caps of antiphon.yaml: what none may be, and what the gate is given of them.

A cap that tries several limits is an experiment, too (`experiment_plans.Capped`).
"""

from collections.abc import Iterator
from typing import Final

from campaigns.conditions import Conditions
from campaigns.experiment_plans import Capped, capped, located
from campaigns.problems import Problem
from campaigns.settings_forms import SettingsForm
from campaigns.workspace import SETTINGS_FILE, Workspace
from engine.core.model.campaigns import Cap

PLANNED: Final = frozenset(
    {"experiment", "title", "hypothesis", "metrics", "analysis", "coverage", "state", "winner"}
)
"""What a file of experiments/ may say of a cap: the rest is the cap's own."""


def compile_caps(settings: SettingsForm) -> tuple[Cap, ...]:
    """The caps in the order of the settings."""
    return tuple(
        Cap(
            form.limit,
            form.per,
            str(form.channel) if form.channel else None,
            str(form.topic) if form.topic else None,
            str(form.name) if form.name else "",
            form.tries.limits if form.tries else (),
        )
        for form in settings.caps
    )


def check_caps(conditions: Conditions) -> None:
    """Report caps of what is not there or never capped, and trials that no one could tell apart."""
    workspace, settings = conditions.workspace, conditions.workspace.settings
    topics = {str(name) for name in settings.topics}
    for cap in settings.caps:
        if cap.channel is not None:
            conditions.known("kind of channel", cap.channel, workspace.channel_kinds, SETTINGS_FILE)
        if cap.topic is not None and conditions.known("topic", cap.topic, topics, SETTINGS_FILE):
            topic = settings.topics[cap.topic]
            if topic.transactional:
                conditions.report(
                    SETTINGS_FILE,
                    cap.topic.line,
                    str(cap.topic),
                    f'the topic "{cap.topic}" is transactional, and so is never capped. Delete '
                    "this cap.",
                )
    journeys = {str(found.name): found for found in located(workspace)}
    seen: set[str] = set()
    for found in capped(workspace):
        name = str(found.name)
        line, why = found.name.line, ""
        if name in seen:
            why = f'another cap that tries limits is called "{name}" already. Rename one.'
        elif name in journeys:
            it = journeys[name]
            why = (
                f'the experiment "{name}" already runs at {it.file}:{it.step.line}. A cap that '
                "tries limits is an experiment of its own; rename one."
            )
        if why:
            conditions.report(SETTINGS_FILE, line, name, why)
        seen.add(name)
        _check_plan(found, conditions)


def cap_notices(workspace: Workspace) -> Iterator[Problem]:
    """Limits that are tried in vain, because another cap lets fewer messages through anyway."""
    for found in capped(workspace):
        tried, most = found.cap, found.tries.limits[-1]
        for other in workspace.settings.caps:
            is_wider = other.channel in (None, tried.channel) and other.topic in (None, tried.topic)
            if other.tries is None and is_wider and other.per >= tried.per and other.limit < most:
                message = (
                    f'"{found.name}" tries at most {most}, but the cap at line {other.line} lets '
                    f"{other.limit} through in as long: whoever draws more gets no more than that. "
                    "Delete that cap while the trial runs, or raise it."
                )
                yield Problem(SETTINGS_FILE, found.name.line, str(found.name), message)


def _check_plan(found: Capped, conditions: Conditions) -> None:
    plan = found.plan
    for key in sorted(plan.model_fields_set - PLANNED) if plan is not None else ():
        assert plan is not None
        conditions.report(
            plan.file,
            plan.name.line,
            key,
            f'"{key}" does not fit: "{found.name}" is a cap of {SETTINGS_FILE}, which says what is '
            "tried and for whom. Here may stand metrics, analysis, coverage, state and winner.",
        )
