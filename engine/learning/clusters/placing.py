"""Which group a point belongs to and how surely, from arrays alone.

Four ways, one a kind of model: nearest centre, most likely component, nearest core point, cell of
scores. None asks the library that found the groups, and none looks at any other point: what is
said of a person does not hang on who is asked about beside them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Places = NDArray[np.int64]

OUTSIDE: Final = -1
"""The place of a point that belongs to no group."""
ROWS: Final = 65_536
"""Points placed at a time, so that a million take no more memory than this many."""


class Placing(Protocol):
    """What finds a point's group. `kind` names it in what is kept."""

    kind: ClassVar[str]

    @property
    def n_groups(self) -> int:
        """How many there are."""

    def place(self, points: "Floats") -> "tuple[Places, Floats]":
        """The group of each and its confidence in [0, 1]; OUTSIDE where in none."""

    def sureness(self, points: "Floats", places: "Places") -> "Floats":
        """How likely each is in the group given, in [0, 1]; of OUTSIDE likewise."""

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """What is kept."""


@dataclass(frozen=True, eq=False)
class Centres:
    """K-Means: the nearest centre. Confidence is the posterior of equal round groups.

    Attributes:
        centres: Shape (k, p).
        variance: Mean squared distance to the own centre in one direction, over all groups.
    """

    kind: ClassVar[str] = "centres"
    centres: "Floats"
    variance: float

    @property
    def n_groups(self) -> int:
        """How many there are."""
        return len(self.centres)

    def place(self, points: "Floats") -> "tuple[Places, Floats]":
        """The nearest centre, and its posterior."""
        return _most_likely(points, self._log_parts)

    def sureness(self, points: "Floats", places: "Places") -> "Floats":
        """The posterior of the groups given."""
        return _posterior_of(points, places, self._log_parts)

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """What is kept."""
        import numpy as np

        return {"centres": self.centres, "variance": np.array([self.variance])}

    def _log_parts(self, points: "Floats") -> "Floats":
        import numpy as np

        out = np.empty((len(points), len(self.centres)))
        for i, centre in enumerate(self.centres):
            apart = points - centre
            out[:, i] = np.einsum("ij,ij->i", apart, apart)
        return np.divide(out, -2 * self.variance, out=out)


@dataclass(frozen=True, eq=False)
class Components:
    """A Gaussian mixture: the component with the highest responsibility.

    Attributes:
        weights: Shares; shape (k,).
        means: Shape (k, p).
        precisions: Upper Cholesky factors of the inverse covariances; shape (k, p, p).
    """

    kind: ClassVar[str] = "components"
    weights: "Floats"
    means: "Floats"
    precisions: "Floats"

    @property
    def n_groups(self) -> int:
        """How many there are."""
        return len(self.means)

    def place(self, points: "Floats") -> "tuple[Places, Floats]":
        """The likeliest component, and its responsibility."""
        return _most_likely(points, self._log_parts)

    def sureness(self, points: "Floats", places: "Places") -> "Floats":
        """The responsibility of the components given."""
        return _posterior_of(points, places, self._log_parts)

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """What is kept."""
        return {"weights": self.weights, "means": self.means, "precisions": self.precisions}

    def _log_parts(self, points: "Floats") -> "Floats":
        """log weight + log density, but for the constant that all components share."""
        import numpy as np

        out = np.empty((len(points), len(self.means)))
        for i, (mean, factor) in enumerate(zip(self.means, self.precisions, strict=True)):
            apart = np.einsum("ij,jk->ik", points - mean, factor)
            out[:, i] = np.einsum("ij,ij->i", apart, apart) * -0.5
            out[:, i] += np.log(np.diag(factor)).sum() + np.log(self.weights[i])
        return out


@dataclass(frozen=True, eq=False)
class Cores:
    """DBSCAN, HDBSCAN: the group of the nearest core point, if that is within its reach.

    Confidence falls from 1 at a core point to 1/2 at its reach; beyond, that of being outside
    rises from there towards 1.

    Attributes:
        cores: Shape (m, p).
        groups: Of each core, 0 to k - 1; shape (m,).
        reach: Of each group; shape (k,).
    """

    kind: ClassVar[str] = "cores"
    cores: "Floats"
    groups: "Places"
    reach: "Floats"

    @property
    def n_groups(self) -> int:
        """How many there are."""
        return len(self.reach)

    def place(self, points: "Floats") -> "tuple[Places, Floats]":
        """The nearest core's group within its reach, else OUTSIDE."""
        import numpy as np
        from scipy.spatial import cKDTree

        distance, at = cKDTree(self.cores).query(points)
        groups = self.groups[at]
        reach = self.reach[groups]
        is_in = distance <= reach
        with np.errstate(divide="ignore", invalid="ignore"):
            sure = np.where(is_in, 1 - distance / (2 * reach), 1 - reach / (2 * distance))
        return np.where(is_in, groups, OUTSIDE), np.clip(np.nan_to_num(sure, nan=1.0), 0.0, 1.0)

    def sureness(self, points: "Floats", places: "Places") -> "Floats":
        """That of where they are; of a group they are not in, what it leaves."""
        import numpy as np

        now, sure = self.place(points)
        return np.where(now == places, sure, 1 - sure)

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """What is kept."""
        return {"cores": self.cores, "groups": self.groups, "reach": self.reach}


def placing_of(kind: str, arrays: "Mapping[str, NDArray[Any]]") -> Placing:
    """What `arrays` of that kind kept."""
    if kind == Centres.kind:
        return Centres(arrays["centres"], float(arrays["variance"][0]))
    if kind == Components.kind:
        return Components(arrays["weights"], arrays["means"], arrays["precisions"])
    if kind == Cores.kind:
        return Cores(arrays["cores"], arrays["groups"], arrays["reach"])
    if kind == "cells":
        from engine.learning.clusters.cells import Cells

        return Cells(arrays["cuts"])
    raise ValueError(f'"{kind}" is no way of placing people in groups')


def place(placing: Placing, points: "Floats") -> "tuple[Places, Floats]":
    """`placing.place`, some rows at a time."""
    import numpy as np

    places = np.empty(len(points), dtype=np.int64)
    sure = np.empty(len(points))
    for start in range(0, len(points), ROWS):
        some = slice(start, start + ROWS)
        places[some], sure[some] = placing.place(points[some])
    return places, sure


def sureness(placing: Placing, points: "Floats", places: "Places") -> "Floats":
    """`placing.sureness`, some rows at a time."""
    import numpy as np

    sure = np.empty(len(points))
    for start in range(0, len(points), ROWS):
        some = slice(start, start + ROWS)
        sure[some] = placing.sureness(points[some], places[some])
    return sure


_LogParts = Callable[["Floats"], "Floats"]


def _most_likely(points: "Floats", log_parts: _LogParts) -> "tuple[Places, Floats]":
    import numpy as np

    parts = log_parts(points)
    best = parts.argmax(axis=1)
    parts -= parts[np.arange(len(parts)), best][:, None]
    return best, 1 / np.exp(parts).sum(axis=1)


def _posterior_of(points: "Floats", places: "Places", log_parts: _LogParts) -> "Floats":
    import numpy as np

    parts = log_parts(points)
    parts -= parts.max(axis=1)[:, None]
    np.exp(parts, out=parts)
    known = places >= 0
    own = parts[np.arange(len(parts)), np.where(known, places, 0)]
    return np.where(known, own / parts.sum(axis=1), 0.0)
