"""The applied workspace, compiled and ready to play: what `tick` and `outbox` read, never write."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from campaigns.workspace import Workspace
from channels.content.templates import CompiledTemplate
from engine.core.model import Evaluate, Program
from engine.core.segments import Segments


@dataclass(frozen=True)
class Playbook:
    """One release of a workspace.

    Attributes:
        workspace: The files as checked, for what the core need not know (channels, metrics).
        templates: Compiled templates by (channel, name).
        features_at: The feature keys that an earlier release kept, to find those to rebuild.
    """

    workspace: Workspace
    program: Program
    segments: Segments
    templates: Mapping[tuple[str, str], CompiledTemplate]
    evaluate: Evaluate
    features_at: Callable[[int], frozenset[str]]
