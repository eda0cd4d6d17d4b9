"""What no file can see alone: names that lead nowhere, cycles, plans that contradict each other."""

from collections.abc import Collection, Iterator, Mapping

from campaigns.caps import cap_notices, check_caps
from campaigns.channel_checks import check_channels
from campaigns.compile import compile_campaign, compile_segment_files
from campaigns.conditions import Conditions
from campaigns.contexts import check_contexts_reached
from campaigns.contradictions import check_contradictions
from campaigns.endings import HOLDING, check_circles, check_length
from campaigns.experiment_checks import check_experiments, experiment_notices
from campaigns.experiment_plans import located, planned
from campaigns.given_models import check_given_models
from campaigns.metrics import check_metrics
from campaigns.model_checks import check_models
from campaigns.model_mentions import check_mentions, mention_notices
from campaigns.moves import check_migrate
from campaigns.person_conditions import compile_lists
from campaigns.problems import Problem, advice
from campaigns.references import references
from campaigns.schedule_checks import check_schedules, weekday_notices
from campaigns.schema import CampaignFile, ScheduleTriggerForm
from campaigns.settings_forms import CHANNEL_KINDS
from campaigns.step_forms import JourneyStep, RepeatStep, SendStep, blocks
from campaigns.trial_forms import ExpectedSendAt, TestFile
from campaigns.warehouse_checks import check_warehouse
from campaigns.workspace import SETTINGS_FILE, Workspace
from engine.core.clocktime import check_cron


def check_workspace(
    workspace: Workspace, *, names: Mapping[str, Collection[str]]
) -> tuple[list[Problem], list[Problem]]:
    """(problems, notices): what is wrong, and what is allowed but worth knowing.

    Args:
        names: Every name that some file declares, by folder, also of files that did not read.
    """
    problems: list[Problem] = []
    ran = {str(found.name) for found in located(workspace)}
    known = {**names, "experiments": {*names["experiments"], *ran}}
    conditions = Conditions(
        workspace, names=known, blind=lambda trait, kind, value: "blind:", problems=problems
    )
    _check_settings(conditions)
    segments = compile_segment_files(conditions)
    compile_lists(conditions)
    _check_cycles(conditions)
    for form in workspace.campaigns.values():
        compile_campaign(conditions, form)
        _check_campaign(conditions, form)
    check_circles(conditions)
    check_experiments(conditions)
    check_metrics(conditions, workspace.metrics)
    check_warehouse(conditions)
    check_models(conditions)
    check_mentions(conditions)
    for test in workspace.tests.values():
        _check_test(conditions, test)
    if not problems:
        # What did not compile asks for less than it says: nothing could be concluded from it.
        check_contradictions(conditions, segments)
        check_contexts_reached(conditions, segments)
    return problems, list(_notices(workspace))


def _check_settings(conditions: Conditions) -> None:
    settings = conditions.workspace.settings
    for name, channel in settings.channels.items():
        if name == "webhook":
            conditions.report(
                SETTINGS_FILE,
                name.line,
                str(name),
                'the channel "webhook" is the lane of webhook steps. Call this one otherwise.',
            )
        elif channel.kind is None and name not in CHANNEL_KINDS:
            conditions.report(
                SETTINGS_FILE,
                name.line,
                str(name),
                f'the channel "{name}" needs its kind, one of {", ".join(CHANNEL_KINDS)}: '
                "kind: email.",
            )
    check_channels(conditions)
    check_schedules(conditions, file=SETTINGS_FILE)
    check_caps(conditions)


def _check_campaign(conditions: Conditions, form: CampaignFile) -> None:
    settings = conditions.workspace.settings
    if form.topic is not None:
        topics = {str(name) for name in settings.topics}
        conditions.known("topic", form.topic, topics, form.file)
    if form.programme is not None:
        programmes = {str(name) for name in settings.programmes}
        conditions.known("programme", form.programme, programmes, form.file)
    check_migrate(conditions, form)
    check_length(conditions, form)
    if form.goal is not None:
        conditions.known("metric", form.goal.metric, conditions.names["metrics"], form.file)
    if isinstance(form.trigger, ScheduleTriggerForm):
        schedule = form.trigger.schedule
        try:
            check_cron(str(schedule.cron))
        except ValueError as error:
            message = f"cron: {str(error).removeprefix('cron ').rstrip('.')}."
            conditions.report(form.file, schedule.cron.line, str(schedule.cron), message)
        if schedule.audience is not None and form.audience is not None:
            conditions.report(
                form.file,
                schedule.audience.line,
                str(schedule.audience),
                "the audience stands twice, here and under `audience`. Keep one.",
            )


