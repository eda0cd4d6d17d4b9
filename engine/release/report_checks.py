"""Waits, conditions and metrics on a report that no provider of their channel ever sends.

Opens, clicks and unsubscribes are told by our own links too; only what nobody can ever tell is
refused, since it would wait for ever and count nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from campaigns.comparisons import Asking
from campaigns.forms import Form
from campaigns.person_forms import ANY_CAMPAIGN, MessageFacts
from campaigns.problems import Problem
from campaigns.reading import Text
from campaigns.step_forms import SendStep, TrackFacts, walk
from campaigns.workspace import Workspace
from channels import PROVIDERS
from engine.release.provider_checks import capabilities_of

BY_US: Final[Mapping[str, frozenset[str]]] = {
    "email": frozenset({"sent", "opened", "clicked", "unsubscribed"}),
    "sms": frozenset({"sent", "clicked", "unsubscribed"}),
    "push": frozenset({"sent", "clicked", "unsubscribed"}),
    "web": frozenset({"sent", "displayed", "dismissed", "clicked", "unsubscribed"}),
}
"""What needs no provider: acceptance, our tracked links, our unsubscribe pages, our placements."""

BY_ANSWER: Final = {"replied": "inbound"}
"""Events that come of what people write, and so from providers that receive."""

PREFIX: Final = "Message "


class Asked(NamedTuple):
    """A report that something waits for, counts or compares."""

    file: str
    at: Text
    kind: str
    channel: str | None
    campaign: str | None


def report_problems(workspace: Workspace) -> Iterator[Problem]:
    """Reports that are asked for and never come."""
    tellers = _tellers(workspace)
    sends = {name: set(_sent_by(workspace, name)) for name in workspace.campaigns}
    for asked in _asked(workspace):
        about = [
            (name, provider, kind)
            for name, provider, kind in tellers
            if asked.channel in (None, kind, name)
            and (asked.campaign is None or name in sends.get(asked.campaign, {name}))
        ]
        if about and not any(_tells(provider, kind, asked.kind) for _, provider, kind in about):
            providers = ", ".join(sorted({provider for _, provider, _ in about}))
            verb = "reports" if "," not in providers else "report"
            yield Problem(
                asked.file,
                asked.at.line,
                str(asked.at),
                f'{providers} never {verb} "{asked.kind}", so this never happens. '
                f"{_instead(about)}",
            )


def _tellers(workspace: Workspace) -> list[tuple[str, str, str]]:
    """(channel, provider, kind) of every channel, and of what stands in for its provider."""
    found = []
    for name, form in workspace.settings.channels.items():
        kind = workspace.channel_kind(str(name))
        words = [str(form.provider)]
        backup = workspace.settings.channels.get(form.backup) if form.backup else None
        words += [str(backup.provider)] if backup is not None else []
        found += [(str(name), f"{kind}.{word}", kind) for word in words]
    return [it for it in found if it[1] in PROVIDERS]


def _tells(provider: str, kind: str, report: str) -> bool:
    can = capabilities_of(provider)
    if report in BY_ANSWER:
        return can.receives
    return report in BY_US.get(kind, ()) or report in can.reports


def _instead(about: list[tuple[str, str, str]]) -> str:
    told = set.intersection(
        *({*capabilities_of(provider).reports, *BY_US.get(kind, ())} for _, provider, kind in about)
    )
    known = sorted(told - {"unknown", "inbound", "queued", "subscribed", "autoresponded"})
    return f"What it does tell: {', '.join(known)}."


def _asked(workspace: Workspace) -> Iterator[Asked]:
    groups = (
        workspace.segments, workspace.campaigns, workspace.experiments, workspace.metrics,
    )  # fmt: skip
    for group in groups:
        for form in group.values():
            yield from _in_form(form, form.file)


def _in_form(value: object, file: str) -> Iterator[Asked]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _in_form(each, file)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _in_form(each, file)
    elif isinstance(value, MessageFacts):
        at: Text = getattr(value, value.report)
        campaign = None if at == ANY_CAMPAIGN else str(at)
        yield Asked(file, at, value.report, value.channel and str(value.channel), campaign)
    elif isinstance(value, Form) and not isinstance(value, TrackFacts):
        event = getattr(value, "event", None)
        if isinstance(event, Text) and event.startswith(PREFIX):
            where = getattr(value, "where", None) or {}
            channel = _one(where.get("properties.channel", ()))
            campaign = _one(where.get("properties.campaign", ()))
            kind = event.removeprefix(PREFIX).lower()
            yield Asked(file, event, kind, channel, campaign)
        for name in type(value).model_fields:
            yield from _in_form(getattr(value, name), file)


def _one(asking: Asking) -> str | None:
    """The one value that a comparison allows; None where it allows several, or is none."""
    is_one = len(asking) == 1 and asking[0].operator == "is"
    return str(asking[0].operands[0]) if is_one else None


def _sent_by(workspace: Workspace, campaign: str) -> Iterator[str]:
    for _, step in walk(workspace.campaigns[campaign].journey):
        if isinstance(step, SendStep):
            yield str(step.send.channel)
