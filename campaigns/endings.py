"""Whether a journey ends, and whether every step of it can be reached.

Blocks are nested and nothing leads back but a repeat, so a journey is bounded by its length times
its repeats. What could still go on for ever is campaigns that start each other without any wait.
"""

from collections.abc import Iterator

from campaigns.conditions import Conditions
from campaigns.schema import CampaignFile, EventTriggerForm
from campaigns.step_forms import (
    BestTimeStep,
    BranchStep,
    DelayStep,
    DelayUntilStep,
    ExitStep,
    ExperimentStepForm,
    JourneyStep,
    RepeatStep,
    SplitStep,
    TrackStep,
    WaitForStep,
    WebhookStep,
    blocks,
)
from engine.core.journeys.passage import VISITS_MAX

HOLDING = (DelayStep, DelayUntilStep, BestTimeStep, WaitForStep, WebhookStep, RepeatStep)
"""Steps in which people stay: a live campaign must name them, or later versions cannot map them."""


def n_visits(steps: list[JourneyStep]) -> int:
    """How many steps one journey can visit at most, every branch taken."""
    total = 0
    for step in steps:
        inner = sum(n_visits(block) for _, block in blocks(step))
        rounds = step.repeat.times if isinstance(step, RepeatStep) else 1
        total += 1 + rounds * (inner + (rounds > 1))
    return total


def never_goes_on(step: JourneyStep) -> bool:
    """Whether every way through a step ends the journey, so that nothing gets behind it."""
    match step:
        case ExitStep():
            return True
        case WaitForStep() | ExperimentStepForm() | SplitStep():
            return all(_always_ends(block) for _, block in blocks(step))
        case BranchStep():
            return all(_always_ends(block) for _, block in blocks(step))
        case RepeatStep():
            return step.repeat.until is None and _always_ends(step.repeat.do)
        case _:
            return False


def check_length(conditions: Conditions, form: CampaignFile) -> None:
    """Report a journey whose repeats make it longer than any journey may be."""
    visits = n_visits(form.journey)
    if visits > VISITS_MAX:
        line = next((step.line for step in _repeats(form.journey)), form.line)
        conditions.report(
            form.file,
            line,
            "repeat",
            f"this journey can visit {visits:,} steps; at most {VISITS_MAX:,} are allowed. Repeat "
            "fewer times, or shorter blocks.",
        )


def check_circles(conditions: Conditions) -> None:
    """Report campaigns that start each other, at once and every time: nobody would come out."""
    forms = conditions.workspace.campaigns
    starts: dict[str, list[str]] = {name: [] for name in forms}
    for name, form in forms.items():
        tracked = {str(event) for event in _tracked_at_once(form.journey)}
        for other, target in forms.items():
            trigger = target.trigger
            is_started = (
                isinstance(trigger, EventTriggerForm)
                and not trigger.where
                and (str(trigger.event) in tracked)
            )
            if is_started and _lets_in_again(target):
                starts[name].append(other)
    reported: set[str] = set()
    for name, form in forms.items():
        circle = _circle_from(name, starts)
        if circle and not reported & set(circle):
            reported |= set(circle)
            conditions.report(
                form.file,
                form.trigger.line,
                str(name),
                f"these campaigns start each other at once, without end: "
                f"{' -> '.join((*circle, circle[0]))}. Put a delay before the `track`, or "
                "let people in only once: reentry: {when: never}.",
            )


def _always_ends(block: list[JourneyStep]) -> bool:
    return any(never_goes_on(step) for step in block)


def _repeats(steps: list[JourneyStep]) -> Iterator[RepeatStep]:
    for step in steps:
        if isinstance(step, RepeatStep):
            yield step
        for _, block in blocks(step):
            yield from _repeats(block)


def _tracked_at_once(steps: list[JourneyStep]) -> Iterator[str]:
    """Events that a journey tracks before anything has held the person."""
    for step in steps:
        if isinstance(step, TrackStep):
            yield str(step.track.event)
        if isinstance(step, HOLDING):
            return
        for _, block in blocks(step):
            yield from _tracked_at_once(block)


def _lets_in_again(form: CampaignFile) -> bool:
    return form.reentry.when == "after_exit" or form.reentry.while_active != "ignore"


def _circle_from(name: str, starts: dict[str, list[str]]) -> list[str]:
    """A circle through a campaign, in order, or an empty list."""
    waiting = [[name]]
    seen: set[str] = set()
    while waiting:
        path = waiting.pop(0)
        for target in starts[path[-1]]:
            if target == name:
                return path
            if target not in seen:
                seen.add(target)
                waiting.append([*path, target])
    return []
