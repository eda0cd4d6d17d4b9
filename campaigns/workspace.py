"""A workspace as read: every file in its form, templates by name, and the bytes it came from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Final

from campaigns.catalog import CatalogFile
from campaigns.lists import ListFile
from campaigns.metric_forms import MetricFile
from campaigns.model_forms import ModelFile
from campaigns.problems import Problem
from campaigns.reading import Map
from campaigns.schema import (
    CampaignFile,
    EventFile,
    ExperimentFile,
    SegmentFile,
)
from campaigns.settings_forms import ChannelForm, SettingsForm
from campaigns.trial_forms import TestFile
from engine.core.inclusion import PIECE_PATH, pieces_of

SETTINGS_FILE: Final = "antiphon.yaml"
QUERY_FOLDER: Final = "metrics"
QUERY_EXTENSION: Final = ".sql"
TEMPLATE_FOLDER: Final = "templates"
TEMPLATE_EXTENSIONS: Final = {
    "email": ("mjml", "html", "txt"),
    "sms": ("txt",),
    "push": ("json", "txt"),
    "web": ("html",),
}

_TEMPLATE_NAME = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9_-]*)(?:\.(?P<locale>[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})?))?"
    r"\.(?P<extension>[a-z]+)"
)


@dataclass(frozen=True)
class TemplateFile:
    """One file of a template; `locale` is "" for the one that serves every other locale."""

    path: str
    locale: str
    extension: str


@dataclass(frozen=True, repr=False)
class Workspace:
    """A checked workspace. `trees` holds the YAML as written, without secrets; `notices` what
    is allowed but worth knowing.
    """

    settings: SettingsForm
    events: Mapping[str, EventFile] = field(default_factory=dict)
    segments: Mapping[str, SegmentFile] = field(default_factory=dict)
    campaigns: Mapping[str, CampaignFile] = field(default_factory=dict)
    experiments: Mapping[str, ExperimentFile] = field(default_factory=dict)
    metrics: Mapping[str, MetricFile] = field(default_factory=dict)
    tests: Mapping[str, TestFile] = field(default_factory=dict)
    models: Mapping[str, ModelFile] = field(default_factory=dict)
    templates: Mapping[tuple[str, str], tuple[TemplateFile, ...]] = field(default_factory=dict)
    lists: Mapping[str, ListFile] = field(default_factory=dict)
    catalog: Mapping[str, CatalogFile] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    trees: Mapping[str, Map] = field(default_factory=dict)
    notices: tuple[Problem, ...] = ()

    def __repr__(self) -> str:
        return f"<Workspace {self.content_hash}: {len(self.campaigns)} campaigns>"

    @property
    def content_hash(self) -> str:
        """The hash of all files as written: names of secrets count, their values do not."""
        return content_hash(self.files)

    def channel_kind(self, channel: str) -> str:
        """email, sms, push or web: what its messages are, and the folder of its templates."""
        form = self.settings.channels.get(channel)  # type: ignore[call-overload]
        return str((form.kind if form else None) or channel)

    def with_backups(self, channel: str) -> list[str]:
        """The channel, its backup, the backup of that one, …"""
        channels: Mapping[str, ChannelForm] = self.settings.channels  # type: ignore[assignment]
        found = [channel]
        while (form := channels.get(found[-1])) is not None and form.backup is not None:
            if str(form.backup) in found or form.backup not in channels:
                break  # `check` has said so
            found.append(str(form.backup))
        return found

    @property
    def channel_kinds(self) -> frozenset[str]:
        """The kinds of all channels: consent, caps and addresses go by kind."""
        return frozenset(self.channel_kind(str(name)) for name in self.settings.channels)

    def template_files(self, channel: str, name: str) -> frozenset[str]:
        """Every file of a template: each locale's, with their partials and layouts."""
        found = self.templates.get((self.channel_kind(channel), name), ())
        paths = {file.path for file in found}
        for file in found:
            paths.update(pieces_of(file.path, self.files, locale=file.locale))
        return frozenset(paths)

    def template_hash(self, channel: str, name: str) -> str:
        """The hash of every file of one template."""
        return content_hash({path: self.files[path] for path in self.template_files(channel, name)})

    def unused_pieces(self) -> list[str]:
        """Partials and layouts that no template is put together from."""
        pieces = {path for path in self.files if PIECE_PATH.fullmatch(path)}
        for channel, name in self.templates if pieces else ():
            found = self.templates[channel, name]
            for file in found:
                pieces.difference_update(pieces_of(file.path, self.files, locale=file.locale))
        return sorted(pieces)


def content_hash(files: Mapping[str, bytes]) -> str:
    """16 hex digits over paths and bytes, whatever their order."""
    digest = sha256()
    for path in sorted(files):
        digest.update(f"{path}\0{len(files[path])}\0".encode())
        digest.update(files[path])
    return digest.hexdigest()[:16]


def template_of(path: str) -> tuple[str, str, TemplateFile] | None:
    """(channel, name, file) of `templates/email/welcome.de.mjml`, or None for any other path."""
    parts = PurePosixPath(path).parts
    if len(parts) != 3 or parts[0] != TEMPLATE_FOLDER:
        return None
    match = _TEMPLATE_NAME.fullmatch(parts[2])
    if not match:
        return None
    file = TemplateFile(path, match["locale"] or "", match["extension"])
    return parts[1], match["name"], file
