"""What a training gives, whatever the kind of model: what was learnt, how good, who gets what.

Made by `engine.learning.training`, kept by `engine.learning.registry`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from campaigns.models import Learning, Model, hashed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.learning.artifact import Artifact

SEED_BITS: Final = 32


@dataclass(frozen=True, eq=False)
class Lesson:
    """What one training gave.

    Attributes:
        artifact: What was learnt; None where the rows are all there is.
        is_better: Whether it is to take the place of what is read now; `verdict` says why (not).
        metrics: How good it is, as JSON knows it; `primary` names the one that decides.
        values: By profile (value, label), as segments read them; empty for recommenders.
        details: By profile, JSON: why the value is what it is, or which label waits.
        data_hash: Of what the model was fitted to.
        page: A report for people, HTML on its own; "" for none.
        notes: What whoever trains it should know, in sentences.
        instead: What is read where this is not better: the champion's model, asked anew.
        is_unseating: Where this is not better: what is read was never proved, and now is refuted.
    """

    artifact: "Artifact | None"
    is_better: bool
    verdict: str
    metrics: Mapping[str, Any]
    data_hash: str
    values: Mapping[int, tuple[float, str]] = field(default_factory=dict)
    details: Mapping[int, str] = field(default_factory=dict)
    page: str = ""
    notes: tuple[str, ...] = ()
    instead: "Lesson | None" = None
    is_unseating: bool = False


def config_hash(model: Model, learning: Learning) -> str:
    """Of a definition and what all models share; the times of its refreshing are no part of it."""
    plain = msgspec.structs.replace(model, refresh=type(model)(**_required(model)).refresh)
    written = msgspec.json.encode([hashed(plain), learning], order="sorted")
    return hashlib.sha256(written).hexdigest()[:16]


def seed_of(name: str, config: str) -> int:
    """The seed of a model's randomness: the same for the same definition, whenever it is trained.

    What changes between two runs is then what people did, and nothing else.
    """
    digest = hashlib.sha256(f"{name}\0{config}".encode()).digest()
    return int.from_bytes(digest[: SEED_BITS // 8], "big")


def data_hash(*arrays: "NDArray[Any]") -> str:
    """Of what a model was fitted to, in this order; NaN equals NaN."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype.kind}{array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()[:16]


def _required(model: Model) -> dict[str, Any]:
    """What a definition of this kind cannot be made without."""
    return {it.name: getattr(model, it.name) for it in msgspec.structs.fields(model) if it.required}