def _check_cycles(conditions: Conditions) -> None:
    """Report each segment that is defined by itself, once, at the reference that closes it."""
    segments = conditions.workspace.segments
    named = {name: list(references(form.when)) for name, form in segments.items()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        for reference in named.get(name, ()):
            if reference in path:
                circle = " -> ".join((*path[path.index(reference) :], reference))
                conditions.report(
                    segments[name].file,
                    reference.line,
                    str(reference),
                    f"the segment is defined by itself: {circle}. Break the circle.",
                )
            elif reference not in done:
                visit(str(reference), (*path, str(reference)))
        done.add(name)

    for name in segments:
        if name not in done:
            visit(name, (name,))


def _check_test(conditions: Conditions, test: TestFile) -> None:
    workspace, file = conditions.workspace, test.file
    for event in test.given.events:
        conditions.match(event.event, {}, file)
        declared = workspace.events.get(str(event.event))
        if declared is None:
            continue
        known = {str(name): form for name, form in declared.properties.items()}
        for name in event.properties:
            if name not in known:
                conditions.report(
                    file,
                    name.line,
                    str(name),
                    f'the event "{event.event}" declares no property "{name}".'
                    f"{advice(name, known)}",
                )
        for required, form in known.items():
            if form.required and required not in event.properties:
                conditions.report(
                    file,
                    event.line,
                    required,
                    f'the event "{event.event}" needs the property "{required}".',
                )
    channels = {str(name) for name in workspace.settings.channels}
    topics = {str(name) for name in workspace.settings.topics}
    for channel, granted in test.given.profile.consent.items():
        conditions.known("kind of channel", channel, workspace.channel_kinds, file)
        for topic in granted:
            conditions.known("topic", topic, topics, file)
    _check_force(conditions, test)
    check_given_models(conditions, test)
    for expected in test.expect:
        if isinstance(expected, ExpectedSendAt):
            _check_expected(conditions, expected, channels, file)


def _check_force(conditions: Conditions, test: TestFile) -> None:
    variants = {
        str(found.name): {str(name) for name in found.variants}
        for found in planned(conditions.workspace)
    }
    for name, variant in test.force.items():
        if name == "holdout":
            if variant not in ("in", "out"):
                conditions.report(
                    test.file,
                    variant.line,
                    str(variant),
                    f'holdout is in or out, not "{variant}".',
                )
        elif name not in variants:
            conditions.report(
                test.file,
                name.line,
                str(name),
                f'there is no experiment "{name}".{advice(name, [*variants, "holdout"])}',
            )
        elif variant not in variants[name]:
            conditions.report(
                test.file,
                variant.line,
                str(variant),
                f'the experiment "{name}" has no variant "{variant}".'
                f"{advice(variant, variants[name])}",
            )


def _check_expected(
    conditions: Conditions, expected: ExpectedSendAt, channels: Collection[str], file: str
) -> None:
    send, workspace = expected.send, conditions.workspace
    if send.campaign is not None:
        conditions.known("campaign", send.campaign, conditions.names["campaigns"], file)
    if not conditions.known("channel", send.channel, channels, file):
        return
    folder = workspace.channel_kind(send.channel)
    if (folder, str(send.template)) not in workspace.templates:
        names = {name for channel, name in workspace.templates if channel == folder}
        conditions.report(
            file,
            send.template.line,
            str(send.template),
            f'there is no template "{send.template}" in templates/{folder}/.'
            f"{advice(send.template, names)}",
        )


def _notices(workspace: Workspace) -> Iterator[Problem]:
    """Arms whose first message comes after a wait: what the gate would say is not known yet.
    Partials and layouts that nothing uses.
    """
    for path in workspace.unused_pieces():
        message = "no template uses this. Delete it, or write its name into one."
        yield Problem(path, 0, path, message)
    yield from experiment_notices(workspace)
    yield from cap_notices(workspace)
    yield from mention_notices(workspace)
    yield from weekday_notices(workspace)
    for found in located(workspace):
        for name, variant in found.step.variants.items():
            if _waits_before_sending(variant.do) is True:
                yield Problem(
                    found.campaign.file,
                    name.line,
                    str(name),
                    f'the arm "{name}" waits before its first message, so only intention-to-treat '
                    "is offered: everyone assigned is analysed, also whom no message could reach.",
                )


def _waits_before_sending(steps: list[JourneyStep]) -> bool | None:
    """True if a step holds people before any send, False if a send comes first, None if neither."""
    for step in steps:
        if isinstance(step, SendStep):
            return False
        begins_now = isinstance(step, RepeatStep) and step.repeat.start == "now"
        if isinstance(step, HOLDING) and not begins_now:
            return True if _sends(steps) else None
        inner = [_waits_before_sending(block) for _, block in blocks(step)]
        if any(answer is not None for answer in inner):
            return True in inner
    return None


def _sends(steps: list[JourneyStep]) -> bool:
    return any(
        isinstance(step, SendStep) or any(_sends(block) for _, block in blocks(step))
        for step in steps
    )
