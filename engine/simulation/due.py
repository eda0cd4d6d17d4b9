"""Begins what the schedules of a database have due now: for hosts that only have cron."""

from typing import Final

from engine.core.model.instants import Instant
from engine.opened import Opened
from engine.release.playbook import Playbook
from engine.scheduling import rows
from engine.scheduling.carrying_out import carry_out
from engine.scheduling.means import Means
from engine.scheduling.plans import plans_of
from engine.simulation.ran import Ran

AT_ONCE: Final = 50
OWNER: Final = "tick"


def begin_due(it: Opened, playbook: Playbook, *, now: Instant) -> list[Ran]:
    """Carry out what is due, one after the other, as `serve` would; what was done, by schedule.

    What is new or has changed fires next after now: the first call of all begins nothing.
    """
    found: dict[str, Ran] = {}
    means = Means(it.settings.directory, it.database, it.vault, it.write, lambda: playbook,
                  lambda: now)  # fmt: skip
    claimed = it.write(
        lambda connection: rows.claim(
            connection, owner=OWNER, engine="embedded", now=now, limit=AT_ONCE
        )
    )
    # After the claim: what was due under the old files is not lost with them.
    it.write(lambda connection: rows.keep(connection, plans_of(playbook.workspace), now=now))
    for run in claimed:
        done = found.setdefault(run.schedule, Ran(run.schedule, run.plan.job))
        done.instants.append(run.fire_at)
        done.said.append(carry_out(means, run).said)
    return list(found.values())
