"""Whose time has come among the bandits, asked by every running engine; cheap where none has.

The work itself needs the analytical libraries, which an engine without a bandit never loads.
Read next: `updating`, which does it.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine.bandits.due import Write, bandits, due_at
from engine.core.errors import UsageError
from engine.core.model.instants import Instant
from engine.release.live import with_allocations
from engine.release.playbook import Playbook
from engine.store.connection import Connection
from engine.store.database import Database
from experiments.errors import ExperimentsError

if TYPE_CHECKING:
    from engine.bandits.updating import Update

log = logging.getLogger("antiphon.bandits")


class Learning:
    """The bandits of one process: asks of each at most once per `every`."""

    def __init__(self) -> None:
        self._looked: dict[tuple[str, int], Instant] = {}

    def update(
        self, database: Database, playbook: Playbook, *, write: Write, now: Instant
    ) -> "list[Update]":
        """Update every bandit whose time has come; give those that have new weights.

        A bandit that cannot be learnt from is logged with the reason and does not stop the others.
        """
        found: list[Update] = []
        for experiment in bandits(playbook.program):
            key = (experiment.name, experiment.phase)
            with database.read() as connection:
                due = due_at(connection, experiment)
            assert experiment.bandit is not None
            due = max(due, self._looked.get(key, 0) + experiment.bandit.every)
            if now < due:
                continue
            self._looked[key] = now
            from engine.bandits.updating import update_bandit

            try:
                done = update_bandit(database, playbook, experiment, write=write, now=now)
            except (UsageError, ExperimentsError) as error:
                log.warning('the bandit "%s" learns nothing: %s', experiment.name, error)
                continue
            if done.is_new:
                log.info('the bandit "%s" has version %d of its weights', done.experiment,
                         done.version)  # fmt: skip
                found.append(done)
        return found

    def carried_on(self, database: Database, playbook: Playbook, *, now: Instant) -> Playbook:
        """The playbook with what was learnt by now: for a clock of our own, without a server."""

        def write(change: Callable[[Connection], Any]) -> Any:
            with database.write() as connection:
                return change(connection)

        if not self.update(database, playbook, write=write, now=now):
            return playbook
        with database.read() as connection:
            return replace(playbook, program=with_allocations(connection, playbook.program))
