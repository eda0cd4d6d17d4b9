"""Messages that a channel's provider could not send as they are written.

Asked of real providers only: a sandbox writes to nobody, so a first trial needs no sender.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from campaigns.problems import Problem
from campaigns.schema import CampaignFile
from campaigns.settings_forms import ChannelForm
from campaigns.step_forms import SendFacts, SendStep, walk
from campaigns.workspace import SETTINGS_FILE, Workspace
from channels import PROVIDERS
from channels.content.templates import CompiledTemplate, Part, Version
from engine.release.provider_checks import capabilities_of

_UNSUBSCRIBE: Final = re.compile(r"\b(?:unsubscribe_url|preferences_url)\b")
_EXPRESSION: Final = re.compile(r"\{\{.*?\}\}|\{#.*?#\}", re.DOTALL)


def send_problems(
    workspace: Workspace, templates: Mapping[tuple[str, str], CompiledTemplate]
) -> Iterator[Problem]:
    """E-mail without a sender, marketing without a way out, and what is too large by itself."""
    for campaign in workspace.campaigns.values():
        if campaign.state == "archived":
            continue
        for _, step in walk(campaign.journey):
            if not isinstance(step, SendStep):
                continue
            kind = workspace.channel_kind(str(step.send.channel))
            template = templates.get((kind, str(step.send.template)))
            if template is None:
                continue
            found = [
                message
                for name in workspace.with_backups(str(step.send.channel))
                for message in _complaints(workspace, campaign, step.send, name, template)
            ]
            for message in dict.fromkeys(found):  # a backup may miss the same
                at = step.send.template
                yield Problem(campaign.file, at.line, str(at), message)


def confirmation_problems(
    workspace: Workspace, templates: Mapping[tuple[str, str], CompiledTemplate]
) -> Iterator[Problem]:
    """Messages that ask for a consent and have no link by which it could be given."""
    for topic in workspace.settings.topics.values():
        asked = topic.confirm
        if asked is None:
            continue
        kind = workspace.channel_kind(str(asked.channel))
        template = templates.get((kind, str(asked.template)))
        if template is None:
            continue  # said elsewhere
        mute = [it for it, version in template.locales.items() if not _asks(version)]
        if mute:
            message = (
                f'the template "{asked.template}" asks for a consent and has no way to give '
                f"it{_languages(mute)}. Link to {{{{ confirm_url }}}}."
            )
            at = asked.template
            yield Problem(SETTINGS_FILE, at.line, str(at), message)


def _asks(version: Version) -> bool:
    parts = [*version.parts.values(), *_leaves(version.data)]
    return any(re.search(r"\bconfirm_url\b", part.source) for part in parts)


def _complaints(
    workspace: Workspace,
    campaign: CampaignFile,
    send: SendFacts,
    name: str,
    template: CompiledTemplate,
) -> Iterator[str]:
    channels: Mapping[str, ChannelForm] = workspace.settings.channels  # type: ignore[assignment]
    channel = channels.get(name)
    provider = f"{workspace.channel_kind(name)}.{channel.provider}" if channel is not None else ""
    if channel is None or provider not in PROVIDERS or capabilities_of(provider).is_sandbox:
        return
    named = f'the template "{send.template}"'
    if template.channel == "email":
        senderless = [it for it, part in template.locales.items() if "from" not in part.parts]
        if senderless and not channel.settings.get("from"):
            yield (
                f"{provider} needs a sender, and {named} has none{_languages(senderless)}. Write "
                f"from: in its front matter, or for all of them under channels.{name}."
            )
        silent = [it for it, version in template.locales.items() if not _has_way_out(version)]
        if silent and _is_marketing(workspace, campaign, send):
            yield (
                f"{named} is marketing and has no way to unsubscribe{_languages(silent)}. Link to "
                "{{ unsubscribe_url }}, or give the step a transactional topic."
            )
    most = capabilities_of(provider).bytes_max
    largest = max(map(_bytes_min, template.locales.values()))
    if most and largest > most:
        yield f"{named} has at least {largest:,} bytes; {provider} takes {most:,}."


def _is_marketing(workspace: Workspace, campaign: CampaignFile, send: SendFacts) -> bool:
    name = send.topic or campaign.topic
    topic = workspace.settings.topics.get(name) if name is not None else None
    return topic is None or not topic.transactional


def _has_way_out(version: Version) -> bool:
    parts = [part for name, part in version.parts.items() if name in ("html", "text")]
    return any(_UNSUBSCRIBE.search(part.source) for part in parts)


def _bytes_min(version: Version) -> int:
    """What a version cannot be smaller than: all it says for certain."""
    parts = [*version.parts.values(), *_leaves(version.data)]
    sources = [part.source for part in parts if "{%" not in part.source]
    return sum(len(_EXPRESSION.sub("", source).encode()) for source in sources)


def _leaves(data: object) -> list[Part]:
    if isinstance(data, Part):
        return [data]
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return [leaf for each in inner for leaf in _leaves(each)]


def _languages(locales: list[str]) -> str:
    named = [it for it in locales if it]
    return f" ({', '.join(named)})" if named else ""
