"""The learning part: the shop's models are trained a few times in the year, on the virtual clock.

Live they are trained on their schedules. Here two instants stand for them, so that a year is soon
over; what is trained, judged, refused and published is what `antiphon model train` would do.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from campaigns.model_compile import models_of
from campaigns.models import ScoreModel
from engine.core.model.effects import PickAsk
from engine.core.model.instants import DAY, Instant
from engine.learning.picking import Picker
from engine.learning.refreshing import Learner, Refreshed, refresh
from engine.release.playbook import Playbook
from engine.simulation.agenda import looks
from engine.store.connection import Connection
from engine.store.database import Database

TRAINED_AFTER: Final = 122 * DAY
"""How long after the campaigns begin everything is learnt: with half a year of orders known."""
SCORED_AFTER: Final = (TRAINED_AFTER, 214 * DAY)
"""Scores are learnt once more: whoever is about to leave in October was not in June."""


@dataclass(frozen=True)
class Taught:
    """One training: when, and what came of it."""

    at: Instant
    done: Refreshed


@dataclass
class School:
    """Trains the workspace's models at the instants due, and answers what journeys ask.

    Attributes:
        taught: Every training in its order.
    """

    database: Database
    begins: Instant
    picker: Picker = field(default_factory=Picker)
    taught: list[Taught] = field(default_factory=list)

    def answer(
        self, connection: Connection, playbook: Playbook, ask: PickAsk
    ) -> list[dict[str, Any]]:
        """What a journey's `recommend` is answered."""
        return self.picker.pick(connection, playbook, ask)

    def teach(self, playbook: Playbook, *, opens: Instant, closes: Instant) -> None:
        """Train every model whose instant lies in a window that has just closed."""
        due = [it for it in SCORED_AFTER if opens < self.begins + it <= closes]
        if not due:
            return
        learner = Learner(
            database=self.database, playbook=playbook, write=self._write, clock=looks()
        )
        for name, model in sorted(models_of(playbook.workspace).items()):
            if not isinstance(model, ScoreModel) and due[0] != TRAINED_AFTER:
                continue
            done = refresh(learner, name, as_of=closes, now=closes)
            self.taught.append(Taught(closes, done))

    def _write(self, work: Callable[[Connection], Any]) -> Any:
        with self.database.write() as connection:
            return work(connection)
