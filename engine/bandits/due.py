"""Which experiments learn their weights, and when the next turn of each may come."""

from collections.abc import Callable
from typing import Any

from engine.bandits.weights import began, versions
from engine.core.model.campaigns import Experiment, Program
from engine.core.model.instants import Instant
from engine.store.connection import Connection

Write = Callable[[Callable[[Connection], Any]], Any]
"""Runs a change in a transaction of its own and gives its result, committed."""


def bandits(program: Program) -> list[Experiment]:
    """The experiments that learn their weights now, in the order of their names.

    Past phases stay in a program, and those whose campaign is gone.
    """
    return [
        it
        for (name, phase), it in sorted(program.experiments.items())
        if it.bandit is not None
        and it.state == "live"
        and phase == program.phases.get(name, 1)
        and (not it.campaign or it.campaign in program.campaigns)
    ]


def due_at(connection: Connection, experiment: Experiment) -> Instant:
    """When a bandit's next version may be made: one `every` after its last, or after its start."""
    assert experiment.bandit is not None
    kept = versions(connection, experiment.name, experiment.phase)
    last = kept[-1].since if kept else began(connection, experiment.name, experiment.phase)
    return (last or 0) + experiment.bandit.every
