"""What a contextual bandit collected: contexts, arms, outcomes, and the versions that decided.

The chances depend on the context, and the versions on all outcomes before them. Reading such a log
needs every version's chances at contexts of other days, which is why versions are kept whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from experiments.bandits.contextual import LinearSums, with_intercept
from experiments.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

SLACK: Final = 1e-6
"""How far logged chances may be from their version's: some callers log rounded ones."""
_KEPT: Final = 20_000_000
"""Chances of all versions at all contexts that are kept in memory; more are worked out anew."""


class Decides(Protocol):
    """What gave the chances for a while: a `contextual.Version`, or one told from its log."""

    def chances(self, contexts: Any) -> Array:
        """Chance of each arm for each context, shape (n, K)."""


@dataclass(frozen=True, eq=False)
class ContextualLog:
    """Matured units in the order of their versions.

    Attributes:
        contexts: Shape (n, d), as the versions were learnt from.
        chosen: Shape (n,), index of the arm.
        outcomes: Shape (n,).
        chances: Shape (n, K), as logged.
        version: Shape (n,), place in `versions`.
        versions: In the order of time: each was learnt from units of earlier ones only.
        grid: Per version its chances at every context; None where that would not fit in memory.
    """

    contexts: Array
    chosen: NDArray[np.int64]
    outcomes: Array
    chances: Array
    version: NDArray[np.int64]
    versions: tuple[Decides, ...]
    grid: tuple[Array, ...] | None

    @classmethod
    def of(
        cls,
        *,
        contexts: Any,
        chosen: Any,
        outcomes: Any,
        chances: Any,
        version: Any,
        versions: Sequence[Decides],
    ) -> ContextualLog:
        """Checked columns, put in the order of versions.

        Raises:
            DataError: If lengths differ, a number is missing, a unit got an arm without a chance,
                or the logged chances are not those of the version.
        """
        import numpy as np

        x, e = with_intercept(contexts)[:, 1:], np.asarray(chances, dtype=float)
        arms, y = np.asarray(chosen, dtype=np.int64), np.asarray(outcomes, dtype=float)
        when = np.asarray(version, dtype=np.int64)
        n = len(y)
        if e.ndim != 2 or not len(x) == len(arms) == len(e) == n == len(when) or not n:
            raise DataError(
                f"contexts {x.shape}, arms {arms.shape}, outcomes {y.shape} and chances {e.shape}"
                " do not fit; (n, d), (n,), (n,) and (n, K) are expected"
            )
        if not np.isfinite(y).all():
            raise DataError("an outcome is not finite; leave out units whose window is open")
        if when.min() < 0 or when.max() >= len(versions):
            raise DataError(f"a version outside 0 to {len(versions) - 1} decided")
        if arms.min() < 0 or arms.max() >= e.shape[1]:
            raise DataError(f"an arm outside 0 to {e.shape[1] - 1} was chosen")
        if not (e > 0).all():
            raise DataError("an arm had no chance in some context; without a floor nothing is read")
        for place, its in enumerate(versions):
            rows = when == place
            if rows.any() and np.abs(its.chances(x[rows]) - e[rows]).max() > SLACK:
                raise DataError(
                    f"version {place}: the chances that were logged are not those the version gives"
                )
        order = np.argsort(when, kind="stable")
        is_small = len(versions) * e.size <= _KEPT
        return cls(
            contexts=x[order],
            chosen=arms[order],
            outcomes=y[order],
            chances=e[order],
            version=when[order],
            versions=tuple(versions),
            grid=tuple(it.chances(x[order]) for it in versions) if is_small else None,
        )

    @property
    def n(self) -> int:
        """Units."""
        return len(self.outcomes)

    @property
    def n_arms(self) -> int:
        """Arms."""
        return int(self.chances.shape[1])

    def by_version(self) -> Iterator[tuple[int, Array]]:
        """Each version and its chances at the contexts of all units, shape (n, K)."""
        for place, version in enumerate(self.versions):
            yield place, version.chances(self.contexts) if self.grid is None else self.grid[place]

    def guesses(self, *, penalty: float, first_guess: float = 0.0) -> list[Array]:
        """Per version, what every unit would do in each arm, told from earlier versions only.

        Returns:
            One array of shape (K, d + 1) a version: coefficients behind a leading 1.
        """
        import numpy as np

        d = self.contexts.shape[1]
        sums = LinearSums.empty(n_arms=self.n_arms, n_features=d)
        found = []
        for place in range(len(self.versions)):
            at = sums.coefficients(penalty=penalty)
            n = float(sums.n.sum())
            overall = float(sums.moment[:, 0].sum()) / n if n else first_guess
            # An arm nobody had yet is guessed to be like all of them together.
            at[sums.n == 0] = np.concatenate([[overall], np.zeros(d)])
            found.append(at)
            rows = self.version == place
            sums = sums.add(self.contexts[rows], self.chosen[rows], self.outcomes[rows])
        return found
