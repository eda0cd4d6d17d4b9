"""One promise that can be simulated: what `simulations` runs, prints and holds true."""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np

from tests.rig.sizes import scaled


@dataclass(frozen=True)
class Simulation:
    """A share of runs, and between which bounds it was promised to lie.

    Attributes:
        area: Which part of the library promises.
        what: What is counted, for the docs' table.
        lowest, highest: The promise, as shares; both ends included.
        runs: How many in `make test`; ANTIPHON_TEST_SCALE multiplies them.
        share: Given a generator and the number of runs, the share of runs in which it happened.
        is_shortcut: Counted to show that the common shortcut breaks the promise.
    """

    area: str
    what: str
    lowest: float
    highest: float
    runs: int
    share: Callable[[np.random.Generator, int], float]
    is_shortcut: bool = False

    def measured(self, *, seed: int) -> "Measured":
        """Run it."""
        runs = scaled(self.runs)
        return Measured(self, runs, float(self.share(np.random.default_rng(seed), runs)))


@dataclass(frozen=True)
class Measured:
    """A simulation and what it gave."""

    simulation: Simulation
    runs: int
    share: float

    @property
    def holds(self) -> bool:
        """Whether the share is as promised, give or take three of its own standard errors."""
        lowest, highest = self.simulation.lowest, self.simulation.highest
        return lowest - 3 * self._error(lowest) <= self.share <= highest + 3 * self._error(highest)

    def _error(self, share: float) -> float:
        return sqrt(share * (1 - share) / self.runs)

    @property
    def promise(self) -> str:
        """The bounds in words."""
        lowest, highest = self.simulation.lowest, self.simulation.highest
        if lowest == 0:
            return f"at most {highest:.1%}"
        return f"at least {lowest:.1%}" if highest == 1 else f"{lowest:.1%} to {highest:.1%}"
