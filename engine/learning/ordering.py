"""What commands ask of learning: the same in a command or in the running server.

A payload is plain data and so is the answer; `engine.operations` hands them on.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from engine.core.errors import StoreError, UsageError
from engine.core.model.instants import Instant
from engine.learning.apart import TrainingDied
from engine.learning.refreshing import Learner, known, refresh
from engine.learning.shown import write_pages


def train(learner: Learner, payload: Mapping[str, Any], *, now: Instant) -> dict[str, Any]:
    """Train {"model": name, "as_of": instant or None} and read it if it is better."""
    as_of = payload.get("as_of")
    try:
        done = refresh(learner, _name(payload), as_of=now if as_of is None else int(as_of), now=now)
    except TrainingDied as error:
        raise StoreError(f"{error}; run it again") from None
    write_pages(learner, now=now)
    plain: dict[str, Any] = msgspec.to_builtins(done)
    return plain


def roll_back(learner: Learner, payload: Mapping[str, Any], *, now: Instant) -> dict[str, Any]:
    """Read an older run of {"model": name, "to": run or None} again."""
    name, to = _name(payload), payload.get("to")
    known(learner.playbook, name)
    done = learner.registry.roll_back(name, None if to is None else int(to), now=now)
    write_pages(learner, now=now)
    plain: dict[str, Any] = msgspec.to_builtins(done)
    return plain


def _name(payload: Mapping[str, Any]) -> str:
    name = payload.get("model")
    if not isinstance(name, str):
        raise UsageError("no model is named")
    return name


OPERATIONS: Final[Mapping[str, Callable[..., dict[str, Any]]]] = {
    "model_train": train,
    "model_rollback": roll_back,
}
"""Every order by the name under which it reaches the running server."""
