"""Journeys as written -> the flat graph of steps by id that the core walks.

A nested block returns to the step after it; nothing else leads anywhere, so a journey is bounded
by its length. An unnamed step is called by its place: `2.then.0` is the first step of the `then`
of the third.
"""

from collections.abc import Mapping, Sequence
from typing import Final, assert_never

from campaigns.conditions import Conditions
from campaigns.durations import WEEKDAYS
from campaigns.expressions import compile_value, expressions_in, variants_read
from campaigns.problems import advice
from campaigns.reading import Text
from campaigns.schema import CampaignFile
from campaigns.step_forms import (
    BranchStep,
    DelayStep,
    DelayUntilStep,
    ExitStep,
    ExperimentStepForm,
    JourneyStep,
    SendStep,
    SplitStep,
    TrackStep,
    UpdateStep,
    WaitForStep,
    step_kind,
)
from engine.core.model import (
    Branch,
    Delay,
    DelayUntil,
    Exit,
    ExperimentStep,
    Send,
    Split,
    Step,
    StepId,
    Track,
    Update,
    Value,
    WaitFor,
)

HOLDING: Final = (DelayStep, DelayUntilStep, WaitForStep)
"""Steps in which people stay: a live campaign must name them, or later versions cannot map them."""


class Journeys:
    """Compiles one campaign's journey; reports what is wrong to the conditions' problems."""

    def __init__(self, conditions: Conditions, form: CampaignFile) -> None:
        self.conditions = conditions
        self.workspace = conditions.workspace
        self.form = form
        self.file = form.file
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
        self, steps: Sequence[JourneyStep], *, prefix: str, after: StepId | None
    ) -> StepId | None:
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
            following = ids[index + 1] if index + 1 < len(ids) else after
            if isinstance(step, ExitStep) and index + 1 < len(ids):
                self.report(
                    steps[index + 1].line,
                    ids[index + 1],
                    "nothing gets here: the step before it is an exit. Delete one of them.",
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
                days = tuple(sorted({WEEKDAYS.index(day) for day in facts.days}))
                return DelayUntil(step_id, facts.at, days, str(facts.zone or "profile"), following)
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
                traits = self._values(step.update.traits, known_traits=True)
                return Update(step_id, traits, step.update.even_in_holdout, following)
            case TrackStep():
                facts_of = step.track
                properties = self._values(facts_of.properties)
                return Track(
                    step_id, str(facts_of.event), properties, facts_of.even_in_holdout, following
                )
            case ExitStep():
                return Exit(step_id)
            case _:
                assert_never(step)

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

    def _split(self, step_id: StepId, step: SplitStep, following: StepId | None) -> Split:
        weights: dict[str, int] = {}
        arms: dict[str, StepId | None] = {}
        for name, variant in step.split.items():
            if variant.weight is None:
                self.report(name.line, str(name), f'the path "{name}" needs a weight: weight: 50.')
            weights[str(name)] = variant.weight or 0
            arms[str(name)] = self._block(variant.do, prefix=f"{step_id}.{name}.", after=following)
        if all(variant.weight == 0 for variant in step.split.values()):
            self.report(step.line, "split", "every weight is 0, so nobody can take any path.")
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
        return Send(
            step_id,
            str(facts.channel),
            str(facts.template),
            str(facts.topic) if facts.topic else None,
            facts.expires,
            following,
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

    def _values(
        self, trees: Mapping[Text, object], *, known_traits: bool = False
    ) -> dict[str, Value]:
        values: dict[str, Value] = {}
        declared = self.conditions.traits
        for name, tree in trees.items():
            if known_traits and declared and name not in declared:
                hint = advice(name, declared)
                self.report(
                    name.line,
                    str(name),
                    f'the trait "{name}" is not declared in antiphon.yaml.{hint}',
                )
            try:
                value = compile_value(tree)
                for expression in expressions_in(value):
                    self._check_reads(name, expression.reads)
                    self._check_variants(name, expression.source)
            except ValueError as error:
                self.report(name.line, str(name), f"{name}: {error}")
                continue
            values[str(name)] = value
        return values

    def _check_reads(self, name: Text, reads: Sequence[str]) -> None:
        for path in reads:
            root, _, trait = path.partition(".")
            if root != "profile":
                continue
            top = trait.split(".")[0]
            if top in self.conditions.pii:
                self.report(
                    name.line,
                    path,
                    f'{name}: the trait "{top}" is pii; only templates can read it, when a '
                    "message is rendered.",
                )
            elif self.conditions.traits and not any(
                trait == known or trait.startswith(f"{known}.") or known.startswith(f"{trait}.")
                for known in self.conditions.traits
            ):
                hint = advice(top, self.conditions.traits)
                self.report(
                    name.line,
                    path,
                    f'{name}: the trait "{top}" is not declared in antiphon.yaml.{hint}',
                )

    def _check_variants(self, name: Text, source: str) -> None:
        known = self.conditions.names["experiments"]
        for experiment in variants_read(source):
            if experiment not in known:
                hint = advice(experiment, known)
                self.report(
                    name.line,
                    experiment,
                    f'{name}: there is no experiment "{experiment}".{hint}',
                )


def _suggested_id(kind: str) -> str:
    return {"delay": "settle", "delay_until": "morning", "wait_for": "waiting"}[kind]
