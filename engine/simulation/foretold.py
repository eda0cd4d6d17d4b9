"""What a test lets models say of its person, written down as a run that was promoted.

From there on nothing is special: segments and journeys read it as they read what was learnt, and
of somebody who refuses to be profiled it says nothing.
"""

import msgspec

from campaigns.trial_forms import GivenForm
from engine.core.model.campaigns import Profiling, Program
from engine.core.model.instants import Instant
from engine.core.model.people import Score
from engine.store import scores
from engine.store.connection import Connection


def without_exploring(program: Program, given: GivenForm) -> Program:
    """The same program, in which whoever is given an hour is never drawn to another."""
    sure = {str(name): 0.0 for name in given.best_hours}
    return msgspec.structs.replace(program, explored={**program.explored, **sure})


def foretell(
    connection: Connection,
    given: GivenForm,
    *,
    profile_id: int,
    profiling: Profiling,
    now: Instant,
) -> None:
    """Write down what models say of a profile, which is then due at once."""
    for model, (kind, said) in answers(given).items():
        run = scores.begin(connection, model, kind=kind, now=now)
        whole = msgspec.structs.replace(said, run=run)
        scores.add(connection, model, run, [(profile_id, whole, "")], profiling=profiling)
        scores.crown(connection, model, run, instead_of=None, cuts=(), wake=[profile_id], now=now)


def answers(given: GivenForm) -> dict[str, tuple[str, Score]]:
    """By model: the kind of its run, and what it says; what nothing compares is 0."""
    said: dict[str, tuple[str, Score]] = {}
    for name, score in given.scores.items():
        said[str(name)] = ("score", Score(score.value or 0.0, score.percentile or 0.0))
    for name, cluster in given.clusters.items():
        said[str(name)] = ("cluster", Score(cluster.confidence or 0.0, label=str(cluster.is_)))
    for name, hour in given.best_hours.items():
        said[str(name)] = ("send_time", Score(1.0, label=f"{hour:02d}"))
    return said
