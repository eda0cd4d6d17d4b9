"""Journeys as written -> the flat graph of steps by id that the core walks.

A nested block returns to the step after it; nothing else leads anywhere, so a journey is bounded
by its length. An unnamed step is called by its place: `2.then.0` is the first step of the `then`
of the third.
"""

from collections.abc import Sequence
from typing import assert_never

from campaigns.conditions import Conditions
from campaigns.durations import WEEKDAYS
from campaigns.endings import HOLDING, never_goes_on
from campaigns.person_conditions import compile_hours
from campaigns.problems import advice
from campaigns.reading import Text
from campaigns.schema import CampaignFile
from campaigns.step_forms import (
    PICKS,
    BestTimeFacts,
    BestTimeStep,
    BranchStep,
    DelayStep,
    DelayUntilStep,
    ExitStep,
    ExperimentStepForm,
    FirstPossibleStep,
    JourneyStep,
    RecommendStep,
    RepeatStep,
    SendStep,
    SplitStep,
    TrackStep,
    UpdateStep,
    WaitForStep,
    WebhookStep,
    step_kind,
)
from campaigns.step_values import RESERVED, StepValues
from campaigns.webhook_steps import compile_webhook
from engine.core.model.steps import (
    BestTime,
    Branch,
    Delay,
    DelayUntil,
    Exit,
    ExperimentStep,
    FirstPossible,
    Recommend,
    Repeat,
    Send,
    Split,
    Step,
    StepId,
    Track,
    Update,
    WaitFor,
)


