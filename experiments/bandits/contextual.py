"""Linear Thompson sampling (LinTS): each context is given the arm that is likely best for it.

Per arm a ridge regression of outcomes on contexts; M coefficient vectors are drawn from what is
believed of each, once per version, and shared by all units of the version. A context's chances are
the shares of draws in which each arm comes out best, mixed with a floor. So a version is a plain
function of the context: the chances that are logged are exactly those that decided, and any version
can be asked about any context later, which is what the read-out needs. LinUCB's answers are
certain, so nothing could be read from its log; it is left out on purpose.
Sources: Agrawal, Goyal (ICML 2013) for LinTS; the floor as in `policies`. Read next:
`contextual_log` and `contextual_inference` (effects), `contextual_worth` (does context pay at all).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any, Final

from experiments.bandits.learning import WARM_UP
from experiments.errors import DataError, PlanError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

DRAWS: Final = 256
_BLOCK: Final = 200_000
"""Scores held at once: they stay in the processor's cache, whatever the number of contexts."""


@dataclass(frozen=True)
class LinearPolicy:
    """How a contextual bandit allocates.

    Attributes:
        floor: The least chance of any arm in any context; above 0.
        penalty: Of squared coefficients: how strongly, in units, every arm is taken to be alike
            and flat before it is tried.
        draws: Coefficient vectors per version; chances are multiples of 1 / draws before the floor.
    """

    floor: float = 0.05
    penalty: float = 1.0
    draws: int = DRAWS

    def __post_init__(self) -> None:
        if not 0 < self.floor < 1:
            raise PlanError(
                f"a floor of {self.floor} is not a share above 0: an arm that may get nothing can"
                " never be read"
            )
        if not self.penalty > 0:
            raise PlanError(f"penalty is {self.penalty}; allowed is above 0")
        if self.draws < 2:
            raise PlanError(f"{self.draws} draws give no chances; at least 2, usually {DRAWS}")


@dataclass(frozen=True, eq=False)
class LinearSums:
    """All that is learnt from: sums by arm over contexts with a leading 1, shape (K, ...).

    Attributes:
        gram: X'X, shape (K, d + 1, d + 1).
        moment: X'y, shape (K, d + 1).
        squares: y'y, shape (K,).
        n: Units, shape (K,).
    """

    gram: Array
    moment: Array
    squares: Array
    n: Array

    @classmethod
    def empty(cls, *, n_arms: int, n_features: int) -> LinearSums:
        """Before anybody came."""
        import numpy as np

        d = n_features + 1
        return cls(
            np.zeros((n_arms, d, d)), np.zeros((n_arms, d)), np.zeros(n_arms), np.zeros(n_arms)
        )

    def add(self, contexts: Any, chosen: Any, outcomes: Any) -> LinearSums:
        """With more units, whose windows have closed.

        Raises:
            DataError: If a number is missing or infinite, or shapes do not fit.
        """
        import numpy as np

        x = with_intercept(contexts, n_features=self.gram.shape[1] - 1)
        arms, y = np.asarray(chosen, dtype=np.int64), np.asarray(outcomes, dtype=float)
        n_arms = len(self.n)
        if not len(x) == len(arms) == len(y) or not np.isfinite(y).all():
            raise DataError(
                f"{len(x)} contexts, {len(arms)} arms and {len(y)} finite outcomes: give one of"
                " each per unit, of units whose window has closed"
            )
        if len(arms) and (arms.min() < 0 or arms.max() >= n_arms):
            raise DataError(f"an arm outside 0 to {n_arms - 1} was chosen")
        gram: Array = self.gram.copy()
        moment: Array = self.moment.copy()
        squares: Array = self.squares.copy()
        n: Array = self.n.copy()
        for arm in range(n_arms):
            own, its = x[arms == arm], y[arms == arm]
            gram[arm] += own.T @ own
            moment[arm] += own.T @ its
            squares[arm] += its @ its
            n[arm] += len(its)
        return LinearSums(gram, moment, squares, n)

    def coefficients(self, *, penalty: float) -> Array:
        """Ridge regression per arm, shape (K, d + 1); flat at 0 where nobody was."""
        import numpy as np

        solved = np.linalg.solve(self.precision(penalty), self.moment[..., None])[..., 0]
        return np.asarray(solved, dtype=np.float64)

    def noise(self, *, penalty: float) -> float:
        """Variance of outcomes around the arms' regressions, pooled; 0 where they leave nothing."""
        import numpy as np

        at = self.coefficients(penalty=penalty)
        fitted = 2 * (at * self.moment).sum() - np.einsum("ki,kij,kj->", at, self.gram, at)
        left = float(self.squares.sum() - fitted)
        freedom = max(float(self.n.sum()) - self.moment.size, 1.0)
        # A difference of large sums: below their rounding it is none.
        return left / freedom if left > 1e-12 * float(self.squares.sum()) else 0.0

    def precision(self, penalty: float) -> Array:
        """X'X + penalty, per arm."""
        import numpy as np

        found: Array = self.gram + penalty * np.eye(self.gram.shape[1])
        return found


