"""The recommender that answers now: the champion with what the catalog got since it was trained;
where nothing was learnt yet, the declared chain from a glance at the latest events.

Kept in the process by what it is made of: a decision costs no more by it. Read next: `picking`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final

import msgspec

from campaigns.models import Learning, RecommenderModel
from engine.core.model.instants import HOUR, Instant
from engine.core.profiling import may_be_profiled
from engine.learning.recommenders.growing import grown
from engine.learning.recommenders.recommender import Recommender
from engine.learning.recommenders.splitting import Part
from engine.learning.recommenders.training import untrained
from engine.learning.remembering import told_by, weights_of
from engine.store.connection import Connection
from engine.store.events import COUNTER

GLANCE: Final = 10_000
"""Of the latest events; enough to tell what is popular in a shop too young for a first training."""
GLANCED_FOR: Final = HOUR

_object: Final = msgspec.json.Decoder(dict[str, Any])


@dataclass
class Serving:
    """Recommenders as they answer, by model; safe to share between threads."""

    _grown: dict[str, tuple[object, object, object, Recommender]] = field(default_factory=dict)
    _glanced: dict[str, tuple[object, object, Instant, Recommender]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def trained(
        self,
        known: Recommender,
        model: RecommenderModel,
        learning: Learning,
        rows: Mapping[str, Mapping[str, Any]] | None,
    ) -> Recommender:
        """The champion with the items that the catalog has by now, mixing as the file says now."""
        with self._lock:
            kept = self._grown.get(model.name)
            if kept is None or kept[0] is not known or kept[1] is not model or kept[2] is not rows:
                found = grown(known.declared(model), rows or {}, sensitive=learning.sensitive)
                kept = self._grown[model.name] = (known, model, rows, found)
        return kept[3]

    def untrained(
        self,
        connection: Connection,
        model: RecommenderModel,
        learning: Learning,
        rows: Mapping[str, Mapping[str, Any]] | None,
        *,
        now: Instant,
    ) -> Recommender:
        """What the declared chain can say of the latest events; made anew every hour."""
        with self._lock:
            kept = self._glanced.get(model.name)
            is_kept = kept is not None and kept[0] is model and kept[1] is rows
            if kept is None or not is_kept or not 0 <= now - kept[2] < GLANCED_FOR:
                found = untrained(
                    _latest(connection, model, learning, now=now), rows or {}, model, now=now,
                    sensitive=learning.sensitive,
                )  # fmt: skip
                kept = self._glanced[model.name] = (model, rows, now, found)
        return kept[3]

    def forget(self) -> None:
        """Start anew."""
        with self._lock:
            self._grown.clear()
            self._glanced.clear()


def _latest(
    connection: Connection, model: RecommenderModel, learning: Learning, *, now: Instant
) -> Part:
    """Likings among the latest events, without those of who may not be profiled."""
    import numpy as np

    counted = connection.execute("SELECT value FROM counter WHERE name = ?", (COUNTER,))
    since = max(int(counted[0][0]) - GLANCE, 0) if counted else 0
    weights = weights_of(model, learning)
    rows = connection.execute(
        "SELECT profile_id, name, at, properties FROM event WHERE seq > ? AND at <= ? "
        f"AND name IN ({', '.join('?' * len(weights))})",
        (since, now, *weights),
    )
    people = sorted({int(row[0]) for row in rows})
    said = {
        int(row[0]): _object.decode(row[1]).get(learning.profiling.trait)
        for row in connection.select_in("SELECT id, traits FROM profile WHERE id IN (?)", people)
    }
    told = [
        (int(who), item, weight, int(at))
        for who, name, at, properties in rows
        if int(who) in said and may_be_profiled(said[int(who)], learning.profiling)
        for item, weight in told_by(str(name), _object.decode(properties), weights, learning)
    ]
    return Part(
        np.asarray([it[0] for it in told], dtype=np.int64),
        np.asarray([it[1] for it in told], dtype=object),
        np.asarray([it[2] for it in told], dtype=np.float64),
        np.asarray([it[3] for it in told], dtype=np.int64),
    )
