"""What jobs work with: the database, the one writer, the live release, the clock."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.bandits.learning import Learning
from engine.core.errors import UsageError
from engine.core.model.instants import Instant
from engine.release.playbook import Playbook
from engine.store.connection import Connection
from engine.store.database import Database
from engine.vault import Vault


@dataclass(frozen=True)
class Means:
    """What jobs work with.

    Attributes:
        write: Runs a change in a transaction: the one writer of a process that ingests, too.
        plays: Whether the process that holds this plays and prepares releases by itself.
        learnt: Told that bandits have new weights.
    """

    directory: Path
    database: Database
    vault: Vault
    write: Callable[[Callable[[Connection], Any]], Any]
    playbook: Callable[[], Playbook | None]
    now: Callable[[], Instant]
    plays: bool = False
    learnt: Callable[[], object] = lambda: None
    learning: Learning = field(default_factory=Learning)

    def live(self) -> Playbook:
        """The live release.

        Raises:
            UsageError: If nothing was applied yet.
        """
        playbook = self.playbook()
        if playbook is None:
            raise UsageError("nothing is applied yet. Run: antiphon apply")
        return playbook
