"""Finding the parameters that make what was seen likeliest: several starts, one polish.

All parameters are positive, so their logarithms are what is searched. Sources of false answers are
met here once for both models: a start in a bad valley (several are tried), a million rows (starts
are tried on a sample), parameters that run away because the data do not hold them (said so).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from engine.learning.refusals import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

EDGE: Final = 11.0
"""Largest logarithm of a parameter either way (60,000): beyond it the model is at its limit, in
which people do not differ, or never stop; figures no longer change there."""

Loss = Callable[["Floats"], "tuple[float, Floats]"]
"""Of the parameters' logarithms: the mean loss and its slope."""


@dataclass(frozen=True, eq=False)
class Found:
    """The best parameters.

    Attributes:
        values: The parameters themselves.
        loss: Mean negative log-likelihood, penalty included.
        at_edge: By place, whether the data do not hold it.
    """

    values: "Floats"
    loss: float
    at_edge: tuple[bool, ...]


def likeliest(
    full: Loss, sampled: Loss, starts: Sequence[Sequence[float]], *, of: str, is_near: bool = False
) -> Found:
    """The minimum, from the best of several starts.

    Args:
        full: The loss over everybody; `sampled` over as many as can be read often.
        starts: Parameters to begin from.
        of: What is fitted, for the words of a refusal.
        is_near: The starts are answers to nearly the same question: one short search will do.
    Raises:
        Refused: If no start leads anywhere.
    """
    import numpy as np
    from scipy import optimize

    def down(loss: Loss, start: "Floats", ftol: float = 1e-14) -> "optimize.OptimizeResult":
        return optimize.minimize(
            loss,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[(-EDGE, EDGE)] * len(start),
            options={"maxiter": 500, "maxcor": 20, "ftol": ftol, "gtol": 1e-9},
        )

    if is_near:
        done = down(full, np.log(np.asarray(starts[0], dtype=float)), 1e-9)
        return _found(done, of)
    tried = [down(sampled, np.log(np.asarray(start, dtype=float))) for start in starts]
    sound = [it for it in tried if np.isfinite(it.fun)]
    best = min(sound, key=lambda it: float(it.fun), default=None)
    if best is None:
        raise Refused(f"{of} finds no parameters: every start ends in no number", "check amounts")
    # Once more from where it ended: the search's memory of the valley's shape is made anew.
    done = down(full, down(full, best.x).x)
    return _found(done, of)


def _found(done: Any, of: str) -> Found:
    import numpy as np

    if not np.isfinite(done.fun) or float(np.max(np.abs(_inner(done)))) > 1e-3:
        raise Refused(f"{of} does not settle ({done.message})", "add a penalty, or more history")
    at_edge = tuple(bool(abs(it) > EDGE - 0.01) for it in done.x)
    return Found(np.exp(done.x), float(done.fun), at_edge)


def _inner(done: Any) -> "Floats":
    """The slope, without what pushes against a bound."""
    import numpy as np

    slope: Floats = np.where(np.abs(done.x) > EDGE - 0.01, 0.0, done.jac)
    return slope
