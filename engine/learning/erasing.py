"""Takes people out of what was learnt: their scores at once, their part in models by a deadline.

What a model holds of one person, a weight in a sum over thousands, goes with its next training,
which reads nobody who was erased. Until then the run says by when (`retrain_by`); a week before,
the next run is read even if it is not better; past it a model that cannot be trained is withdrawn
(`registry`, `refreshing`).
"""

from collections.abc import Sequence
from typing import Final

from engine.core.model.instants import DAY, Instant
from engine.store import models, scores
from engine.store.connection import Connection

RETRAIN_WITHIN: Final = 30 * DAY


def forget_by(connection: Connection, *, since: Instant) -> Instant | None:
    """By when a run that began to learn at an instant must be trained again; None: it need not.

    Whoever was erased meanwhile may be in it, and `forget` knew of no such run yet.
    """
    ((first,),) = connection.execute(
        "SELECT min(erased_at) FROM profile WHERE erased_at > ?", (since,)
    )
    return None if first is None else int(first) + RETRAIN_WITHIN


def forget(connection: Connection, profile_ids: Sequence[int], *, now: Instant) -> list[str]:
    """Delete what models say of these profiles; give the models that must be trained again."""
    scores.forget(connection, profile_ids)
    rows = connection.execute("SELECT DISTINCT model FROM model_artifact ORDER BY model")
    names = [str(row[0]) for row in rows]
    models.demand_retraining(connection, names, by=now + RETRAIN_WITHIN)
    return names
