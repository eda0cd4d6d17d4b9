"""A statement under construction: named parts that are written once and shared where equal.

Two names run through every part. `asked(now)` holds the instants in question, `who(now,
profile_id, …)` each profile known by each of them. A condition becomes an SQL expression over
`who` and the leaves joined to it: a leaf has at most one row per (now, profile_id), and where it
has none its columns are NULL.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct, field

from engine.core.errors import CampaignError
from engine.core.model.campaigns import MemberList
from engine.core.model.conditions import Condition
from engine.segment_sql.binding import Binding

EVERY_EVENT: Final = ""
"""In `Needs.events`: every event that is behaviour, whatever its name."""


class Needs(Struct):
    """What the statement reads, so that nothing else has to be streamed.

    `events` maps a name to the columns wanted besides who and when: `properties`, `context`.
    """

    events: dict[str, set[str]] = field(default_factory=dict)
    traits: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    salts: set[str] = field(default_factory=set)
    has_consent: bool = False

    def event(self, name: str, columns: Iterable[str] = ()) -> None:
        """Note that events of this name are read, with these columns."""
        self.events.setdefault(name, set()).update(columns)


class Plan:
    """The parts of one statement, in the order in which they were needed."""

    def __init__(
        self,
        segments: Mapping[str, Condition],
        *,
        session_gap: int,
        lists: Mapping[str, MemberList],
    ) -> None:
        self.segments = segments
        self.session_gap = session_gap
        self.lists = lists
        self.bind = Binding()
        self.needs = Needs()
        self.parts: dict[str, str] = {}
        """SQL text -> the name it goes by."""
        self.joins: dict[str, str] = {}
        """Leaf -> what it is joined on."""
        self.path: list[str] = []

    def part(self, kind: str, sql: str) -> str:
        """The name of a part with this text, the same for equal text."""
        if sql not in self.parts:
            self.parts[sql] = f"{kind}_{len(self.parts) + 1}"
        return self.parts[sql]

    def leaf(self, kind: str, sql: str, *, on: str | None = None) -> str:
        """A part joined to `who`: by instant and profile, or as `on` says with {leaf} for it."""
        name = self.part(kind, sql)
        how = on or "{leaf}.now = who.now AND {leaf}.profile_id = who.profile_id"
        self.joins[name] = how.format(leaf=name)
        return name

    def segment(self, name: str) -> Condition:
        """The condition of a segment.

        Raises:
            CampaignError: If there is none of this name.
        """
        if name not in self.segments:
            raise CampaignError(f'"{name}" is not a segment')
        return self.segments[name]
