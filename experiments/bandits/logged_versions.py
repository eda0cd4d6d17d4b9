"""The versions of a bandit as its log shows them: chances at the contexts that each one met.

Whoever has the log alone does not have the functions that decided, only what they said of the units
that came. At those contexts a version's chances are the logged ones; at any other context they are
taken from the nearest one that it met. That is enough to read by: scores use the logged chances and
nothing else, and the weights of versions may be any function of contexts and of the past. A poor
neighbour costs width, never the truth. Read next: `policy_contrasts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from experiments.bandits.contextual_log import SLACK, ContextualLog
from experiments.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

VERSIONS_MAX: Final = 1_000
"""More are no versions but units: nothing could be learnt within one."""


@dataclass(frozen=True, eq=False)
class MetVersion:
    """One version by the units it drew.

    Attributes:
        contexts: The different ones it met, shape (m, d).
        kept: Its chances there, shape (m, K).
        scale: Of each feature over the whole log, shape (d,), so that no unit of measure decides
            which context is near.
    """

    contexts: Array
    kept: Array
    scale: Array

    @property
    def is_constant(self) -> bool:
        """Whether it gave every unit the same chances."""
        return bool((abs(self.kept - self.kept[0]) <= SLACK).all())

    def chances(self, contexts: Any) -> Array:
        """Chances at each context, shape (n, K): its own, or those of the nearest context it met.

        Raises:
            DataError: If a context has other features than those it met.
        """
        import numpy as np
        from scipy.spatial import cKDTree

        x = np.asarray(contexts, dtype=float)
        if x.ndim != 2 or x.shape[1] != self.contexts.shape[1]:
            raise DataError(
                f"contexts of shape {x.shape}; (n, {self.contexts.shape[1]}) is expected"
            )
        if self.is_constant:
            return np.tile(self.kept[0], (len(x), 1))
        _, nearest = cKDTree(self.contexts / self.scale).query(x / self.scale)
        found: Array = self.kept[nearest]
        return found


def log_of_columns(
    *, contexts: Any, chosen: Any, outcomes: Any, chances: Any, version: Any
) -> ContextualLog:
    """A log whose versions are told by its own columns.

    Args:
        contexts: Shape (n, d), all that the chances depended on; d may be 0.
        version: Shape (n,), any numbers or texts; versions came in their order.
    Raises:
        DataError: If a version gave two chances to one context, there are too many versions, or as
            `ContextualLog.of` says.
    """
    import numpy as np

    x, e = np.asarray(contexts, dtype=float), np.asarray(chances, dtype=float)
    names, place = np.unique(np.asarray(version), return_inverse=True)
    if len(names) > VERSIONS_MAX:
        raise DataError(
            f"{len(names):,} versions; at most {VERSIONS_MAX:,}. A version is what all units have"
            " in common that were drawn between two times of learning, such as a day"
        )
    spread = x.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    versions = []
    for at, name in enumerate(names):
        rows = place == at
        met, first, back = _different(x[rows])
        kept = e[rows][first]
        if np.abs(kept[back] - e[rows]).max() > SLACK:
            raise DataError(
                f"version {name} gave different chances to units of one context, so something else"
                " decided too: name every column that the chances depended on, and a version that"
                " changes whenever the weights did"
            )
        versions.append(MetVersion(met, kept, scale))
    return ContextualLog.of(
        contexts=x, chosen=chosen, outcomes=outcomes, chances=e, version=place, versions=versions
    )


def _different(x: Array) -> tuple[Array, Any, Any]:
    """The different rows, the place of the first of each, and which one each row is."""
    import numpy as np

    if not x.shape[1]:
        return x[:1], np.zeros(1, dtype=int), np.zeros(len(x), dtype=int)
    met, first, back = np.unique(x, axis=0, return_index=True, return_inverse=True)
    return met, first, back.reshape(-1)