@dataclass(frozen=True, eq=False)
class Version:
    """Chances as a function of the context, while it holds.

    Attributes:
        drawn: Coefficients, shape (M, K, d + 1); all 0 while nothing is known, which is even.
        floor: The least chance of any arm.
    """

    drawn: Array
    floor: float

    def chances(self, contexts: Any) -> Array:
        """Chance of each arm for each context, shape (n, K): what decides, and is logged.

        Raises:
            DataError: If a context is missing or has other features than those learnt from.
        """
        import numpy as np

        n_draws, n_arms, d = self.drawn.shape
        x = with_intercept(contexts, n_features=d - 1)
        if not self.drawn.any():
            return np.full((len(x), n_arms), 1 / n_arms)
        by_arm = np.moveaxis(self.drawn, 1, 0)
        shares = np.empty((len(x), n_arms))
        block = max(1, _BLOCK // (n_draws * n_arms))
        for start in range(0, len(x), block):
            scores = x[start : start + block] @ np.swapaxes(by_arm, 1, 2)
            best = scores.max(axis=0)
            for arm in range(n_arms):
                shares[start : start + block, arm] = (scores[arm] >= best).mean(axis=1)
        # Draws are continuous, so ties are rounding; divided by their sum they stay chances.
        shares /= shares.sum(axis=1, keepdims=True)
        mixed: Array = self.floor + (1 - n_arms * self.floor) * shares
        return mixed

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All there is to it, by name."""
        import numpy as np

        return {"drawn": self.drawn, "floor": np.array(self.floor)}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> Version:
        """What `arrays` gave."""
        return cls(arrays["drawn"], float(arrays["floor"]))


def learnt_version(sums: LinearSums, policy: LinearPolicy, *, rng: np.random.Generator) -> Version:
    """The next version, from sums of matured units; even while there is too little to say.

    Args:
        rng: Draws the coefficients; the same sums and generator give the same version.
    Raises:
        PlanError: If the floor leaves no room for so many arms.
    """
    import numpy as np

    n_arms, d = sums.moment.shape
    if n_arms * policy.floor > 1 + 1e-12:
        raise PlanError(
            f"a floor of {policy.floor:.4f} for {n_arms} arms is impossible; allowed is up to"
            f" {1 / n_arms:.4f}"
        )
    noise = sums.noise(penalty=policy.penalty)
    if (sums.n < WARM_UP).any() or noise == 0:
        return Version(np.zeros((1, n_arms, d)), policy.floor)
    means = sums.coefficients(penalty=policy.penalty)
    # z' with variance A^-1 solves L' z' = z for A = L L'.
    roots = np.linalg.cholesky(sums.precision(policy.penalty))
    normals = rng.standard_normal((n_arms, d, policy.draws))
    spread = np.linalg.solve(np.swapaxes(roots, 1, 2), normals)
    return Version(means + sqrt(noise) * np.moveaxis(spread, 2, 0), policy.floor)


def drawn_arms(chances: Any, uniform: Any) -> NDArray[np.int64]:
    """The arm of each unit, from its chances and a uniform number in [0, 1) of its own hash."""
    import numpy as np

    edges = np.cumsum(np.asarray(chances, dtype=float), axis=1)
    places = (np.asarray(uniform, dtype=float)[:, None] >= edges[:, :-1]).sum(axis=1)
    found: NDArray[np.int64] = places.astype(np.int64)
    return found


def with_intercept(contexts: Any, *, n_features: int | None = None) -> Array:
    """Contexts with a leading 1, checked.

    Raises:
        DataError: If they are no finite (n, n_features).
    """
    import numpy as np

    x = np.asarray(contexts, dtype=float)
    if x.ndim != 2 or (n_features is not None and x.shape[1] != n_features):
        wanted = "n_features" if n_features is None else n_features
        raise DataError(f"contexts of shape {x.shape}; (n, {wanted}) is expected")
    if not np.isfinite(x).all():
        raise DataError("a context is missing or infinite; fill gaps as at training")
    return np.column_stack([np.ones(len(x)), x])
