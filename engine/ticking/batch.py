"""What a batch wants written: people, decisions, what was parked, gathered while it plays.

Rows only, so that nobody is kept in memory until the transaction, and its lock is held for the
writes alone. Read next: `tick`, which fills it; `store.people`, `store.outcomes`, which write it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from engine.core.model.effects import Effect
from engine.release import drafts
from engine.store import people
from engine.store.connection import Connection
from engine.store.outcomes import Outcomes
from engine.store.people import Loaded
from engine.store.states import Packer
from engine.ticking.poison import Parked

_NO_VERSIONS: Final[dict[int, str]] = {}


class Batch:
    """Everything a batch wants written.

    Args:
        packer: How states are written; kept from batch to batch.
        release: The release that plays it.
        after: Written once the people are, such as the rows that a merge moves.
    """

    def __init__(
        self,
        packer: Packer,
        *,
        release: int = 0,
        parked: Iterable[Parked] = (),
        after: Callable[[Connection], None] | None = None,
    ) -> None:
        self.release = release
        self.met: list[int] = []
        self.people = people.Changes(packer=packer)
        self.parked: list[Parked] = list(parked)
        self.outcomes = Outcomes()
        self.after = after

    def take(self, it: Loaded, effects: Sequence[Effect]) -> None:
        """Add one person as they are now, and what was decided about them."""
        self.people.take(it)
        if effects:
            person, versions = it.person, _NO_VERSIONS
            if person.enrollments:
                versions = {int(each.id): each.version for each in person.enrollments}
            self.outcomes.take(effects, profile_id=person.profile.id, versions=versions)

    def note_played(self, connection: Connection) -> None:
        """Tell a backfill under way whom this batch has played."""
        played = [row[0] for row in self.people.states]
        drafts.follow(connection, played=played, met=self.met, release=self.release)