class Journeys:
    """Compiles one campaign's journey; reports what is wrong to the conditions' problems."""

    def __init__(self, conditions: Conditions, form: CampaignFile) -> None:
        self.conditions = conditions
        self.workspace = conditions.workspace
        self.form = form
        self.file = form.file
        self.values = StepValues(conditions, form)
        self.saved: set[str] = set()
        self.picked: set[str] = set()
        self.steps: dict[StepId, Step] = {}
        self.lines: dict[StepId, int] = {}

    def compile(self) -> tuple[dict[StepId, Step], StepId | None]:
        """The steps in reading order, and the first one's id."""
        first = self._block(self.form.journey, prefix="", after=None)
        in_order = {step_id: self.steps[step_id] for step_id in self.lines}
        return in_order, first

    def report(self, line: int, found: str, message: str) -> None:
        self.conditions.report(self.file, line, found, message)

    def _block(
        self,
        steps: Sequence[JourneyStep],
        *,
        prefix: str,
        after: StepId | None,
        is_chain: bool = True,
    ) -> StepId | None:
        """Compile a block; its first step. Steps of a chain lead on to each other."""
        ids = [str(step.id or f"{prefix}{index}") for index, step in enumerate(steps)]
        for index, (step_id, step) in enumerate(zip(ids, steps, strict=True)):
            if step_id in self.lines:
                self.report(
                    step.id.line if step.id else step.line,
                    step_id,
                    f'the step id "{step_id}" stands twice; it is already on line '
                    f"{self.lines[step_id]}. Ids are unique in a campaign; rename one.",
                )
            self.lines.setdefault(step_id, step.id.line if step.id else step.line)
            following = ids[index + 1] if is_chain and index + 1 < len(ids) else after
            if never_goes_on(step) and index + 1 < len(ids):
                why = "is an exit" if isinstance(step, ExitStep) else "exits on every path"
                self.report(
                    steps[index + 1].line,
                    ids[index + 1],
                    f"nothing gets here: the step before it {why}. Delete one of them.",
                )
            if isinstance(step, HOLDING) and not step.id and self.form.state == "live":
                kind = step_kind(step) or ""
                self.report(
                    step.line,
                    kind,
                    f'this {kind} can hold people and has no id. Name it, such as "id: '
                    f'{_suggested_id(kind)}", so that later versions know where people are.',
                )
            self.steps[step_id] = self._step(step_id, step, following)
        return ids[0] if ids else after

    def _step(self, step_id: StepId, step: JourneyStep, following: StepId | None) -> Step:
        match step:
            case DelayStep():
                return Delay(step_id, step.delay, following)
            case DelayUntilStep():
                facts = step.delay_until
                if facts.best_time is not None or facts.at is None:
                    assert facts.best_time is not None
                    return self._best_time(step_id, facts.best_time, following)
                days = tuple(sorted({WEEKDAYS.index(day) for day in facts.days}))
                return DelayUntil(step_id, facts.at, days, str(facts.zone or "profile"), following)
            case BestTimeStep():
                return self._best_time(step_id, step.best_time, following)
            case RecommendStep():
                return self._recommend(step_id, step, following)
            case FirstPossibleStep():
                return self._first_possible(step_id, step, following)
            case RepeatStep():
                return self._repeat(step_id, step, following)
            case WebhookStep():
                webhook = compile_webhook(
                    step_id,
                    step,
                    following,
                    values=self.values,
                    taken=self.saved | self.picked,
                    report=self.report,
                )
                if webhook.save_as is not None:
                    self.saved.add(webhook.save_as)
                return webhook
            case WaitForStep():
                return self._wait(step_id, step, following)
            case BranchStep():
                arms = tuple(
                    (
                        self.conditions.condition(arm.if_, self.file),
                        self._block(arm.do, prefix=f"{step_id}.if{index}.", after=following),
                    )
                    for index, arm in enumerate(step.branch)
                )
                otherwise = self._block(step.else_, prefix=f"{step_id}.else.", after=following)
                return Branch(step_id, arms, otherwise)
            case ExperimentStepForm():
                arms_by_name = {
                    str(name): self._block(variant.do, prefix=f"{step_id}.{name}.", after=following)
                    for name, variant in step.variants.items()
                }
                return ExperimentStep(step_id, str(step.experiment), arms_by_name)
            case SplitStep():
                return self._split(step_id, step, following)
            case SendStep():
                return self._send(step_id, step, following)
            case UpdateStep():
                traits = self.values.compile(step.update.traits, known_traits=True)
                return Update(step_id, traits, step.update.even_in_holdout, following)
            case TrackStep():
                facts_of = step.track
                properties = self.values.compile(facts_of.properties)
                return Track(
                    step_id, str(facts_of.event), properties, facts_of.even_in_holdout, following
                )
            case ExitStep():
                return Exit(step_id)
            case _:
                assert_never(step)

    def _best_time(
        self, step_id: StepId, facts: BestTimeFacts, following: StepId | None
    ) -> BestTime:
        model = str(facts.model) if facts.model is not None else None
        return BestTime(step_id, facts.within, following, model)

    def _recommend(
        self, step_id: StepId, step: RecommendStep, following: StepId | None
    ) -> Recommend:
        facts = step.recommend
        name = facts.as_
        if name != PICKS and name in RESERVED:
            self.report(
                name.line, str(name), f'"{name}" already means something in templates. Rename it.'
            )
        elif name in self.saved:
            self.report(
                name.line, str(name), f'a webhook saves its answer as "{name}". Rename one.'
            )
        self.picked.add(str(name))
        exclude = tuple(dict.fromkeys(facts.exclude))
        return Recommend(
            step_id, str(facts.model), facts.n, str(name), exclude, facts.if_fewer, following
        )

    def _wait(self, step_id: StepId, step: WaitForStep, following: StepId | None) -> WaitFor:
        facts = step.wait_for
        return WaitFor(
            step_id,
            self.conditions.match(facts.event, facts.where, self.file),
            facts.timeout,
            facts.counting_from,
            self._block(step.then, prefix=f"{step_id}.then.", after=following),
            self._block(step.on_timeout, prefix=f"{step_id}.on_timeout.", after=following),
        )

    def _first_possible(
        self, step_id: StepId, step: FirstPossibleStep, following: StepId | None
    ) -> FirstPossible:
        channels: dict[str, Text] = {}
        for each in step.first_possible:
            if not isinstance(each, SendStep):
                self.report(
                    each.line,
                    step_kind(each) or "",
                    "first_possible chooses between sends, and holds nothing else. Move it out.",
                )
                continue
            channel = each.send.channel
            if str(channel) in channels:
                self.report(
                    channel.line,
                    str(channel),
                    f'the channel "{channel}" stands twice; where the first is not possible the '
                    "second is not either. Delete one.",
                )
            channels.setdefault(str(channel), channel)
        prefix = f"{step_id}.send."
        sends = tuple(
            str(each.id or f"{prefix}{index}") for index, each in enumerate(step.first_possible)
        )
        self._block(step.first_possible, prefix=prefix, after=following, is_chain=False)
        return FirstPossible(step_id, sends, following)

    def _repeat(self, step_id: StepId, step: RepeatStep, following: StepId | None) -> Repeat:
        facts = step.repeat
        until = facts.until
        return Repeat(
            step_id,
            facts.times,
            facts.every,
            self._block(facts.do, prefix=f"{step_id}.do.", after=step_id),
            facts.start == "now",
            self.conditions.match(until.event, until.where, self.file) if until else None,
            following,
        )

    def _split(self, step_id: StepId, step: SplitStep, following: StepId | None) -> Split:
        weights: dict[str, int] = {}
        arms: dict[str, StepId | None] = {}
        for name, variant in step.split.items():
            if variant.weight is None:
                self.report(name.line, str(name), f'the path "{name}" needs a weight: weight: 50.')
            weights[str(name)] = variant.weight or 0
            arms[str(name)] = self._block(variant.do, prefix=f"{step_id}.{name}.", after=following)
        if all(variant.weight == 0 for variant in step.split.values()):
            self.report(
                step.line,
                "split",
                "every weight is 0, so nobody can take any path. Give one a weight: 1.",
            )
        return Split(step_id, weights, arms)

    def _send(self, step_id: StepId, step: SendStep, following: StepId | None) -> Send:
        facts = step.send
        settings = self.workspace.settings
        channels = {str(name) for name in settings.channels}
        if self.conditions.known("channel", facts.channel, channels, self.file):
            self._check_template(facts.channel, facts.template)
        topic = facts.topic or self.form.topic
        topics = {str(name) for name in settings.topics}
        if facts.topic is not None:
            self.conditions.known("topic", facts.topic, topics, self.file)
        elif topic is None:
            self.report(
                step.line,
                "send",
                "this message has no topic, and so no consent to ask for. Name one of "
                f"antiphon.yaml for the campaign: topic: {min(topics, default='offers')}.",
            )
        kind = self.workspace.channel_kind(facts.channel)
        return Send(
            step_id,
            kind,
            str(facts.template),
            str(facts.topic) if facts.topic else None,
            facts.expires,
            following,
            compile_hours(facts.send_window) if facts.send_window else None,
            account=None if kind == facts.channel else str(facts.channel),
        )

    def _check_template(self, channel: Text, template: Text) -> None:
        folder = self.workspace.channel_kind(channel)
        if (folder, str(template)) in self.workspace.templates:
            return
        names = {name for its, name in self.workspace.templates if its == folder}
        hint = advice(template, names) or f" Write templates/{folder}/{template}.…"
        self.report(
            template.line,
            str(template),
            f'there is no template "{template}" in templates/{folder}/.{hint}',
        )


def _suggested_id(kind: str) -> str:
    return {
        "delay": "settle", "delay_until": "morning", "best_time": "their-hour",
        "wait_for": "waiting", "webhook": "ask-stock", "repeat": "remind-daily",
    }[kind]  # fmt: skip
