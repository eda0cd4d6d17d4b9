"""What a workspace asks of its providers and they cannot do, said while it is read.

Each provider's own words are asked: the `Struct` of its settings and its `CAPABILITIES`. No secret
is needed: a setting that is to be filled in counts as there.
"""

import random
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from inspect import isclass
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from campaigns.problems import Problem, advice, sentence
from campaigns.reading import Map, Text, plain
from campaigns.secrets import PLACEHOLDER
from campaigns.settings_forms import ChannelForm
from campaigns.workspace import SETTINGS_FILE, Workspace
from channels import PROVIDERS, open_provider
from channels.base import Capabilities
from engine.core.errors import UsageError

OURS: Final = frozenset(ChannelForm.model_fields)
"""What a channel's map holds that is not its provider's."""

_SETTING: Final = re.compile(r"channels\.[\w-]+\.(\w+)")


def provider_problems(workspace: Workspace) -> Iterator[Problem]:
    """Channels whose provider does not exist, or cannot work with its settings."""
    for name, channel in workspace.settings.channels.items():
        kind = workspace.channel_kind(str(name))
        names = {it.partition(".")[2] for it in PROVIDERS if it.startswith(f"{kind}.")}
        if not names:
            continue  # the channel's kind is wrong, and said so
        if str(channel.provider) not in names:
            line = channel.provider.line or name.line
            message = (
                f'"{channel.provider}" is not a provider of {kind}.'
                f"{advice(channel.provider, names)}"
            )
            yield Problem(SETTINGS_FILE, line, str(channel.provider), message)
        else:
            written = _written(workspace, str(name))
            provider = f"{kind}.{channel.provider}"
            yield from _setting_problems(str(name), provider, written, line=name.line)


def sends_for_real(workspace: Workspace) -> bool:
    """Whether any of the channels reaches people."""
    names = (
        f"{workspace.channel_kind(str(name))}.{form.provider}"
        for name, form in workspace.settings.channels.items()
    )
    return any(name in PROVIDERS and not capabilities_of(name).is_sandbox for name in names)


def capabilities_of(provider: str) -> Capabilities:
    """What a provider of PROVIDERS can do, by its whole name."""
    module = import_module(PROVIDERS[provider])
    found = getattr(module, "CAPABILITIES", None)
    if found is None:  # one module for several channels
        found = module.capabilities_of(provider.partition(".")[0])
    assert isinstance(found, Capabilities)
    return found


def settings_of(provider: str) -> type[Struct] | None:
    """The settings of a provider of PROVIDERS; None: it has none."""
    module = import_module(PROVIDERS[provider])
    own = [it for it in vars(module).values() if isclass(it) and it.__module__ == module.__name__]
    kinds = [it for it in own if it.__name__.endswith("Settings") and issubclass(it, Struct)]
    return kinds[0] if kinds else None


def _written(workspace: Workspace, channel: str) -> Map:
    """A channel's map as it stands in the file: with its lines, and no secret filled in."""
    channels = workspace.trees[SETTINGS_FILE].get("channels")
    found = channels.get(channel) if isinstance(channels, Map) else None
    return found if isinstance(found, Map) else Map()


def _setting_problems(channel: str, provider: str, written: Map, *, line: int) -> Iterator[Problem]:
    """Settings that the provider does not know, misses, or cannot read; else its own complaint."""
    kind = settings_of(provider)
    if kind is None:
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    own = {str(key): value for key, value in written.items() if key not in OURS}
    problems = [
        *(_unknown(provider, name, written, fields) for name in own if name not in fields),
        *(
            _mistyped(channel, name, own[name], field.type, written)
            for name, field in fields.items()
            if name in own
        ),
    ]
    found = [problem for problem in problems if problem is not None]
    missing = [name for name, field in fields.items() if field.required and name not in own]
    if missing:
        listed = ", ".join(missing)
        message = f"channels.{channel}: {provider} needs {listed}. Secrets stand as ${{env:NAME}}."
        found.append(Problem(SETTINGS_FILE, line, listed, message))
    if not found and not any(_holds_placeholder(value) for value in own.values()):
        found = list(_complaints(channel, provider, own, written))
    yield from found


def _unknown(provider: str, name: str, written: Map, fields: Mapping[str, Any]) -> Problem:
    message = f'{provider} has no setting "{name}".{advice(name, fields)}'
    return Problem(SETTINGS_FILE, written.key_lines.get(name, written.line), name, message)


def _mistyped(channel: str, name: str, value: Any, kind: Any, written: Map) -> Problem | None:
    if _holds_placeholder(value):
        return None
    line = written.key_lines.get(name, written.line)
    try:
        msgspec.convert(plain(value), kind, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        # What it says is about types; the value itself may be a secret written by mistake.
        message = sentence(f"channels.{channel}.{name}: {str(error)[:1].lower()}{str(error)[1:]}")
        return Problem(SETTINGS_FILE, line, name, message)
    if isinstance(value, Text) and value == "" and not value.quoted:
        return Problem(SETTINGS_FILE, line, name, f"channels.{channel}.{name} is empty.")
    return None


def _complaints(
    channel: str, provider: str, own: Mapping[str, Any], written: Map
) -> Iterator[Problem]:
    """What the provider itself says to settings that are all there; it connects to nobody."""
    kind, _, name = provider.partition(".")
    try:
        open_provider(
            kind,
            name,
            plain(dict(own)),
            directory=Path("nowhere"),
            rng=random.Random(0),
            now=lambda: 0,
        )
    except UsageError as error:
        setting = _SETTING.search(str(error))
        at = written.key_lines.get(setting[1] if setting else "", written.line)
        words = str(error).replace(f"channels.{kind}", f"channels.{channel}", 1)
        yield Problem(SETTINGS_FILE, at, setting[1] if setting else "", sentence(words))
    except OSError as error:  # a certificate or a key in a file
        words = f"channels.{channel}: {error.filename or 'a file'}: {error.strerror or error}"
        yield Problem(SETTINGS_FILE, written.line, str(error.filename or ""), sentence(words))


def _holds_placeholder(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_placeholder(each) for each in value.values())
    if isinstance(value, list):
        return any(_holds_placeholder(each) for each in value)
    return isinstance(value, str) and PLACEHOLDER.search(value) is not None
