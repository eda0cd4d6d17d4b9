"""What a trigger brings: the properties that templates and expressions read as `event`.

An event brings what its file declares, a segment its own name, a schedule or a date nothing. What
the API brings is the caller's business, and an event without a file is not checked.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, assert_never

from campaigns.problems import Problem, advice, sentence
from campaigns.saved_answers import saved_in, saved_names
from campaigns.schema import (
    ApiTriggerForm,
    DateTriggerForm,
    EventTriggerForm,
    ScheduleTriggerForm,
    SegmentTriggerForm,
    TriggerForm,
)
from campaigns.step_forms import PICKS, RecommendStep, SendStep, walk
from campaigns.workspace import Workspace
from engine.core.model.campaigns import TemplateFacts


class Brought(NamedTuple):
    """The names a trigger brings, and how to say what it is."""

    names: frozenset[str]
    trigger: str

    def lacks(self, path: str) -> str:
        """Why a path below `event` is never there, or ""."""
        top = path.split(".")[0]
        if not top or top in self.names:
            return ""
        if not self.names:
            return (
                f"{self.trigger} brings no properties. Read a trait (profile.NAME), or give it a "
                "default"
            )
        return f"{self.trigger} brings no such property.{advice(top, self.names)}"


def brought_by(trigger: TriggerForm, workspace: Workspace) -> Brought | None:
    """What the trigger brings, or None where nobody can say."""
    match trigger:
        case EventTriggerForm(event=event):
            declared = workspace.events.get(str(event))
            if declared is None:
                return None
            return Brought(frozenset(map(str, declared.properties)), f'the event "{event}"')
        case SegmentTriggerForm():
            return Brought(frozenset({"segment"}), "a segment trigger")
        case ScheduleTriggerForm():
            return Brought(frozenset(), "a schedule")
        case DateTriggerForm():
            return Brought(frozenset(), "a date")
        case ApiTriggerForm():
            return None
        case _:
            assert_never(trigger)


def unmet_templates(
    workspace: Workspace, templates: Mapping[tuple[str, str], TemplateFacts]
) -> Iterator[Problem]:
    """Templates that need what their campaign's trigger, or any webhook before them, never brings.

    Args:
        templates: By the channel's kind and the template's name.
    """
    everywhere = saved_names(workspace)
    for form in workspace.campaigns.values():
        brought = brought_by(form.trigger, workspace)
        elsewhere = everywhere - frozenset(saved_in(form.journey))
        has_picks = any(
            isinstance(step, RecommendStep) and step.recommend.as_ == PICKS
            for _, step in walk(form.journey)
        )
        for _, step in walk(form.journey):
            if not isinstance(step, SendStep):
                continue
            send = step.send
            kind = workspace.channel_kind(str(send.channel))
            facts = templates.get((kind, str(send.template)))
            for path in facts.requires if facts is not None else ():
                root, _, rest = path.partition(".")
                why = brought.lacks(rest) if root == "event" and brought is not None else ""
                if root == "profile":
                    why = _undeclared(rest, workspace)
                if root in elsewhere:
                    why = "no step of this campaign saves it"
                if root == PICKS and not has_picks:
                    why = "no step of this campaign recommends anything"
                if why:
                    message = f'the template "{send.template}" needs {path}, but {why}'
                    yield Problem(form.file, send.template.line, path, sentence(message))


def _undeclared(path: str, workspace: Workspace) -> str:
    """Why a trait is never there, or "". Where none is declared anybody may have any."""
    traits = frozenset(map(str, workspace.settings.traits))
    if not traits or any(
        path == known or path.startswith(f"{known}.") or known.startswith(f"{path}.")
        for known in traits
    ):
        return ""
    top = path.split(".")[0]
    return (
        f'the trait "{top}" is not declared in antiphon.yaml.{advice(top, traits)} Declare it, or '
        "give it a default"
    )
