"""What is wrong with `schedules`: names that lead nowhere, times that never come."""

from collections.abc import Collection, Iterator

from campaigns.conditions import Conditions
from campaigns.model_compile import refreshes_of
from campaigns.problems import Problem, advice
from campaigns.reading import Text
from campaigns.refresh_forms import PREFIX
from campaigns.schedule_forms import BUILT_IN, JOBS, MODEL_REFRESH, WHEN, ScheduledForm
from campaigns.schema import ApiTriggerForm, ScheduleTriggerForm
from campaigns.workspace import Workspace
from engine.schedule import check_times, weekdays_by_name


def check_schedules(conditions: Conditions, *, file: str) -> None:
    """Report what no single schedule can see alone, and those that never fire."""
    workspace = conditions.workspace
    zone = str(workspace.settings.zone)
    refreshed = refreshes_of(workspace)
    usual = {**BUILT_IN, **{name: it.times for name, it in refreshed.items()}}
    for name, form in workspace.settings.schedules.items():
        own = usual.get(str(name))
        if message := _misnamed(name, form, refreshed):
            conditions.report(file, name.line, str(name), message)
            continue
        times = form.times(own)
        if times is None:
            message = f'the schedule "{name}" does not say when: write one of {", ".join(WHEN)}.'
            conditions.report(file, name.line, str(name), message)
            continue
        try:
            check_times(times, str(form.zone or zone))
        except ValueError as error:
            written = form.cron or form.rrule
            line = written.line if isinstance(written, Text) else form.line
            message = f'the schedule "{name}": {error}'
            conditions.report(file, line, str(written or form.every or ""), message)
        _check_broadcast(conditions, name, form, file)


def weekday_notices(workspace: Workspace) -> Iterator[Problem]:
    """Campaigns whose cron line counts weekdays: some engines count from Sunday, some from Monday.

    `schedules` refuse such a line. A campaign's is read as cron(8) does, or what an earlier release
    plays would no longer load.
    """
    for form in workspace.campaigns.values():
        if not isinstance(form.trigger, ScheduleTriggerForm):
            continue
        line = form.trigger.schedule.cron
        try:
            named = weekdays_by_name(str(line))
        except ValueError:
            continue  # It is refused, with its reason, among the errors.
        if named is not None:
            counted = str(line).split()[4]
            message = (
                f'the weekdays "{counted}" are numbers, which engines read differently; here 0 and '
                f"7 are Sunday, so this is {named}. Write {named}."
            )
            yield Problem(form.file, line.line, str(line), message)


def _misnamed(name: Text, form: ScheduledForm, refreshed: Collection[str]) -> str:
    """What is wrong with the name and the job together, or ""."""
    if name in refreshed:
        if form.run is not None and form.run != MODEL_REFRESH:
            return f'"{name}" refreshes a model and runs itself. Call this one otherwise.'
        return ""
    if form.run == MODEL_REFRESH:
        hint = advice(name, refreshed) or " Write one into models/."
        return f'"{name}" refreshes no model: each has a schedule refresh-NAME of its own.{hint}'
    if name in BUILT_IN:
        if form.run is not None and form.run != name:
            return f'"{name}" is a schedule of our own and runs itself. Call this one otherwise.'
        return ""
    if form.run is None:
        jobs = [job for job in JOBS if job != MODEL_REFRESH]
        hint = advice(name, refreshed if refreshed and name.startswith(PREFIX) else jobs)
        return f'the schedule "{name}" does not say what it should run.{hint}'
    return ""


def _check_broadcast(conditions: Conditions, name: Text, form: ScheduledForm, file: str) -> None:
    """A broadcast starts a campaign of the API for everyone in a segment; nothing else does."""
    if form.run != "broadcast":
        for key in ("campaign", "audience"):
            if (given := getattr(form, key)) is not None:
                message = f"{key} belongs to run: broadcast. Delete it, or write that."
                conditions.report(file, given.line, str(given), message)
        return
    for key in ("campaign", "audience"):
        if getattr(form, key) is None:
            message = f'the broadcast "{name}" does not name its {key}: {key}: NAME.'
            conditions.report(file, name.line, str(name), message)
    if form.audience is not None:
        conditions.segment(form.audience, file)
    if form.campaign is None or not conditions.known(
        "campaign", form.campaign, conditions.names["campaigns"], file
    ):
        return
    started = conditions.workspace.campaigns.get(str(form.campaign))
    if started is not None and not isinstance(started.trigger, ApiTriggerForm):
        message = (
            f'a broadcast starts the campaign "{form.campaign}" as the API does. '
            "Write there trigger: {api: true}."
        )
        conditions.report(file, form.campaign.line, str(form.campaign), message)
