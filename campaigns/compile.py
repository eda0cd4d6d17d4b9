"""A checked Workspace -> the Program that the core plays: immutable, content-hashed.

The same workspace gives the same versions on every machine: what depends on a key (markers of pii
values) or on a moment (phases) stays out of the hashes.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from msgspec import structs, to_builtins

from campaigns.caps import compile_caps
from campaigns.conditions import Conditions
from campaigns.contexts import compile_contexts, segments_of_contexts
from campaigns.declarations import Blind, pii_traits
from campaigns.experiment_plans import Located, design, digest, located, planned
from campaigns.experiments import compile_experiment, compile_where, rules_of
from campaigns.journeys import Journeys
from campaigns.learning_facts import explored_by, item_paths, learning_of
from campaigns.person_conditions import compile_hours, compile_lists
from campaigns.problems import InvalidWorkspace, Problem, advice
from campaigns.references import references
from campaigns.remembered import remembered
from campaigns.schema import (
    ApiTriggerForm,
    CampaignFile,
    DateForm,
    DateTriggerForm,
    EventTriggerForm,
    ScheduleTriggerForm,
    SegmentTriggerForm,
)
from campaigns.settings_forms import HoldoutForm, SettingsForm
from campaigns.trigger_values import unmet_templates
from campaigns.workspace import Workspace
from engine.core.model.campaigns import (
    ApiTrigger,
    Campaign,
    DateTrigger,
    EventTrigger,
    Experiment,
    Holdout,
    Program,
    QuietHours,
    Reentry,
    ScheduleTrigger,
    SegmentTrigger,
    TemplateFacts,
    Topic,
    Trigger,
)
from engine.core.model.conditions import Condition, SegmentCondition


class Phase(NamedTuple):
    """The current phase of an experiment, chosen when it was applied.

    `digest` is that of `phase_digests` at its start: another one means another phase, and so does
    less `coverage` than it has.
    """

    number: int
    seed: str
    digest: str = ""
    coverage: float = 0.0


_NOT_PINNED: Final = ("version", "title", "state")
"""What may change without making another version: words, and whether it runs at all."""


def compile_workspace(
    workspace: Workspace,
    *,
    release: int,
    phases: Mapping[str, Phase],
    templates: Mapping[tuple[str, str], TemplateFacts],
    blind: Blind,
    is_checked: bool = False,
) -> Program:
    """Everything the core needs to know of a workspace.

    Args:
        phases: By experiment. One that is missing is in its first phase, seeded by its name.
        templates: What rendering knows of each (channel, template).
        blind: Makes the marker of a pii value, as it stands in `profile.traits`.
        is_checked: It was live already: what a newer program has learnt to refuse in templates
            must not stop it.
    Raises:
        InvalidWorkspace: If the workspace was not checked, or a template needs what never comes.
    """
    problems: list[Problem] = []
    conditions = Conditions(workspace, names=names_of(workspace), blind=blind, problems=problems)
    versions = campaign_versions(workspace)
    campaigns = {
        name: structs.replace(compile_campaign(conditions, form), version=versions[name])
        for name, form in workspace.campaigns.items()
    }
    segments = compile_segment_files(conditions)
    lists = compile_lists(conditions)
    if not is_checked:
        problems.extend(unmet_templates(workspace, templates))
    experiments: dict[tuple[str, int], Experiment] = {}
    numbers: dict[str, int] = {}
    for found in planned(workspace):
        name = str(found.name)
        phase = phases.get(name) or Phase(1, name)
        numbers[name] = phase.number
        experiments[name, phase.number] = compile_experiment(
            found,
            phase=phase.number,
            seed=phase.seed,
            where=compile_where(conditions, found),
            contexts=compile_contexts(conditions, found),
        )
    if problems:
        raise InvalidWorkspace(problems)
    settings = workspace.settings
    return Program(
        release=release,
        zone=str(settings.zone),
        campaigns=campaigns,
        segments=segments,
        experiments=experiments,
        phases=numbers,
        topics=_topics(settings),
        rooms=frozenset(str(name) for name, form in settings.channels.items() if form.is_room),
        templates=dict(templates),
        caps=compile_caps(settings),
        quiet_hours=_quiet_hours(settings),
        collect=settings.collect or 0,
        consent_unknown=settings.consent.unknown,
        global_holdout=_holdout(settings.global_holdout, "global"),
        programme_holdouts={
            str(name): holdout
            for name, form in settings.programmes.items()
            if (holdout := _holdout(form.holdout, f"programme:{name}"))
        },
        session_gap=settings.sessions.gap,
        pii_traits=frozenset(pii_traits(workspace)),
        lists=lists,
        explored=explored_by(workspace),
        item_paths=item_paths(workspace),
        profiling=learning_of(workspace).profiling,
    )


@remembered
def campaign_versions(workspace: Workspace) -> dict[str, str]:
    """Each campaign's version: the hash of its graph, its steps' values and its experiments.

    Segments and templates are not in it: they resolve to what is applied when they are used.
    """
    experiments: dict[str, list[Located]] = {}
    for found in located(workspace):
        experiments.setdefault(str(found.campaign.name), []).append(found)
    return {
        name: _version(campaign, experiments.get(name, []))
        for name, campaign in unkeyed(workspace).items()
    }


def phase_digests(workspace: Workspace) -> dict[str, str]:
    """The digest of each experiment's design; coverage, which may grow, is not part of it."""
    return {name: digest(one) for name, one in designs(workspace).items()}


