"""How a flow, or a command, reaches the schedules of a workspace: its server, else its database."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def ask(directory: Path, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Put a question of `carrying_out.ANSWERS` to the running server, or answer it here.

    Raises:
        AntiphonError: As the answer does.
    """
    from engine.local import call

    answered: dict[str, Any] | None = call(directory, "schedule", dict(payload))
    return _here(directory, payload) if answered is None else answered


def _here(directory: Path, payload: Mapping[str, Any]) -> dict[str, Any]:
    from engine.opened import opened
    from engine.scheduling.carrying_out import answer
    from engine.scheduling.means import Means
    from engine.steady import DatabaseClock

    with opened(directory) as it:
        # Of several machines the database's clock is the one that all go by.
        playbook, now = it.try_playbook(), DatabaseClock(it.database)
        means = Means(it.settings.directory, it.database, it.vault, it.write, lambda: playbook, now)
        return answer(means, payload)
