"""The applied workspace, compiled and ready to play: what `tick` and `outbox` read, never write."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from campaigns.workspace import Workspace
from channels.content.feeds import Feed
from channels.content.templates import CompiledTemplate
from engine.core.model.campaigns import Program
from engine.core.model.effects import Evaluate
from engine.core.segments import Segments


@dataclass(frozen=True)
class Playbook:
    """One release of a workspace.

    Attributes:
        workspace: The files as checked, for what the core need not know (channels, metrics).
        templates: Compiled templates by (channel, name).
        feeds: The products of catalog/, for blocks that show them.
        stopped: Campaigns that a passed limit has paused: what they have queued waits, too.
        features_at: The feature keys that an earlier release kept, to find those to rebuild.
    """

    workspace: Workspace
    program: Program
    segments: Segments
    templates: Mapping[tuple[str, str], CompiledTemplate]
    evaluate: Evaluate
    features_at: Callable[[int], frozenset[str]]
    feeds: Mapping[str, Feed] = field(default_factory=dict)
    stopped: frozenset[str] = frozenset()

    @property
    def models(self) -> tuple[str, ...]:
        """The models whose scores a person is loaded with: those that conditions ask, and those
        that know people's hours."""
        return tuple(sorted({*self.segments.news.models, *self.program.explored}))

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of channel by which people are reached; a team's room reaches nobody."""
        channels = self.workspace.settings.channels.items()
        return frozenset(form.kind or str(name) for name, form in channels if not form.is_room)