def designs(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """What assignment and treatment of each experiment depend on, part by part."""
    campaigns, conditions = unkeyed(workspace), _unkeyed_conditions(workspace)
    found_designs: dict[str, dict[str, Any]] = {}
    for found in planned(workspace):
        compiled = compile_experiment(
            found, phase=1, seed="", where=compile_where(conditions, found),
            contexts=compile_contexts(conditions, found),
        )  # fmt: skip
        rules = rules_of(compiled)
        if compiled.audience:
            rules["audience"] = [compiled.audience, _meaning(workspace, compiled.audience)]
        asked = segments_of_contexts(found)
        if asked:
            rules["context_segments"] = {it: _meaning(workspace, it) for it in asked}
        found_designs[compiled.name] = design(
            found, workspace=workspace, campaign=campaigns.get(compiled.campaign), rules=rules
        )
    return found_designs


def _meaning(workspace: Workspace, segment: str) -> str:
    """The digest of what a segment asks, with all it refers to."""
    found: dict[str, Any] = {}

    def visit(name: str) -> None:
        condition = unkeyed_segments(workspace).get(name)
        if condition is None or name in found:
            return
        found[name] = to_builtins(condition)
        for reference in references(workspace.segments[name].when):
            visit(str(reference))

    visit(segment)
    return digest(found)


@remembered
def unkeyed_segments(workspace: Workspace) -> dict[str, Condition]:
    """The segments with pii values as written: only ever hashed or compared, never stored."""
    return compile_segment_files(_unkeyed_conditions(workspace))


def names_of(workspace: Workspace) -> dict[str, set[str]]:
    """Every declared name by folder; experiments may also be declared where they run."""
    return {
        "events": set(workspace.events),
        "segments": set(workspace.segments),
        "campaigns": set(workspace.campaigns),
        "metrics": set(workspace.metrics),
        "tests": set(workspace.tests),
        "models": set(workspace.models),
        "lists": set(workspace.lists),
        "experiments": set(workspace.experiments)
        | {str(found.name) for found in located(workspace)},
    }


def compile_segment_files(conditions: Conditions) -> dict[str, Condition]:
    """Every segment's condition."""
    return {
        name: conditions.condition(form.when, form.file)
        for name, form in conditions.workspace.segments.items()
    }


def compile_campaign(conditions: Conditions, form: CampaignFile) -> Campaign:
    """One campaign without its version; what is wrong is reported to the conditions' problems."""
    name, file = str(form.name), form.file
    steps, first = Journeys(conditions, form).compile()
    audience = form.audience.segment if form.audience else None
    if audience is not None:
        conditions.segment(audience, file)
    elif isinstance(form.trigger, ScheduleTriggerForm):
        audience = form.trigger.schedule.audience
    return Campaign(
        name=name,
        version="",
        trigger=_trigger(conditions, form),
        steps=steps,
        first=first,
        title=str(form.title or ""),
        state=form.state,
        programme=str(form.programme) if form.programme else None,
        audience=SegmentCondition(str(audience)) if audience else None,
        is_continuous=bool(form.audience and form.audience.continuously),
        reentry=Reentry(form.reentry.when, form.reentry.gap or 0, form.reentry.while_active),
        holdout=_holdout(form.holdout, f"campaign:{name}"),
        exit_when=conditions.match(form.exit_when.event, form.exit_when.where, file)
        if form.exit_when
        else None,
        goal=str(form.goal.metric) if form.goal else None,
        priority=form.priority,
        topic=str(form.topic or ""),
        when_capped=form.when_capped,
        send_window=compile_hours(form.send_window) if form.send_window else None,
    )


def _trigger(conditions: Conditions, form: CampaignFile) -> Trigger:
    match form.trigger:
        case EventTriggerForm() as trigger:
            if trigger.key is not None:
                conditions.check_path(trigger.event, trigger.key, form.file)
            found = conditions.match(trigger.event, trigger.where, form.file)
            return EventTrigger(found, str(trigger.key) if trigger.key else None)
        case SegmentTriggerForm(segment=change):
            name = change.enter or change.exit
            assert name is not None
            conditions.segment(name, form.file)
            on = "exit" if change.enter is None else "enter"
            return SegmentTrigger(str(name), "enter" if on == "enter" else "exit", change.backfill)
        case ScheduleTriggerForm(schedule=schedule):
            if schedule.audience is not None:
                conditions.segment(schedule.audience, form.file)
            return ScheduleTrigger(str(schedule.cron), str(schedule.zone or "profile"))
        case DateTriggerForm(date=date):
            _check_date(conditions, form, date)
            return DateTrigger(
                tuple(date.trait.split(".")),
                date.at,
                date.offset,
                date.every == "year",
                str(date.zone or "profile"),
            )
        case ApiTriggerForm(key=path):
            return ApiTrigger(str(path) if path is not None else None)


def _check_date(conditions: Conditions, form: CampaignFile, date: DateForm) -> None:
    """Report a trait that is no date the core can read."""
    name = date.trait.split(".")[0]
    declared = conditions.traits.get(name)
    why = ""
    if name in conditions.pii:
        why = f'the trait "{name}" is pii: its date cannot be read. Keep it as a trait of its own'
    elif conditions.traits and declared is None:
        hint = advice(name, conditions.traits)
        why = f'the trait "{name}" is not declared in antiphon.yaml.{hint}'
    elif declared is not None and declared.type not in ("date", "datetime", "object"):
        why = f'the trait "{name}" is a {declared.type}; a date is needed: {{type: date}}'
    if why:
        conditions.report(form.file, date.trait.line, str(date.trait), why)


@remembered
def unkeyed(workspace: Workspace) -> dict[str, Campaign]:
    """The campaigns with pii values as written: only ever hashed or compared, never stored."""
    conditions = _unkeyed_conditions(workspace)
    return {name: compile_campaign(conditions, form) for name, form in workspace.campaigns.items()}


def _unkeyed_conditions(workspace: Workspace) -> Conditions:
    return Conditions(
        workspace,
        names=names_of(workspace),
        blind=lambda trait, kind, value: f"{trait}={value}",
        problems=[],
    )


def _version(campaign: Campaign, experiments: list[Located]) -> str:
    pinned = to_builtins(campaign)
    for key in _NOT_PINNED:
        pinned.pop(key, None)
    plans = {
        str(found.step.experiment): {
            "weights": found.weights,
            "control": found.control,
            "layer": found.layer.model_dump(mode="json") if found.layer else None,
        }
        for found in experiments
    }
    return digest({"campaign": pinned, "experiments": plans})


def _topics(settings: SettingsForm) -> dict[str, Topic]:
    return {
        str(name): Topic(
            str(name),
            str(form.title or name),
            form.transactional,
            titles={str(language): str(title) for language, title in form.titles.items()},
            is_tracked=form.track,
            is_double=form.opt_in == "double",
        )
        for name, form in settings.topics.items()
    }


def _quiet_hours(settings: SettingsForm) -> QuietHours | None:
    form = settings.quiet_hours
    return QuietHours(form.from_, form.to) if form else None


def _holdout(form: HoldoutForm | None, level: str) -> Holdout | None:
    if form is None or form.share == 0:
        return None
    return Holdout(form.share, f"holdout:{level}", str(form.period or ""))
